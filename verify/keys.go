package verify

import (
	"context"
	"fmt"

	"signet/jwks"
)

// Static is a KeySource of keys that do not change, by kid.
type Static map[string]*Key

// Key returns the key with this kid.
func (s Static) Key(_ context.Context, kid string) (*Key, error) {
	if key := s[kid]; key != nil {
		return key, nil
	}
	return nil, unknownKey(kid)
}

// ParseStatic reads a JWK Set, of a file perhaps, by the rules of [Remote]. A set
// without a key that can be used is an error: it would refuse every token.
func ParseStatic(set []byte) (Static, error) {
	keys, leftOut, err := jwks.Parse(set)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: no key that can be used: %v", jwks.ErrSet, leftOut)
	}
	return Static(keys), nil
}

func unknownKey(kid string) error { return fmt.Errorf("%w: %.50q", ErrUnknownKey, kid) }
