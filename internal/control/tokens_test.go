package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"signet/internal/audit"
	"signet/internal/compactjws"
	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
)

// services is an issuer whose login is for two services, with an account and a client of
// two more.
func services(in any) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		f.policy(func(p *issuer.Policy) { p.Audience = []string{"orders", "stock"} })
		_, _, err := f.Clients.Add(t.Context(), oauth.Client{ID: "billing", Grants: grants, Scopes: []string{"read", "write"}, Audiences: []string{"mail", "print"}}, f.Issuer.URL())
		must(t, err)
		return in
	}
}

// policy puts the policy of newFixture in force with what alter changes.
func (f *fixture) policy(alter func(*issuer.Policy)) {
	p := issuer.Policy{
		URL:            "https://login.example.test",
		AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour, SessionLifetime: 30 * 24 * time.Hour,
		Leeway: 30 * time.Second, MaxTokenBytes: 4096, Rotate: true, ReuseWindow: 10 * time.Second,
	}
	alter(&p)
	f.Issuer.SetPolicy(p)
}

// issue is a token that an operator gets at once.
func (f *fixture) issue(t testing.TB, in TokenOrder) IssuedToken {
	t.Helper()
	out, err := IssueToken.Do(t.Context(), Local(f.Operator), in)
	must(t, err)
	return out
}

const (
	hintLess      = "signet token issue --help  # without --audience and --expires-in it is what a login gives"
	hintBilling   = "signet clients show billing  # shows what it was registered for"
	noMoreThanOne = "with a refresh token it is a session as a login begins it: an audience or a lifetime of its own would last until the first refresh"
	keptBefore    = "signet serve  # with these settings once; or give the command the configuration of the server with --config FILE"
)

var tokenCases = []doorCase{
	{name: "nobody's", ask: ask(IssueToken), in: TokenOrder{}, wantErr: Error{errWhoseToken.Error(), ""}},
	{name: "two parties'", ask: ask(IssueToken), prepare: services(TokenOrder{User: "kyoko", Client: "billing"}), wantErr: Error{errWhoseToken.Error(), ""}},
	{name: "an unknown user's", ask: ask(IssueToken), in: TokenOrder{User: "kyoko"}, wantErr: Error{`"kyoko": no such user`, hintUsers}},
	{name: "an unknown client's", ask: ask(IssueToken), in: TokenOrder{Client: "billing"}, wantErr: Error{`"billing": no such client`, hintClients}},
	{name: "a disabled user's", ask: ask(IssueToken), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		_, err := f.Users.Disable(t.Context(), "kyoko")
		must(t, err)
		return TokenOrder{User: "KYOKO"}
	}, wantErr: Error{`"kyoko": the account is disabled`, "signet users enable NAME  # lets the account log in again"}},
	{name: "a user's with a scope", ask: ask(IssueToken), prepare: services(TokenOrder{User: "kyoko", Scope: []string{"read"}}), wantErr: Error{errClientOnly.Error(), ""}},
	{name: "a user's for a client's service", ask: ask(IssueToken), prepare: services(TokenOrder{User: "kyoko", Audience: []string{"orders", "mail"}}),
		wantErr: Error{`"kyoko": it would be more than a login gives: "mail" is not among the services of the login (["orders" "stock"])`, hintLess}},
	{name: "a user's for the issuer", ask: ask(IssueToken), prepare: services(TokenOrder{User: "kyoko", Audience: []string{"https://login.example.test"}}),
		wantErr: Error{`"kyoko": it would be more than a login gives: "https://login.example.test" is not among the services of the login (["orders" "stock"])`, hintLess}},
	{name: "a user's that lives longer", ask: ask(IssueToken), prepare: services(TokenOrder{User: "kyoko", ExpiresIn: 5*time.Minute + 1}),
		wantErr: Error{`it would be more than a login gives: 5m0.000000001s is longer than tokens.access (5m0s)`, hintLess}},
	{name: "a user's that lives for nothing", ask: ask(IssueToken), prepare: services(TokenOrder{User: "kyoko", ExpiresIn: time.Second - 1}),
		wantErr: Error{`a lifetime of 999.999999ms: it is a second at least`, ""}},
	{name: "a user's that lives before now", ask: ask(IssueToken), prepare: services(TokenOrder{User: "kyoko", ExpiresIn: -time.Hour}),
		wantErr: Error{`a lifetime of -1h0m0s: it is a second at least`, ""}},
	{name: "a session of one service", ask: ask(IssueToken), prepare: services(TokenOrder{User: "kyoko", Refresh: true, Audience: []string{"orders"}}), wantErr: Error{noMoreThanOne, ""}},
	{name: "a short session", ask: ask(IssueToken), prepare: services(TokenOrder{User: "kyoko", Refresh: true, ExpiresIn: time.Minute}), wantErr: Error{noMoreThanOne, ""}},
	{name: "a client's session", ask: ask(IssueToken), prepare: services(TokenOrder{Client: "billing", Refresh: true}), wantErr: Error{errUserOnly.Error(), ""}},
	{name: "a client's for one of two", ask: ask(IssueToken), prepare: services(TokenOrder{Client: "billing"}),
		wantErr: Error{`"billing": name the service that the token is for, of mail, print`, "signet token issue --client billing --audience mail"}},
	{name: "a client's for another service", ask: ask(IssueToken), prepare: services(TokenOrder{Client: "billing", Audience: []string{"orders"}}),
		wantErr: Error{`"billing": the client is not registered for one of these services`, hintBilling}},
	{name: "a client's of another scope", ask: ask(IssueToken), prepare: services(TokenOrder{Client: "billing", Audience: []string{"mail"}, Scope: []string{"admin"}}),
		wantErr: Error{`"billing": the client is not registered for one of these scopes`, hintBilling}},
	{name: "a client's of a grant that it has not", ask: ask(IssueToken), prepare: func(t testing.TB, f *fixture) any {
		_, _, err := f.Clients.Add(t.Context(), oauth.Client{ID: "billing", Grants: []string{oauth.TokenExchange}, Audiences: []string{"mail"}}, f.Issuer.URL())
		must(t, err)
		return TokenOrder{Client: "billing"}
	}, wantErr: Error{`"billing": the client is not registered for this grant`, hintBilling}},
	{name: "longer than its key is published", ask: ask(IssueToken), prepare: func(t testing.TB, f *fixture) any {
		services(nil)(t, f)
		f.policy(func(p *issuer.Policy) { p.AccessLifetime = time.Hour })
		return TokenOrder{User: "kyoko", ExpiresIn: time.Minute}
	}, wantErr: Error{"the keys are not kept for as long: tokens.access is 1h0m0s here, and was 5m0s when the server last ran", keptBefore}},
	{name: "refreshed longer than its key is kept", ask: ask(IssueToken), prepare: func(t testing.TB, f *fixture) any {
		services(nil)(t, f)
		f.policy(func(p *issuer.Policy) { p.RefreshLifetime = 48 * time.Hour })
		return TokenOrder{User: "kyoko", Refresh: true}
	}, wantErr: Error{"the keys are not kept for as long: tokens.refresh is 48h0m0s here, and was 24h0m0s when the server last ran", keptBefore}},
	{name: "while the storage fails", ask: ask(IssueToken), prepare: func(t testing.TB, f *fixture) any {
		services(nil)(t, f)
		f.store.FailNext("CreateSession", storetest.NotApplied)
		return TokenOrder{User: "kyoko"}
	}, wantErr: Error{`"kyoko": store the session: CreateSession: storetest: the storage failed`, ""}},
	{name: "while the storage fails", ask: ask(VerifyToken), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		token := f.login(t, "kyoko").Access
		f.store.FailNext("Session", storetest.NotApplied)
		return TokenQuestion{Token: token}
	}, wantErr: Error{`Session: storetest: the storage failed`, ""}},
	{name: "no token", ask: ask(VerifyToken), in: TokenQuestion{Token: "x"},
		want: `{"valid":false,"cause":"malformed","reason":"not a compact JWS: it must have three parts"}`},
	{name: "a user's", ask: ask(IssueToken), prepare: services(TokenOrder{User: "kyoko"}),
		want: `{"access_token":...,"token_type":"Bearer","expires_in":300,"jti":"SESSION1","kid":"KID1","sub":"SUB1","client_id":"first-party","sid":"SESSION2","for":"user kyoko"}`},
	{name: "a good one", ask: ask(VerifyToken), prepare: func(t testing.TB, f *fixture) any {
		services(nil)(t, f)
		return TokenQuestion{Token: f.issue(t, TokenOrder{User: "kyoko", Audience: []string{"stock"}}).AccessToken, Audience: "stock"}
	}, want: `{"valid":true,"alg":"ES256","kid":"KID1","typ":"JWT","token_type":"access","iss":"https://login.example.test","sub":"SUB1","user":"kyoko",` +
		`"client_id":"first-party","aud":["stock"],"jti":"SESSION1","not_before":"2026-03-01T12:00:00Z","expires":"2026-03-01T12:05:00Z",` +
		`"sid":"SESSION2","session_expires":"2026-03-01T12:05:00Z"}`},
}

// TestIssuedTokens: what is made is what a login and a grant make, and no more.
func TestIssuedTokens(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		services(nil)(t, f)
		for _, c := range []struct {
			order    TokenOrder
			audience []string
			scope    string
			typ      string
			lives    time.Duration
		}{
			{TokenOrder{User: "Kyoko"}, []string{"orders", "stock"}, "", "JWT", 5 * time.Minute},
			{TokenOrder{User: "kyoko", Audience: []string{"stock", "stock"}}, []string{"stock"}, "", "JWT", 5 * time.Minute},
			{TokenOrder{User: "kyoko", ExpiresIn: 90 * time.Second}, []string{"orders", "stock"}, "", "JWT", 90 * time.Second},
			{TokenOrder{User: "kyoko", Refresh: true}, []string{"orders", "stock"}, "", "JWT", 5 * time.Minute},
			{TokenOrder{Client: "billing", Audience: []string{"mail"}}, []string{"mail"}, "read write", "at+jwt", 5 * time.Minute},
			{TokenOrder{Client: "billing", Audience: []string{"mail", "print"}, Scope: []string{"read"}, ExpiresIn: time.Second}, []string{"mail", "print"}, "read", "at+jwt", time.Second},
		} {
			out, err := IssueToken.Do(t.Context(), door, c.order)
			must(t, err)
			header, claims := f.read(t, out.AccessToken)
			if !slices.Equal(claims.Audience, c.audience) || claims.Scope != c.scope || out.Scope != c.scope || header.Typ != c.typ ||
				claims.Expires-claims.IssuedAt != int64(c.lives/time.Second) || out.ExpiresIn != int64(c.lives/time.Second) || out.TokenType != "Bearer" {
				t.Errorf("%+v: %+v with %+v, answered as %+v", c.order, header, claims, out)
			}
			if (out.RefreshToken != "") != c.order.Refresh {
				t.Errorf("%+v: a refresh token is there: %v", c.order, out.RefreshToken != "")
			}
		}
	})
}

func (f *fixture) read(t testing.TB, token string) (compactjws.Header, *issuer.Claims) {
	t.Helper()
	parsed, err := compactjws.Parse(token, compactjws.MaxBytes)
	must(t, err)
	claims, err := f.Issuer.Inspect(t.Context(), token)
	must(t, err)
	return parsed.Header, claims
}

// TestSessionOfAnIssuedToken: it is one that operators see and end, and that is over when
// nobody has a token of it any more.
func TestSessionOfAnIssuedToken(t *testing.T) {
	f := newFixture(t)
	f.create(t, "kyoko")
	alone, kept := f.issue(t, TokenOrder{User: "kyoko"}), f.issue(t, TokenOrder{User: "kyoko", Refresh: true})
	if got := f.sessions(t, "kyoko"); !slices.Equal(got, []string{alone.Session, kept.Session}) && !slices.Equal(got, []string{kept.Session, alone.Session}) {
		t.Fatalf("sessions %v, want %s and %s", got, alone.Session, kept.Session)
	}
	list, err := f.listSessions(t.Context(), SessionQuery{User: "kyoko"})
	must(t, err)
	for _, s := range list.Sessions {
		want := map[string]time.Time{alone.Session: start.Add(5 * time.Minute), kept.Session: start.Add(24 * time.Hour)}[s.ID]
		if !s.Expires.Equal(want) {
			t.Errorf("session %+v expires at %v, want %v", s, s.Expires, want)
		}
	}
	f.move(time.Minute)
	_, err = f.Issuer.Refresh(t.Context(), kept.RefreshToken)
	must(t, err)
	_, err = f.endSessions(t.Context(), SessionEnd{ID: alone.Session})
	must(t, err)
	v, err := f.verifyToken(t.Context(), TokenQuestion{Token: alone.AccessToken})
	must(t, err)
	if v.Cause != CauseSessionEnded {
		t.Errorf("the token of a session that was ended: %+v", v)
	}
}

// TestIssuedTokenIsOnRecord: who asked, for whom, which token; and never the token.
func TestIssuedTokenIsOnRecord(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		services(nil)(t, f)
		kid := f.kid(t, "ES256", keystore.Active)
		before := f.Issuer.KeyUse(kid)
		var secrets []string
		for _, order := range []TokenOrder{{User: "kyoko", Refresh: true}, {Client: "billing", Audience: []string{"mail"}}} {
			out, err := IssueToken.Do(t.Context(), door, order)
			must(t, err)
			secrets = append(secrets, out.AccessToken)
			r := lastRecord(t, f)
			want := audit.Record{Event: "command", Action: "token issue", Outcome: "done", OperatorUID: r.OperatorUID,
				Target: order.target() + ", jti " + out.ID + ", kid " + kid, Subject: out.Subject, Session: out.Session, Client: out.Client}
			r.Seq, r.Time, r.Prev = 0, time.Time{}, ""
			if r != want || r.OperatorUID == "" {
				t.Errorf("record\n%+v, want\n%+v", r, want)
			}
		}
		if after := f.Issuer.KeyUse(kid); after.AccessTokens != before.AccessTokens+2 || after.RefreshTokens != before.RefreshTokens+1 {
			t.Errorf("counted %+v after %+v", after, before)
		}
		text, err := os.ReadFile(f.Audit.Path())
		must(t, err)
		for _, token := range secrets {
			if strings.Contains(string(text), token[strings.LastIndex(token, "."):]) {
				t.Error("the audit log holds a token")
			}
		}
		if _, err := IssueToken.Do(t.Context(), door, TokenOrder{User: "nobody"}); err == nil {
			t.Error("a token for nobody")
		}
		if r := lastRecord(t, f); r.Outcome != "refused" || r.Target != "user nobody" || r.Error != `"nobody": no such user` {
			t.Errorf("the record of a refusal: %+v", r)
		}
	})
}

func lastRecord(t testing.TB, f *fixture) (r audit.Record) {
	t.Helper()
	text, err := os.ReadFile(f.Audit.Path())
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	must(t, json.Unmarshal([]byte(lines[len(lines)-1]), &r))
	return r
}

// TestNoTokenWithoutARecord: while nothing can be written down nothing is made.
func TestNoTokenWithoutARecord(t *testing.T) {
	f := newFixture(t)
	f.create(t, "kyoko")
	path := f.Audit.Path()
	must(t, errors.Join(os.Remove(path), os.Mkdir(path, 0o700)))
	if err := f.Audit.Reopen(); err == nil {
		t.Fatal("a directory is taken for the audit log")
	}
	if _, err := DisableUser.Do(t.Context(), Local(f.Operator), UserName{"nobody"}); err == nil || f.Audit.Ready() == nil {
		t.Fatalf("the audit log is ready after %v", err)
	}
	if _, err := IssueToken.Do(t.Context(), Local(f.Operator), TokenOrder{User: "kyoko"}); !strings.Contains(fmt.Sprint(err), "is a directory") {
		t.Errorf("error %v", err)
	}
	if got := f.sessions(t, ""); len(got) != 0 {
		t.Errorf("sessions %v", got)
	}
	must(t, os.Remove(path))
}

// TestVerifiedCauses: each state of a token, its session and whom it is of has its cause.
func TestVerifiedCauses(t *testing.T) {
	for name, c := range map[string]struct {
		order TokenOrder
		spoil func(t *testing.T, f *fixture, made IssuedToken) TokenQuestion
		want  Cause
	}{
		"another service":                  {TokenOrder{User: "kyoko"}, asksFor("mail"), CauseAudience},
		"a refresh token for a service":    {TokenOrder{User: "kyoko", Refresh: true}, refreshAt("https://login.example.test"), CauseType},
		"a good refresh token":             {TokenOrder{User: "kyoko", Refresh: true}, refreshAt(""), ""},
		"past its leeway":                  {TokenOrder{Client: "billing", Audience: []string{"mail"}}, after(5*time.Minute + 30*time.Second), CauseExpired},
		"within its leeway":                {TokenOrder{Client: "billing", Audience: []string{"mail"}}, after(5*time.Minute + 29*time.Second), ""},
		"within its leeway, a user's":      {TokenOrder{User: "kyoko"}, after(5*time.Minute + 29*time.Second), CauseExpired},
		"a clock that was set back":        {TokenOrder{User: "kyoko"}, after(-time.Minute), CauseNotYetValid},
		"a clock that is behind":           {TokenOrder{User: "kyoko"}, after(-20 * time.Second), ""},
		"a refresh token that was used":    {TokenOrder{User: "kyoko", Refresh: true}, used(11 * time.Second), CauseReplaced},
		"a refresh token that may be used": {TokenOrder{User: "kyoko", Refresh: true}, used(9 * time.Second), ""},
		"another issuer": {TokenOrder{User: "kyoko"}, func(_ *testing.T, f *fixture, made IssuedToken) TokenQuestion {
			f.policy(func(p *issuer.Policy) { p.URL = "https://new.example.test" })
			return TokenQuestion{Token: made.AccessToken}
		}, CauseIssuer},
		"a disabled account":      {TokenOrder{User: "kyoko"}, spoiled(func(t *testing.T, f *fixture) error { return second(f.Users.Disable(t.Context(), "kyoko")) }), CauseInactive},
		"an account that is gone": {TokenOrder{User: "kyoko"}, spoiled(func(t *testing.T, f *fixture) error { return second(f.Users.Remove(t.Context(), "kyoko")) }), CauseInactive},
		"another password": {TokenOrder{User: "kyoko"}, spoiled(func(t *testing.T, f *fixture) error {
			return second(f.Users.SetPassword(t.Context(), "kyoko", password+"!"))
		}), CauseSessionEnded},
		"no sessions any more": {TokenOrder{User: "kyoko"}, spoiled(func(t *testing.T, f *fixture) error { return second(f.Issuer.EndAll(t.Context())) }), CauseSessionEnded},
		"a client that is gone": {TokenOrder{Client: "billing", Audience: []string{"mail"}}, spoiled(func(t *testing.T, f *fixture) error {
			return f.Clients.Remove(t.Context(), "billing")
		}), CauseClientGone},
		"a revoked key": {TokenOrder{User: "kyoko"}, spoiled(func(t *testing.T, f *fixture) error {
			return second(f.Keys.Revoke(t.Context(), f.kid(t, "ES256", keystore.Active), false))
		}), CauseRevokedKey},
		"another letter": {TokenOrder{User: "kyoko"}, func(_ *testing.T, _ *fixture, made IssuedToken) TokenQuestion {
			head, sig := made.AccessToken[:len(made.AccessToken)-40], made.AccessToken[len(made.AccessToken)-40:]
			return TokenQuestion{Token: head + strings.Repeat("A", 20) + sig[20:]}
		}, CauseSignature},
	} {
		t.Run(name, func(t *testing.T) {
			throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
				services(nil)(t, f)
				question := c.spoil(t, f, f.issue(t, c.order))
				before := f.sessions(t, "")
				v, err := VerifyToken.Do(t.Context(), door, question)
				must(t, err)
				if v.Cause != c.want || v.Valid != (c.want == "") || (v.Detail == "") != v.Valid {
					t.Errorf("%+v, want the cause %q", v, c.want)
				}
				if known := c.want != CauseSignature && c.want != CauseRevokedKey; (v.Subject != "") != known {
					t.Errorf("what it says is told: %v, want %v", v.Subject != "", known)
				}
				if !slices.Equal(f.sessions(t, ""), before) {
					t.Error("to look at a token changed the sessions")
				}
			})
		})
	}
}

func asksFor(audience string) func(*testing.T, *fixture, IssuedToken) TokenQuestion {
	return func(_ *testing.T, _ *fixture, made IssuedToken) TokenQuestion {
		return TokenQuestion{Token: made.AccessToken, Audience: audience}
	}
}

func refreshAt(audience string) func(*testing.T, *fixture, IssuedToken) TokenQuestion {
	return func(_ *testing.T, _ *fixture, made IssuedToken) TokenQuestion {
		return TokenQuestion{Token: made.RefreshToken, Audience: audience}
	}
}

func after(d time.Duration) func(*testing.T, *fixture, IssuedToken) TokenQuestion {
	return func(_ *testing.T, f *fixture, made IssuedToken) TokenQuestion {
		f.move(d)
		return TokenQuestion{Token: made.AccessToken}
	}
}

func used(ago time.Duration) func(*testing.T, *fixture, IssuedToken) TokenQuestion {
	return func(t *testing.T, f *fixture, made IssuedToken) TokenQuestion {
		_, err := f.Issuer.Refresh(t.Context(), made.RefreshToken)
		must(t, err)
		f.move(ago)
		return TokenQuestion{Token: made.RefreshToken}
	}
}

func spoiled(change func(*testing.T, *fixture) error) func(*testing.T, *fixture, IssuedToken) TokenQuestion {
	return func(t *testing.T, f *fixture, made IssuedToken) TokenQuestion {
		must(t, change(t, f))
		return TokenQuestion{Token: made.AccessToken}
	}
}

func second[T any](_ T, err error) error { return err }

// FuzzVerifyToken: of what a stranger sends only the genuine tokens are valid, all else has
// a cause and a reason, and what an unsigned text says is not told.
func FuzzVerifyToken(f *testing.F) {
	fix := newFixture(f)
	services(nil)(f, fix)
	genuine := []string{fix.issue(f, TokenOrder{User: "kyoko"}).AccessToken, fix.issue(f, TokenOrder{User: "kyoko", Refresh: true}).RefreshToken,
		fix.issue(f, TokenOrder{Client: "billing", Audience: []string{"mail"}}).AccessToken}
	for _, token := range genuine {
		f.Add(token, "")
		f.Add(token, "mail")
		f.Add(token[:len(token)-2], "orders")
		f.Add(strings.Replace(token, ".", "..", 1), "")
	}
	f.Add("", "")
	f.Add("eyJhbGciOiJub25lIn0.e30.", "orders")
	f.Fuzz(func(t *testing.T, token, audience string) {
		v, err := fix.verifyToken(t.Context(), TokenQuestion{Token: token, Audience: audience})
		switch {
		case err != nil:
			t.Fatalf("%q: %v", token, err)
		case v.Valid != (v.Cause == "") || v.Valid != (v.Detail == ""):
			t.Errorf("%q: %+v", token, v)
		case v.Subject == "":
		case !slices.ContainsFunc(genuine, func(g string) bool { return signedPart(g) == signedPart(token) }):
			t.Errorf("%q: told what nobody has signed: %+v", token, v)
		}
	})
}

func signedPart(token string) string { return token[:max(0, strings.LastIndex(token, "."))] }

// TestCausesOfErrors: an error that is not about the token is none of its causes.
func TestCausesOfErrors(t *testing.T) {
	for err, want := range map[error]Cause{
		issuer.ErrInvalid: CauseMalformed, issuer.ErrReplaced: CauseReplaced, issuer.ErrNoSession: CauseSessionEnded,
		issuer.ErrDisabled: CauseInactive, errors.New("the disk is full"): "", keystore.ErrStale: "",
	} {
		if got := causeOf(err); got != want {
			t.Errorf("%v: cause %q, want %q", err, got, want)
		}
	}
}
