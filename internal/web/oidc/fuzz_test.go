package oidc_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"signet/issuer/oauth"
)

// FuzzToken: whatever is sent to any endpoint, by whomever, is not the server's fault.
func FuzzToken(f *testing.F) {
	s := start(f)
	access, refresh := s.login(f)
	keyed := s.keyed(f, "keyed")
	assertion := "client_assertion_type=" + url.QueryEscape(oauth.AssertionType) + "&client_assertion="
	exchange := "grant_type=" + url.QueryEscape(oauth.TokenExchange) + "&subject_token_type=" + url.QueryEscape(accessType) + "&subject_token="
	for _, seed := range []struct {
		auth string // empty: of a client that is known
		body string
	}{
		{"", machineForm}, {"", "token=" + s.machine(f)}, {"", "token=" + refresh}, {"", "token=x&token_type_hint=%00"},
		{"none", "grant_type=refresh_token&client_id=first-party&refresh_token=" + refresh},
		{"none", "client_id=batch&client_secret=%ff"}, {"none", "client_id=first-party&token=a.b.c"},
		{"none", assertion + "e30.e30.AA"}, {"none", assertion + s.assertion(f, keyed, "ES256", nil) + "&" + machineForm},
		{"none", assertion + s.assertion(f, keyed, "RS256", nil) + "&token=" + access}, {"", assertion + "x"},
		{"", exchange + "x"}, {s.ledger.basic(), exchange + access}, {s.ledger.basic(), exchange + access + "&actor_token=x&resource=stock"},
		{"Basic Og==", ""}, {"Basic", "&&&="}, {"Basic YmF0Y2g6JXp6", "%"}, {"Bearer x", "a;b"}, {"\x00", "scope=\xff"}, {"Digest username=\"x\"", "="},
		{"", "grant_type=client_credentials&resource=ledger&resource=&audience=https://billing.example&scope=invoices:read+invoices:write"},
	} {
		f.Add(seed.auth, []byte(seed.body))
	}
	known := len(s.secrets)
	f.Fuzz(func(t *testing.T, auth string, body []byte) {
		for _, path := range []string{tokenPath, revokePath, introspectPath} {
			r := httptest.NewRequest("POST", path, strings.NewReader(string(body)))
			r.Header.Set("Content-Type", formType)
			switch auth {
			case "":
				r.Header.Set("Authorization", s.batch.basic())
			case "none":
			default:
				r.Header.Set("Authorization", auth)
			}
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Code >= 500 || !json.Valid(w.Body.Bytes()) || strings.Contains(s.log.String(), "panic") {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
			s.wantForm(t, answer{w.Result(), w.Body.String()})
		}
		s.log.clear()
		s.secrets = s.secrets[:known] // or hours of fuzzing fill the memory
	})
}
