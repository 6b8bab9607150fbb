package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"signet/internal/control"
	"signet/keystore"
)

// noon is the instant of the plans in these tests.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// published is a rotation whose key signs so long after it is published.
func published(ahead time.Duration) control.Rotated {
	return control.Rotated{Now: noon, Takeovers: []keystore.Takeover{{New: keystore.Info{KID: "new", Created: noon, SignsFrom: noon.Add(ahead)}}}}
}

// TestClientsThatRefuseANewKey: those that cannot have it when it signs, and for how
// long they go on without.
func TestClientsThatRefuseANewKey(t *testing.T) {
	tests := []struct {
		ahead time.Duration
		want  map[string]time.Duration // of some; 0 is not at all
	}{
		{24 * time.Hour, map[string]time.Duration{"Istio": 0, "AWS API Gateway": 0, "SmallRye": 0, "Kubernetes API server": 0, "HAProxy": forever}},
		{10 * time.Minute, map[string]time.Duration{"Envoy": 0, "jwx": 10 * time.Minute, "AWS API Gateway": 50 * time.Minute, "SmallRye": 20 * time.Minute, "jose": 0}},
		{400 * time.Millisecond, map[string]time.Duration{"jose": 30 * time.Second, "oauth4webapi": time.Minute, "Kubernetes API server": 5 * time.Minute,
			"Envoy": 10 * time.Minute, "go-oidc": 0, "mod_oauth2": 0, "HAProxy": forever}},
	}
	for _, c := range tests {
		got := map[string]time.Duration{}
		for _, g := range refusing(published(c.ahead), 5*time.Minute) {
			for _, name := range g.Clients {
				got[name] = g.For
			}
		}
		for name, want := range c.want {
			if got[name] != want {
				t.Errorf("published %s ahead: %s refuses it for %s, want %s", c.ahead, name, got[name], want)
			}
		}
	}
}

// TestKindsAreSoundAndInTheirPlace: each kind is in the one list about what it does with
// a key that is out of the set.
func TestKindsAreSoundAndInTheirPlace(t *testing.T) {
	var text strings.Builder
	writeRevokedElsewhere(&text, noon, 5*time.Minute)
	names := map[string]bool{}
	for _, k := range clientKinds {
		if names[k.name] || k.cache == 0 {
			t.Errorf("%q is there twice, or has no cache", k.name)
		}
		if names[k.name] = true; !strings.Contains(text.String(), k.name) {
			t.Errorf("%q is not printed", k.name)
		}
	}
	for _, line := range []string{
		"  jwks_max_age     signet/verify (until 2026-03-01 12:05:00 UTC)\n",
		"  5 minutes        PyJWT, simplejwt with JWK_URL, oauth4webapi, Spring, Nimbus (until 2026-03-01 12:05:00 UTC)\n",
		"  never            go-oidc, HashiCorp cap and Vault, zitadel/oidc, aws-jwt-verify\n",
		"  30 seconds       PyJWT, simplejwt with JWK_URL, Nimbus, jose, express-oauth2-jwt-bearer\n",
		"  20 minutes       jwx, Istio (until 2026-03-01 12:20:00 UTC)\n",
		"  until a restart  HAProxy, fastify-jwt-jwks, PyJWT with cache_keys\n",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("no %q in%s", line, &text)
		}
	}
}

func TestKindsAsJSON(t *testing.T) {
	text, err := json.Marshal([]kindsFor{{Clients: []string{"jwx"}, For: 10 * time.Minute}, {Clients: []string{"HAProxy"}, For: forever}})
	if want := `[{"clients":["jwx"],"seconds":600},{"clients":["HAProxy"]}]`; err != nil || string(text) != want {
		t.Errorf("%s %v, want %s", text, err, want)
	}
}

// TestHasOf: what a consumer has, compared with the present set.
func TestHasOf(t *testing.T) {
	for want, c := range map[string]control.Consumer{
		"all 2 keys":           {Has: []string{"a", "b"}},
		"all 1 key":            {Has: []string{"a"}},
		"not b, c":             {Has: []string{"a"}, Lacks: []string{"b", "c"}},
		"all 1 key; still old": {Has: []string{"a"}, Gone: []string{"old"}},
		"not b; still old":     {Lacks: []string{"b"}, Gone: []string{"old"}},
	} {
		if got := hasOf(c, ""); got != want {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
	c := control.Consumer{Has: []string{"a"}, Gone: []string{"old"}, Lacks: []string{"b"}}
	for kid, want := range map[string]string{"a": "yes", "old": "yes", "b": "no"} {
		if got := hasOf(c, kid); got != want {
			t.Errorf("%s: %q, want %q", kid, got, want)
		}
	}
}
