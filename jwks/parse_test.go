package jwks_test

import (
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"signet/jwks"
)

// What one half of the package writes, the other reads.
func TestParseReadsADocument(t *testing.T) {
	var keys []jwk.Key
	for alg := range published {
		keys = append(keys, newPrivate(t, alg, "k-"+alg))
	}
	got, leftOut, err := jwks.Parse(mustDocument(t, keys, time.Time{}).Body())
	if err != nil || len(leftOut) != 0 || len(got) != len(keys) {
		t.Fatalf("%d keys of %d, %v, %v", len(got), len(keys), leftOut, err)
	}
	for _, key := range keys {
		public, _ := key.PublicKey()
		var raw any
		if err := public.Raw(&raw); err != nil {
			t.Fatal(err)
		}
		k := got[key.KeyID()]
		if k == nil || k.Alg != key.Algorithm().String() || encoded(t, k.Public) != encoded(t, raw) {
			t.Errorf("%s: %+v", key.KeyID(), k)
		}
	}
}

func encoded(t *testing.T, raw any) string {
	t.Helper()
	text, err := json.Marshal(newJWK(t, raw, nil))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParseLeavesOut(t *testing.T) {
	entry := func(alg string) map[string]any {
		return members(t, mustDocument(t, []jwk.Key{newPrivate(t, alg, "k")}, time.Time{}))[0]
	}
	ec, rsa, ed := entry("ES256"), entry("RS256"), entry("EdDSA")
	with := func(base map[string]any, name string, value any) []any {
		changed := maps.Clone(base)
		changed[name] = value
		if value == nil {
			delete(changed, name)
		}
		return []any{changed}
	}
	n, _ := new(big.Int).SetString(strings.Repeat("F", 256), 16) // 1024 bits
	tests := []struct {
		name string
		keys []any
		want string // the one key's algorithm; empty if it is left out
	}{
		{"EC", []any{ec}, "ES256"},
		{"RSA", []any{rsa}, "RS256"},
		{"Ed25519", []any{ed}, "EdDSA"},
		{"EC without alg", with(ec, "alg", nil), "ES256"},
		{"RSA without alg", with(rsa, "alg", nil), "RS256"},
		{"RSA for PS256", with(rsa, "alg", "PS256"), "PS256"},
		{"Ed25519 without alg", with(ed, "alg", nil), "EdDSA"},
		{"without use", with(ec, "use", nil), "ES256"},
		{"key_ops verify", with(ec, "key_ops", []string{"verify", "sign"}), "ES256"},
		{"foreign member", with(ec, "x5c", []string{"AAAA"}), "ES256"},
		{"use enc", with(ec, "use", "enc"), ""},
		{"use empty", with(ec, "use", ""), ""},
		{"use a list", with(ec, "use", []string{"sig"}), ""},
		{"key_ops encrypt", with(rsa, "key_ops", []string{"encrypt"}), ""},
		{"key_ops empty", with(rsa, "key_ops", []string{}), ""},
		{"key_ops a string", with(rsa, "key_ops", "verify"), ""},
		{"alg of another type", with(ec, "alg", "RS256"), ""},
		{"alg of another curve", with(ec, "alg", "ES384"), ""},
		{"alg HS256", with(rsa, "alg", "HS256"), ""},
		{"alg none", with(rsa, "alg", "none"), ""},
		{"alg RS512", with(rsa, "alg", "RS512"), ""},
		{"alg a number", with(rsa, "alg", 5), ""},
		{"published private half", with(ec, "d", "AAAA"), ""},
		{"point not on the curve", with(ec, "x", encode(make([]byte, 32))), ""},
		{"short coordinate", with(ec, "x", encode(make([]byte, 31))), ""},
		{"long coordinate", with(ec, "y", encode(make([]byte, 33))), ""},
		{"padded coordinate", with(ec, "x", ec["x"].(string)+"="), ""},
		{"line break", with(ec, "x", ec["x"].(string)+"\n"), ""},
		{"no y", with(ec, "y", nil), ""},
		{"secp256k1", with(ec, "crv", "secp256k1"), ""},
		{"P-521", with(ec, "crv", "P-521"), ""},
		{"AKP", with(ec, "kty", "AKP"), ""},
		{"oct", []any{map[string]any{"kty": "oct", "kid": "k", "k": "AAAA"}}, ""},
		{"Ed448", with(ed, "crv", "Ed448"), ""},
		{"X25519", with(ed, "crv", "X25519"), ""},
		{"short Ed25519", with(ed, "x", encode(make([]byte, 31))), ""},
		{"1024 bits", with(rsa, "n", encode(n.Bytes())), ""},
		{"16384 bits", with(rsa, "n", encode(slices.Repeat([]byte{255}, 2048))), ""},
		{"even modulus", with(rsa, "n", encode(append(slices.Repeat([]byte{255}, 255), 254))), ""},
		{"exponent 1", with(rsa, "e", "AQ"), ""},
		{"exponent 3", with(rsa, "e", "Aw"), ""},
		{"even exponent", with(rsa, "e", encode([]byte{1, 0, 2})), ""},
		{"huge exponent", with(rsa, "e", encode([]byte{1, 0, 0, 0, 1})), ""},
		{"KTY for kty", []any{map[string]any{"KTY": "EC", "crv": "P-256", "x": ec["x"], "y": ec["y"], "kid": "k"}}, ""},
		{"kid a number", with(ec, "kid", 5), ""},
		{"kid null", []any{json.RawMessage(`{"kty":"EC","kid":null}`)}, ""},
		{"the same twice", []any{ec, ec}, ""},
		{"three with one kid", []any{ec, rsa, ed}, ""},
		{"not an object", []any{5}, ""},
		{"null", []any{nil}, ""},
		{"a list", []any{[]any{ec}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other := maps.Clone(entry("ES384"))
			other["kid"] = "other"
			body, _ := json.Marshal(map[string]any{"keys": append(tt.keys, other)})
			keys, leftOut, err := jwks.Parse(body)
			if err != nil || keys["other"] == nil || keys["other"].Alg != "ES384" {
				t.Fatalf("it spoils another key: %v, %v", keys, err)
			}
			switch key := keys["k"]; {
			case tt.want == "" && (key != nil || len(keys) != 1 || len(leftOut) == 0 || !errors.Is(errors.Join(leftOut...), jwks.ErrUnusable)):
				t.Errorf("%v, left out %v", keys, leftOut)
			case tt.want != "" && (key == nil || key.Alg != tt.want):
				t.Errorf("%+v, want %s; left out %v", key, tt.want, leftOut)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "null", "[]", "5", "{}", `{"keys":null}`, `{"keys":{}}`, `{"Keys":[]}`, `{"keys":[]}x`, `{"keys":[`} {
		if keys, _, err := jwks.Parse([]byte(text)); !errors.Is(err, jwks.ErrSet) || keys != nil {
			t.Errorf("%q: %v, %v", text, keys, err)
		}
	}
	if keys, leftOut, err := jwks.Parse([]byte(`{"keys":[],"more":1}`)); err != nil || len(keys) != 0 || len(leftOut) != 0 {
		t.Errorf("an empty set: %v, %v, %v", keys, leftOut, err)
	}
}
