package keystore

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// ImportRequest brings a private key from elsewhere into the ring.
type ImportRequest struct {
	// PKCS8 is the private key in DER.
	PKCS8 []byte
	// Alg is the algorithm of the key from now on; empty means that of its type.
	Alg string
	// In and Now are those of RotateRequest.
	In  time.Duration
	Now bool
}

// Import is a rotation whose new key is the given one: published now, it takes over
// after publish_ahead, after req.In, or at once. Its kid is its RFC 7638 thumbprint. It
// refuses what ReadPrivateKey does and, with ErrKnown, a key that was here before.
func (m *Manager) Import(ctx context.Context, req ImportRequest, dryRun bool) (Takeover, error) {
	if m.vault != nil {
		return Takeover{}, errImportIntoVault
	}
	if len(req.PKCS8) > maxDER {
		return Takeover{}, errLargeKey
	}
	private, err := x509.ParsePKCS8PrivateKey(req.PKCS8)
	if err != nil {
		return Takeover{}, fmt.Errorf("%w: it is not PKCS #8", ErrKeyFile)
	}
	k, err := newForeignKey(private)
	if err != nil {
		return Takeover{}, err
	}
	if err := checkPrivate(k.private); err != nil {
		return Takeover{}, err
	}
	var kid string
	ring, err := m.apply(ctx, dryRun, func(c *change) (err error) {
		kid, err = m.importKey(c, k, req)
		return err
	})
	if err != nil {
		return Takeover{}, err
	}
	return ring.takeover(kid, m.time()), nil
}

func (m *Manager) importKey(c *change, foreign *ForeignKey, req ImportRequest) (kid string, err error) {
	if err := c.refuseStopped(req.Now); err != nil {
		return "", err
	}
	alg, err := chooseAlgorithm(foreign.private, req.Alg, c.Policy.Algorithms)
	if err != nil {
		return "", err
	}
	k, err := m.sealed(alg, foreign.private)
	if err != nil {
		return "", err
	}
	if err := c.refuseKnown(k.KID); err != nil {
		return "", err
	}
	// A pending key keeps its turn: its services were told of it.
	if pending := c.inState(alg, Pending, c.now); pending != nil {
		return "", c.pendingError(pending)
	}
	c.ready = []Key{k}
	_, err = c.rotateOne(alg, RotateRequest{In: req.In, Now: req.Now})
	return k.KID, err
}

// refuseKnown refuses a kid that is or was in the ring: a key has one life.
func (c *change) refuseKnown(kid string) error {
	k := c.find(kid)
	switch {
	case slices.Contains(c.Refused, kid):
		return fmt.Errorf("%w: %s, and it was revoked: a revoked key never signs again", ErrKnown, kid)
	case k == nil:
		return nil
	case !k.Revoked.IsZero():
		return fmt.Errorf("%w: %s, revoked since %s: a revoked key never signs again", ErrKnown, kid, k.Revoked.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("%w: %s, for %s, %s", ErrKnown, kid, k.Alg, k.State(c.now))
}
