package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
)

func TestGrantRules(t *testing.T) {
	f := newFixture(t)
	machine, login := f.add(t, batch()), f.firstParty(t)
	none := machine
	none.Grants = nil
	for _, tt := range []struct {
		name   string
		client oauth.Client
		grant  string
		want   oauth.Code
	}{
		{"missing", machine, "", oauth.InvalidRequest},
		{"unknown", machine, "magic", oauth.UnsupportedGrantType},
		{"password (RFC 9700 §2.4)", machine, "password", oauth.UnsupportedGrantType},
		{"password for the login", login, "password", oauth.UnsupportedGrantType},
		{"implicit", machine, "implicit", oauth.UnsupportedGrantType},
		{"authorization code", machine, "authorization_code", oauth.UnsupportedGrantType},
		{"in upper case", machine, "CLIENT_CREDENTIALS", oauth.UnsupportedGrantType},
		{"with a space", machine, "client_credentials ", oauth.UnsupportedGrantType},
		{"two", machine, "client_credentials refresh_token", oauth.UnsupportedGrantType},
		{"refresh_token of a machine", machine, oauth.RefreshToken, oauth.UnauthorizedClient},
		{"client_credentials of the login", login, oauth.ClientCredentials, oauth.UnauthorizedClient},
		{"client_credentials, not registered", none, oauth.ClientCredentials, oauth.UnauthorizedClient},
	} {
		got, err := f.Token(t.Context(), oauth.TokenRequest{Client: tt.client, Grant: tt.grant, Audience: []string{"ledger"}, RefreshToken: "x"})
		wantCode(t, tt.name, err, tt.want)
		if got != (oauth.TokenResponse{}) {
			t.Errorf("%s: an answer beside the error", tt.name)
		}
	}
}

func TestScopeAndAudienceRules(t *testing.T) {
	f := newFixture(t)
	two := f.add(t, batch())
	c := batch()
	c.ID, c.Scopes, c.Audiences = "one", []string{"read"}, []string{"ledger"}
	one := f.add(t, c)
	c.ID, c.Scopes, c.Audiences = "zero", nil, nil
	zero := f.add(t, c)
	const (
		billing = "https://billing.example"
		read    = "invoices:read"
		both    = "invoices:read invoices:write"
	)
	aud := func(values ...string) []string { return values }
	for _, tt := range []struct {
		name     string
		client   oauth.Client
		scope    string
		audience []string
		// What comes out.
		code      oauth.Code
		wantScope string
		wantAud   any
	}{
		{"all scopes", two, "", aud("ledger"), "", both, "ledger"},
		{"a subset", two, read, aud("ledger"), "", read, "ledger"},
		{"all by name, in another order", two, "invoices:write invoices:read", aud("ledger"), "", "invoices:write invoices:read", "ledger"},
		{"one twice", two, read + " " + read, aud("ledger"), "", read, "ledger"},
		{"wider", two, both + " admin", aud("ledger"), oauth.InvalidScope, "", nil},
		{"unknown", two, "admin", aud("ledger"), oauth.InvalidScope, "", nil},
		{"in upper case", two, "Invoices:Read", aud("ledger"), oauth.InvalidScope, "", nil},
		{"a prefix", two, "invoices", aud("ledger"), oauth.InvalidScope, "", nil},
		{"a wildcard", two, "*", aud("ledger"), oauth.InvalidScope, "", nil},
		{"two spaces", two, "invoices:read  invoices:write", aud("ledger"), oauth.InvalidScope, "", nil},
		{"a space alone", two, " ", aud("ledger"), oauth.InvalidScope, "", nil},
		{"a space before", two, " " + read, aud("ledger"), oauth.InvalidScope, "", nil},
		{"a tab between", two, "invoices:read\tinvoices:write", aud("ledger"), oauth.InvalidScope, "", nil},
		{"a comma between", two, "invoices:read,invoices:write", aud("ledger"), oauth.InvalidScope, "", nil},
		{"an audience as scope", two, "ledger", aud("ledger"), oauth.InvalidScope, "", nil},
		{"a scope, and none is registered", zero, read, aud("ledger"), oauth.InvalidScope, "", nil},

		{"one service, not named", one, "", nil, "", "read", "ledger"},
		{"one service, named", one, "", aud("ledger"), "", "read", "ledger"},
		{"two services, one named", two, "", aud(billing), "", both, billing},
		{"two services, both named", two, "", aud("ledger", billing), "", both, []any{"ledger", billing}},
		{"two services, one named twice", two, "", aud("ledger", "ledger"), "", both, "ledger"},
		{"two services, none named", two, "", nil, oauth.InvalidTarget, "", nil},
		{"no service, none named", zero, "", nil, oauth.InvalidTarget, "", nil},
		{"no service, one named", zero, "", aud("ledger"), oauth.InvalidTarget, "", nil},
		{"foreign", two, "", aud("stock"), oauth.InvalidTarget, "", nil},
		{"one own and one foreign", two, "", aud("ledger", "stock"), oauth.InvalidTarget, "", nil},
		{"the issuer", two, "", aud(issuerURL), oauth.InvalidTarget, "", nil},
		{"empty", two, "", aud(""), oauth.InvalidTarget, "", nil},
		{"a slash behind", two, "", aud(billing + "/"), oauth.InvalidTarget, "", nil},
		{"a fragment (RFC 8707 §2)", two, "", aud(billing + "#x"), oauth.InvalidTarget, "", nil},
		{"in upper case service", two, "", aud("LEDGER"), oauth.InvalidTarget, "", nil},
		{"two in one value", two, "", aud("ledger " + billing), oauth.InvalidTarget, "", nil},
		{"a wildcard service", two, "", aud("*"), oauth.InvalidTarget, "", nil},
		{"its own id", two, "", aud("batch"), oauth.InvalidTarget, "", nil},
		{"both are wrong", two, "admin", aud("stock"), oauth.InvalidScope, "", nil},
	} {
		got, err := f.Token(t.Context(), oauth.TokenRequest{Client: tt.client, Grant: oauth.ClientCredentials, Scope: tt.scope, Audience: tt.audience})
		wantCode(t, tt.name, err, tt.code)
		if err != nil {
			if got != (oauth.TokenResponse{}) {
				t.Errorf("%s: an answer beside the error", tt.name)
			}
			continue
		}
		_, claims := decode(t, got.AccessToken)
		if diff := cmp.Diff(tt.wantAud, claims["aud"]); diff != "" {
			t.Errorf("%s: aud: -want +got\n%s", tt.name, diff)
		}
		if got.Scope != tt.wantScope || claims["scope"] != tt.wantScope {
			t.Errorf("%s: scope %q in the answer and %q in the token, want %q", tt.name, got.Scope, claims["scope"], tt.wantScope)
		}
	}
}

// The token of a machine, to the letter (RFC 9068 §2).
func TestMachineToken(t *testing.T) {
	f := newFixture(t, "ES256", "RS256")
	c := batch()
	plain := f.add(t, c)
	c.ID, c.Alg, c.Scopes = "rsa", "RS256", nil
	rsa := f.add(t, c)
	request := oauth.TokenRequest{Client: plain, Grant: oauth.ClientCredentials, Audience: []string{"ledger"}}
	got, err := f.Token(t.Context(), request)
	must(t, err)
	want := oauth.TokenResponse{AccessToken: got.AccessToken, TokenType: "Bearer",
		ExpiresIn: 299, // whole seconds, and never past exp
		Scope:     "invoices:read invoices:write"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the answer: -want +got\n%s", diff)
	}
	header, claims := decode(t, got.AccessToken)
	if diff := cmp.Diff(map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": header["kid"]}, header); diff != "" {
		t.Errorf("header: -want +got\n%s", diff)
	}
	if alg, _, ok := f.keys.PublicKey(fmt.Sprint(header["kid"])); !ok || alg != "ES256" {
		t.Errorf("kid %v is of no key for ES256", header["kid"])
	}
	now := float64(start.Unix())
	wantClaims := map[string]any{
		"iss": issuerURL, "sub": "batch", "client_id": "batch", "aud": "ledger", "scope": "invoices:read invoices:write",
		"iat": now, "nbf": now, "exp": now + 300, "token_type": "access", "jti": claims["jti"],
	}
	if diff := cmp.Diff(wantClaims, claims); diff != "" {
		t.Errorf("claims: -want +got\n%s", diff)
	}
	if id := fmt.Sprint(claims["jti"]); !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
		t.Errorf("jti %q is not 128 bits", id)
	}
	again, err := f.Token(t.Context(), request)
	must(t, err)
	if _, other := decode(t, again.AccessToken); other["jti"] == claims["jti"] {
		t.Error("two tokens have one jti")
	}
	f.wantSessions(t, "tokens of machines", 0)

	got, err = f.Token(t.Context(), oauth.TokenRequest{Client: rsa, Grant: oauth.ClientCredentials, Audience: []string{"ledger"}})
	must(t, err)
	header, claims = decode(t, got.AccessToken)
	if _, ok := claims["scope"]; ok || got.Scope != "" || header["alg"] != "RS256" || header["typ"] != "at+jwt" {
		t.Errorf("of a client with RS256 and no scope: header %v, claims %v, scope %q", header, claims, got.Scope)
	}
	if _, err := f.issuer.Inspect(t.Context(), got.AccessToken); err != nil {
		t.Errorf("its issuer does not know it: %v", err)
	}
}

// RFC 9700 §4.15: what a machine gets is not taken for a user's.
func TestMachineTokenIsNoRefreshToken(t *testing.T) {
	f := newFixture(t)
	token := f.machine(t, f.add(t, batch()), "ledger")
	_, err := f.issuer.Refresh(t.Context(), token)
	wantErr(t, "Refresh", err, issuer.ErrWrongType)
	_, err = f.issuer.RefreshFor(t.Context(), "batch", token)
	wantErr(t, "RefreshFor", err, issuer.ErrWrongType)
	wantErr(t, "Logout", f.issuer.Logout(t.Context(), token), issuer.ErrWrongType)
	for _, id := range []string{issuer.FirstParty, "batch"} {
		_, err = f.Token(t.Context(), oauth.TokenRequest{Client: oauth.Client{ID: id, Grants: []string{oauth.RefreshToken}},
			Grant: oauth.RefreshToken, RefreshToken: token})
		wantCode(t, "refresh_token of "+id, err, oauth.InvalidGrant)
		wantErr(t, "refresh_token of "+id, err, issuer.ErrWrongType)
	}
}

func TestTokenThatCannotBeMadeIsNotTheClientsFault(t *testing.T) {
	f := newFixture(t)
	c := batch()
	c.Alg = "PS256" // no key of this issuer's
	_, err := f.Token(t.Context(), oauth.TokenRequest{Client: f.add(t, c), Grant: oauth.ClientCredentials, Audience: []string{"ledger"}})
	wantErr(t, "alg without a key", err, keystore.ErrAlgorithm)
	c.ID, c.Alg, c.Scopes = "wordy", "", nil
	for i := range 40 {
		c.Scopes = append(c.Scopes, fmt.Sprintf("scope-%02d-%s", i, strings.Repeat("x", 200)))
	}
	got, err := f.Token(t.Context(), oauth.TokenRequest{Client: f.add(t, c), Grant: oauth.ClientCredentials, Audience: []string{"ledger"}})
	if long, ok := errors.AsType[*issuer.TooLongError](err); !ok || long.Limit != 4096 || got != (oauth.TokenResponse{}) {
		t.Errorf("error = %v with %+v, want *issuer.TooLongError", err, got)
	}
}

func TestRefreshGrant(t *testing.T) {
	f := newFixture(t)
	client := f.firstParty(t)
	tokens := f.login(t, issuer.FirstParty)
	refresh := func(token string) (oauth.TokenResponse, error) {
		return f.Token(t.Context(), oauth.TokenRequest{Client: client, Grant: oauth.RefreshToken, RefreshToken: token})
	}
	got, err := refresh(tokens.Refresh)
	must(t, err)
	want := oauth.TokenResponse{AccessToken: got.AccessToken, RefreshToken: got.RefreshToken, TokenType: "Bearer", ExpiresIn: 299}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the answer: -want +got\n%s", diff)
	}
	if got.RefreshToken == "" || got.RefreshToken == tokens.Refresh {
		t.Error("the refresh token was not rotated")
	}
	_, claims := decode(t, got.AccessToken)
	if claims["sub"] != f.kyoko.ID || claims["client_id"] != issuer.FirstParty || claims["aud"] != "ledger" {
		t.Errorf("the access token is not kyoko's for the login's services: %v", claims)
	}

	foreign := f.login(t, "other-app").Refresh
	expired := f.reclaim(t, got.RefreshToken, issuer.TypRefresh, map[string]any{"exp": start.Unix() - 31})
	for _, tt := range []struct {
		name, token, scope string
		audience           []string
		code               oauth.Code
		cause              error
	}{
		{"missing", "", "", nil, oauth.InvalidRequest, nil},
		{"with a scope", got.RefreshToken, "invoices:read", nil, oauth.InvalidScope, nil},
		{"with a service", got.RefreshToken, "", []string{"ledger"}, oauth.InvalidTarget, nil},
		{"garbage", "x", "", nil, oauth.InvalidGrant, issuer.ErrInvalid},
		{"a changed token", got.RefreshToken[:len(got.RefreshToken)-5], "", nil, oauth.InvalidGrant, issuer.ErrInvalid},
		{"an access token", got.AccessToken, "", nil, oauth.InvalidGrant, issuer.ErrWrongType},
		{"expired", expired, "", nil, oauth.InvalidGrant, issuer.ErrExpired},
		{"another client's", foreign, "", nil, oauth.InvalidGrant, issuer.ErrOtherClient},
		{"without a jti", f.reclaim(t, got.RefreshToken, issuer.TypRefresh, map[string]any{"jti": nil}), "", nil, oauth.InvalidGrant, nil},
	} {
		answer, err := f.Token(t.Context(), oauth.TokenRequest{Client: client, Grant: oauth.RefreshToken,
			RefreshToken: tt.token, Scope: tt.scope, Audience: tt.audience})
		wantCode(t, tt.name, err, tt.code)
		if tt.cause != nil {
			wantErr(t, tt.name, err, tt.cause)
		}
		if answer != (oauth.TokenResponse{}) {
			t.Errorf("%s: an answer beside the error", tt.name)
		}
	}
	f.wantSessions(t, "after refusals", 2)
	if _, err := f.issuer.RefreshFor(t.Context(), "other-app", foreign); err != nil {
		t.Errorf("another client's token is not honoured any more: %v", err)
	}

	f.move(time.Minute)
	_, err = refresh(tokens.Refresh) // replaced a minute ago
	wantCode(t, "reuse", err, oauth.InvalidGrant)
	wantErr(t, "reuse", err, issuer.ErrReused)
	_, err = refresh(got.RefreshToken)
	wantErr(t, "the successor after a reuse", err, issuer.ErrNoSession)
}

func TestRefreshGrantOfADisabledUser(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t, issuer.FirstParty)
	_, err := f.users.Disable(t.Context(), "kyoko")
	must(t, err)
	_, err = f.Token(t.Context(), oauth.TokenRequest{Client: f.firstParty(t), Grant: oauth.RefreshToken, RefreshToken: tokens.Refresh})
	wantCode(t, "disabled", err, oauth.InvalidGrant)
	wantErr(t, "disabled", err, issuer.ErrInactive)
}

func TestRefreshGrantWhenTheStorageFails(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t, issuer.FirstParty)
	for _, method := range []string{"UserByID", "AdvanceSession"} {
		for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedButFailed} {
			f.store.FailNext(method, fault)
			got, err := f.Token(t.Context(), oauth.TokenRequest{Client: f.firstParty(t), Grant: oauth.RefreshToken, RefreshToken: tokens.Refresh})
			wantFault(t, method, err)
			if got != (oauth.TokenResponse{}) {
				t.Errorf("%s: an answer beside the error", method)
			}
		}
	}
	// The step that was made and reported as failed is repeated, not reused.
	_, err := f.Token(t.Context(), oauth.TokenRequest{Client: f.firstParty(t), Grant: oauth.RefreshToken, RefreshToken: tokens.Refresh})
	must(t, err)
}

// stopped is an issuer of a request that was given up.
type stopped struct{ oauth.Issuer }

func (stopped) RefreshFor(context.Context, string, string) (issuer.Tokens, error) {
	return issuer.Tokens{}, context.Canceled
}

func (stopped) EndSession(context.Context, string) error { return context.Canceled }

func (stopped) Inspect(context.Context, string) (*issuer.Claims, error) { return nil, context.Canceled }

func TestRequestThatWasGivenUpIsNoRefusal(t *testing.T) {
	f := newFixture(t)
	s := &oauth.Server{Issuer: stopped{f.issuer}, Clients: f.Clients}
	_, err := s.Token(t.Context(), oauth.TokenRequest{Client: f.firstParty(t), Grant: oauth.RefreshToken, RefreshToken: "x"})
	wantErr(t, "Token", err, context.Canceled)
	wantErr(t, "Revoke", s.Revoke(t.Context(), f.firstParty(t), f.login(t, issuer.FirstParty).Refresh), context.Canceled)
	_, err = s.Introspect(t.Context(), f.add(t, batch()), "x")
	wantErr(t, "Introspect", err, context.Canceled)
}

// The log is told why, the client is not.
func TestErrorTellsItsCauseToTheLogAlone(t *testing.T) {
	f := newFixture(t)
	_, err := f.Token(t.Context(), oauth.TokenRequest{Client: f.firstParty(t), Grant: oauth.RefreshToken, RefreshToken: "x.y.z"})
	refused, ok := errors.AsType[*oauth.Error](err)
	if !ok || refused.Cause == nil {
		t.Fatalf("error = %v, want an *oauth.Error with a cause", err)
	}
	if !strings.Contains(err.Error(), refused.Cause.Error()) {
		t.Errorf("the log does not say why: %v", err)
	}
	if refused.Description != "the refresh token is not honoured" {
		t.Errorf("the client is told %q", refused.Description)
	}
}
