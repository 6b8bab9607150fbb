package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"signet/verify"
)

const (
	issuerURL = "https://login.example.com"
	audience  = "orders"
)

type object = map[string]any

// signingKey is an issuer's key.
type signingKey struct {
	kid, alg string
	private  crypto.Signer
}

// rsaKey is one for all tests: making one takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newKey(t testing.TB, alg, kid string) *signingKey {
	t.Helper()
	k := &signingKey{kid: kid, alg: alg}
	var err error
	switch alg {
	case "RS256", "PS256":
		k.private, err = rsaKey()
	case "ES256":
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		k.private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "EdDSA":
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil || k.private == nil {
		t.Fatalf("no key for %s: %v", alg, err)
	}
	return k
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk is the key as it is published.
func (k *signingKey) jwk() object {
	out := object{"kid": k.kid, "alg": k.alg, "use": "sig"}
	switch public := k.private.Public().(type) {
	case *rsa.PublicKey:
		out["kty"], out["n"], out["e"] = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, _ := public.Bytes()
		size := len(point) / 2
		out["kty"], out["crv"] = "EC", public.Params().Name
		out["x"], out["y"] = b64(point[1:1+size]), b64(point[1+size:])
	case ed25519.PublicKey:
		out["kty"], out["crv"], out["x"] = "OKP", "Ed25519", b64(public)
	}
	return out
}

func (k *signingKey) sign(input string) []byte {
	var sum []byte
	if k.alg == "ES384" {
		s := sha512.Sum384([]byte(input))
		sum = s[:]
	} else {
		s := sha256.Sum256([]byte(input))
		sum = s[:]
	}
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		r, s, _ := ecdsa.Sign(rand.Reader, private, sum)
		size := (private.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case ed25519.PrivateKey:
		return ed25519.Sign(private, []byte(input))
	case *rsa.PrivateKey:
		var out []byte
		if k.alg == "PS256" {
			out, _ = rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum, &rsa.PSSOptions{SaltLength: 32})
		} else {
			out, _ = rsa.SignPKCS1v15(nil, private, crypto.SHA256, sum)
		}
		return out
	}
	return nil
}

// seal signs the exact texts of a header and a payload.
func (k *signingKey) seal(header, payload string) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(k.sign(input))
}

// token is a good token, but for the changes; nil removes a member.
func (k *signingKey) token(now time.Time, header, claims object) string {
	h := edit(object{"alg": k.alg, "kid": k.kid, "typ": "at+jwt"}, header)
	c := edit(object{
		"iss": issuerURL, "sub": "u1", "aud": audience, "client_id": "app", "jti": "t1", "token_type": "access",
		"exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(), "nbf": now.Unix(),
		"scope": "orders:read orders:list", "sid": "s1", "user_id": "u1", "groups": []string{"staff"},
	}, claims)
	return k.seal(text(h), text(c))
}

func edit(base, changes object) object {
	maps.Copy(base, changes)
	maps.DeleteFunc(base, func(_ string, v any) bool { return v == nil })
	return base
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// keyServer is an issuer's web server. It is the transport as well, so that a
// bubble's clock rules its delays.
type keyServer struct {
	mu       sync.Mutex
	issuer   string // in the metadata
	uri      string
	control  string
	keys     []any
	delay    time.Duration
	override http.HandlerFunc // of the JWKS
	missing  map[string]bool  // paths that are not there

	fetches, notModified, discoveries int
	asked                             []string
}

func newKeyServer(keys ...*signingKey) *keyServer {
	s := &keyServer{issuer: issuerURL, uri: issuerURL + "/.well-known/jwks.json", control: "max-age=300"}
	s.publish(keys...)
	return s
}

func (s *keyServer) set(alter func(s *keyServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	alter(s)
}

func (s *keyServer) publish(keys ...*signingKey) {
	s.set(func(s *keyServer) {
		s.keys = []any{}
		for _, k := range keys {
			s.keys = append(s.keys, k.jwk())
		}
	})
}

// count returns the fetches of the set since it was last called.
func (s *keyServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.fetches
	s.fetches = 0
	return n
}

func (s *keyServer) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	delay := s.delay
	s.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-req.Context().Done():
			s.set(func(s *keyServer) { s.fetches++ })
			return nil, req.Context().Err()
		}
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	res := rec.Result()
	res.Request = req
	return res, nil
}

func (s *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.String())
	switch {
	case s.missing[r.URL.Path]:
		http.NotFound(w, r)
	case r.URL.Path != "/.well-known/jwks.json":
		s.discoveries++
		fmt.Fprint(w, text(object{"issuer": s.issuer, "jwks_uri": s.uri}))
	default:
		s.fetches++
		s.serveSet(w, r)
	}
}

func (s *keyServer) serveSet(w http.ResponseWriter, r *http.Request) {
	if s.override != nil {
		s.override(w, r)
		return
	}
	body := text(object{"keys": s.keys})
	sum := sha256.Sum256([]byte(body))
	etag := `"` + b64(sum[:6]) + `"`
	w.Header().Set("ETag", etag)
	if s.control != "" {
		w.Header().Set("Cache-Control", s.control)
	}
	if r.Header.Get("If-None-Match") == etag {
		s.notModified++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	fmt.Fprint(w, body)
}

// newVerifier believes the server's keys.
func newVerifier(t testing.TB, s *keyServer) *verify.Verifier {
	v := verify.New(issuerURL, audience)
	v.Keys = &verify.Remote{Issuer: issuerURL, Transport: s}
	t.Cleanup(func() { v.Close() })
	return v
}

// static is a Verifier of fixed keys.
func static(t testing.TB, keys ...*signingKey) *verify.Verifier {
	t.Helper()
	set := []any{}
	for _, k := range keys {
		set = append(set, k.jwk())
	}
	source, err := verify.ParseStatic([]byte(text(object{"keys": set})))
	if err != nil {
		t.Fatal(err)
	}
	return &verify.Verifier{Issuer: issuerURL, Audience: audience, Keys: source}
}
