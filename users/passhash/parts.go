package passhash

import (
	"fmt"
	"strings"
)

// Parts are what a Hash is made of, for one that is computed in another process. Salt
// and key are as secret as the hash, and not to be changed.
func (h *Hash) Parts() (kind string, salt, key []byte) { return h.Kind(), h.salt, h.key }

// FromParts is the Hash that has these parts. ErrScheme, ErrShape or ErrCost if no hash
// that Parse takes has them.
func FromParts(kind string, salt, key []byte) (*Hash, error) {
	s, cost, err := ofKind(kind)
	if err != nil {
		return nil, err
	}
	return s.hash(cost, salt, key)
}

func ofKind(kind string) (*scheme, []uint64, error) {
	if len(kind) > MaxEncodedBytes {
		return nil, nil, fmt.Errorf("%w: a kind of %d bytes", ErrShape, len(kind))
	}
	name, params, _ := strings.Cut(kind, " ")
	s, ok := schemes[name]
	if !ok {
		return nil, nil, fmt.Errorf("%w: unknown kind %.100q", ErrScheme, kind)
	}
	cost, err := s.readCost(params)
	return s, cost, err
}
