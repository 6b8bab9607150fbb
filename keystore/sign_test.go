package keystore

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// signatureBytes is the length of a signature (RFC 7518 §3.3-3.5, RFC 8037 §3.1).
var signatureBytes = map[string]int{"RS256": 256, "PS256": 256, "ES256": 64, "ES384": 96, "EdDSA": 64}

func TestTokensOfEveryAlgorithm(t *testing.T) {
	f := newFixture(t, testPolicy(Algorithms...))
	payload := []byte(`{"sub":"kyoko"}`)
	for _, alg := range Algorithms {
		for _, typ := range []string{"JWT", "at+jwt", "rt+jwt", "JWT"} {
			token, kid, err := f.Sign(alg, typ, payload)
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.Split(token, ".")
			if len(parts) != 3 || parts[1] != base64.RawURLEncoding.EncodeToString(payload) {
				t.Fatalf("%s: token %s", alg, token)
			}
			if got, want := decodePart(t, parts[0]), (map[string]any{"alg": alg, "kid": kid, "typ": typ}); !maps.Equal(got, want) {
				t.Errorf("header %v, want %v", got, want)
			}
			if signature, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil || len(signature) != signatureBytes[alg] {
				t.Errorf("%s: a signature of %d bytes, %v; want %d", alg, len(signature), err, signatureBytes[alg])
			}
			got, err := jws.Verify([]byte(token), jws.WithKeySet(f.jwks()))
			if err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%s: Verify = %s, %v", alg, got, err)
			}
			known, public, ok := f.PublicKey(kid)
			if !ok || known != alg {
				t.Errorf("PublicKey = %s, %v; want %s", known, ok, alg)
			}
			if _, err := jws.Verify([]byte(token), jws.WithKey(jwa.SignatureAlgorithm(alg), public)); err != nil {
				t.Errorf("%s: with PublicKey: %v", alg, err)
			}
		}
	}
}

// Each key is used with one algorithm (RFC 8725bis §3.1), also where two
// algorithms take the same type of key.
func TestNoKeyServesTwoAlgorithms(t *testing.T) {
	f := newFixture(t, testPolicy("RS256", "PS256"))
	if f.signer("RS256") == f.signer("PS256") {
		t.Error("RS256 and PS256 share a key")
	}
	token, kid, err := f.Sign("RS256", "JWT", nil)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := f.jwks().LookupKeyID(kid)
	if _, err := jws.Verify([]byte(token), jws.WithKey(jwa.PS256, key)); err == nil {
		t.Error("a token of RS256 verifies as PS256")
	}
}

func TestSignRefusesOtherAlgorithms(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	for _, alg := range []string{"none", "HS256", "es256", "RS256", "EdDSA", " "} {
		if token, kid, err := f.Sign(alg, "JWT", nil); token != "" || kid != "" || !errors.Is(err, ErrAlgorithm) {
			t.Errorf("Sign(%q) = %q, %q, %v; want %v", alg, token, kid, err, ErrAlgorithm)
		}
	}
}

func TestUnknownKidHasNoPublicKey(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	for _, kid := range []string{"", "unknown", "../../dev/null", "' OR 1=1 --", strings.Repeat("x", 1<<20)} {
		if alg, public, ok := f.PublicKey(kid); alg != "" || public != nil || ok {
			t.Errorf("PublicKey(%.20q) = %q, %v, %v", kid, alg, public, ok)
		}
	}
}

// Signing goes on while the keys are rotated, and no token is lost.
func TestSigningWhileKeysChange(t *testing.T) {
	f := newFixture(t, testPolicy())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			alg := []string{"", "ES256", "EdDSA"}[i%3]
			for signed := 0; ; signed++ {
				select {
				case <-stop:
					if signed == 0 {
						t.Error("nothing was signed")
					}
					return
				default:
					f.signAndVerify(alg)
				}
			}
		})
	}
	for range 30 {
		for _, takeover := range f.rotate(RotateRequest{Now: true}) {
			f.expectState(takeover.New.KID, Active)
		}
		f.clock.advance(10 * time.Minute)
		f.rotate(RotateRequest{})
		f.setPolicy(func(p *Policy) { p.AccessLifetime += time.Minute })
		f.clock.advance(10 * time.Minute)
		f.maintain()
		f.jwks()
		f.Keys()
	}
	close(stop)
	wg.Wait()
	f.expectAsStored()
}

// signAndVerify is for goroutines: it does not end the test.
func (f *fixture) signAndVerify(alg string) {
	token, kid, err := f.Sign(alg, "JWT", []byte("{}"))
	if err != nil {
		f.t.Error(err)
		return
	}
	known, public, ok := f.PublicKey(kid)
	if !ok {
		f.t.Errorf("key %s signed and is not known", kid)
		return
	}
	if _, err := jws.Verify([]byte(token), jws.WithKey(jwa.SignatureAlgorithm(known), public)); err != nil {
		f.t.Error(err)
	}
}

// A Manager shares nothing that a caller could change.
func TestKeysAreCopies(t *testing.T) {
	f := newFixture(t, testPolicy())
	before := asJSON(t, f.Keys())
	keys := f.Keys()
	clear(keys)
	if asJSON(t, f.Keys()) != before {
		t.Error("a caller changed the keys")
	}
}

// BenchmarkSign measures what it costs to make a token, and as "x-raw" how many
// times the cost of the bare signature with a key of the same kind.
func BenchmarkSign(b *testing.B) {
	f := newFixture(b, testPolicy("ES256", "RS256"))
	payload := bytes.Repeat([]byte("x"), 400)
	digest := sha256.Sum256(payload)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	raw := map[string]func() error{
		"ES256": func() error { _, err := ecdsa.SignASN1(rand.Reader, ec, digest[:]); return err },
		"RS256": func() error { _, err := rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, digest[:]); return err },
	}
	for _, alg := range []string{"ES256", "RS256"} {
		b.Run(alg, func(b *testing.B) {
			var spent [2]time.Duration
			calls := []func() error{func() error { _, _, err := f.Sign(alg, "JWT", payload); return err }, raw[alg]}
			for b.Loop() {
				for i, call := range calls {
					began := time.Now()
					if err := call(); err != nil {
						b.Fatal(err)
					}
					spent[i] += time.Since(began)
				}
			}
			b.ReportMetric(float64(spent[0])/float64(b.N), "ns/token")
			b.ReportMetric(float64(spent[0])/float64(spent[1]), "x-raw")
		})
	}
}

// BenchmarkManyKeys: what a token costs where the ring holds so many retired keys, and as
// "bytes" how long the key set is. A key is kept while a refresh token of its may live.
func BenchmarkManyKeys(b *testing.B) {
	for _, retired := range []int{0, 10, 100} {
		b.Run(fmt.Sprintf("retired=%d", retired), func(b *testing.B) {
			f := newFixture(b, testPolicy("ES256"))
			for range retired {
				f.rotate(RotateRequest{Now: true})
			}
			doc, err := f.Document(f.clock.Now())
			if err != nil {
				b.Fatal(err)
			}
			payload := bytes.Repeat([]byte("x"), 400)
			for b.Loop() {
				if _, _, err := f.Sign("ES256", "JWT", payload); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(doc.Body())), "bytes")
		})
	}
}
