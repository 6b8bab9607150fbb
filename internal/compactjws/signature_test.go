package compactjws

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"slices"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// keysByAlg are private keys, one for each algorithm.
func keysByAlg(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	modulus, err3 := rsa.GenerateKey(rand.Reader, 2048)
	_, edwards, err4 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"ES256": p256, "ES384": p384, "RS256": modulus, "PS256": modulus, "EdDSA": edwards}
}

var input = []byte("header.payload")

// Every algorithm with every key: another implementation takes what Sign makes, Signed
// takes it too, and a key of another type makes nothing and has made nothing.
func TestSignaturesOfEachAlgorithm(t *testing.T) {
	keys := keysByAlg(t)
	for alg := range keys {
		for of, key := range keys {
			signature, err := Sign(alg, key, input)
			if fits := of == alg || keys[of] == keys[alg]; !fits {
				genuine, _ := Sign(of, key, input)
				if !errors.Is(err, ErrKeyType) || signature != nil || Signed(alg, key.Public(), input, genuine) {
					t.Errorf("%s by the key for %s: %x, %v", alg, of, signature, err)
				}
				continue
			}
			if err != nil || !Signed(alg, key.Public(), input, signature) {
				t.Fatalf("%s: %x, %v", alg, signature, err)
			}
			verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(alg))
			if err != nil || verifier.Verify(input, signature, key.Public()) != nil {
				t.Errorf("%s: jwx does not take %x", alg, signature)
			}
			refusesAltered(t, alg, key.Public(), signature)
		}
	}
}

func refusesAltered(t *testing.T, alg string, public crypto.PublicKey, signature []byte) {
	t.Helper()
	for i := range signature {
		altered := bytes.Clone(signature)
		altered[i] ^= 1
		if Signed(alg, public, input, altered) {
			t.Errorf("%s: byte %d does not matter", alg, i)
		}
	}
	for name, other := range map[string][]byte{
		"none": nil, "shorter": signature[1:], "longer": append([]byte{0}, signature...), "with a tail": append(bytes.Clone(signature), 0),
		"filled up": slices.Insert(bytes.Clone(signature), len(signature)/2, 0), // the same s
	} {
		if Signed(alg, public, input, other) {
			t.Errorf("%s: takes a signature that is %s", alg, name)
		}
	}
	if Signed(alg, public, input[1:], signature) {
		t.Errorf("%s: takes the signature of another input", alg)
	}
}

func TestOtherAlgorithmsSignNothing(t *testing.T) {
	for _, alg := range []string{"", "none", "HS256", "es256", "RS384", "ES512"} {
		for of, key := range keysByAlg(t) {
			if signature, err := Sign(alg, key, input); !errors.Is(err, ErrKeyType) || signature != nil {
				t.Errorf("Sign(%q) by the key for %s = %x, %v", alg, of, signature, err)
			}
			genuine, _ := Sign(of, key, input)
			if Signed(alg, key.Public(), input, genuine) {
				t.Errorf("Signed(%q) takes a signature of %s", alg, of)
			}
		}
	}
}

// Half of a public key, as an alien KeySource might hand it out, falls over nothing.
func TestIncompleteKeysHaveSignedNothing(t *testing.T) {
	for _, public := range []crypto.PublicKey{
		nil, (*ecdsa.PublicKey)(nil), &ecdsa.PublicKey{}, (*rsa.PublicKey)(nil), &rsa.PublicKey{}, ed25519.PublicKey{}, "key",
	} {
		for _, alg := range []string{"ES256", "ES384", "RS256", "PS256", "EdDSA"} {
			if Signed(alg, public, input, make([]byte, 64)) {
				t.Errorf("%s: %#v has signed", alg, public)
			}
		}
	}
}

// given is a key whose signatures are what a faulty token answers.
type given struct {
	public crypto.PublicKey
	answer []byte
	err    error
}

func (g given) Public() crypto.PublicKey { return g.public }

func (g given) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return g.answer, g.err }

func der(t *testing.T, r, s *big.Int) []byte {
	t.Helper()
	out, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// r and s have their full length, whatever they are (RFC 7518 §3.4).
func TestShortNumbersAreFilledUp(t *testing.T) {
	public := keysByAlg(t)["ES256"].Public()
	full := new(big.Int).SetBytes(bytes.Repeat([]byte{0xff}, 32))
	for _, pair := range [][2]*big.Int{{big.NewInt(1), big.NewInt(0x80)}, {full, big.NewInt(0x7fff)}, {big.NewInt(2), full}} {
		got, err := Sign("ES256", given{public: public, answer: der(t, pair[0], pair[1])}, input)
		want := append(pair[0].FillBytes(make([]byte, 32)), pair[1].FillBytes(make([]byte, 32))...)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %x, %v; want %x", pair, got, err, want)
		}
	}
}

func TestFaultySignatures(t *testing.T) {
	public := keysByAlg(t)["ES256"].Public()
	good := der(t, big.NewInt(1), big.NewInt(2))
	for name, answer := range map[string][]byte{
		"nothing": nil, "cut off": good[:len(good)-1], "and more": append(bytes.Clone(good), 0), "fixed width": make([]byte, 64),
		"negative": der(t, big.NewInt(-1), big.NewInt(2)), "too long": der(t, big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)),
	} {
		if got, err := Sign("ES256", given{public: public, answer: answer}, input); !errors.Is(err, errNoSignature) || got != nil {
			t.Errorf("%s: %x, %v; want %v", name, got, err, errNoSignature)
		}
	}
	if got, err := Sign("ES256", given{public: public, err: io.ErrClosedPipe}, input); err != io.ErrClosedPipe || got != nil {
		t.Errorf("a key that fails: %x, %v", got, err)
	}
}
