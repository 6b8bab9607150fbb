package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"signet/internal/web"
	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/issuer/oauth"
)

// startRenewing serves the dialects that are on, and OAuth.
func startRenewing(t *testing.T, drfJWT, simpleJWT bool) *server {
	t.Helper()
	s := start(t, settings{policy: func(p *issuer.Policy) { p.RenewLifetime = time.Hour }})
	opts := web.Options{URL: webtest.URL, Issuer: s.Issuer, SimpleJWT: simpleJWT, OAuth: s.OAuth, Clients: s.Clients,
		Keys: s.Keys, Now: s.Clock.Now, MaxAge: func() time.Duration { return time.Minute }}
	if drfJWT {
		opts.DRFJWT = s.Issuer
	}
	s.Server.Config.Handler = web.NewHandler(opts)
	return s
}

func TestOldDialectIsOffUnlessItIsAskedFor(t *testing.T) {
	s := start(t, settings{})
	for _, path := range []string{"/api-token-auth/", "/api-token-refresh/", "/api-token-verify/"} {
		s.do(t, "POST", path, jsonType, strings.NewReader(credentials)).is(t, http.StatusNotFound)
	}
	if got := s.get(t, "/"); strings.Contains(got.body, "api-token") {
		t.Errorf("the index leads to a route that is off: %s", got.body)
	}
}

func TestOldDialectAlone(t *testing.T) {
	s := startRenewing(t, true, false)
	got := s.do(t, "POST", "/api-token-auth/", jsonType, strings.NewReader(credentials))
	got.is(t, http.StatusOK)
	if !strings.HasPrefix(got.body, `{"token":"eyJ`) {
		t.Errorf("no token: %s", got.body)
	}
	s.do(t, "POST", "/api/token/", jsonType, strings.NewReader(credentials)).is(t, http.StatusNotFound)
	if got := s.get(t, "/"); !strings.Contains(got.body, `"token_auth":"`+webtest.URL+`/api-token-auth/"`) || strings.Contains(got.body, "api/token/") {
		t.Errorf("the index: %s", got.body)
	}
}

// Pages of the configured origins may call the dialect, without cookies.
func TestOldDialectFromPages(t *testing.T) {
	s := start(t, settings{options: func(o *web.Options) {
		o.Origins = []string{"https://app.example.com"}
		o.DRFJWT = o.Issuer.(*issuer.Issuer)
	}})
	for origin, allowed := range map[string]string{"https://app.example.com": "https://app.example.com", "https://evil.example.com": ""} {
		got := s.do(t, "OPTIONS", "/api-token-auth/", "", nil, "Origin", origin,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
		got.has(t, "Access-Control-Allow-Origin", allowed)
		got.has(t, "Access-Control-Allow-Credentials", "")
	}
}

func TestOAuthAlone(t *testing.T) {
	s := startRenewing(t, false, false)
	secret := s.AddClient(t, oauth.Client{ID: "batch", Grants: []string{oauth.ClientCredentials}, Audiences: []string{"orders"}})
	for _, path := range []string{"/api-token-auth/", "/api/token/"} {
		s.do(t, "POST", path, jsonType, strings.NewReader(credentials)).is(t, http.StatusNotFound)
	}
	got := s.do(t, "POST", "/oauth2/token", formType,
		strings.NewReader("grant_type=client_credentials&client_id=batch&client_secret="+secret))
	got.is(t, http.StatusOK)
	s.get(t, "/.well-known/oauth-authorization-server").is(t, http.StatusOK)
}
