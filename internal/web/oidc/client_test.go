package oidc_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"signet/internal/web"
	"signet/internal/web/webtest"
)

// withoutOAuth is the listener of an issuer that has the dialect off.
func withoutOAuth(s *server) http.Handler {
	return web.NewHandler(web.Options{URL: webtest.URL, Issuer: s.Issuer, SimpleJWT: true, Keys: s.Keys, Now: s.Clock.Now})
}

// The client that Go programs have.
func TestGoClient(t *testing.T) {
	s := start(t)
	listener := httptest.NewServer(s.handler)
	defer listener.Close()
	for style, name := range map[oauth2.AuthStyle]string{
		oauth2.AuthStyleInHeader: "in the header", oauth2.AuthStyleInParams: "in the parameters", oauth2.AuthStyleAutoDetect: "as it finds out",
	} {
		config := clientcredentials.Config{ClientID: s.batch.id, ClientSecret: s.batch.secret, TokenURL: listener.URL + tokenPath,
			Scopes: []string{"invoices:read"}, EndpointParams: url.Values{"audience": {"ledger", "https://billing.example"}}, AuthStyle: style}
		token, err := config.Token(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s.hideToken(token.AccessToken)
		if left := time.Until(token.Expiry); token.TokenType != "Bearer" || left > 5*time.Minute || left < 4*time.Minute || token.Extra("scope") != "invoices:read" || !token.Valid() {
			t.Errorf("%s: %s, %v left, scope %v", name, token.TokenType, left, token.Extra("scope"))
		}
		if !s.active(t, s.ledger, token.AccessToken) {
			t.Errorf("%s: the token is not active", name)
		}

		for want, alter := range map[string]func(*clientcredentials.Config){
			"invalid_client": func(c *clientcredentials.Config) { c.ClientSecret = "wrong" },
			"invalid_scope":  func(c *clientcredentials.Config) { c.Scopes = []string{"admin"} },
			"invalid_target": func(c *clientcredentials.Config) { c.EndpointParams = nil },
		} {
			bad := config
			alter(&bad)
			_, err := bad.Token(t.Context())
			refused, ok := errors.AsType[*oauth2.RetrieveError](err)
			if !ok || refused.ErrorCode != want || refused.ErrorDescription == "" {
				t.Errorf("%s: error = %v, want %s", name, err, want)
			}
		}
	}
}

// And its way to refresh a session of the login.
func TestGoClientRefreshes(t *testing.T) {
	s := start(t)
	listener := httptest.NewServer(s.handler)
	defer listener.Close()
	_, refresh := s.login(t)
	config := oauth2.Config{ClientID: "first-party", Endpoint: oauth2.Endpoint{TokenURL: listener.URL + tokenPath, AuthStyle: oauth2.AuthStyleInParams}}
	token, err := config.TokenSource(context.Background(), &oauth2.Token{RefreshToken: refresh}).Token()
	if err != nil {
		t.Fatal(err)
	}
	s.hideToken(token.AccessToken)
	s.hideToken(token.RefreshToken)
	if token.RefreshToken == refresh || !s.active(t, s.ledger, token.AccessToken) {
		t.Error("the session was not refreshed")
	}
}

// Refusals are logged too, with their reason, and without what was sent.
func TestNoSecretInTheLog(t *testing.T) {
	s := start(t)
	const typo = "wrong-secret-of-somebody"
	s.hide(typo, "stray-scope-value")
	access, refresh := s.login(t)
	machine := s.machine(t)
	s.as(t, credentials{"batch", typo}, tokenPath, "grant_type", "client_credentials")
	s.as(t, credentials{typo, "x"}, tokenPath, "grant_type", "client_credentials")
	s.post(t, tokenPath, form("client_id", "batch", "client_secret", typo, "grant_type", "client_credentials"))
	s.post(t, tokenPath+"?client_id=batch&client_secret="+s.batch.secret, machineForm)
	s.post(t, tokenPath, "client_secret="+s.batch.secret+"&client_secret="+typo)
	s.post(t, tokenPath, machineForm, "Authorization", "Bearer "+machine)
	s.as(t, s.batch, tokenPath, "grant_type", typo)
	s.as(t, s.batch, tokenPath, "grant_type", "client_credentials", "audience", typo, "scope", "stray-scope-value")
	s.as(t, s.batch, tokenPath, "grant_type", "client_credentials", "audience", typo)
	s.as(t, s.batch, tokenPath, "grant_type", "password", "username", webtest.Alice, "password", webtest.Password)
	s.refresh(t, access)
	s.refresh(t, refresh+"x")
	s.refresh(t, refresh)
	s.as(t, s.ledger, introspectPath, "token", machine)
	s.as(t, s.ledger, introspectPath, "token", machine+typo)
	s.as(t, s.batch, revokePath, "token", machine)
	s.revoke(t, refresh)
	text := s.log.String()
	if got := strings.Count(text, "msg=request"); got != 19 {
		t.Errorf("%d requests were logged, want 19", got)
	}
	for _, reason := range []string{"invalid_client", "invalid_scope", "signature", "wrong type", "route=" + tokenPath, "route=" + revokePath, "status=401"} {
		if !strings.Contains(text, reason) {
			t.Errorf("the log does not say %q:\n%s", reason, text)
		}
	}
}
