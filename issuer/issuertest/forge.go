// Package issuertest is the table of attacks on tokens, for the tests of every place
// that takes one. An attack is a token that differs from a genuine one in one thing.
//
// Start at [New] and [Genuine.Attacks]. A [Kind] says what a place asks of the tokens
// that it takes: the issuer's own, or a client's assertion.
package issuertest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"signet/internal/compactjws"
	"signet/keystore"
)

// Members are those of a JSON object.
type Members map[string]any

// Raw is JSON that is put into a token as it is.
func Raw(text string) json.RawMessage { return json.RawMessage(text) }

// Source is a genuine token, and what it takes to make ones like it.
type Source struct {
	Text string
	Kind Kind
	// URL is the issuer that the token is presented to.
	URL string
	// Keys are the private keys of who signed it, for ES256 and RS256; Stranger are
	// those of somebody else.
	Keys, Stranger map[string]jwk.Key
	// Elsewhere is a URL of an attacker.
	Elsewhere string
}

// Genuine is a token with all it takes to make ones that differ from it in one thing.
type Genuine struct {
	Source
	Header, Claims Members
	// Part are header, payload and signature as they stand in Text; Sig is decoded.
	Part [3]string
	Sig  []byte

	t       testing.TB
	payload []byte
}

// New takes a token apart.
func New(t testing.TB, s Source) *Genuine {
	t.Helper()
	g := &Genuine{Source: s, t: t}
	copy(g.Part[:], strings.Split(s.Text, "."))
	for i, into := range []*Members{&g.Header, &g.Claims} {
		decoder := json.NewDecoder(bytes.NewReader(g.decode(g.Part[i])))
		decoder.UseNumber()
		must(t, decoder.Decode(into))
	}
	g.payload, g.Sig = g.decode(g.Part[1]), g.decode(g.Part[2])
	return g
}

// Sign makes a token of the claims, with the key for alg.
func Sign(t testing.TB, key jwk.Key, alg, typ string, claims Members) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	must(t, err)
	header := compactjws.Header{Alg: alg, KID: key.KeyID(), Typ: typ}
	return (&Genuine{t: t}).Sign(alg, key, strings.TrimSuffix(string(header.Prefix()), "."), Encode(payload))
}

// NewKeys makes private keys for ES256 and RS256, with their thumbprints as kid.
func NewKeys(t testing.TB) map[string]jwk.Key {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	keys := map[string]jwk.Key{}
	for alg, private := range map[string]any{"ES256": ec, "RS256": rsaKey} {
		key, err := jwk.FromRaw(private)
		must(t, err)
		must(t, jwk.AssignKeyID(key))
		must(t, key.Set(jwk.AlgorithmKey, alg))
		keys[alg] = key
	}
	return keys
}

// PublicSet is the JWK Set of the public halves.
func PublicSet(t testing.TB, keys map[string]jwk.Key) []byte {
	t.Helper()
	set := jwk.NewSet()
	for _, alg := range []string{"ES256", "RS256"} {
		public, err := keys[alg].PublicKey()
		must(t, err)
		must(t, set.AddKey(public))
	}
	text, err := json.Marshal(set)
	must(t, err)
	return text
}

// PrivateKeys are those of a stored ring by algorithm, as someone has them who holds
// the database and the sealing key.
func PrivateKeys(t testing.TB, store keystore.Store, sealFile string) map[string]jwk.Key {
	t.Helper()
	text, err := os.ReadFile(sealFile)
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	secret, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(lines[len(lines)-1], "2."))
	must(t, err)
	ring, err := store.LoadRing(t.Context())
	must(t, err)
	keys := make(map[string]jwk.Key)
	for _, k := range ring.Keys {
		plain, err := jwe.Decrypt([]byte(k.Sealed), jwe.WithKey(jwa.DIRECT, secret))
		must(t, err)
		keys[k.Alg], err = jwk.ParseKey(plain)
		must(t, err)
	}
	return keys
}

func (g *Genuine) decode(part string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(part)
	must(g.t, err)
	return b
}

// Encode is base64url without padding (RFC 7515 §2).
func Encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// EncodeJSON is a part of a token.
func (g *Genuine) EncodeJSON(v any) string {
	b, err := json.Marshal(v)
	must(g.t, err)
	return Encode(b)
}

// alg is the algorithm that the token is signed with.
func (g *Genuine) alg() string { return g.Header["alg"].(string) }

// other is the other algorithm that its signer has a key for.
func (g *Genuine) other() string {
	if g.alg() == "ES256" {
		return "RS256"
	}
	return "ES256"
}

func (g *Genuine) kid(alg string) string { return g.Keys[alg].KeyID() }

// Sign signs two encoded parts with a private key.
func (g *Genuine) Sign(alg string, key jwk.Key, header, payload string) string {
	var private any
	must(g.t, key.Raw(&private))
	signer, err := jws.NewSigner(jwa.SignatureAlgorithm(alg))
	must(g.t, err)
	input := header + "." + payload
	sig, err := signer.Sign([]byte(input), private)
	must(g.t, err)
	return input + "." + Encode(sig)
}

// Resign signs two encoded parts with the key of the genuine token.
func (g *Genuine) Resign(header, payload string) string {
	return g.Sign(g.alg(), g.Keys[g.alg()], header, payload)
}

// WithHeader is the token with these header parameters changed, signed by its own
// key; nil removes one.
func (g *Genuine) WithHeader(changes Members) string {
	return g.Resign(g.EncodeJSON(Merge(g.Header, changes)), g.Part[1])
}

// WithClaims is the token with these claims changed, signed by its own key; nil
// removes one.
func (g *Genuine) WithClaims(changes Members) string {
	return g.Resign(g.Part[0], g.EncodeJSON(Merge(g.Claims, changes)))
}

// WithPayload is the token with another payload, signed by its own key.
func (g *Genuine) WithPayload(payload string) string {
	return g.Resign(g.Part[0], Encode([]byte(payload)))
}

// WithSignature is the token with another signature.
func (g *Genuine) WithSignature(sig []byte) string {
	return g.Part[0] + "." + g.Part[1] + "." + Encode(sig)
}

// Prefix is the encoded header of the token with another typ.
func (g *Genuine) Prefix(typ string) string {
	h := compactjws.Header{Alg: g.alg(), KID: g.kid(g.alg()), Typ: typ}
	return strings.TrimSuffix(string(h.Prefix()), ".")
}

// Merge is object after changes; nil removes a member.
func Merge(object, changes Members) Members {
	merged := maps.Clone(object)
	for name, value := range changes {
		if value == nil {
			delete(merged, name)
			continue
		}
		merged[name] = value
	}
	return merged
}

// hmacSigned is the token signed by HMAC under alg with the secret.
func (g *Genuine) hmacSigned(alg string, secret []byte) string {
	hash := sha256.New
	if alg == "HS512" {
		hash = sha512.New
	}
	input := g.EncodeJSON(Merge(g.Header, Members{"alg": alg})) + "." + g.Part[1]
	mac := hmac.New(hash, secret)
	mac.Write([]byte(input))
	return input + "." + Encode(mac.Sum(nil))
}

// publicTexts are the forms in which the world knows a public key.
func (g *Genuine) publicTexts() map[string][]byte {
	public, err := g.Keys[g.alg()].PublicKey()
	must(g.t, err)
	text, err := json.Marshal(public)
	must(g.t, err)
	var key any
	must(g.t, public.Raw(&key))
	der, err := x509.MarshalPKIXPublicKey(key)
	must(g.t, err)
	pkix := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	texts := map[string][]byte{
		"PEM": pkix, "PEM without its last newline": bytes.TrimSpace(pkix), "DER": der, "JWK": text,
		"JWK Set": []byte(`{"keys":[` + string(text) + `]}`), "kid": []byte(public.KeyID()),
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		texts["modulus"] = key.N.Bytes()
		pkcs1 := x509.MarshalPKCS1PublicKey(key)
		texts["PKCS 1 DER"] = pkcs1
		texts["PKCS 1 PEM"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1})
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		must(g.t, err)
		texts["point"], texts["x"], texts["y"] = point, point[1:33], point[33:]
	default:
		g.t.Fatalf("a key of type %T", key)
	}
	return texts
}

// encrypted is a JWE of text for the signer's own RSA key (CVE-2026-9793).
func (g *Genuine) encrypted(text []byte) string {
	public, err := g.Keys["RS256"].PublicKey()
	must(g.t, err)
	var key any
	must(g.t, public.Raw(&key))
	sealed, err := jwe.Encrypt(text, jwe.WithKey(jwa.RSA_OAEP, key))
	must(g.t, err)
	return string(sealed)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
