package oidc_test

import (
	"testing"
	"time"

	"signet/internal/web/webtest"
	"signet/issuer/oauth"
)

// CVE-2026-9097, CVE-2026-56668, GHSA-7qjx-gp9h-65qj: what a client cannot get for a
// token, it cannot get by exchanging it.
func TestExchangeOverHTTP(t *testing.T) {
	s := start(t)
	shop := s.register(t, oauth.Client{ID: "shop", Grants: []string{oauth.ClientCredentials, oauth.TokenExchange},
		Scopes: []string{"invoices:read", "orders:write"}, Audiences: []string{"ledger", "stock"}})
	access, refresh := s.login(t) // for ledger
	machine := s.machine(t)       // for ledger, with two scopes
	forShop := s.as(t, shop, tokenPath, "grant_type", "client_credentials", "audience", "stock", "scope", "invoices:read").gives(t, "shop's own").Access
	with := func(c credentials, subject string, more ...string) answer {
		return s.as(t, c, tokenPath, append([]string{"grant_type", oauth.TokenExchange, "subject_token_type", accessType, "subject_token", subject}, more...)...)
	}
	for _, tt := range []struct {
		name   string
		got    answer
		status int
		code   string
	}{
		{"a client without the grant", with(s.batch, machine), 400, "unauthorized_client"},
		{"the public client", s.post(t, tokenPath, form("client_id", "first-party", "grant_type", oauth.TokenExchange, "subject_token", access, "subject_token_type", accessType)), 400, "unauthorized_client"},
		{"nobody", s.post(t, tokenPath, form("grant_type", oauth.TokenExchange, "subject_token", access, "subject_token_type", accessType)), 401, "invalid_client"},
		{"a foreign user's token", with(shop, access), 400, "invalid_request"},
		{"a foreign machine's token", with(shop, machine), 400, "invalid_request"},
		{"a refresh token", with(s.ledger, refresh), 400, "invalid_request"},
		{"a refresh token asked for", with(s.ledger, access, "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), 400, "invalid_request"},
		{"an id token asked for", with(s.ledger, access, "requested_token_type", "urn:ietf:params:oauth:token-type:id_token"), 400, "invalid_request"},
		{"a subject token of another type", s.as(t, s.ledger, tokenPath, "grant_type", oauth.TokenExchange, "subject_token", access, "subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), 400, "invalid_request"},
		{"without a type", s.as(t, s.ledger, tokenPath, "grant_type", oauth.TokenExchange, "subject_token", access), 400, "invalid_request"},
		{"an actor token", with(s.ledger, access, "actor_token", machine, "actor_token_type", accessType), 400, "invalid_request"},
		{"the type of an actor token alone", with(s.ledger, access, "actor_token_type", accessType), 400, "invalid_request"},
		{"two subject tokens", with(s.ledger, access, "subject_token", machine), 400, "invalid_request"},
		{"a foreign service", with(s.ledger, access, "audience", "ledger"), 400, "invalid_target"},
		{"the issuer", with(s.ledger, access, "resource", webtest.URL), 400, "invalid_target"},
		{"a scope of the token that the client lacks", with(s.ledger, machine, "scope", "invoices:read"), 400, "invalid_scope"},
		{"a scope of the client that the token lacks", with(shop, forShop, "audience", "ledger", "scope", "orders:write"), 400, "invalid_scope"},
	} {
		tt.got.refuses(t, tt.name, tt.status, tt.code)
	}
	s.Clock.Step(time.Minute)
	got := with(s.ledger, access).gives(t, "a user's token")
	if claims := webtest.Claims(t, got.Access); got.ExpiresIn > 240 || claims["exp"] != webtest.Claims(t, access)["exp"] || got.Refresh != "" {
		t.Errorf("it lives for %d s, longer than the token it was made from, or can be refreshed", got.ExpiresIn)
	}
	s.revoke(t, refresh).says(t, "revocation", 200, "{}")
	with(s.ledger, access).refuses(t, "a token of a session that was revoked", 400, "invalid_request")
	s.as(t, s.ledger, introspectPath, "token", got.Access).says(t, "what was traded for it before", 200, inactive.body)
	s.Clock.Step(4 * time.Minute)
	with(s.ledger, machine).refuses(t, "an expired token, in the leeway", 400, "invalid_request")
}

// The HTTP side of issuer/oauth's TestSuccessorInheritsNoTokens.
func TestSuccessorInheritsNoTokensOverHTTP(t *testing.T) {
	s := start(t)
	machine := s.machine(t)
	access, _ := s.login(t)
	replace := func(c oauth.Client) credentials {
		t.Helper()
		if err := s.Clients.Remove(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		return s.register(t, c)
	}
	s.Clock.Step(time.Second)
	batch := replace(oauth.Client{ID: "batch", Grants: []string{oauth.ClientCredentials}, Audiences: []string{"ledger"}})
	s.as(t, batch, introspectPath, "token", machine).says(t, "its predecessor's token", 200, inactive.body)
	s.as(t, s.ledger, introspectPath, "token", machine).says(t, "the same, by its service", 200, inactive.body)
	s.exchange(t, machine).refuses(t, "exchange of a predecessor's token", 400, "invalid_request")
	s.as(t, batch, revokePath, "token", machine).refuses(t, "its predecessor's token", 400, "invalid_grant")
	own := s.as(t, batch, tokenPath, "grant_type", "client_credentials").gives(t, "its own").Access
	if !s.active(t, s.ledger, own) || !s.active(t, batch, own) {
		t.Error("the first token of a new client is not active")
	}
	s.Clock.Step(time.Second)
	ledger := replace(oauth.Client{ID: "ledger", Grants: []string{oauth.TokenExchange}, Audiences: []string{"stock"}})
	for name, token := range map[string]string{"a machine's": own, "a user's": access} {
		s.as(t, ledger, introspectPath, "token", token).says(t, name+" token for its predecessor", 200, inactive.body)
		s.as(t, ledger, tokenPath, "grant_type", oauth.TokenExchange, "subject_token_type", accessType, "subject_token", token).
			refuses(t, name+" token for its predecessor", 400, "invalid_request")
	}
}
