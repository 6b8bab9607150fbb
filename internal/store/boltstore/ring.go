package boltstore

import (
	"context"

	"signet/internal/store/record"
	"signet/keystore"
)

// LoadRing implements keystore.Store.
func (s *Store) LoadRing(ctx context.Context) (ring keystore.Ring, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		ring, err = loadRing(t)
		return err
	})
	return ring, err
}

// ReplaceRing implements keystore.Store.
func (s *Store) ReplaceRing(ctx context.Context, r keystore.Ring) error {
	expected := r.Version
	r.Version++
	value, err := record.EncodeRing(r)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		stored, err := loadRing(t)
		if err != nil {
			return err
		}
		if stored.Version != expected {
			return keystore.ErrConflict
		}
		return t.put(bucketKeys, keyRing, value)
	})
}

func loadRing(t *tx) (keystore.Ring, error) {
	b := t.get(bucketKeys, keyRing)
	if b == nil {
		return keystore.Ring{}, nil
	}
	return record.DecodeRing(b)
}
