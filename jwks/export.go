package jwks

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
)

// Entry is one key of a set, as it stands there and as a verifier uses it.
type Entry struct {
	KID string
	JWK json.RawMessage
	*Key
}

// Entries reads a set that has to be right as a whole, the issuer's own, in its
// order. What [Parse] would leave out is an error here: a file that lacks a key
// looks like a whole one to whoever reads it.
func Entries(set []byte) ([]Entry, error) {
	var members map[string]json.RawMessage
	var listed []json.RawMessage
	if json.Unmarshal(set, &members) != nil || json.Unmarshal(members["keys"], &listed) != nil || listed == nil {
		return nil, ErrSet
	}
	seen := make(map[string]bool, len(listed))
	entries := make([]Entry, 0, len(listed))
	for _, raw := range listed {
		kid, key, err := parseKey(raw)
		if err == nil && seen[kid] {
			err = fmt.Errorf("%w: several keys have its kid", ErrUnusable)
		}
		if err != nil {
			return nil, fmt.Errorf("kid %.50q: %w", kid, err)
		}
		seen[kid] = true
		entries = append(entries, Entry{KID: kid, JWK: raw, Key: key})
	}
	return entries, nil
}

// PEM is the key as a SubjectPublicKeyInfo (RFC 5280 §4.1) in one PEM block
// (RFC 7468 §13), with nothing before or after it: strict readers take no
// explanatory text. It says neither the kid nor the alg.
func (k *Key) PEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.Public)
	if err != nil {
		return nil, fmt.Errorf("encode a key for %s: %w", k.Alg, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
