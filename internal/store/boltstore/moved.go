package boltstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"signet/internal/store/transfer"
)

var _ transfer.Source = (*Store)(nil)

// moved stands in place of application once a database has been copied elsewhere: an
// older Signet refuses it, too.
const moved = "signet, moved"

var keyMoved = []byte("moved")

// Moved implements transfer.Source.
func (s *Store) Moved(ctx context.Context) (m *transfer.Moved, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		m, err = readMoved(t.Tx)
		return err
	})
	return m, err
}

// Leave implements transfer.Source.
func (s *Store) Leave(ctx context.Context, m transfer.Moved) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		return errors.Join(t.put(bucketMeta, keyMoved, text), t.put(bucketMeta, keyApplication, []byte(moved)))
	})
}

// Return implements transfer.Source.
func (s *Store) Return(ctx context.Context) error {
	return s.write(ctx, func(t *tx) error {
		return errors.Join(t.put(bucketMeta, keyApplication, []byte(application)), t.delete(bucketMeta, keyMoved))
	})
}

// readMoved is nil for a database that was not copied elsewhere.
func readMoved(tx *bbolt.Tx) (*transfer.Moved, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil || string(meta.Get(keyApplication)) != moved {
		return nil, nil
	}
	m := new(transfer.Moved)
	if err := json.Unmarshal(meta.Get(keyMoved), m); err != nil {
		return nil, fmt.Errorf("%w: where it was copied to cannot be read: %w", ErrStorage, err)
	}
	return m, nil
}

// refuseMarked refuses a database that is not whole, or no longer in use. It reports
// whether there is such a mark.
func refuseMarked(path string, tx *bbolt.Tx, opts Options) (marked bool, err error) {
	filled, err := readFilling(tx)
	if err != nil {
		return false, err
	}
	left, err := readMoved(tx)
	switch {
	case err != nil:
		return false, err
	case filled != nil && !opts.filling:
		return true, &transfer.FillingError{Database: path, From: filled.From}
	case left != nil && !opts.filling && !opts.Moved:
		return true, &transfer.MovedError{Database: path, Moved: *left}
	}
	return filled != nil || left != nil, nil
}
