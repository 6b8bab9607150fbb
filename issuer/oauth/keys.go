package oauth

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"signet/jwks"
)

// Limits of a client's keys: how many, and bytes of what is registered.
const (
	maxClientKeys     = 4
	maxClientKeyBytes = 32 << 10
	minClientRSABits  = 2048
)

// AssertionAlgorithms are those that client assertions may be signed with.
var AssertionAlgorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}

// ParseClientKeys reads the public keys of a client: a JWK, a JWK Set or PEM. It
// returns them as a JWK Set in which each key has a kid, its RFC 7638 thumbprint if it
// had none, and the one alg that it is used with. ErrRegistration if there is none, a
// private or symmetric one, or one that is too weak.
func ParseClientKeys(text []byte) ([]byte, error) {
	no := func(why string) error { return fmt.Errorf("%w: %s", ErrRegistration, why) }
	if len(text) > maxClientKeyBytes {
		return nil, no("the keys are too long")
	}
	set, err := jwk.Parse(text, jwk.WithPEM(!json.Valid(text)))
	if err != nil || set.Len() == 0 || set.Len() > maxClientKeys {
		return nil, no(fmt.Sprintf("the keys must be 1 to %d public keys, as a JWK, a JWK Set or PEM", maxClientKeys))
	}
	public := jwk.NewSet()
	for i := range set.Len() {
		key, _ := set.Key(i)
		if why := prepareClientKey(key); why != "" {
			return nil, no(why)
		}
		if _, twice := public.LookupKeyID(key.KeyID()); twice || public.AddKey(key) != nil {
			return nil, no("two keys have one kid")
		}
	}
	out, err := json.Marshal(public)
	if err != nil {
		return nil, fmt.Errorf("encode the keys: %w", err)
	}
	// What a service would leave out of a key set is no key here either: a point that
	// is not on its curve, a modulus that costs too much, a key of a wrong length.
	usable, leftOut, err := jwks.Parse(out)
	if err != nil || len(leftOut) > 0 || len(usable) != public.Len() {
		return nil, no(fmt.Sprintf("a key cannot be used: %v", errors.Join(append(leftOut, err)...)))
	}
	return out, nil
}

// prepareClientKey completes a key, or says what is wrong with it.
func prepareClientKey(key jwk.Key) string {
	if private, err := jwk.IsPrivateKey(key); err != nil || private {
		return "a key is private or symmetric: register the public half, and keep the other"
	}
	if kid := key.KeyID(); kid != "" && (len(kid) > maxValueBytes || !validValue.MatchString(kid)) {
		return "a kid has 1 to 255 printable ASCII characters without space, quote and backslash"
	}
	if use := key.KeyUsage(); use != "" && use != string(jwk.ForSignature) {
		return "a key is not for signatures"
	}
	alg, why := clientKeyAlgorithm(key)
	if why != "" {
		return why
	}
	if err := key.Set(jwk.AlgorithmKey, alg); err != nil {
		return "a key cannot be used"
	}
	if key.KeyID() != "" {
		return ""
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil || key.Set(jwk.KeyIDKey, base64.RawURLEncoding.EncodeToString(sum)) != nil {
		return "a key cannot be used"
	}
	return ""
}

// clientKeyAlgorithm is the one algorithm of a key (RFC 8725bis §3.1): the one that it
// names, or else the one that its type and curve suggest.
func clientKeyAlgorithm(key jwk.Key) (alg jwa.SignatureAlgorithm, why string) {
	named := key.Algorithm().String()
	fits := func(offered ...jwa.SignatureAlgorithm) (jwa.SignatureAlgorithm, string) {
		for _, alg := range offered {
			if named == "" || named == alg.String() {
				return alg, ""
			}
		}
		return "", "a key names an algorithm that does not fit it or is not offered"
	}
	switch k := key.(type) {
	case jwk.RSAPublicKey:
		var raw rsa.PublicKey
		if k.Raw(&raw) != nil || raw.N.BitLen() < minClientRSABits || raw.E < 65537 || raw.E%2 == 0 {
			return "", "an RSA key needs 2048 bits and an odd exponent of 65537 or more"
		}
		return fits(jwa.RS256, jwa.PS256)
	case jwk.ECDSAPublicKey:
		switch k.Crv() {
		case jwa.P256:
			return fits(jwa.ES256)
		case jwa.P384:
			return fits(jwa.ES384)
		}
	case jwk.OKPPublicKey:
		if k.Crv() == jwa.Ed25519 {
			return fits(jwa.EdDSA)
		}
	}
	return "", "a key is of a kind that is not offered: RSA, EC on P-256 or P-384, Ed25519"
}
