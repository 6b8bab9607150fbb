package keystore

import (
	"context"
	"errors"
	"fmt"
)

// Over a network a write whose answer is lost may still be made afterwards: a PostgreSQL
// that waits for its standby shows others the old ring until then. So no plain read says
// that something is not needed by the ring, and nothing is destroyed on one. A fence does:
// writes compare the Version, and one that has not been made when the fence is stored is
// refused for ever.

// errUnsettled: a write of the ring may have been made, or may be made yet.
var errUnsettled = errors.New("whether the keys in the database were changed is not known yet")

// fence stores ring, as it is, under the next Version. Once it returns nil or ErrConflict
// no write is made any more that began from ring or from one before it; with ErrConflict
// one of them may have been made, which a read then shows.
func fence(ctx context.Context, store Store, sealing *SealingKey, ring Ring) error {
	if ring.Version == 0 {
		return errors.New("no keys were ever stored") // an empty ring would be an issuer without keys
	}
	if err := sealing.admit(ring); err != nil {
		return err
	}
	ring, err := sealing.authenticate(ring)
	if err != nil {
		return err
	}
	return store.ReplaceRing(ctx, ring)
}

// settle ends the doubt about a write in the place of before, where something would be
// destroyed if it was not made. One process over one file has none.
func (m *Manager) settle(ctx context.Context, before Ring, tried *SealingKey) error {
	if m.keeper == nil || tried == m.sealing && len(m.inVault.made) == 0 {
		return nil
	}
	if err := fence(ctx, m.store, m.sealing, before); err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("make sure that it is not made later: %w", err)
	}
	return nil
}
