package verify_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"signet/jwks"
	"signet/verify"
)

// FuzzVerify: nothing but the texts that were signed is accepted.
func FuzzVerify(f *testing.F) {
	key := newKey(f, "ES256", "k")
	v := static(f, key)
	good := map[string]bool{}
	for _, claims := range []object{nil, {"aud": []string{audience, "b"}}, {"scope": nil}} {
		token := key.token(time.Now(), nil, claims)
		good[token] = true
		f.Add(token)
	}
	f.Add("")
	f.Add("..")
	f.Add(key.token(time.Now(), object{"crit": []string{"x"}}, nil))
	f.Add(key.token(time.Now(), nil, object{"exp": "x"}))
	f.Add(unsigned("none", "{}"))
	f.Fuzz(func(t *testing.T, token string) {
		c, err := v.Verify(t.Context(), token)
		if (err == nil) != good[token] || (c == nil) != (err != nil) {
			t.Errorf("%q: %v, %v", token, c, err)
		}
	})
}

// FuzzPayload: whatever an issuer signs, reading it neither falls nor yields claims
// for others.
func FuzzPayload(f *testing.F) {
	key := newKey(f, "ES256", "k")
	v := static(f, key)
	for _, claims := range []object{nil, {"aud": 5}, {"exp": 1e300}, {"nbf": -1.5}, {"groups": object{}}, {"user_id": 1.5}} {
		payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(key.token(time.Now(), nil, claims), ".")[1])
		f.Add(`{"alg":"ES256","kid":"k","typ":"JWT"}`, string(payload))
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		c, err := v.Verify(t.Context(), key.seal(header, payload))
		if err == nil && (c.Issuer != issuerURL || c.Subject == "" || c.Expires.IsZero()) {
			t.Errorf("%q.%q: %+v", header, payload, c)
		}
	})
}

// FuzzJWKS: a set holds keys that can be used, each with its one algorithm, or none.
func FuzzJWKS(f *testing.F) {
	set := []any{object{"kty": "AKP"}, 5}
	for _, alg := range []string{"ES256", "RS256", "PS256", "ES384", "EdDSA"} {
		set = append(set, newKey(f, alg, alg).jwk())
	}
	f.Add([]byte(text(object{"keys": set})))
	f.Add([]byte(`{"keys":[]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, _, err := jwks.Parse(body)
		if err != nil && keys != nil {
			t.Fatal("keys and an error")
		}
		for kid, key := range keys {
			v := &verify.Verifier{Issuer: issuerURL, Audience: audience, Keys: verify.Static(keys)}
			header := text(object{"alg": key.Alg, "kid": kid, "typ": "JWT"})
			if _, err := v.CheckSignature(t.Context(), b64([]byte(header))+".e30."+b64(make([]byte, 64))); err == nil {
				t.Errorf("zeros are a signature of %q", kid)
			}
		}
	})
}
