package compactjws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ErrKeyType: the key is not of the type that its algorithm asks for.
var ErrKeyType = errors.New("key does not fit the algorithm")

var errNoSignature = errors.New("the key gave no ECDSA signature")

// pss is PS256: MGF1 with the same hash, and a salt of its length (RFC 7518 §3.5).
var pss = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}

// Sign returns the signature of input under alg (RFC 7518 §3.1, RFC 8037 §3.1), by a
// private key in memory or wherever else key signs. A key in memory is to be the same
// pointer each time: crypto/ecdsa keeps what it derives from one by its address.
func Sign(alg string, key crypto.Signer, input []byte) ([]byte, error) {
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		if hash, digest := digestECDSA(alg, public, input); digest != nil {
			return signECDSA(key, hash, digest)
		}
	case *rsa.PublicKey:
		digest := sha256.Sum256(input)
		switch alg {
		case "RS256":
			return key.Sign(rand.Reader, digest[:], crypto.SHA256)
		case "PS256":
			return key.Sign(rand.Reader, digest[:], pss)
		}
	case ed25519.PublicKey:
		if alg == "EdDSA" {
			return key.Sign(rand.Reader, input, crypto.Hash(0))
		}
	}
	return nil, fmt.Errorf("%w: %s does not sign with a %T", ErrKeyType, alg, key.Public())
}

// Signed tells whether signature is that of input by the key under alg. A key that is
// not of its algorithm's type has signed nothing.
func Signed(alg string, public crypto.PublicKey, input, signature []byte) bool {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		return signedECDSA(alg, public, input, signature)
	case *rsa.PublicKey:
		return signedRSA(alg, public, input, signature)
	case ed25519.PublicKey:
		return alg == "EdDSA" && len(public) == ed25519.PublicKeySize && ed25519.Verify(public, input, signature)
	}
	return false
}

// digestECDSA returns no digest if the key's curve is not that of alg.
func digestECDSA(alg string, public *ecdsa.PublicKey, input []byte) (hash crypto.Hash, digest []byte) {
	switch {
	case public == nil || public.Curve == nil:
	case alg == "ES256" && public.Curve.Params().BitSize == 256:
		sum := sha256.Sum256(input)
		return crypto.SHA256, sum[:]
	case alg == "ES384" && public.Curve.Params().BitSize == 384:
		sum := sha512.Sum384(input)
		return crypto.SHA384, sum[:]
	}
	return 0, nil
}

// signECDSA writes r and s, each in its full length (RFC 7518 §3.4); for both
// algorithms that is the length of the digest.
func signECDSA(key crypto.Signer, hash crypto.Hash, digest []byte) ([]byte, error) {
	der, err := key.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, err
	}
	size := len(digest)
	input := cryptobyte.String(der)
	var inner cryptobyte.String
	var r, s []byte
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() ||
		len(r) > size || len(s) > size {
		return nil, errNoSignature
	}
	out := make([]byte, 2*size)
	copy(out[size-len(r):], r)
	copy(out[2*size-len(s):], s)
	return out, nil
}

func signedECDSA(alg string, public *ecdsa.PublicKey, input, signature []byte) bool {
	_, digest := digestECDSA(alg, public, input)
	size := len(digest)
	if size == 0 || len(signature) != 2*size {
		return false
	}
	r := new(big.Int).SetBytes(signature[:size])
	s := new(big.Int).SetBytes(signature[size:])
	return ecdsa.Verify(public, digest, r, s)
}

func signedRSA(alg string, public *rsa.PublicKey, input, signature []byte) bool {
	if public == nil || public.N == nil {
		return false
	}
	digest := sha256.Sum256(input)
	switch alg {
	case "RS256":
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
	case "PS256":
		return rsa.VerifyPSS(public, crypto.SHA256, digest[:], signature, pss) == nil
	}
	return false
}
