package issuer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/issuertest"
	"signet/keystore"
	"signet/users"
)

const week = 7 * 24 * time.Hour

// newRenewing is a fixture whose logins can be renewed for a week.
func newRenewing(t testing.TB, algorithms ...string) *fixture {
	t.Helper()
	if len(algorithms) == 0 {
		algorithms = []string{"ES256"}
	}
	f := newFixtureWith(t, algorithms...)
	f.setRenewing(week, nil)
	return f
}

// setRenewing is set for a policy under which logins can be renewed.
func (f *fixture) setRenewing(d time.Duration, alter func(*issuer.Policy)) {
	f.set(func(p *issuer.Policy) {
		p.RenewLifetime = d
		if alter != nil {
			alter(p)
		}
	})
}

func (f *fixture) loginRenewable(t testing.TB) string {
	t.Helper()
	tokens, err := f.LoginRenewable(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password})
	if err != nil || tokens.Refresh != "" {
		t.Fatalf("LoginRenewable: %+v, %v, want an access token alone", tokens, err)
	}
	return tokens.Access
}

func (f *fixture) renew(t testing.TB, token string) string {
	t.Helper()
	tokens, err := f.Renew(t.Context(), token)
	if err != nil || tokens.Refresh != "" {
		t.Fatalf("Renew: %+v, %v, want an access token alone", tokens, err)
	}
	return tokens.Access
}

func (f *fixture) wantRenew(t testing.TB, what, token string, want error) {
	t.Helper()
	tokens, err := f.Renew(t.Context(), token)
	wantErr(t, "Renew, "+what, err, want)
	if want != nil && tokens != (issuer.Tokens{}) {
		t.Errorf("Renew, %s: tokens were made beside the error", what)
	}
}

func TestRenewableTokenHasTheClaimsOfALogin(t *testing.T) {
	f := newRenewing(t)
	_, want := decode(t, f.login(t).Access)
	want["orig_iat"] = seconds(start)
	token := f.loginRenewable(t)
	header, got := decode(t, token)
	if diff := cmp.Diff(maskIDs(want), maskIDs(got)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if header["typ"] != "JWT" {
		t.Errorf("typ %v", header["typ"])
	}
	f.wantVerify(t, token, nil)
}

func TestRenewableLoginStoresASessionThatEndsWithIt(t *testing.T) {
	f := newRenewing(t)
	token := f.loginRenewable(t)
	sessions := f.sessions(t, f.kyoko.ID)
	if len(sessions) != 1 || !hex32.MatchString(sessions[0].Current) {
		t.Fatalf("sessions %+v, want one with a secret", sessions)
	}
	ends := start.Add(week).Truncate(time.Second)
	want := issuer.Session{
		ID: claim(t, token, "sid").(string), Subject: f.kyoko.ID, Client: issuer.FirstParty,
		Created: start, Rotated: start, Expires: ends, Ends: ends, KID: f.keys.Keys()[0].KID, Current: sessions[0].Current,
	}
	if diff := cmp.Diff(want, sessions[0]); diff != "" {
		t.Errorf("stored session (-want +got):\n%s", diff)
	}
	_, claims := decode(t, token)
	for name, value := range claims {
		if value == want.Current {
			t.Errorf("the claim %s tells the session's secret", name)
		}
	}
}

func TestFailedRenewableLoginStoresNothing(t *testing.T) {
	f := newRenewing(t)
	_, err := f.LoginRenewable(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: "wrong"})
	wantErr(t, "wrong password", err, users.ErrCredentials)
	f.setRenewing(week, func(p *issuer.Policy) { p.MaxTokenBytes = 100 })
	_, err = f.LoginRenewable(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password})
	var long *issuer.TooLongError
	if !errors.As(err, &long) {
		t.Errorf("a token that is too long: %v", err)
	}
	f.wantSessions(t, 0)
}

func TestRenewKeepsOrigIatUntilTheLimit(t *testing.T) {
	f := newRenewing(t)
	f.setRenewing(10*time.Minute, nil)
	token := f.loginRenewable(t)
	before := f.sessions(t, "")[0]
	seen := map[any]bool{claim(t, token, "jti"): true}
	for at := 4; at <= 8; at += 4 {
		f.move(4 * time.Minute)
		token = f.renew(t, token)
		want := map[string]any{
			"orig_iat": seconds(start), "iat": seconds(f.now()), "sid": before.ID,
			"exp": min(seconds(f.now().Add(5*time.Minute)), seconds(start.Add(10*time.Minute))),
		}
		for name, value := range want {
			if got := claim(t, token, name); got != value {
				t.Errorf("after %d minutes %s = %v, want %v", at, name, got, value)
			}
		}
		if jti := claim(t, token, "jti"); seen[jti] {
			t.Errorf("jti %v came twice", jti)
		} else {
			seen[jti] = true
		}
		f.wantVerify(t, token, nil)
	}
	f.move(start.Truncate(time.Second).Add(10 * time.Minute).Sub(f.now()))
	f.wantRenew(t, "at the limit, within the leeway", token, issuer.ErrRenewalOver)
	f.move(30 * time.Second)
	f.wantRenew(t, "past the limit", token, issuer.ErrExpired)
	if after := f.sessions(t, ""); len(after) != 1 || after[0] != before {
		t.Errorf("the session changed: before %+v, after %+v", before, after)
	}
}

func TestRenewLifetimeFollowsThePolicy(t *testing.T) {
	f := newRenewing(t)
	f.setRenewing(60*24*time.Hour, nil)
	token := f.loginRenewable(t)
	if got, want := f.sessions(t, "")[0].Ends, start.Add(30*24*time.Hour).Truncate(time.Second); !got.Equal(want) {
		t.Errorf("the session ends %v, want %v: no later than others", got, want)
	}
	f.move(time.Minute)
	f.setRenewing(time.Minute, nil)
	f.wantRenew(t, "under a shorter limit", token, issuer.ErrRenewalOver)
	f.setRenewing(week, nil)
	f.renew(t, token)
}

// A token that was expired is not renewed, though its login could be.
func TestExpiredTokenIsNotRenewed(t *testing.T) {
	f := newRenewing(t)
	token := f.loginRenewable(t)
	f.move(5*time.Minute + 30*time.Second)
	f.wantRenew(t, "expired", token, issuer.ErrExpired)
}

// A renewal for other tokens would make a session of five minutes last a week.
func TestOnlyTokensOfARenewableLoginAreRenewed(t *testing.T) {
	f := newRenewing(t)
	token, tokens := f.loginRenewable(t), f.login(t)
	issue := func(a issuer.Authorization) string {
		text, _, err := f.Issue(t.Context(), a)
		must(t, err)
		return text
	}
	machine := issue(issuer.Authorization{Client: "batch", Subject: "batch", Audience: []string{issuerURL + "/api"}})
	exchanged := issue(issuer.Authorization{Client: "batch", Subject: f.kyoko.ID, Audience: []string{issuerURL + "/api"},
		Session: claim(t, token, "sid").(string)})
	missing := &issuer.MissingClaimError{Claim: "orig_iat"}
	f.wantRenew(t, "access token of the other login", tokens.Access, missing)
	f.wantRenew(t, "refresh token", tokens.Refresh, issuer.ErrWrongType)
	f.wantRenew(t, "token of a client", machine, missing)
	f.wantRenew(t, "token that was exchanged for a renewable one", exchanged, missing)
	f.wantRefresh(t, token, issuer.ErrWrongType)
	wantErr(t, "Logout", f.Logout(t.Context(), token), issuer.ErrWrongType)
	f.renew(t, token)
}

func TestNothingIsRenewedForASessionThatIsOver(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(t *testing.T, f *fixture) error
		want error
	}{
		"disabled":       {func(t *testing.T, f *fixture) error { _, err := f.users.Disable(t.Context(), "kyoko"); return err }, issuer.ErrDisabled},
		"removed":        {func(t *testing.T, f *fixture) error { _, err := f.users.Remove(t.Context(), "kyoko"); return err }, issuer.ErrInactive},
		"session ended":  {func(t *testing.T, f *fixture) error { return f.EndSession(t.Context(), f.sessions(t, "")[0].ID) }, issuer.ErrNoSession},
		"sessions ended": {func(t *testing.T, f *fixture) error { _, err := f.EndSubject(t.Context(), f.kyoko.ID); return err }, issuer.ErrNoSession},
		"another epoch": {func(t *testing.T, f *fixture) error {
			_, err := f.users.SetPassword(t.Context(), "kyoko", password)
			return err
		}, issuer.ErrNoSession},
		"key revoked": {func(t *testing.T, f *fixture) error { return f.revokeKey(t) }, issuer.ErrUnknownKey},
		"sessions of key": {func(t *testing.T, f *fixture) error {
			_, err := f.EndSignedBy(t.Context(), f.keys.Keys()[0].KID)
			return err
		}, issuer.ErrNoSession},
	} {
		t.Run(name, func(t *testing.T) {
			f := newRenewing(t)
			token := f.loginRenewable(t)
			must(t, tt.do(t, f))
			f.wantRenew(t, name, token, tt.want)
			f.wantVerify(t, token, tt.want)
		})
	}
}

func (f *fixture) revokeKey(t testing.TB) error {
	t.Helper()
	_, err := f.keys.Revoke(t.Context(), f.keys.Keys()[0].KID, false)
	return err
}

func TestDisabledAndRemovedAccountsAreToldApart(t *testing.T) {
	f := newRenewing(t)
	token := f.loginRenewable(t)
	_, err := f.users.Disable(t.Context(), "kyoko")
	must(t, err)
	f.wantRenew(t, "disabled", token, issuer.ErrInactive)
	_, err = f.users.Remove(t.Context(), "kyoko")
	must(t, err)
	if _, err := f.Renew(t.Context(), token); errors.Is(err, issuer.ErrDisabled) {
		t.Errorf("removed: %v", err)
	}
}

func TestRenewAcrossAKeyRotation(t *testing.T) {
	f := newRenewing(t)
	token := f.loginRenewable(t)
	old := f.keys.Keys()[0].KID
	_, err := f.keys.Rotate(t.Context(), keystore.RotateRequest{Now: true}, false)
	must(t, err)
	f.move(time.Second)
	next := f.renew(t, token)
	if header, _ := decode(t, next); header["kid"] == old {
		t.Fatal("the key was not rotated")
	}
	next = f.renew(t, next)
	if n, err := f.EndSignedBy(t.Context(), old); err != nil || n != 1 {
		t.Errorf("EndSignedBy the key of the login = %d, %v, want 1", n, err)
	}
	f.wantRenew(t, "after the end", next, issuer.ErrNoSession)
}

func TestRenewedTokenIsForTheServicesOfNow(t *testing.T) {
	f := newRenewing(t)
	token := f.loginRenewable(t)
	f.setRenewing(week, func(p *issuer.Policy) { p.Audience = []string{"orders", "stock"} })
	token = f.renew(t, token)
	if diff := cmp.Diff([]any{"orders", "stock"}, claim(t, token, "aud")); diff != "" {
		t.Errorf("aud (-want +got):\n%s", diff)
	}
	f.renew(t, token)
}

// A renewal must not turn a forgery by a key that has leaked into a token of another.
func TestLeakedSigningKeyRenewsNothing(t *testing.T) {
	f := newRenewing(t)
	token, tokens := f.loginRenewable(t), f.login(t)
	noriko := f.create(t, "noriko")
	g, login := f.genuine(t, token), f.genuine(t, tokens.Access)
	now := start.Unix()
	jti := claim(t, token, "jti").(string)
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"a new id":                   {g.WithClaims(issuertest.Members{"jti": strings.Repeat("0", 32)}), issuer.ErrUnsealed},
		"an id of random bits":       {g.WithClaims(issuertest.Members{"jti": jti[:16]}), issuer.ErrUnsealed},
		"a short id":                 {g.WithClaims(issuertest.Members{"jti": "x"}), issuer.ErrUnsealed},
		"a longer id":                {g.WithClaims(issuertest.Members{"jti": jti + "0"}), issuer.ErrUnsealed},
		"a longer life":              {g.WithClaims(issuertest.Members{"exp": now + 600}), issuer.ErrUnsealed},
		"a later login":              {g.WithClaims(issuertest.Members{"orig_iat": now + 1}), issuer.ErrUnsealed},
		"another audience":           {g.WithClaims(issuertest.Members{"aud": "elsewhere"}), issuer.ErrUnsealed},
		"more scope":                 {g.WithClaims(issuertest.Members{"scope": "admin"}), issuer.ErrUnsealed},
		"another client":             {g.WithClaims(issuertest.Members{"client_id": "batch"}), issuer.ErrUnsealed},
		"another user_id":            {g.WithClaims(issuertest.Members{"user_id": 1}), issuer.ErrUnsealed},
		"an actor":                   {g.WithClaims(issuertest.Members{"act": issuertest.Members{"sub": "batch"}}), issuer.ErrUnsealed},
		"another user":               {g.WithClaims(issuertest.Members{"sub": noriko.ID}), issuer.ErrNoSession},
		"another session":            {g.WithClaims(issuertest.Members{"sid": claim(t, tokens.Access, "sid")}), issuer.ErrUnsealed},
		"no session":                 {g.WithClaims(issuertest.Members{"sid": nil}), &issuer.MissingClaimError{Claim: "sid"}},
		"a login before the limit":   {g.WithClaims(issuertest.Members{"orig_iat": now - int64(week/time.Second)}), issuer.ErrRenewalOver},
		"orig_iat as text":           {g.WithClaims(issuertest.Members{"orig_iat": "1"}), issuer.ErrClaim},
		"orig_iat past all time":     {g.WithClaims(issuertest.Members{"orig_iat": int64(1e18)}), issuer.ErrClaim},
		"orig_iat before time":       {g.WithClaims(issuertest.Members{"orig_iat": -1}), issuer.ErrClaim},
		"ORIG_IAT":                   {g.WithClaims(issuertest.Members{"orig_iat": nil, "ORIG_IAT": now}), &issuer.MissingClaimError{Claim: "orig_iat"}},
		"orig_iat for another login": {login.WithClaims(issuertest.Members{"orig_iat": now}), issuer.ErrUnsealed},
	} {
		f.wantRenew(t, name, c.token, c.want)
	}
	f.renew(t, g.WithClaims(nil)) // the same claims under another signature are the token
}

func TestNoForgeryIsRenewed(t *testing.T) {
	f := newRenewing(t, "ES256", "RS256")
	token := f.loginRenewable(t)
	before := f.sessions(t, "")
	g := issuertest.New(t, issuertest.Source{Text: token, Kind: issuertest.Own, URL: issuerURL,
		Keys: f.private(t), Stranger: issuertest.NewKeys(t), Elsewhere: issuertest.Attacker(t)})
	attacks := slices.Concat(g.Attacks(), g.Cuts(1), g.Access())
	if len(attacks) < 1000 {
		t.Errorf("only %d attacks", len(attacks))
	}
	for _, a := range attacks {
		if a.Parses && a.Want == issuer.ErrAudience {
			a.Want = issuer.ErrUnsealed
		}
		f.wantRenew(t, a.Name, a.Token, a.Want)
	}
	if diff := cmp.Diff(before, f.sessions(t, "")); diff != "" {
		t.Errorf("the session changed:\n%s", diff)
	}
	f.renew(t, token)
}

func TestFailingStoreFailsTheRenewal(t *testing.T) {
	attempt := issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password}
	for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedButFailed} {
		f := newRenewing(t)
		token := f.loginRenewable(t)
		for _, method := range []string{"UserByID", "Session"} {
			f.store.FailNext(method, fault)
			f.wantRenew(t, method, token, storetest.ErrFault)
		}
		f.store.FailNext("CreateSession", fault)
		tokens, err := f.LoginRenewable(t.Context(), attempt)
		wantErr(t, "LoginRenewable", err, storetest.ErrFault)
		if tokens != (issuer.Tokens{}) {
			t.Error("tokens were made beside the error")
		}
		f.renew(t, token)
	}
}
