package jwks_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"signet/jwks"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newPrivate makes a private JWK with a kid and everything else that a key may
// carry and that nobody outside has to see.
func newPrivate(t testing.TB, alg, kid string) jwk.Key {
	t.Helper()
	var raw any
	var err error
	switch alg {
	case "RS256", "PS256":
		raw, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		raw, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		raw, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "EdDSA":
		_, raw, err = ed25519.GenerateKey(rand.Reader)
	default:
		raw = []byte("a secret of thirty-two bytes, yes")
	}
	if err != nil {
		t.Fatal(err)
	}
	return newJWK(t, raw, map[string]any{
		jwk.KeyIDKey: kid, jwk.AlgorithmKey: alg, jwk.KeyOpsKey: "sign",
		jwk.X509URLKey: "https://example.org/chain.pem", "note": "for our eyes",
	})
}

func newJWK(t testing.TB, raw any, members map[string]any) jwk.Key {
	t.Helper()
	key, err := jwk.FromRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		if err := key.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

func mustDocument(t testing.TB, keys []jwk.Key, change time.Time) *jwks.Document {
	t.Helper()
	doc, err := jwks.NewDocument(keys, change)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// members parses the document as what it is to a stranger: JSON.
func members(t testing.TB, doc *jwks.Document) []map[string]any {
	t.Helper()
	var set map[string]any
	if err := json.Unmarshal(doc.Body(), &set); err != nil {
		t.Fatal(err)
	}
	if names := slices.Collect(maps.Keys(set)); !slices.Equal(names, []string{"keys"}) {
		t.Fatalf("members of the set: %v, want only keys", names)
	}
	keys := []map[string]any{}
	for _, key := range set["keys"].([]any) {
		keys = append(keys, key.(map[string]any))
	}
	return keys
}

// published lists, by algorithm, every member that may leave the issuer.
var published = map[string][]string{
	"RS256": {"alg", "e", "kid", "kty", "n", "use"},
	"PS256": {"alg", "e", "kid", "kty", "n", "use"},
	"ES256": {"alg", "crv", "kid", "kty", "use", "x", "y"},
	"ES384": {"alg", "crv", "kid", "kty", "use", "x", "y"},
	"EdDSA": {"alg", "crv", "kid", "kty", "use", "x"},
}

func TestOnlyPublicMembersComeOut(t *testing.T) {
	for alg, want := range published {
		t.Run(alg, func(t *testing.T) {
			private := newPrivate(t, alg, "k-"+alg)
			doc := mustDocument(t, []jwk.Key{private}, time.Time{})
			keys := members(t, doc)
			if len(keys) != 1 {
				t.Fatalf("%d keys, want 1", len(keys))
			}
			if got := slices.Sorted(maps.Keys(keys[0])); !slices.Equal(got, want) {
				t.Errorf("members %v, want %v", got, want)
			}
			if keys[0]["use"] != "sig" || keys[0]["alg"] != alg || keys[0]["kid"] != "k-"+alg {
				t.Errorf("use, alg or kid is wrong: %v", keys[0])
			}
			expectNoSecret(t, private, doc.Body())
		})
	}
}

// expectNoSecret looks for the private values themselves, wherever they may be.
func expectNoSecret(t *testing.T, private jwk.Key, body []byte) {
	t.Helper()
	text, err := json.Marshal(private)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "note", "x5u"} {
		value, ok := all[name].(string)
		if !ok {
			continue
		}
		found++
		if strings.Contains(string(body), value) {
			t.Errorf("the value of %q is in the document", name)
		}
	}
	if found < 3 {
		t.Fatalf("the private key has only %d members to look for", found)
	}
}

func TestKeysThatCannotBePublished(t *testing.T) {
	good := newPrivate(t, "ES256", "one")
	edit := func(name string, value any) jwk.Key {
		key, err := good.Clone()
		if err != nil {
			t.Fatal(err)
		}
		if value == nil {
			err = key.Remove(name)
		} else {
			err = key.Set(name, value)
		}
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	tests := []struct {
		name string
		keys []jwk.Key
		want error
	}{
		{"symmetric", []jwk.Key{newPrivate(t, "HS256", "one")}, jwks.ErrSymmetric},
		{"symmetric among others", []jwk.Key{good, newPrivate(t, "HS256", "two")}, jwks.ErrSymmetric},
		{"two keys with one kid", []jwk.Key{good, newPrivate(t, "EdDSA", "one")}, jwks.ErrKey},
		{"the same key twice", []jwk.Key{good, good}, jwks.ErrKey},
		{"no kid", []jwk.Key{edit(jwk.KeyIDKey, nil)}, jwks.ErrKey},
		{"empty kid", []jwk.Key{edit(jwk.KeyIDKey, "")}, jwks.ErrKey},
		{"no alg", []jwk.Key{edit(jwk.AlgorithmKey, nil)}, jwks.ErrKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if doc, err := jwks.NewDocument(tt.keys, time.Time{}); !errors.Is(err, tt.want) || doc != nil {
				t.Errorf("NewDocument = %v, %v; want %v", doc, err, tt.want)
			}
		})
	}
}

func TestEmptySetIsAList(t *testing.T) {
	doc := mustDocument(t, nil, time.Time{})
	if got := string(doc.Body()); got != `{"keys":[]}` {
		t.Errorf("body %s, want an empty list", got)
	}
}

func TestUseIsAlwaysForSignatures(t *testing.T) {
	key := newPrivate(t, "ES256", "one")
	if err := key.Set(jwk.KeyUsageKey, jwk.ForEncryption); err != nil {
		t.Fatal(err)
	}
	if use := members(t, mustDocument(t, []jwk.Key{key}, time.Time{}))[0]["use"]; use != "sig" {
		t.Errorf("use %v, want sig", use)
	}
}

func TestETagFollowsTheBodyAlone(t *testing.T) {
	a, b := newPrivate(t, "ES256", "a"), newPrivate(t, "EdDSA", "b")
	first := mustDocument(t, []jwk.Key{a, b}, time.Time{})
	if again := mustDocument(t, []jwk.Key{a, b}, start); again.ETag() != first.ETag() {
		t.Errorf("ETag %s and %s of one set", first.ETag(), again.ETag())
	}
	for name, keys := range map[string][]jwk.Key{"fewer": {a}, "other order": {b, a}, "none": {}} {
		if other := mustDocument(t, keys, time.Time{}); other.ETag() == first.ETag() {
			t.Errorf("%s keys, and the same ETag", name)
		}
	}
	if tag := first.ETag(); len(tag) < 18 || tag[0] != '"' || tag[len(tag)-1] != '"' || strings.Count(tag, `"`) != 2 {
		t.Errorf("ETag %s is not a strong, quoted tag", tag)
	}
}

func TestMaxAge(t *testing.T) {
	tests := []struct {
		name               string
		untilChange, limit time.Duration
		noChange           bool
		want               time.Duration
	}{
		{name: "no change planned", noChange: true, limit: 5 * time.Minute, want: 5 * time.Minute},
		{name: "change far away", untilChange: time.Hour, limit: 5 * time.Minute, want: 5 * time.Minute},
		{name: "change is near", untilChange: time.Minute, limit: 5 * time.Minute, want: time.Minute},
		{name: "change is now", untilChange: 0, limit: 5 * time.Minute, want: 0},
		{name: "change is over", untilChange: -time.Hour, limit: 5 * time.Minute, want: 0},
		{name: "no caching wanted", untilChange: time.Hour, limit: 0, want: 0},
		{name: "negative limit", noChange: true, limit: -time.Second, want: 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			change := start.Add(tt.untilChange)
			if tt.noChange {
				change = time.Time{}
			}
			doc := mustDocument(t, nil, change)
			if !doc.Change().Equal(change) {
				t.Errorf("Change %v, want %v", doc.Change(), change)
			}
			if got := doc.MaxAge(start, tt.limit); got != tt.want {
				t.Errorf("MaxAge %v, want %v", got, tt.want)
			}
		})
	}
}

// A client that knows nothing of Signet reads the set and believes a token.
func TestAnotherLibraryVerifiesWithTheSet(t *testing.T) {
	var keys []jwk.Key
	for alg := range published {
		keys = append(keys, newPrivate(t, alg, "k-"+alg))
	}
	set, err := jwk.Parse(mustDocument(t, keys, time.Time{}).Body())
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != len(keys) {
		t.Fatalf("%d keys read, want %d", set.Len(), len(keys))
	}
	for _, key := range keys {
		token, err := jws.Sign([]byte("payload"), jws.WithKey(jwa.SignatureAlgorithm(key.Algorithm().String()), key))
		if err != nil {
			t.Fatal(err)
		}
		if payload, err := jws.Verify(token, jws.WithKeySet(set)); err != nil || string(payload) != "payload" {
			t.Errorf("%s: Verify = %q, %v", key.Algorithm(), payload, err)
		}
		published, _ := set.LookupKeyID(key.KeyID())
		want, _ := key.Thumbprint(crypto.SHA256)
		if got, err := published.Thumbprint(crypto.SHA256); err != nil || string(got) != string(want) {
			t.Errorf("%s: thumbprint %s, want %s", key.Algorithm(), encode(got), encode(want))
		}
	}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// What serves the keys to the world has no way to a database.
func TestNoDatabaseIsLinkedIn(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "signet/jwks") {
		t.Fatalf("go list names %d packages, and not this one", len(deps))
	}
	for _, dep := range deps {
		own := strings.HasPrefix(dep, "signet/") && dep != "signet/jwks"
		if own || dep == "database/sql" || strings.Contains(dep, "bbolt") || strings.Contains(dep, "pgx") {
			t.Errorf("jwks imports %s: it must stay a leaf that reads memory only", dep)
		}
	}
}
