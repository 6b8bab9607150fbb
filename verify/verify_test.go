package verify_test

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signet/jwks"
	"signet/verify"
)

func TestGoodTokens(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256", "PS256", "ES384", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			key := newKey(t, alg, "k")
			now := time.Now()
			c, err := static(t, key).Verify(t.Context(), key.token(now, nil, object{"tenant": object{"id": 7}}))
			if err != nil {
				t.Fatal(err)
			}
			if c.Issuer != issuerURL || c.Subject != "u1" || !slices.Equal(c.Audience, []string{audience}) ||
				c.ClientID != "app" || c.ID != "t1" || c.SessionID != "s1" || c.UserID != "u1" ||
				!slices.Equal(c.Groups, []string{"staff"}) || c.Expires.Unix() != now.Unix()+300 ||
				c.IssuedAt.Unix() != now.Unix() || c.NotBefore.Unix() != now.Unix() {
				t.Errorf("claims %+v", c)
			}
			if !c.HasScope("orders:read") || !c.HasScope("orders:list") || c.HasScope("orders") || c.HasScope("") || c.HasScope("orders:read orders:list") {
				t.Errorf("scopes of %q are wrong", c.Scope)
			}
			var tenant struct{ ID int }
			if err := c.Claim("tenant", &tenant); err != nil || tenant.ID != 7 || !c.Has("tenant") {
				t.Errorf("tenant %v, %v", tenant, err)
			}
			if err := c.Claim("none", &tenant); !errors.Is(err, verify.ErrClaim) || c.Has("none") {
				t.Errorf("a claim that is not there: %v", err)
			}
			if err := c.Claim("sub", &tenant); !errors.Is(err, verify.ErrClaim) {
				t.Errorf("a claim of another type: %v", err)
			}
		})
	}
}

// What may differ in a good token.
func TestTolerated(t *testing.T) {
	key := newKey(t, "ES256", "k")
	v := static(t, key)
	now := time.Now()
	tests := map[string]string{
		"typ JWT":             key.token(now, object{"typ": "JWT"}, nil),
		"typ jwt":             key.token(now, object{"typ": "jwt"}, nil),
		"typ AT+JWT":          key.token(now, object{"typ": "AT+JWT"}, nil),
		"full media type":     key.token(now, object{"typ": "Application/at+jwt"}, nil),
		"x5t and cty":         key.token(now, object{"x5t": "AAAA", "cty": "x", "unknown": []int{1}}, nil),
		"unused key places":   key.token(now, object{"jku": "https://evil.example", "x5u": "https://evil.example", "x5c": []string{"AAAA"}}, nil),
		"unused jwk":          key.token(now, object{"jwk": newKey(t, "ES256", "k").jwk()}, nil),
		"several audiences":   key.token(now, nil, object{"aud": []string{"billing", audience}}),
		"no nbf, scope, sid":  key.token(now, nil, object{"nbf": nil, "scope": nil, "sid": nil, "groups": nil, "user_id": nil}),
		"no token_type":       key.token(now, nil, object{"token_type": nil}),
		"JWT without jti":     key.token(now, object{"typ": "JWT"}, object{"jti": nil, "client_id": nil}),
		"fraction of seconds": key.token(now, nil, object{"exp": float64(now.Unix()) + 10.5}),
		"groups of objects":   key.token(now, nil, object{"groups": []object{{"value": "a"}}}),
		"user_id a number":    key.token(now, nil, object{"user_id": 42}),
		"expired, in leeway":  key.token(now, nil, object{"exp": now.Unix() - 28}),
		"nbf, in leeway":      key.token(now, nil, object{"nbf": now.Unix() + 28, "iat": now.Unix() + 28}),
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) { accept(t, v, token) })
	}
}

// Every attack is a good token with one thing changed, and names its error.
func TestAttacks(t *testing.T) {
	key, rsa, other := newKey(t, "ES256", "k"), newKey(t, "RS256", "rsa"), newKey(t, "ES256", "k")
	now := time.Now()
	claims := func(changes object) string { return key.token(now, nil, changes) }
	header := func(changes object) string { return key.token(now, changes, nil) }
	good := claims(nil)
	parts := strings.Split(good, ".")
	payload := text(object{"iss": issuerURL, "sub": "u1", "aud": audience, "exp": now.Unix() + 300, "iat": now.Unix()})
	typed := strings.Replace(payload, "{", `{"token_type":"access",`, 1)
	h := `{"alg":"ES256","kid":"k","typ":"JWT"}`
	der, _ := x509.MarshalPKIXPublicKey(rsa.private.Public())
	pemText := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})

	tests := []struct {
		name, token string
		want        error
	}{
		{"alg none", unsigned("none", payload), verify.ErrAlgorithm},
		{"alg None", unsigned("None", payload), verify.ErrAlgorithm},
		{"alg NONE", unsigned("NONE", payload), verify.ErrAlgorithm},
		{"alg nOnE", unsigned("nOnE", payload), verify.ErrAlgorithm},
		{"alg none with the signature", b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2], verify.ErrAlgorithm},
		{"alg empty", header(object{"alg": ""}), verify.ErrAlgorithm},
		{"alg missing", header(object{"alg": nil}), verify.ErrAlgorithm},
		{"alg es256", header(object{"alg": "es256"}), verify.ErrAlgorithm},
		{"alg ES512", header(object{"alg": "ES512"}), verify.ErrAlgorithm},
		{"alg a number", header(object{"alg": 5}), verify.ErrMalformed},
		{"alg a list", header(object{"alg": []string{"ES256"}}), verify.ErrMalformed},
		{"HMAC with the PEM", macced(pemText, "rsa", payload), verify.ErrAlgorithm},
		{"HMAC with the PEM without its newline", macced(pemText[:len(pemText)-1], "rsa", payload), verify.ErrAlgorithm},
		{"HMAC with the DER", macced(der, "rsa", payload), verify.ErrAlgorithm},
		{"HMAC with the JWK", macced([]byte(text(rsa.jwk())), "rsa", payload), verify.ErrAlgorithm},
		{"HMAC with nothing", macced(nil, "k", payload), verify.ErrAlgorithm},
		{"another alg of the list", header(object{"alg": "RS256"}), verify.ErrKeyAlgorithm},
		{"PS256 with a key for RS256", ps(rsa).token(now, nil, nil), verify.ErrKeyAlgorithm},
		{"kid of another key", header(object{"kid": "rsa"}), verify.ErrKeyAlgorithm},

		{"no signature", parts[0] + "." + parts[1] + ".", verify.ErrSignature},
		{"another key", other.token(now, nil, nil), verify.ErrSignature},
		{"half a signature", parts[0] + "." + parts[1] + "." + b64(make([]byte, 32)), verify.ErrSignature},
		{"signature of zeros", parts[0] + "." + parts[1] + "." + b64(make([]byte, 64)), verify.ErrSignature},
		{"changed payload", parts[0] + "." + b64([]byte(payload)) + "." + parts[2], verify.ErrSignature},
		{"changed header", b64([]byte(h)) + "." + parts[1] + "." + parts[2], verify.ErrSignature},
		{"jwk of the attacker", other.token(now, object{"jwk": other.jwk()}, nil), verify.ErrSignature},
		{"jku of the attacker", other.token(now, object{"jku": "https://evil.example/jwks"}, nil), verify.ErrSignature},
		{"x5u of the attacker", other.token(now, object{"x5u": "https://evil.example/x"}, nil), verify.ErrSignature},
		{"x5c of the attacker", other.token(now, object{"x5c": []string{"AAAA"}}, nil), verify.ErrSignature},
		{"jwk and a kid of its own", other.token(now, object{"jwk": other.jwk(), "kid": "mine"}, nil), verify.ErrUnknownKey},

		{"kid missing", header(object{"kid": nil}), verify.ErrUnknownKey},
		{"kid empty", header(object{"kid": ""}), verify.ErrUnknownKey},
		{"kid in another case", header(object{"kid": "K"}), verify.ErrUnknownKey},
		{"kid a path", header(object{"kid": "../../../../dev/null"}), verify.ErrUnknownKey},
		{"kid SQL", header(object{"kid": "' UNION SELECT 'k"}), verify.ErrUnknownKey},
		{"kid a command", header(object{"kid": "|sleep 5"}), verify.ErrUnknownKey},
		{"kid a URL", header(object{"kid": "https://evil.example/k"}), verify.ErrUnknownKey},
		{"kid with NUL", header(object{"kid": "k\x00"}), verify.ErrUnknownKey},
		{"kid very long", header(object{"kid": strings.Repeat("k", 8000)}), verify.ErrUnknownKey},
		{"kid an object", header(object{"kid": object{}}), verify.ErrMalformed},
		{"kid a number", header(object{"kid": 0}), verify.ErrMalformed},
		{"kid null", key.seal(`{"alg":"ES256","kid":null,"typ":"JWT"}`, payload), verify.ErrMalformed},

		{"crit", header(object{"crit": []string{"exp"}}), verify.ErrHeader},
		{"crit empty", header(object{"crit": []string{}}), verify.ErrHeader},
		{"crit null", key.seal(`{"alg":"ES256","kid":"k","typ":"JWT","crit":null}`, payload), verify.ErrHeader},
		{"b64 false", header(object{"b64": false, "crit": []string{"b64"}}), verify.ErrHeader},
		{"b64 true", header(object{"b64": true}), verify.ErrHeader},
		{"duplicate alg", key.seal(`{"alg":"none","alg":"ES256","kid":"k","typ":"JWT"}`, payload), verify.ErrMalformed},
		{"duplicate with an escape", key.seal(`{"alg":"ES256","kid":"k","typ":"JWT","\u0061lg":"none"}`, payload), verify.ErrMalformed},
		{"header in another case", key.seal(`{"ALG":"ES256","kid":"k","typ":"JWT"}`, payload), verify.ErrAlgorithm},
		{"header not UTF-8", key.seal("{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"JWT\",\"x\":\"\xff\"}", payload), verify.ErrMalformed},
		{"header with bytes behind", key.seal(h+"{}", payload), verify.ErrMalformed},
		{"header a list", key.seal(`["ES256"]`, payload), verify.ErrMalformed},
		{"header null", key.seal(`null`, payload), verify.ErrMalformed},
		{"header deep", key.seal(`{"alg":"ES256","kid":"k","typ":"JWT","x":`+strings.Repeat("[", 99)+strings.Repeat("]", 99)+"}", payload), verify.ErrMalformed},

		{"refresh token", header(object{"typ": "rt+jwt"}), verify.ErrWrongType},
		{"identity token", key.token(now, object{"typ": "JWT"}, object{"token_type": nil, "client_id": nil, "jti": nil,
			"nonce": "n", "at_hash": "h", "azp": audience}), verify.ErrWrongType},
		{"refresh token, full media type", header(object{"typ": "application/RT+JWT"}), verify.ErrWrongType},
		{"refresh by its claim", claims(object{"token_type": "refresh"}), verify.ErrWrongType},
		{"token_type Access", claims(object{"token_type": "Access"}), verify.ErrWrongType},
		{"token_type null", key.seal(h, strings.Replace(payload, "{", `{"token_type":null,`, 1)), verify.ErrWrongType},
		{"token_type a list", claims(object{"token_type": []string{"access"}}), verify.ErrWrongType},
		{"typ missing", header(object{"typ": nil}), verify.ErrWrongType},
		{"typ of a DPoP proof", header(object{"typ": "dpop+jwt"}), verify.ErrWrongType},
		{"typ of a logout token", header(object{"typ": "logout+jwt"}), verify.ErrWrongType},
		{"typ of introspection", header(object{"typ": "token-introspection+jwt"}), verify.ErrWrongType},
		{"typ twice application", header(object{"typ": "application/application/jwt"}), verify.ErrWrongType},
		{"typ a number", header(object{"typ": 1}), verify.ErrMalformed},

		{"another issuer", claims(object{"iss": "https://evil.example"}), verify.ErrIssuer},
		{"issuer with a slash", claims(object{"iss": issuerURL + "/"}), verify.ErrIssuer},
		{"issuer a list", claims(object{"iss": []string{issuerURL}}), verify.ErrClaim},
		{"another audience", claims(object{"aud": "billing"}), verify.ErrAudience},
		{"the issuer as audience", claims(object{"aud": issuerURL}), verify.ErrAudience},
		{"a longer audience", claims(object{"aud": audience + "s"}), verify.ErrAudience},
		{"other audiences", claims(object{"aud": []string{"a", "b"}}), verify.ErrAudience},
		{"audiences in one string", claims(object{"aud": "orders billing"}), verify.ErrAudience},
		{"no audience in the list", claims(object{"aud": []string{}}), verify.ErrAudience},
		{"aud a number", claims(object{"aud": 5}), verify.ErrClaim},
		{"aud an object", claims(object{"aud": object{audience: true}}), verify.ErrClaim},
		{"aud with a number", claims(object{"aud": []any{audience, 5}}), verify.ErrClaim},
		{"aud with null", claims(object{"aud": []any{audience, nil}}), verify.ErrClaim},
		{"aud in a list in a list", claims(object{"aud": []any{[]string{audience}}}), verify.ErrClaim},

		{"expired", claims(object{"exp": now.Unix() - 31}), verify.ErrExpired},
		{"expired long ago", claims(object{"exp": 0}), verify.ErrExpired},
		{"exp a string", claims(object{"exp": fmt.Sprint(now.Unix() + 300)}), verify.ErrClaim},
		{"exp too large", claims(object{"exp": 1e300}), verify.ErrClaim},
		{"exp beyond numbers", key.seal(h, strings.Replace(payload, `"exp":`, `"exp":1e999, "x":`, 1)), verify.ErrClaim},
		{"exp negative", claims(object{"exp": -1}), verify.ErrClaim},
		{"exp true", claims(object{"exp": true}), verify.ErrClaim},
		{"nbf in the future", claims(object{"nbf": now.Unix() + 40}), verify.ErrNotYetValid},
		{"nbf a string", claims(object{"nbf": "0"}), verify.ErrClaim},
		{"iat in the future", claims(object{"iat": now.Unix() + 40}), verify.ErrNotYetValid},
		{"expired and for others", claims(object{"exp": 5, "iss": "x"}), verify.ErrIssuer},
		{"expired and badly signed", other.token(now, nil, object{"exp": 5}), verify.ErrSignature},

		{"no iss", claims(object{"iss": nil}), verify.ErrClaim},
		{"no sub", claims(object{"sub": nil}), verify.ErrClaim},
		{"no aud", claims(object{"aud": nil}), verify.ErrClaim},
		{"no exp", claims(object{"exp": nil}), verify.ErrClaim},
		{"no iat", claims(object{"iat": nil}), verify.ErrClaim},
		{"no jti in at+jwt", claims(object{"jti": nil}), verify.ErrClaim},
		{"no client_id in at+jwt", claims(object{"client_id": nil}), verify.ErrClaim},
		{"sub empty", claims(object{"sub": ""}), verify.ErrClaim},
		{"sub a number", claims(object{"sub": 5}), verify.ErrClaim},
		{"scope a list", claims(object{"scope": []string{"orders:read"}}), verify.ErrClaim},
		{"sid an object", claims(object{"sid": object{}}), verify.ErrClaim},
		{"exp null", key.seal(h, strings.Replace(typed, `"exp":`, `"exp":null, "x":`, 1)), verify.ErrClaim},
		{"EXP for exp", key.seal(h, strings.Replace(typed, `"exp":`, `"EXP":`, 1)), verify.ErrClaim},
		{"duplicate aud", key.seal(h, strings.Replace(payload, "{", `{"aud":"billing",`, 1)), verify.ErrMalformed},
		{"duplicate deep down", key.seal(h, strings.Replace(payload, "{", `{"x":[{"a":1,"a":2}],`, 1)), verify.ErrMalformed},
		{"payload with bytes behind", key.seal(h, payload+"x"), verify.ErrMalformed},
		{"payload a list", key.seal(h, "["+payload+"]"), verify.ErrMalformed},
		{"payload empty", key.seal(h, ""), verify.ErrMalformed},
		{"a token in a token", key.seal(h, good), verify.ErrMalformed},

		{"nothing", "", verify.ErrMalformed},
		{"two parts", parts[0] + "." + parts[1], verify.ErrMalformed},
		{"four parts", good + ".", verify.ErrMalformed},
		{"five parts", strings.Repeat("AAAA.", 4) + "AAAA", verify.ErrMalformed},
		{"JSON serialisation", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, verify.ErrMalformed},
		{"padding", good + "==", verify.ErrMalformed},
		{"line break behind", good + "\n", verify.ErrMalformed},
		{"line break inside", good[:len(good)-3] + "\n" + good[len(good)-3:], verify.ErrMalformed},
		{"space before", " " + good, verify.ErrMalformed},
		{"standard alphabet", parts[0] + "." + parts[1] + "." + parts[2][:85] + "+", verify.ErrMalformed},
		{"stray bits", good[:len(good)-1] + stray(good), verify.ErrMalformed},
		{"1 MiB of dots", strings.Repeat(".", 1<<20), verify.ErrTooLong},
		{"1 MiB of claims", claims(object{"x": strings.Repeat("x", 1<<20)}), verify.ErrTooLong},
		{"a good one, too long", claims(object{"x": strings.Repeat("x", 16<<10)}), verify.ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := static(t, key, rsa)
			accept(t, v, good)
			refuse(t, v, tt.token, tt.want)
			refuse(t, v, tt.token, tt.want) // also when it is seen again
			accept(t, v, good)
		})
	}
}

func unsigned(alg, payload string) string {
	return b64([]byte(text(object{"alg": alg, "kid": "k", "typ": "JWT"}))) + "." + b64([]byte(payload)) + "."
}

func macced(secret []byte, kid, payload string) string {
	input := b64([]byte(text(object{"alg": "HS256", "kid": kid, "typ": "JWT"}))) + "." + b64([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

func ps(k *signingKey) *signingKey { return &signingKey{k.kid, "PS256", k.private} }

// stray is another last character that decodes to the same bytes.
func stray(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, token[len(token)-1])|1])
}

// No character of a token can be changed, removed or doubled.
func TestEveryChangeOfTextIsRefused(t *testing.T) {
	key := newKey(t, "ES256", "k")
	v := static(t, key)
	good := key.token(time.Now(), nil, nil)
	accept(t, v, good)
	for i := range good {
		for _, changed := range []string{good[:i] + "A" + good[i+1:], good[:i] + "z" + good[i+1:], good[:i] + good[i+1:], good[:i] + good[i:i+1] + good[i:]} {
			if changed == good {
				continue
			}
			if _, err := v.Verify(t.Context(), changed); err == nil {
				t.Fatalf("accepted with a change at %d", i)
			}
		}
	}
}

func TestZeroVerifierRefusesEverything(t *testing.T) {
	key := newKey(t, "ES256", "k")
	good := key.token(time.Now(), nil, nil)
	keys := static(t, key).Keys
	for name, v := range map[string]*verify.Verifier{
		"nil": nil, "zero": {}, "no issuer": {Audience: audience, Keys: keys}, "no audience": {Issuer: issuerURL, Keys: keys},
		"no keys": {Issuer: issuerURL, Audience: audience}, "new of nothing": verify.New("", ""),
		"HMAC":  {Issuer: issuerURL, Audience: audience, Keys: keys, Algorithms: []string{"ES256", "HS256"}},
		"none":  {Issuer: issuerURL, Audience: audience, Keys: keys, Algorithms: []string{"none"}},
		"empty": {Issuer: issuerURL, Audience: audience, Keys: keys, Algorithms: []string{""}},
	} {
		t.Run(name, func(t *testing.T) { refuse(t, v, good, verify.ErrConfig) })
	}
	zero := &verify.Verifier{Issuer: issuerURL, Audience: audience, Keys: &verify.Remote{}}
	refuse(t, zero, good, verify.ErrKeysUnavailable)
}

func TestSettings(t *testing.T) {
	key := newKey(t, "ES256", "k")
	now := time.Now()
	with := func(alter func(*verify.Verifier)) *verify.Verifier {
		v := static(t, key)
		v.Now = func() time.Time { return now }
		alter(v)
		return v
	}
	at := now.Truncate(time.Second)
	tests := []struct {
		name  string
		v     *verify.Verifier
		token string
		want  error
	}{
		{"narrowed algorithms", with(func(v *verify.Verifier) { v.Algorithms = []string{"RS256"} }), key.token(now, nil, nil), verify.ErrAlgorithm},
		{"no algorithm", with(func(v *verify.Verifier) { v.Algorithms = []string{} }), key.token(now, nil, nil), verify.ErrAlgorithm},
		{"one algorithm", with(func(v *verify.Verifier) { v.Algorithms = []string{"ES256"} }), key.token(now, nil, nil), nil},
		{"only at+jwt", with(func(v *verify.Verifier) { v.Types = []string{"at+jwt"} }), key.token(now, object{"typ": "JWT"}, nil), verify.ErrWrongType},
		{"another type", with(func(v *verify.Verifier) { v.Types = []string{"application/X+jwt"} }), key.token(now, object{"typ": "x+JWT"}, nil), nil},
		{"refresh is never a type", with(func(v *verify.Verifier) { v.Types = []string{"rt+jwt"} }), key.token(now, object{"typ": "rt+jwt"}, nil), verify.ErrWrongType},
		{"without typ", with(func(v *verify.Verifier) { v.Types = []string{""} }), key.token(now, object{"typ": nil}, nil), nil},
		{"no leeway", with(func(v *verify.Verifier) { v.Leeway = -1 }), key.token(at, nil, object{"exp": at.Unix()}), verify.ErrExpired},
		{"a minute of leeway", with(func(v *verify.Verifier) { v.Leeway = time.Minute }), key.token(at, nil, object{"exp": at.Unix() - 50}), nil},
		{"fewer bytes", with(func(v *verify.Verifier) { v.MaxBytes = 100 }), key.token(now, nil, nil), verify.ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tt.v.Verify(t.Context(), tt.token); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// source counts the looks at a key, and lets a test change it.
type source struct {
	key  atomic.Pointer[verify.Key]
	fail atomic.Pointer[error]
}

func (s *source) Key(context.Context, string) (*verify.Key, error) {
	if err := s.fail.Load(); err != nil {
		return nil, *err
	}
	return s.key.Load(), nil
}

func remembering(t *testing.T, size int) (*verify.Verifier, *source, *signingKey, *time.Time) {
	key := newKey(t, "ES256", "k")
	s := new(source)
	s.key.Store(&verify.Key{Alg: "ES256", Public: key.private.Public()})
	now := time.Now()
	v := &verify.Verifier{Issuer: issuerURL, Audience: audience, Keys: s, CacheSize: size, Now: func() time.Time { return now }}
	return v, s, key, &now
}

// A token that was seen is still held against the clock and the keys.
func TestRememberedTokenEnds(t *testing.T) {
	v, s, key, now := remembering(t, 0)
	token := key.token(*now, nil, nil)
	accept(t, v, token)
	*now = now.Add(5*time.Minute + 29*time.Second)
	accept(t, v, token)
	*now = now.Add(2 * time.Second)
	refuse(t, v, token, verify.ErrExpired)
	refuse(t, v, token, verify.ErrExpired)

	token = key.token(*now, nil, nil)
	accept(t, v, token)
	s.key.Store(&verify.Key{Alg: "ES256", Public: newKey(t, "ES256", "k").private.Public()})
	refuse(t, v, token, verify.ErrSignature)
	s.key.Store(&verify.Key{Alg: "ES256", Public: key.private.Public()}) // the same, published anew
	accept(t, v, token)
	for _, want := range []error{verify.ErrUnknownKey, verify.ErrKeysUnavailable} {
		s.fail.Store(&want)
		refuse(t, v, token, want)
	}
	s.fail.Store(nil)
	accept(t, v, token)
	*now = now.Add(-10 * time.Minute)
	refuse(t, v, token, verify.ErrNotYetValid)
}

// Only a look into the map shows that the signature was not verified again: the
// key behind the pointer is exchanged.
func TestSignatureIsCheckedOnce(t *testing.T) {
	for size, again := range map[int]error{0: nil, 16: nil, -1: verify.ErrSignature} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			v, s, key, now := remembering(t, size)
			token := key.token(*now, nil, nil)
			accept(t, v, token)
			s.key.Load().Public = newKey(t, "ES256", "k").private.Public()
			if _, err := v.Verify(t.Context(), token); !errors.Is(err, again) {
				t.Errorf("seen again: %v, want %v", err, again)
			}
		})
	}
}

func TestCacheIsBounded(t *testing.T) {
	v, s, key, now := remembering(t, 32)
	tokens := []string{}
	for i := range 200 {
		tokens = append(tokens, key.token(*now, nil, object{"jti": fmt.Sprint(i)}))
		accept(t, v, tokens[i])
	}
	s.key.Load().Public = newKey(t, "ES256", "k").private.Public()
	held := 0
	for _, token := range tokens {
		if _, err := v.Verify(t.Context(), token); err == nil {
			held++
		}
	}
	if held == 0 || held > 32 {
		t.Errorf("%d tokens are remembered, want 1 to 32", held)
	}
}

// A token that is too long to be remembered is verified each time.
func TestLongTokensAreNotRemembered(t *testing.T) {
	v, s, key, now := remembering(t, 0)
	long := key.token(*now, nil, object{"x": strings.Repeat("x", 4096)})
	accept(t, v, long)
	refuse(t, v, long[:len(long)-86]+b64(make([]byte, 64)), verify.ErrSignature)
	s.key.Load().Public = newKey(t, "ES256", "k").private.Public()
	refuse(t, v, long, verify.ErrSignature)
}

func TestClaimsAreTheCallersOwn(t *testing.T) {
	key := newKey(t, "ES256", "k")
	v := static(t, key)
	token := key.token(time.Now(), nil, object{"raw": object{"a": 1}})
	for range 3 {
		c, err := v.Verify(t.Context(), token)
		if err != nil || c.Subject != "u1" || c.Audience[0] != audience || c.Groups[0] != "staff" {
			t.Fatalf("%+v, %v", c, err)
		}
		var raw json.RawMessage
		if err := c.Claim("raw", &raw); err != nil || string(raw) != `{"a":1}` {
			t.Fatalf("raw %s, %v", raw, err)
		}
		raw[1] = 'X'
		c.Subject, c.Audience[0], c.Groups[0], c.Scope = "root", "x", "admin", "everything"
	}
}

// A key source that is wrong about a key makes nothing pass, and nothing fall.
func TestStrangeKeys(t *testing.T) {
	es, rs, ed := newKey(t, "ES256", "k"), newKey(t, "RS256", "k"), newKey(t, "EdDSA", "k")
	e384 := newKey(t, "ES384", "k")
	for alg, publics := range map[string][]crypto.PublicKey{
		"ES256": {nil, rs.private.Public(), ed.private.Public(), e384.private.Public(), "text", []byte("secret"), es.private},
		"RS256": {nil, es.private.Public(), ed.private.Public()},
		"EdDSA": {es.private.Public(), rs.private.Public(), nil},
	} {
		signer := map[string]*signingKey{"ES256": es, "RS256": rs, "EdDSA": ed}[alg]
		for _, public := range publics {
			v := &verify.Verifier{Issuer: issuerURL, Audience: audience, Keys: verify.Static{"k": {Alg: alg, Public: public}}}
			refuse(t, v, signer.token(time.Now(), nil, nil), verify.ErrSignature)
		}
	}
	if _, err := verify.ParseStatic([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`)); !errors.Is(err, jwks.ErrSet) {
		t.Errorf("a set without usable keys: %v", err)
	}
}

// 16 goroutines verify while the keys rotate: each good token is accepted, each
// bad one is refused.
func TestRotationUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		keys := []*signingKey{newKey(t, "ES256", "k0"), newKey(t, "ES256", "k1")}
		s := newKeyServer(keys...)
		v := newVerifier(t, s)
		var current atomic.Pointer[signingKey]
		current.Store(keys[0])
		thief := newKey(t, "ES256", "")
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var verified atomic.Int64
		for range 16 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					k := current.Load()
					if _, err := v.Verify(ctx, fresh(k)); err != nil && ctx.Err() == nil {
						t.Errorf("a good token was refused: %v", err)
					}
					bad := thief.token(time.Now(), object{"kid": k.kid}, nil)
					if _, err := v.Verify(ctx, bad); !errors.Is(err, verify.ErrSignature) && ctx.Err() == nil {
						t.Errorf("a bad token: %v", err)
					}
					verified.Add(1)
					time.Sleep(17 * time.Second)
				}
			})
		}
		for i := range 20 { // the next key signs at once, without having been published before
			time.Sleep(97 * time.Second)
			next := newKey(t, "ES256", fmt.Sprint("next", i))
			s.publish(current.Load(), next)
			current.Store(next)
		}
		stop()
		wg.Wait()
		if n := verified.Load(); n < 16*100 {
			t.Errorf("only %d rounds", n)
		}
	})
}
