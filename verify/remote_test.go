package verify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"signet/verify"
)

// bubble runs f under a clock that moves when everybody waits.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func accept(t *testing.T, v *verify.Verifier, token string) {
	t.Helper()
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatalf("a good token was refused: %v", err)
	}
}

func refuse(t *testing.T, v *verify.Verifier, token string, want error) {
	t.Helper()
	if c, err := v.Verify(t.Context(), token); !errors.Is(err, want) || c != nil {
		t.Fatalf("Verify = %v, %v; want %v", c, err, want)
	}
}

// fresh is a token of k from now on.
func fresh(k *signingKey) string { return k.token(time.Now(), nil, nil) }

// long is a token of k that outlives the test.
func long(k *signingKey) string {
	return k.token(time.Now(), nil, object{"exp": time.Now().Add(1000 * time.Hour).Unix()})
}

func forged(k *signingKey, i int) string {
	return k.token(time.Now(), object{"kid": fmt.Sprint("forged-", i)}, nil)
}

// Column A: unknown kids one after the other cost a bounded number of fetches, and
// a real new kid behind them is accepted.
func TestForgedKidsOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old, next := newKey(t, "ES256", "old"), newKey(t, "ES256", "next")
		s := newKeyServer(old)
		v := newVerifier(t, s)
		accept(t, v, fresh(old))
		s.count()
		began := time.Now()
		for i := range 20 {
			refuse(t, v, forged(old, i), verify.ErrUnknownKey)
		}
		took := time.Since(began)
		if n, most := s.count(), 4+int(took/verify.DefaultMissInterval); n > most {
			t.Errorf("%d fetches in %v, want at most %d", n, took, most)
		}
		s.publish(old, next)
		began = time.Now()
		accept(t, v, fresh(next))
		if took := time.Since(began); took > verify.DefaultMissInterval {
			t.Errorf("the new key was accepted after %v", took)
		}
		if n := s.count(); n != 1 {
			t.Errorf("%d fetches for the new key, want 1", n)
		}
	})
}

// Column A, at the same moment: the fetch is one for all.
func TestForgedKidsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old, next := newKey(t, "ES256", "old"), newKey(t, "ES256", "next")
		s := newKeyServer(old)
		v := newVerifier(t, s)
		accept(t, v, fresh(old))
		s.count()
		s.set(func(s *keyServer) { s.delay = 100 * time.Millisecond })
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := v.Verify(t.Context(), forged(old, i)); !errors.Is(err, verify.ErrUnknownKey) {
					t.Errorf("forged kid: %v", err)
				}
			})
		}
		wg.Wait()
		if n := s.count(); n > 2 {
			t.Errorf("%d fetches, want at most 2", n)
		}
		s.publish(old, next)
		began := time.Now()
		accept(t, v, fresh(next))
		if took := time.Since(began); took > time.Second {
			t.Errorf("the new key was accepted after %v", took)
		}
	})
}

// A flood for a minute: the fetches stay bounded, the waiting room too, and a new
// key gets in.
func TestFloodOfForgedKids(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old, next := newKey(t, "ES256", "old"), newKey(t, "ES256", "next")
		s := newKeyServer(old)
		v := newVerifier(t, s)
		good := long(old)
		accept(t, v, good)
		s.count()
		var wg sync.WaitGroup
		for i := range 600 {
			wg.Go(func() { v.Verify(t.Context(), forged(old, i)) })
			time.Sleep(100 * time.Millisecond)
			began := time.Now()
			accept(t, v, good)
			if took := time.Since(began); took > 0 {
				t.Fatalf("a known key waited %v", took)
			}
		}
		if n := s.count(); n > 4+60/3+1 {
			t.Errorf("%d fetches in a minute", n)
		}
		s.publish(old, next)
		time.Sleep(verify.DefaultMissInterval)
		accept(t, v, fresh(next))
		wg.Wait()
	})
}

// More callers than may wait are refused at once, and cost nothing.
func TestWaitingRoomIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old := newKey(t, "ES256", "old")
		s := newKeyServer(old)
		v := newVerifier(t, s)
		accept(t, v, fresh(old))
		for i := range 4 {
			refuse(t, v, forged(old, i), verify.ErrUnknownKey)
		}
		s.count()
		var atOnce atomic.Int64
		var wg sync.WaitGroup
		began := time.Now()
		for i := range 200 {
			wg.Go(func() {
				_, err := v.Verify(t.Context(), forged(old, 100+i))
				want := verify.ErrUnknownKey
				if time.Since(began) == 0 { // it was not looked for: whether it is a key is not known
					want = verify.ErrKeysUnavailable
					atOnce.Add(1)
				}
				if !errors.Is(err, want) {
					t.Errorf("error = %v, want %v", err, want)
				}
			})
		}
		wg.Wait()
		if n := atOnce.Load(); n != 200-64 {
			t.Errorf("%d were refused at once, want %d", n, 200-64)
		}
		if n := s.count(); n != 1 || time.Since(began) > verify.DefaultMissInterval {
			t.Errorf("%d fetches in %v, want 1", n, time.Since(began))
		}
	})
}

// A hard age below max-age is the shorter one of both.
func TestHardAge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key := newKey(t, "ES256", "k")
		s := newKeyServer(key)
		v := newVerifier(t, s)
		v.Keys = &verify.Remote{Issuer: issuerURL, Transport: s, HardAge: time.Minute}
		token := long(key)
		accept(t, v, token)
		s.set(func(s *keyServer) { s.delay = time.Hour })
		time.Sleep(59 * time.Second)
		accept(t, v, token)
		time.Sleep(time.Second)
		refuse(t, v, token, verify.ErrKeysUnavailable)
		v.Close()
	})
}

// The same unknown kid again and again is remembered, and is asked for again after
// a while.
func TestOneUnknownKidAgainAndAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old, late := newKey(t, "ES256", "old"), newKey(t, "ES256", "late")
		s := newKeyServer(old)
		v := newVerifier(t, s)
		accept(t, v, fresh(old))
		s.count()
		for range 50 {
			refuse(t, v, fresh(late), verify.ErrUnknownKey)
		}
		if n := s.count(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
		s.publish(old, late)
		time.Sleep(11 * time.Second)
		accept(t, v, fresh(late))
	})
}

// Column B: bad signatures with a known kid cost no fetch.
func TestBadSignaturesFetchNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key, thief := newKey(t, "ES256", "k"), newKey(t, "ES256", "k")
		s := newKeyServer(key)
		v := newVerifier(t, s)
		accept(t, v, fresh(key))
		s.count()
		for range 20 {
			refuse(t, v, fresh(thief), verify.ErrSignature)
		}
		if n := s.count(); n != 0 {
			t.Errorf("%d fetches, want none", n)
		}
	})
}

// Column C: a key that is published and used at once is accepted at once.
func TestNewKeyIsAcceptedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old, next := newKey(t, "ES256", "old"), newKey(t, "RS256", "next")
		s := newKeyServer(old)
		v := newVerifier(t, s)
		accept(t, v, fresh(old))
		s.publish(old, next)
		began := time.Now()
		accept(t, v, fresh(next))
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// Column D: a removed key is refused at max-age, whether requests come or not, and
// also for a token that was verified before.
func TestRemovedKeyIsRefusedAtMaxAge(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprint("busy ", busy), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				old, next := newKey(t, "ES256", "old"), newKey(t, "ES256", "next")
				s := newKeyServer(old, next)
				v := newVerifier(t, s)
				began := time.Now()
				token := long(old)
				accept(t, v, token)
				s.publish(next)
				for busy && time.Since(began) < 299*time.Second {
					v.Verify(t.Context(), token)
					v.Verify(t.Context(), fresh(next))
					time.Sleep(time.Second)
				}
				time.Sleep(300*time.Second - time.Since(began))
				refuse(t, v, token, verify.ErrUnknownKey)
				refuse(t, v, fresh(old), verify.ErrUnknownKey)
				accept(t, v, fresh(next))
			})
		})
	}
}

// Before max-age ends the set is fetched in the background, and nobody waits.
func TestRefreshAheadMakesNobodyWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key := newKey(t, "ES256", "k")
		s := newKeyServer(key)
		v := newVerifier(t, s)
		accept(t, v, fresh(key))
		s.set(func(s *keyServer) { s.delay = 2 * time.Second })
		s.count()
		token := long(key)
		for range 600 {
			began := time.Now()
			accept(t, v, token)
			if took := time.Since(began); took > 0 {
				t.Fatalf("a caller waited %v", took)
			}
			time.Sleep(time.Second)
		}
		if n := s.count(); n < 2 || n > 3 {
			t.Errorf("%d fetches in 600 s, want 2 or 3", n)
		}
		if s.notModified == 0 {
			t.Error("no fetch was answered with 304")
		}
	})
}

// Entries of unknown types spoil nothing.
func TestUnknownKeyTypesAreHarmless(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key := newKey(t, "ES256", "k")
		s := newKeyServer()
		s.set(func(s *keyServer) {
			s.keys = []any{
				object{"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "pub": "AAAA"},
				object{"kty": "OKP", "crv": "Ed448", "kid": "448", "x": b64(make([]byte, 57))},
				object{"kty": "EC", "crv": "secp256k1", "kid": "btc", "x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))},
				object{"kty": "oct", "kid": "secret", "k": "AAAA"}, 5, nil, "text", object{"kid": 5},
				key.jwk(),
			}
		})
		v := newVerifier(t, s)
		accept(t, v, fresh(key))
		for _, kid := range []string{"pq", "448", "btc", "secret"} {
			refuse(t, v, key.token(time.Now(), object{"kid": kid}, nil), verify.ErrUnknownKey)
		}
	})
}

// A server that is down takes no good key away before the hard age.
func TestServerDownKeepsKeysUntilTheHardAge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key := newKey(t, "ES256", "k")
		s := newKeyServer(key)
		v := newVerifier(t, s)
		token := long(key)
		began := time.Now()
		accept(t, v, token)
		s.set(func(s *keyServer) {
			s.override = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
		})
		s.count()
		for time.Since(began) < 24*time.Hour-time.Minute {
			accept(t, v, token)
			time.Sleep(20 * time.Second)
		}
		accept(t, v, fresh(key))
		if n := s.count(); n > 24*60*2+20 {
			t.Errorf("%d fetches from a server that is down", n)
		}
		time.Sleep(24*time.Hour - time.Since(began))
		refuse(t, v, token, verify.ErrKeysUnavailable)
		s.set(func(s *keyServer) { s.override = nil })
		time.Sleep(31 * time.Second)
		accept(t, v, token)
	})
}

// Whatever a fetch brings that is no key set leaves the keys at hand alone.
func TestFailedFetchesKeepTheKeys(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"500":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"204":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"no JSON":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no keys":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") },
		"null keys": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":null}`) },
		"Keys":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"Keys":[]}`) },
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[]}`, strings.Repeat(" ", 256<<10))
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusPermanentRedirect)
		},
		"two objects": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}{"keys":[]}`) },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				key := newKey(t, "ES256", "k")
				s := newKeyServer(key)
				v := newVerifier(t, s)
				accept(t, v, fresh(key))
				s.set(func(s *keyServer) { s.override = answer; s.asked = nil })
				time.Sleep(301 * time.Second)
				accept(t, v, fresh(key))
				refuse(t, v, forged(key, 1), verify.ErrKeysUnavailable)
				if asked := strings.Join(s.asked, " "); strings.Contains(asked, "elsewhere") || strings.Contains(asked, "127.0.0.1") {
					t.Errorf("a redirect was followed: %s", asked)
				}
				again := newVerifier(t, s)
				refuse(t, again, fresh(key), verify.ErrKeysUnavailable)
			})
		})
	}
}

// A slow server: those with a believed key go on, and the fetch is given up.
func TestSlowServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key := newKey(t, "ES256", "k")
		s := newKeyServer(key)
		v := newVerifier(t, s)
		accept(t, v, fresh(key))
		s.set(func(s *keyServer) { s.delay = time.Hour })
		time.Sleep(301 * time.Second)
		began := time.Now()
		accept(t, v, fresh(key))
		if took := time.Since(began); took > time.Second {
			t.Errorf("the first caller after max-age waited %v", took)
		}
		began = time.Now()
		accept(t, v, fresh(key))
		if took := time.Since(began); took > 0 {
			t.Errorf("the second caller waited %v", took)
		}
		refuse(t, v, forged(key, 1), verify.ErrKeysUnavailable)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("an unknown kid waited %v", took)
		}
		began = time.Now()
		refuse(t, newVerifier(t, s), fresh(key), verify.ErrKeysUnavailable)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("without keys the fetch was given up after %v, want 5s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := newVerifier(t, s).Verify(ctx, fresh(key)); !errors.Is(err, verify.ErrKeysUnavailable) || time.Since(began) != time.Second {
			t.Errorf("a caller who gives up got %v after %v", err, time.Since(began))
		}
	})
}

// Many callers without keys wait for one fetch.
func TestFirstFetchIsOneForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key := newKey(t, "ES256", "k")
		s := newKeyServer(key)
		s.delay = time.Second
		v := newVerifier(t, s)
		token := fresh(key)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if _, err := v.Verify(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if s.count() != 1 || s.discoveries != 1 {
			t.Errorf("more than one fetch, %d discoveries", s.discoveries)
		}
	})
}

// A server that does not answer is asked less and less often, and tells when.
func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key := newKey(t, "ES256", "k")
		s := newKeyServer(key)
		s.override = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
		v := newVerifier(t, s)
		for range 600 {
			_, err := v.Verify(t.Context(), fresh(key))
			var unavailable *verify.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.RetryAfter < time.Second || unavailable.RetryAfter > 30*time.Second {
				t.Fatalf("%v, %+v", err, unavailable)
			}
			time.Sleep(time.Second)
		}
		if n := s.count(); n < 20 || n > 32 {
			t.Errorf("%d fetches in 10 minutes", n)
		}
	})
}

func TestMaxAge(t *testing.T) {
	tests := []struct {
		control, age string
		want         time.Duration
	}{
		{"max-age=300", "", 5 * time.Minute},
		{"public, MAX-AGE=60, must-revalidate", "", time.Minute},
		{`max-age="60"`, "", time.Minute},
		{"", "", 5 * time.Minute},
		{"max-age=0", "", 10 * time.Second},
		{"no-store", "", 10 * time.Second},
		{"max-age=60, no-cache", "", 10 * time.Second},
		{"max-age=-5", "", 10 * time.Second},
		{"max-age=soon", "", 10 * time.Second},
		{"max-age=999999999999", "", time.Hour},
		{"max-age=99999999999999999999999", "", 10 * time.Second},
		{"max-age=300", "200", 100 * time.Second},
		{"max-age=300", "9000", 10 * time.Second},
	}
	for _, tt := range tests {
		h := http.Header{}
		if tt.control != "" {
			h.Set("Cache-Control", tt.control)
		}
		if tt.age != "" {
			h.Set("Age", tt.age)
		}
		if got := verify.MaxAge(h); got != tt.want {
			t.Errorf("%q, Age %q: %v, want %v", tt.control, tt.age, got, tt.want)
		}
	}
}

func TestDiscovery(t *testing.T) {
	const oidc, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	tests := []struct {
		name   string
		issuer string // of the Remote; empty: the usual one
		alter  func(*keyServer)
		fails  string
	}{
		{name: "the usual"},
		{name: "no OpenID document", alter: func(s *keyServer) { s.missing = map[string]bool{oidc: true} }},
		{name: "path is inserted", issuer: issuerURL + "/tenant/a", alter: func(s *keyServer) {
			s.missing = map[string]bool{"/tenant/a" + oidc: true, oauth: true, "/tenant/a" + oauth: true}
		}},
		{name: "path is appended", issuer: issuerURL + "/tenant/a", alter: func(s *keyServer) {
			s.missing = map[string]bool{oidc: true, oauth + "/tenant/a": true}
		}},
		{name: "neither document", fails: "404", alter: func(s *keyServer) { s.missing = map[string]bool{oidc: true, oauth: true} }},
		{name: "another issuer", fails: "another issuer", alter: func(s *keyServer) { s.issuer = "https://evil.example" }},
		{name: "issuer with a slash", fails: "another issuer", alter: func(s *keyServer) { s.issuer += "/" }},
		{name: "no jwks_uri", fails: "no jwks_uri", alter: func(s *keyServer) { s.uri = "" }},
		{name: "jwks_uri over http", fails: "https", alter: func(s *keyServer) { s.uri = "http://login.example.com/.well-known/jwks.json" }},
		{name: "jwks_uri on this machine", fails: "https", alter: func(s *keyServer) { s.uri = "http://127.0.0.1/.well-known/jwks.json" }},
		{name: "jwks_uri of a file", fails: "not a URL", alter: func(s *keyServer) { s.uri = "file:///etc/passwd" }},
		{name: "issuer over http", issuer: "http://login.example.com", fails: "https"},
		{name: "issuer with a query", issuer: issuerURL + "?a=b", fails: "query"},
		{name: "issuer with a user", issuer: "https://u:p@login.example.com", fails: "has not"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				key := newKey(t, "ES256", "k")
				s := newKeyServer(key)
				issuer := issuerURL
				if tt.issuer != "" {
					issuer, s.issuer = tt.issuer, tt.issuer
				}
				if tt.alter != nil {
					tt.alter(s)
				}
				r := &verify.Remote{Issuer: issuer, Transport: s}
				defer r.Close()
				got, err := r.Key(t.Context(), "k")
				if tt.fails == "" && (err != nil || got.Alg != "ES256") {
					t.Fatalf("Key = %v, %v", got, err)
				}
				if tt.fails != "" && (!errors.Is(err, verify.ErrKeysUnavailable) || !strings.Contains(err.Error(), tt.fails)) {
					t.Fatalf("Key = %v, %v; want a word of %q", got, err, tt.fails)
				}
				if tt.fails != "" && s.count() != 0 {
					t.Error("the set was fetched")
				}
			})
		})
	}
}

// A set that moved is found again by another discovery.
func TestSetMoves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key := newKey(t, "ES256", "k")
		s := newKeyServer(key)
		v := newVerifier(t, s)
		accept(t, v, fresh(key))
		s.set(func(s *keyServer) {
			s.uri = "https://keys.example.com/.well-known/jwks.json"
			s.override = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Host != "keys.example.com" {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				fmt.Fprint(w, text(object{"keys": s.keys}))
			}
		})
		time.Sleep(301 * time.Second)
		accept(t, v, fresh(key))
		time.Sleep(31 * time.Second)
		accept(t, v, fresh(key))
		synctest.Wait()
		if last := s.asked[len(s.asked)-1]; !strings.Contains(last, "keys.example.com") {
			t.Errorf("the last one asked is %s", last)
		}
	})
}

// Keys that share a kid are not taken; nothing tells which of them is meant.
func TestDuplicateKids(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c := newKey(t, "ES256", "same"), newKey(t, "RS256", "same"), newKey(t, "ES256", "other")
		v := newVerifier(t, newKeyServer(a, b, c))
		refuse(t, v, fresh(a), verify.ErrUnknownKey)
		refuse(t, v, fresh(b), verify.ErrUnknownKey)
		accept(t, v, fresh(c))
	})
}

// Real sockets: plain http on this machine, with discovery and without, and one
// fetch that follows no redirect.
func TestOverTCP(t *testing.T) {
	key := newKey(t, "ES256", "k")
	s := newKeyServer(key)
	server := httptest.NewServer(s)
	defer server.Close()
	s.set(func(s *keyServer) { s.issuer, s.uri = server.URL, server.URL+"/.well-known/jwks.json" })
	for _, r := range []*verify.Remote{{Issuer: server.URL}, {JWKSURL: server.URL + "/.well-known/jwks.json"}} {
		if got, err := r.Key(t.Context(), "k"); err != nil || got.Alg != "ES256" {
			t.Errorf("Key = %v, %v", got, err)
		}
		r.Close()
		if _, err := r.Key(t.Context(), "other"); !errors.Is(err, verify.ErrKeysUnavailable) {
			t.Errorf("after Close: %v", err)
		}
	}
	redirect := httptest.NewServer(http.RedirectHandler(server.URL+"/.well-known/jwks.json", http.StatusTemporaryRedirect))
	defer redirect.Close()
	r := &verify.Remote{JWKSURL: redirect.URL}
	defer r.Close()
	if _, err := r.Key(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("redirect: %v", err)
	}
	for _, bad := range []string{"", "http://192.0.2.1/jwks", "http://localhost.example/jwks", "ftp://localhost/jwks", "//x/jwks"} {
		r := &verify.Remote{JWKSURL: bad}
		if _, err := r.Key(t.Context(), "k"); !errors.Is(err, verify.ErrKeysUnavailable) {
			t.Errorf("%q: %v", bad, err)
		}
		r.Close()
	}
}

// A set in which nothing can be used is a mistake, and takes no good keys away; an
// empty one says that there are none.
func TestSetWithoutAUsableKeyIsAFailedFetch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key := newKey(t, "ES256", "k")
		s := newKeyServer(key)
		v := newVerifier(t, s)
		accept(t, v, fresh(key))
		s.set(func(s *keyServer) { s.keys = []any{object{"kty": "oct", "k": "AAAA", "kid": "k"}} })
		refuse(t, v, forged(key, 1), verify.ErrKeysUnavailable)
		accept(t, v, fresh(key))
		s.set(func(s *keyServer) { s.keys = []any{} })
		time.Sleep(10 * time.Minute) // of the bubble
		refuse(t, v, fresh(key), verify.ErrUnknownKey)
	})
}
