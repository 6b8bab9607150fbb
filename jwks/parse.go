package jwks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Errors of Parse.
var (
	// ErrSet: the text is not a JWK Set.
	ErrSet = errors.New("not a JWK Set")
	// ErrUnusable: one entry of a set is no key that verifies signatures here.
	ErrUnusable = errors.New("key left out")
)

// Bounds of an RSA modulus. The upper one keeps a hostile set from making every
// verification slow.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Key is a public key as a verifier uses it: with one algorithm and no other
// (RFC 8725 §3.1). It is never changed.
type Key struct {
	// Alg is ES256, ES384, RS256, PS256 or EdDSA.
	Alg string
	// Public is an *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey.
	Public crypto.PublicKey
}

// Parse reads a published JWK Set (RFC 7517 §5), anybody's, and returns the keys
// that verify signatures, by kid; a key without a kid has the empty one.
//
// An entry that is of no use here does not spoil the others: unknown types and
// curves, symmetric and weak keys, keys for another use are left out, each with
// its reason, which wraps ErrUnusable. Where several usable keys share a kid,
// none of them is taken. Only a text that is no JWK Set at all is an error, ErrSet.
func Parse(text []byte) (keys map[string]*Key, leftOut []error, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, nil, fmt.Errorf("%w: %v", ErrSet, err)
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(members["keys"], &entries); err != nil || entries == nil {
		return nil, nil, fmt.Errorf("%w: it has no list of keys", ErrSet)
	}
	keys = make(map[string]*Key, len(entries))
	for i, entry := range entries {
		kid, key, err := parseKey(entry)
		if _, twice := keys[kid]; twice && err == nil {
			key, err = nil, fmt.Errorf("%w: several keys have its kid", ErrUnusable)
			keys[kid] = nil
		}
		if err != nil {
			leftOut = append(leftOut, fmt.Errorf("entry %d, kid %.50q: %w", i, kid, err))
			continue
		}
		keys[kid] = key
	}
	for kid, key := range keys {
		if key == nil {
			delete(keys, kid)
		}
	}
	return keys, leftOut, nil
}

// entry is the members of a JWK by their exact names, which encoding/json would
// not insist on.
type entry map[string]json.RawMessage

// text returns a member that must be a string if it is there.
func (e entry) text(name string) (string, error) {
	raw, ok := e[name]
	if !ok {
		return "", nil
	}
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", fmt.Errorf("%w: %s is not a string", ErrUnusable, name)
	}
	return *s, nil
}

// number returns a member that holds an octet string in base64url, without
// padding or stray bits.
func (e entry) number(name string) ([]byte, error) {
	s, err := e.text(name)
	if err != nil {
		return nil, err
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 || strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("%w: %s is missing or not base64url", ErrUnusable, name)
	}
	return b, nil
}

func parseKey(raw json.RawMessage) (kid string, key *Key, err error) {
	var e entry
	if json.Unmarshal(raw, &e) != nil || e == nil {
		return "", nil, fmt.Errorf("%w: not an object", ErrUnusable)
	}
	if kid, err = e.text("kid"); err != nil {
		return "", nil, err
	}
	if err := e.checkUse(); err != nil {
		return kid, nil, err
	}
	alg, err := e.text("alg")
	if err != nil {
		return kid, nil, err
	}
	implied, public, err := e.public()
	if err != nil {
		return kid, nil, err
	}
	if !slices.Contains(implied, alg) && alg != "" {
		return kid, nil, fmt.Errorf("%w: alg %.20q with a key for %s", ErrUnusable, alg, implied[0])
	}
	if alg == "" {
		alg = implied[0]
	}
	return kid, &Key{Alg: alg, Public: public}, nil
}

// checkUse holds use and key_ops against the one thing that the key is for
// (RFC 7517 §4.2, §4.3). A private key that was published is everybody's.
func (e entry) checkUse() error {
	if _, private := e["d"]; private {
		return fmt.Errorf("%w: its private half is published", ErrUnusable)
	}
	use, err := e.text("use")
	if err != nil {
		return err
	}
	if _, given := e["use"]; given && use != "sig" {
		return fmt.Errorf("%w: use %.20q", ErrUnusable, use)
	}
	raw, given := e["key_ops"]
	if !given {
		return nil
	}
	var ops []string
	if json.Unmarshal(raw, &ops) != nil || !slices.Contains(ops, "verify") {
		return fmt.Errorf("%w: key_ops has no verify", ErrUnusable)
	}
	return nil
}

// public returns the key and the algorithms that it may be for, first the one
// that is meant where the entry names none.
func (e entry) public() ([]string, crypto.PublicKey, error) {
	kty, err := e.text("kty")
	if err != nil {
		return nil, nil, err
	}
	crv, err := e.text("crv")
	if err != nil {
		return nil, nil, err
	}
	switch {
	case kty == "RSA":
		return e.rsa()
	case kty == "EC" && crv == "P-256":
		return e.ec("ES256", elliptic.P256())
	case kty == "EC" && crv == "P-384":
		return e.ec("ES384", elliptic.P384())
	case kty == "OKP" && crv == "Ed25519":
		return e.ed25519()
	}
	return nil, nil, fmt.Errorf("%w: kty %.20q, crv %.20q", ErrUnusable, kty, crv)
}

func (e entry) rsa() ([]string, crypto.PublicKey, error) {
	n, err := e.number("n")
	if err != nil {
		return nil, nil, err
	}
	exponent, err := e.number("e")
	if err != nil {
		return nil, nil, err
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n)}
	if public := new(big.Int).SetBytes(exponent); public.BitLen() <= 31 {
		key.E = int(public.Int64())
	}
	if err := CheckRSA(key); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return []string{"RS256", "PS256"}, key, nil
}

func (e entry) ec(alg string, curve elliptic.Curve) ([]string, crypto.PublicKey, error) {
	size := (curve.Params().BitSize + 7) / 8
	x, err := e.number("x")
	if err != nil {
		return nil, nil, err
	}
	y, err := e.number("y")
	if err != nil {
		return nil, nil, err
	}
	if len(x) != size || len(y) != size { // RFC 7518 §6.2.1.2
		return nil, nil, fmt.Errorf("%w: coordinates of %d and %d bytes", ErrUnusable, len(x), len(y))
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the point is not on the curve", ErrUnusable)
	}
	return []string{alg}, key, nil
}

func (e entry) ed25519() ([]string, crypto.PublicKey, error) {
	x, err := e.number("x")
	if err != nil {
		return nil, nil, err
	}
	if len(x) != ed25519.PublicKeySize {
		return nil, nil, fmt.Errorf("%w: Ed25519 key of %d bytes", ErrUnusable, len(x))
	}
	return []string{"EdDSA"}, ed25519.PublicKey(x), nil
}
