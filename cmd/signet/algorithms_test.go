package main

import (
	"io"
	"net/url"
	"testing"

	"signet/configs"
	"signet/internal/control"
	"signet/keystore"
)

// TestEveryAlgorithm: what the keys can be made for is what the configuration takes
// and what the issuer signs with and honours.
func TestEveryAlgorithm(t *testing.T) {
	if len(keystore.Algorithms) == 0 {
		t.Fatal("no algorithm")
	}
	for _, alg := range keystore.Algorithms {
		t.Run(alg, func(t *testing.T) {
			cfg := testConfig(t)
			read, err := configs.Load(configs.Sources{File: []byte("keys: {algorithms: [" + alg + "]}")})
			if err != nil {
				t.Fatal(err)
			}
			cfg.Keys.Algorithms = read.Keys.Algorithms
			s := startServer(t, cfg, nil, io.Discard)
			door := control.Local(s.domains.operator())
			if _, err := control.AddUser.Do(t.Context(), door, control.Credentials{Name: "kyoko", Password: "correct horse battery"}); err != nil {
				t.Fatal(err)
			}
			tokens, err := login(t.Context(), client, s.baseURL(), "kyoko", "correct horse battery")
			if err != nil {
				t.Fatal(err)
			}
			rs := &service{now: nowUTC, url: s.baseURL() + "/.well-known/jwks.json", http: client}
			if err := rs.verify(t.Context(), tokens["access"]); err != nil {
				t.Errorf("a service refuses the token: %v", err)
			}
			if tokens, err = refresh(t.Context(), client, s.baseURL(), tokens["refresh"]); err != nil {
				t.Fatal(err)
			}
			if _, err := postJSON(t.Context(), client, s.baseURL()+"/api/token/verify/", url.Values{"token": {tokens["access"]}}); err != nil {
				t.Errorf("the issuer refuses its own token: %v", err)
			}
		})
	}
}
