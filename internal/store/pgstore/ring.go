package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"signet/internal/store/record"
	"signet/keystore"
)

// LoadRing implements keystore.Store.
func (s *Store) LoadRing(ctx context.Context) (ring keystore.Ring, err error) {
	err = s.readOn(ctx, s.own, func(ctx context.Context, q querier) (err error) {
		ring, err = readRing(ctx, q)
		return err
	})
	return ring, err
}

func readRing(ctx context.Context, q querier) (keystore.Ring, error) {
	var value []byte
	err := q.QueryRow(ctx, `SELECT ring FROM signet_ring WHERE one = 1`).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return keystore.Ring{}, nil
	}
	if err != nil {
		return keystore.Ring{}, err
	}
	return record.DecodeRing(value)
}

// ReplaceRing implements keystore.Store.
func (s *Store) ReplaceRing(ctx context.Context, r keystore.Ring) error {
	expected := int64(r.Version)
	r.Version++
	value, err := record.EncodeRing(r)
	if err != nil {
		return err
	}
	sql := `UPDATE signet_ring SET version = $1 + 1, ring = $2 WHERE one = 1 AND version = $1`
	if expected == 0 {
		sql = `INSERT INTO signet_ring (one, version, ring) VALUES (1, $1 + 1, $2) ON CONFLICT (one) DO NOTHING`
	}
	return s.writeOn(ctx, s.own, func(ctx context.Context, q querier) error {
		return orRefuse(keystore.ErrConflict)(q.Exec(ctx, sql, expected, value))
	})
}
