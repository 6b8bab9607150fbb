package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"signet/internal/store/transfer"
)

var _ transfer.Source = (*Store)(nil)

// nameMoved is the value in signet_meta of a database that has been copied elsewhere, and
// that Open refuses.
const nameMoved = "moved"

// Moved implements transfer.Source.
func (s *Store) Moved(ctx context.Context) (*transfer.Moved, error) {
	value, err := s.meta(ctx, nameMoved)
	if err != nil || value == nil {
		return nil, err
	}
	return s.parseMoved(value)
}

func (s *Store) parseMoved(value []byte) (*transfer.Moved, error) {
	m := new(transfer.Moved)
	if err := json.Unmarshal(value, m); err != nil {
		return nil, storageError("read where its data was copied to from", s.name, err)
	}
	return m, nil
}

// Leave implements transfer.Source.
func (s *Store) Leave(ctx context.Context, m transfer.Moved) error {
	value, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.setMeta(ctx, nameMoved, value)
}

// Return implements transfer.Source.
func (s *Store) Return(ctx context.Context) error {
	return s.writeOn(ctx, s.own, func(ctx context.Context, q querier) error {
		_, err := q.Exec(ctx, `DELETE FROM signet_meta WHERE name = $1`, text(nameMoved))
		return err
	})
}

// refuseMoved refuses a database that has been copied elsewhere.
func (s *Store) refuseMoved(ctx context.Context) error {
	m, err := s.Moved(ctx)
	if err == nil && m != nil {
		return &transfer.MovedError{Database: s.name, Moved: *m}
	}
	return err
}

// admitConnection refuses each new connection to a database that has been copied elsewhere. A
// migration sees the servers that are connected. One that was cut off meanwhile, or stopped,
// has to connect again, and finds the mark then.
func (s *Store) admitConnection(ctx context.Context, c *pgx.Conn) error {
	if !s.guarded.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout) // the pool sets none
	defer cancel()
	var value []byte
	err := c.QueryRow(ctx, `SELECT value FROM signet_meta WHERE name = $1`, text(nameMoved)).Scan(&value)
	switch {
	case errors.Is(err, pgx.ErrNoRows), code(err) == undefinedTable: // without tables each call says so
		return nil
	case err != nil:
		return err
	}
	m, err := s.parseMoved(value)
	if err != nil {
		return err
	}
	return refuse(fmt.Errorf("%w: %w", ErrStorage, &transfer.MovedError{Database: s.name, Moved: *m}))
}
