package boltstore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

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
	value, err := encodeRing(r)
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
	var r keystore.Ring
	if err := json.Unmarshal(b, &r); err != nil {
		return keystore.Ring{}, fmt.Errorf("%w: the keys cannot be read: %v: restore a backup", ErrStorage, err)
	}
	r.HeldUntil = r.HeldUntil.UTC()
	for i := range r.Keys {
		k := &r.Keys[i]
		k.Created, k.SignsFrom = k.Created.UTC(), k.SignsFrom.UTC()
		k.SignsUntil, k.Revoked = k.SignsUntil.UTC(), k.Revoked.UTC()
	}
	return r, nil
}

func encodeRing(r keystore.Ring) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the JWKs come back as they were
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("the keys cannot be stored: %w", err)
	}
	return b.Bytes(), nil
}
