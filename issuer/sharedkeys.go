package issuer

import "fmt"

// SharedKeys are Keys to which other processes add.
type SharedKeys interface {
	Keys
	// Behind is called for a kid that PublicKey does not know. It catches up with the
	// others, or reports why it could not: then nobody can tell whether there is such a key.
	Behind() error
}

// publicKey refuses a kid that no key has. A token whose key may exist is not refused: its
// client would take that for the end of the session.
func (i *Issuer) publicKey(kid string) (alg string, public any, err error) {
	alg, public, ok := i.keys.PublicKey(kid)
	if shared, is := i.keys.(SharedKeys); is && !ok {
		if err := shared.Behind(); err != nil {
			return "", nil, fmt.Errorf("look for the key of a token: %w", err)
		}
		alg, public, ok = i.keys.PublicKey(kid)
	}
	if !ok {
		return "", nil, invalid(fmt.Errorf("%w: %.50q", ErrUnknownKey, kid))
	}
	return alg, public, nil
}
