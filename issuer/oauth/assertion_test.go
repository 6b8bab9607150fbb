package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

const assertionIssuer = "https://login.example.test"

// assertionStore has one client and remembers assertions.
type assertionStore struct {
	Store
	client Client
	mu     sync.Mutex
	used   map[string]bool
	fault  error
}

func (s *assertionStore) Client(_ context.Context, id string) (Client, error) {
	if id != s.client.ID {
		return Client{}, ErrNoClient
	}
	return s.client, nil
}

func (s *assertionStore) UseAssertion(_ context.Context, client, jti string, expires time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := client + " " + jti + " " + expires.String()
	switch {
	case s.fault != nil:
		return s.fault
	case s.used[key]:
		return ErrReplayed
	}
	s.used[key] = true
	return nil
}

// signer makes assertions of the client billing.
type signer struct {
	t       testing.TB
	private *ecdsa.PrivateKey
	clients *Clients
	store   *assertionStore
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseClientKeys(publicJWK(t, private.Public(), nil))
	if err != nil {
		t.Fatal(err)
	}
	store := &assertionStore{client: Client{ID: "billing", Keys: keys}, used: map[string]bool{}}
	return &signer{t, private, NewClients(store, "first-party", func() time.Time { return exchangeNow }), store}
}

func publicJWK(t testing.TB, public any, members map[string]any) []byte {
	t.Helper()
	key, err := jwk.FromRaw(public)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		if err := key.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func goodClaims() map[string]any {
	return map[string]any{
		"iss": "billing", "sub": "billing", "aud": assertionIssuer, "jti": "one",
		"exp": exchangeNow.Add(time.Minute).Unix(), "iat": exchangeNow.Unix(),
	}
}

// sign signs the claims, altered, under a header.
func (s *signer) sign(alter map[string]any, header string) string {
	s.t.Helper()
	claims := goodClaims()
	maps.Copy(claims, alter)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.signRaw(string(payload), header)
}

func (s *signer) signRaw(payload, header string) string {
	s.t.Helper()
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	es256, err := jws.NewSigner(jwa.ES256)
	if err != nil {
		s.t.Fatal(err)
	}
	signature, err := es256.Sign([]byte(input), s.private)
	if err != nil {
		s.t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (s *signer) authenticate(assertion, id string) (Client, error) {
	return s.clients.Authenticate(s.t.Context(), Credentials{ID: id, Assertion: assertion, Issuer: assertionIssuer})
}

func (s *signer) refuses(what, assertion, id string) {
	s.t.Helper()
	_, err := s.authenticate(assertion, id)
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != InvalidClient {
		s.t.Errorf("%s: error = %v, want %s", what, err, InvalidClient)
	}
	if len(s.store.used) != 0 {
		s.t.Errorf("%s: a refused assertion was remembered", what)
	}
}

const es256 = `{"alg":"ES256"}`

func TestAssertionIsTakenOnce(t *testing.T) {
	s := newSigner(t)
	assertion := s.sign(nil, es256)
	if c, err := s.authenticate(assertion, ""); err != nil || c.ID != "billing" {
		t.Fatalf("client %q: %v", c.ID, err)
	}
	_, err := s.authenticate(assertion, "billing")
	if !errors.Is(err, ErrReplayed) {
		t.Errorf("the same again: %v, want %v", err, ErrReplayed)
	}
	for _, header := range []string{`{"alg":"ES256","typ":"JWT"}`, `{"alg":"ES256","typ":"client-authentication+jwt"}`} {
		if _, err := s.authenticate(s.sign(map[string]any{"jti": header}, header), ""); err != nil {
			t.Errorf("%s: %v", header, err)
		}
	}
}

func TestAssertionsThatAreRefused(t *testing.T) {
	s := newSigner(t)
	for what, alter := range map[string]map[string]any{
		"another issuer":              {"iss": "orders"},
		"another subject":             {"iss": "orders", "sub": "orders"},
		"subject of a user":           {"sub": "MJ6CX3DE4ROHB6R5UPYW3KMXWO"},
		"another audience":            {"aud": "https://other.example.test"},
		"the token endpoint":          {"aud": assertionIssuer + "/oauth2/token"},
		"a list of one audience":      {"aud": []string{assertionIssuer}},
		"two audiences":               {"aud": []string{assertionIssuer, "https://other.example.test"}},
		"no audience":                 {"aud": nil},
		"no jti":                      {"jti": nil},
		"an empty jti":                {"jti": ""},
		"a long jti":                  {"jti": strings.Repeat("x", 256)},
		"a jti that is a number":      {"jti": 1},
		"no exp":                      {"exp": nil},
		"exp as a string":             {"exp": "1"},
		"expired":                     {"exp": exchangeNow.Add(-31 * time.Second).Unix()},
		"a long life":                 {"exp": exchangeNow.Add(time.Hour).Unix()},
		"a huge exp":                  {"exp": 1e300},
		"nbf out of range":            {"nbf": int64(9223372036854775807)},
		"exp out of range":            {"exp": int64(253402300800)},
		"not valid yet":               {"nbf": exchangeNow.Add(time.Minute).Unix()},
		"nbf as a string":             {"nbf": "0"},
		"no issuer":                   {"iss": nil},
		"no subject":                  {"sub": nil},
		"a subject that does not fit": {"sub": "billing\x00"},
	} {
		s.refuses(what, s.sign(alter, es256), "")
	}
	s.refuses("another client_id", s.sign(nil, es256), "orders")
	for _, header := range []string{
		`{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"RS256"}`, `{"alg":"ES384"}`, `{"alg":"es256"}`, `{}`,
		`{"alg":"ES256","kid":"unknown"}`, `{"alg":"ES256","typ":"at+jwt"}`, `{"alg":"ES256","typ":"rt+jwt"}`,
		`{"alg":"ES256","jwk":{}}`, `{"alg":"ES256","jku":"https://evil.example.test"}`, `{"alg":"ES256","crit":["x"]}`,
		`{"alg":"ES256","alg":"ES256"}`,
	} {
		s.refuses(header, s.sign(nil, header), "")
	}
	good := s.sign(nil, es256)
	parts := strings.Split(good, ".")
	stranger := newSigner(t)
	for what, assertion := range map[string]string{
		"the signature of another":  stranger.sign(nil, es256),
		"no signature":              parts[0] + "." + parts[1] + ".",
		"two parts":                 parts[0] + "." + parts[1],
		"trailing bytes":            good + "x",
		"a line break":              good + "\n",
		"claims that are no object": s.signRaw(`[]`, es256),
		"a claim that is there twice": s.signRaw(`{"iss":"billing","sub":"billing","aud":"`+assertionIssuer+
			`","jti":"x","exp":9999999999,"exp":1}`, es256),
		"claims in other case": s.signRaw(`{"ISS":"billing","SUB":"billing","AUD":"`+assertionIssuer+`","JTI":"x","EXP":1}`, es256),
		"a megabyte":           strings.Repeat("a", 1<<20),
		"garbage":              "garbage",
	} {
		s.refuses(what, assertion, "")
	}
	if _, err := s.authenticate(good, "billing"); err != nil {
		t.Errorf("the good one after all of them: %v", err)
	}
}

func TestClientWithASecretTakesNoAssertion(t *testing.T) {
	s := newSigner(t)
	s.store.client.Keys = nil
	s.refuses("a client without keys", s.sign(nil, es256), "")
}

func TestClientWithKeysTakesNoSecret(t *testing.T) {
	s := newSigner(t)
	for _, secret := range []string{"", "x"} {
		_, err := s.clients.Authenticate(t.Context(), Credentials{ID: "billing", Secret: secret, Issuer: assertionIssuer})
		var refused *Error
		if !errors.As(err, &refused) || refused.Code != InvalidClient {
			t.Errorf("secret %q: error = %v, want %s", secret, err, InvalidClient)
		}
	}
}

func TestStorageFailureIsNoRefusalOfTheClient(t *testing.T) {
	s := newSigner(t)
	s.store.fault = errors.New("the disk is gone")
	_, err := s.authenticate(s.sign(nil, es256), "")
	var refused *Error
	if !errors.Is(err, s.store.fault) || errors.As(err, &refused) {
		t.Errorf("error = %v, want %v and no refusal", err, s.store.fault)
	}
}

func TestAssertionInParallelIsTakenOnce(t *testing.T) {
	s := newSigner(t)
	assertion := s.sign(nil, es256)
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.authenticate(assertion, "") })
	}
	wg.Wait()
	taken := 0
	for _, err := range errs {
		switch {
		case err == nil:
			taken++
		case !errors.Is(err, ErrReplayed):
			t.Errorf("%v, want %v", err, ErrReplayed)
		}
	}
	if taken != 1 {
		t.Errorf("taken %d times", taken)
	}
}

func TestClientKeys(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weakModulus := *strong
	weakModulus.PublicKey.E = 3
	private, err := json.Marshal(must(jwk.FromRaw(ec)))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := jwk.Pem(must(jwk.FromRaw(ec.Public())))
	if err != nil {
		t.Fatal(err)
	}
	good := publicJWK(t, ec.Public(), nil)
	for what, text := range map[string][]byte{
		"a JWK": good, "a set": []byte(`{"keys":[` + string(good) + `]}`), "PEM": pem,
		"RSA": publicJWK(t, strong.Public(), nil), "RSA for PS256": publicJWK(t, strong.Public(), map[string]any{"alg": "PS256"}),
	} {
		keys, err := ParseClientKeys(text)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		set, err := jwk.Parse(keys)
		if err != nil || set.Len() != 1 {
			t.Fatalf("%s: %v", what, err)
		}
		if key, _ := set.Key(0); key.KeyID() == "" || key.Algorithm().String() == "" {
			t.Errorf("%s: kid %q, alg %q", what, key.KeyID(), key.Algorithm())
		}
	}
	for what, text := range map[string][]byte{
		"nothing": nil, "text": []byte("text"), "no keys": []byte(`{"keys":[]}`), "private": private,
		"symmetric":                      []byte(`{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}`),
		"another curve":                  publicJWK(t, p521.Public(), nil),
		"small exponent":                 publicJWK(t, &weakModulus.PublicKey, nil),
		"for encryption":                 publicJWK(t, ec.Public(), map[string]any{"use": "enc"}),
		"alg of another":                 publicJWK(t, ec.Public(), map[string]any{"alg": "RS256"}),
		"alg none":                       publicJWK(t, ec.Public(), map[string]any{"alg": "none"}),
		"a short Ed25519 key":            []byte(`{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`),
		"a point off its curve":          []byte(`{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`),
		"an RSA key that costs too much": []byte(`{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("_", 12000) + `"}`),
		"an escape in a kid":             publicJWK(t, ec.Public(), map[string]any{"kid": "\x1b[31m"}),
		"the same twice":                 []byte(`{"keys":[` + string(good) + `,` + string(good) + `]}`),
		"five":                           []byte(`{"keys":[` + strings.Repeat(string(good)+",", 4) + string(good) + `]}`),
		"longer than all":                []byte(strings.Repeat(" ", maxClientKeyBytes+1)),
	} {
		if keys, err := ParseClientKeys(text); !errors.Is(err, ErrRegistration) {
			t.Errorf("%s: %s, %v, want %v", what, keys, err, ErrRegistration)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// FuzzAssertion: arbitrary text is refused as the client's fault, and never taken.
func FuzzAssertion(f *testing.F) {
	for _, seed := range []string{"", "a.b.c", "e30.e30.", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"} {
		f.Add(seed)
	}
	store := &assertionStore{client: Client{ID: "billing", Keys: []byte(`{"keys":[]}`)}, used: map[string]bool{}}
	clients := NewClients(store, "first-party", nil)
	f.Fuzz(func(t *testing.T, text string) {
		_, err := clients.Authenticate(t.Context(), Credentials{ID: "billing", Assertion: text, Issuer: assertionIssuer})
		var refused *Error
		if !errors.As(err, &refused) || refused.Code != InvalidClient {
			t.Fatalf("error = %v", err)
		}
	})
}

// FuzzSignedAssertion: whatever the client itself signs, it is taken only if it says by
// another reading of JSON what it must (RFC 7523 §3).
func FuzzSignedAssertion(f *testing.F) {
	s := newSigner(f)
	good, err := json.Marshal(goodClaims())
	if err != nil {
		f.Fatal(err)
	}
	for _, header := range []string{es256, `{"alg":"ES256","typ":"JWT"}`, `{"alg":"none"}`, `{"alg":"ES256","kid":""}`, `{"alg":"ES256","typ":"at+jwt"}`, `{}`} {
		f.Add(header, string(good))
	}
	for _, payload := range []string{
		`{"iss":"billing","sub":"billing","aud":"` + assertionIssuer + `","jti":"x","exp":1772366460,"exp":1}`,
		`{"iss":"billing","sub":"billing","aud":["` + assertionIssuer + `"],"jti":"x","exp":1772366460}`,
		`{"iss":"billing","sub":"billing","aud":"` + assertionIssuer + `","jti":"\u0000","exp":1772366460,"nbf":0}`,
		`{"iss":"billing","sub":"billing","aud":"` + assertionIssuer + `","jti":"x","exp":1.77236646e9}`, `{}`, `[]`, `null`,
	} {
		f.Add(es256, payload)
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		s.t = t
		clear(s.store.used) // or a second run of one input is a replay
		c, err := s.authenticate(s.signRaw(payload, header), "")
		var refused *Error
		if errors.As(err, &refused) && refused.Code == InvalidClient && len(s.store.used) == 0 {
			return
		}
		var claims struct {
			Issuer, Subject, Audience, ID string
			Expires, NotBefore            int64
		}
		read := map[string]any{"iss": &claims.Issuer, "sub": &claims.Subject, "aud": &claims.Audience, "jti": &claims.ID, "exp": &claims.Expires, "nbf": &claims.NotBefore}
		members := map[string]json.RawMessage{}
		if json.Unmarshal([]byte(payload), &members) != nil {
			t.Fatalf("%q under %q was taken: %v", payload, header, err)
		}
		for name, into := range read {
			if value, ok := members[name]; ok && json.Unmarshal(value, into) != nil {
				t.Fatalf("%q under %q was taken, and its %s is of another type", payload, header, name)
			}
		}
		now := exchangeNow.Unix()
		if err != nil || c.ID != "billing" || claims.Issuer != "billing" || claims.Subject != "billing" || claims.Audience != assertionIssuer ||
			claims.ID == "" || claims.Expires <= now-30 || claims.Expires > now+630 || claims.NotBefore > now+30 {
			t.Fatalf("%q under %q was taken as %q: %v", payload, header, c.ID, err)
		}
	})
}
