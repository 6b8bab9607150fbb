package keystore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// rfc7638 computes a thumbprint the way RFC 7638 §3 describes it: the required
// members, in the order of their names, without white space.
func rfc7638(t *testing.T, public []byte) string {
	t.Helper()
	required := map[string][]string{
		"RSA": {"e", "kty", "n"}, "EC": {"crv", "kty", "x", "y"}, "OKP": {"crv", "kty", "x"},
	}
	var key map[string]string
	if err := json.Unmarshal(public, &key); err != nil {
		t.Fatal(err)
	}
	names, ok := required[key["kty"]]
	if !ok {
		t.Fatalf("key type %q", key["kty"])
	}
	pairs := []string{}
	for _, name := range names {
		pairs = append(pairs, `"`+name+`":"`+key[name]+`"`)
	}
	sum := sha256.Sum256([]byte("{" + strings.Join(pairs, ",") + "}"))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// The example of RFC 7638 §3.1 holds the helper to its standard.
func TestThumbprintOfTheStandard(t *testing.T) {
	const public = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	if got := rfc7638(t, []byte(public)); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("thumbprint %s", got)
	}
}

func TestFirstStartMakesOneActiveKeyPerAlgorithm(t *testing.T) {
	f := newFixture(t, testPolicy(Algorithms...))
	if ring := f.store.ring(); ring.Version != 1 || len(ring.Keys) != len(Algorithms) {
		t.Fatalf("version %d with %d keys, want 1 with %d", ring.Version, len(ring.Keys), len(Algorithms))
	}
	for i, k := range f.store.ring().Keys {
		if k.Alg != Algorithms[i] {
			t.Errorf("key %d is for %s, want %s", i, k.Alg, Algorithms[i])
		}
		if want := rfc7638(t, k.Public); k.KID != want {
			t.Errorf("%s: kid %s, want %s", k.Alg, k.KID, want)
		}
		f.expectState(k.KID, Active)
		if got := f.signer(k.Alg); got != k.KID || !f.published(k.KID) {
			t.Errorf("%s: %s signs, published %v; want %s", k.Alg, got, f.published(k.KID), k.KID)
		}
	}
	if got := f.signer(""); f.info(got).Alg != Algorithms[0] {
		t.Errorf("%s signs where no algorithm is asked for, want %s", f.info(got).Alg, Algorithms[0])
	}
	f.expectAsStored()
}

func TestStoredKeysHoldNoPrivateMember(t *testing.T) {
	f := newFixture(t, testPolicy(Algorithms...))
	for _, k := range f.store.ring().Keys {
		var public map[string]any
		if err := json.Unmarshal(k.Public, &public); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if _, ok := public[name]; ok {
				t.Errorf("%s: the public half has the member %q", k.Alg, name)
			}
		}
	}
}

func TestRestartChangesNothing(t *testing.T) {
	f := newFixture(t, testPolicy())
	f.rotate(RotateRequest{Alg: "ES256"})
	before, set := f.store.bytes(), asJSON(t, f.Keys())
	f.reopen()
	if f.store.bytes() != before || asJSON(t, f.Keys()) != set {
		t.Error("a restart changed the keys")
	}
}

func TestUnknownAlgorithmOrKeySizeIsRefused(t *testing.T) {
	for name, policy := range map[string]Policy{
		"none":          testPolicy("none"),
		"HS256":         testPolicy("HS256"),
		"case":          testPolicy("es256"),
		"second":        testPolicy("ES256", "RS1"),
		"short modulus": {Algorithms: []string{"RS256"}, RSABits: 1024},
		"odd modulus":   {Algorithms: []string{"PS256"}, RSABits: 2049},
		"no modulus":    {Algorithms: []string{"RS256"}},
	} {
		t.Run(name, func(t *testing.T) {
			store := &memStore{}
			m, err := Open(t.Context(), Options{Store: store, Sealing: newSealingKey(t), Policy: &policy, Log: silent})
			if m != nil || !errors.Is(err, ErrAlgorithm) || store.text != nil {
				t.Errorf("Open = %v, %v, stored %s; want %v and nothing", m, err, store.text, ErrAlgorithm)
			}
		})
	}
}

func TestOpenReportsAStoreThatCannotBeRead(t *testing.T) {
	f := newFixture(t, testPolicy())
	f.store.noRead = true
	if m, err := Open(t.Context(), f.opts); m != nil || !errors.Is(err, errRead) {
		t.Errorf("Open = %v, %v; want %v", m, err, errRead)
	}
}

// Two processes start on one empty store: both go on with the same keys.
func TestFirstStartsOfTwoProcessesAgree(t *testing.T) {
	winner := newFixture(t, testPolicy())
	late := &memStore{}
	opts := winner.opts
	opts.Store, late.before = late, func() { late.text = winner.store.text }
	m, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := asJSON(t, m.Keys()), asJSON(t, winner.Keys()); got != want {
		t.Errorf("keys %s, want %s", got, want)
	}
}
