package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"math/big"
)

// algorithms are those that a Verifier can allow (RFC 7518 §3.1, RFC 8037 §3.1).
var algorithms = []string{"ES256", "RS256", "PS256", "ES384", "EdDSA"}

// signed tells whether signature is the key's under the key's own algorithm. A
// key that is not of its algorithm's type has signed nothing.
func signed(key *Key, input string, signature []byte) bool {
	switch public := key.Public.(type) {
	case *ecdsa.PublicKey:
		return signedECDSA(public, key.Alg, []byte(input), signature)
	case *rsa.PublicKey:
		return signedRSA(public, key.Alg, []byte(input), signature)
	case ed25519.PublicKey:
		return key.Alg == "EdDSA" && len(public) == ed25519.PublicKeySize &&
			ed25519.Verify(public, []byte(input), signature)
	}
	return false
}

// signedECDSA reads r and s, each in its full length (RFC 7518 §3.4).
func signedECDSA(public *ecdsa.PublicKey, alg string, input, signature []byte) bool {
	var hash []byte
	var size int
	switch {
	case public == nil || public.Curve == nil:
	case alg == "ES256" && public.Curve.Params().BitSize == 256:
		sum := sha256.Sum256(input)
		hash, size = sum[:], 32
	case alg == "ES384" && public.Curve.Params().BitSize == 384:
		sum := sha512.Sum384(input)
		hash, size = sum[:], 48
	}
	if size == 0 || len(signature) != 2*size {
		return false
	}
	r := new(big.Int).SetBytes(signature[:size])
	s := new(big.Int).SetBytes(signature[size:])
	return ecdsa.Verify(public, hash, r, s)
}

// signedRSA asks of PS256 a salt as long as the hash (RFC 7518 §3.5).
func signedRSA(public *rsa.PublicKey, alg string, input, signature []byte) bool {
	if public == nil || public.N == nil {
		return false
	}
	sum := sha256.Sum256(input)
	switch alg {
	case "RS256":
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
	case "PS256":
		salt := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		return rsa.VerifyPSS(public, crypto.SHA256, sum[:], signature, salt) == nil
	}
	return false
}
