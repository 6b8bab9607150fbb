package issuer_test

import (
	"testing"

	"signet/issuer"
)

// Some services demand at+jwt and some refuse it: the policy says it by audience.
func TestTypFollowsTheAudience(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct {
		name     string
		audience []string
		types    map[string]string
		login    string // typ of the login's token; empty: none is made
		client   string
	}{
		{"of the route", []string{"orders"}, nil, "JWT", "at+jwt"},
		{"of another service", []string{"orders"}, map[string]string{"stock": "at+jwt"}, "JWT", "at+jwt"},
		{"at+jwt", []string{"orders"}, map[string]string{"orders": "at+jwt"}, "at+jwt", "at+jwt"},
		{"JWT", []string{"orders"}, map[string]string{"orders": "JWT"}, "JWT", "JWT"},
		{"of one of two", []string{"orders", "stock"}, map[string]string{"stock": "at+jwt"}, "at+jwt", "at+jwt"},
		{"of both", []string{"orders", "stock"}, map[string]string{"orders": "JWT", "stock": "JWT"}, "JWT", "JWT"},
		{"two for one token", []string{"orders", "bills", "stock"}, map[string]string{"orders": "JWT", "stock": "at+jwt"}, "", ""},
	} {
		f.set(func(p *issuer.Policy) { p.Audience, p.Types = tt.audience, tt.types })
		client, _, err := f.Issue(t.Context(), issuer.Authorization{Client: "batch", Subject: "batch", Audience: tt.audience})
		if tt.client == "" {
			wantErr(t, tt.name, err, issuer.ErrTypes)
			_, err := f.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password})
			wantErr(t, tt.name+", login", err, issuer.ErrTypes)
			continue
		}
		must(t, err)
		tokens := f.login(t)
		refreshed := f.refresh(t, tokens.Refresh)
		for token, want := range map[string]string{client: tt.client, tokens.Access: tt.login, refreshed.Access: tt.login, refreshed.Refresh: "rt+jwt"} {
			header, _ := decode(t, token)
			if header["typ"] != want {
				t.Errorf("%s: typ %v, want %s", tt.name, header["typ"], want)
			}
			f.wantVerify(t, token, nil)
		}
	}
	f.wantSessions(t, 6)
}
