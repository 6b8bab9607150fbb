package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Algorithms are the JWS algorithms that a key can be made for (RFC 7518 §3.1,
// RFC 8037 §3.1). One key is used with exactly one of them.
var Algorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}

// generate makes a private key for alg; rsaBits is the modulus of an RSA key.
func generate(alg string, rsaBits int) (crypto.Signer, error) {
	switch alg {
	case "RS256", "PS256":
		if err := checkRSABits(rsaBits); err != nil {
			return nil, err
		}
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	default:
		return nil, fmt.Errorf("%w: %q; known are %s", ErrAlgorithm, alg, strings.Join(Algorithms, ", "))
	}
}

func checkRSABits(bits int) error {
	if !slices.Contains([]int{2048, 3072, 4096}, bits) {
		return fmt.Errorf("%w: RSA keys have 2048, 3072 or 4096 bits, not %d", ErrAlgorithm, bits)
	}
	return nil
}

// newJWK wraps a private or a public key as a JWK whose kid is its RFC 7638 thumbprint.
func newJWK(alg string, raw any) (jwk.Key, error) {
	key, err := jwk.FromRaw(raw)
	if err != nil {
		return nil, fmt.Errorf("make a JWK: %w", err)
	}
	kid, err := thumbprint(key)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]any{
		jwk.KeyIDKey:     kid,
		jwk.AlgorithmKey: jwa.SignatureAlgorithm(alg),
		jwk.KeyUsageKey:  jwk.ForSignature,
	} {
		if err := key.Set(name, value); err != nil {
			return nil, fmt.Errorf("make a JWK: %w", err)
		}
	}
	return key, nil
}

func thumbprint(key jwk.Key) (string, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint (RFC 7638): %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// publicJWK is the public half of key as JSON.
func publicJWK(key jwk.Key) (json.RawMessage, error) {
	public, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("public half: %w", err)
	}
	return json.Marshal(public)
}

// signatureSize is the length in bytes of a signature that public verifies: of
// r and s together for ECDSA (RFC 7518 §3.4), of the modulus for RSA.
func signatureSize(public any) int {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return key.Size()
	case *ecdsa.PublicKey:
		return 2 * ((key.Params().BitSize + 7) / 8)
	default:
		return ed25519.SignatureSize
	}
}
