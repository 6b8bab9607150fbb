package issuer_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"signet/internal/compactjws"
)

// members are those of a JSON object.
type members map[string]any

// raw is JSON that is put into a token as it is.
func raw(text string) json.RawMessage { return json.RawMessage(text) }

// genuine is a token of the issuer, with all it takes to make ones that differ
// from it in one thing.
type genuine struct {
	t              testing.TB
	text           string
	part           [3]string // header, payload and signature, as they stand in text
	header, claims members
	payload, sig   []byte
	keys           map[string]jwk.Key // the issuer's private keys by algorithm
	stranger       map[string]jwk.Key // keys of another issuer
	elsewhere      string             // a URL of an attacker
}

func newGenuine(t testing.TB, text string, keys, stranger map[string]jwk.Key, attacker string) *genuine {
	g := &genuine{t: t, text: text, keys: keys, stranger: stranger, elsewhere: attacker}
	copy(g.part[:], strings.Split(text, "."))
	for i, into := range []*members{&g.header, &g.claims} {
		decoder := json.NewDecoder(bytes.NewReader(g.decode(g.part[i])))
		decoder.UseNumber()
		must(t, decoder.Decode(into))
	}
	g.payload, g.sig = g.decode(g.part[1]), g.decode(g.part[2])
	return g
}

func (g *genuine) decode(part string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(part)
	must(g.t, err)
	return b
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (g *genuine) encodeJSON(v any) string {
	b, err := json.Marshal(v)
	must(g.t, err)
	return encode(b)
}

// alg is the algorithm that the token is signed with.
func (g *genuine) alg() string { return g.header["alg"].(string) }

// other is the other algorithm that the issuer has a key for.
func (g *genuine) other() string {
	if g.alg() == "ES256" {
		return "RS256"
	}
	return "ES256"
}

func (g *genuine) kid(alg string) string { return g.keys[alg].KeyID() }

// sign signs two encoded parts with a private key.
func (g *genuine) sign(alg string, key jwk.Key, header, payload string) string {
	var private any
	must(g.t, key.Raw(&private))
	signer, err := jws.NewSigner(jwa.SignatureAlgorithm(alg))
	must(g.t, err)
	input := header + "." + payload
	sig, err := signer.Sign([]byte(input), private)
	must(g.t, err)
	return input + "." + encode(sig)
}

// resign signs two encoded parts with the key of the genuine token.
func (g *genuine) resign(header, payload string) string {
	return g.sign(g.alg(), g.keys[g.alg()], header, payload)
}

// withHeader is the token with these header parameters changed, signed by its
// own key; nil removes one.
func (g *genuine) withHeader(changes members) string {
	return g.resign(g.encodeJSON(merge(g.header, changes)), g.part[1])
}

// withClaims is the token with these claims changed, signed by its own key; nil
// removes one.
func (g *genuine) withClaims(changes members) string {
	return g.resign(g.part[0], g.encodeJSON(merge(g.claims, changes)))
}

// withPayload is the token with another payload, signed by its own key.
func (g *genuine) withPayload(payload string) string {
	return g.resign(g.part[0], encode([]byte(payload)))
}

// withSignature is the token with another signature.
func (g *genuine) withSignature(sig []byte) string {
	return g.part[0] + "." + g.part[1] + "." + encode(sig)
}

func merge(object, changes members) members {
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
func (g *genuine) hmacSigned(alg string, secret []byte) string {
	hash := sha256.New
	if alg == "HS512" {
		hash = sha512.New
	}
	input := g.encodeJSON(merge(g.header, members{"alg": alg})) + "." + g.part[1]
	mac := hmac.New(hash, secret)
	mac.Write([]byte(input))
	return input + "." + encode(mac.Sum(nil))
}

// publicTexts are the forms in which the world knows a public key.
func (g *genuine) publicTexts() map[string][]byte {
	public, err := g.keys[g.alg()].PublicKey()
	must(g.t, err)
	text, err := json.Marshal(public)
	must(g.t, err)
	var key any
	must(g.t, public.Raw(&key))
	der, err := x509.MarshalPKIXPublicKey(key)
	must(g.t, err)
	pkix := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	texts := map[string][]byte{
		"PEM": pkix, "PEM without its last newline": bytes.TrimSpace(pkix), "DER": der, "JWK": text, "kid": []byte(public.KeyID()),
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

// prefix is the encoded header of the token with another typ.
func (g *genuine) prefix(typ string) string {
	h := compactjws.Header{Alg: g.alg(), KID: g.kid(g.alg()), Typ: typ}
	return strings.TrimSuffix(string(h.Prefix()), ".")
}
