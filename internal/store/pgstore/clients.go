package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"signet/internal/store/record"
	"signet/issuer/oauth"
)

// clientRow is a client as it is stored; the version stands in both of its parts.
type clientRow struct{ id, record []byte }

func (r *clientRow) client() (oauth.Client, error) {
	return record.DecodeClient(string(r.id), r.record)
}

// CreateClient implements oauth.Store.
func (s *Store) CreateClient(ctx context.Context, c oauth.Client) error {
	c.Version = 1
	value, err := record.EncodeClient(c)
	if err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, q querier) error {
		return orRefuse(oauth.ErrClientExists)(q.Exec(ctx,
			`INSERT INTO signet_clients (id, version, record) VALUES ($1, 1, $2) ON CONFLICT (id) DO NOTHING`, text(c.ID), value))
	})
}

// Client implements oauth.Store.
func (s *Store) Client(ctx context.Context, id string) (c oauth.Client, err error) {
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		var r clientRow
		err := q.QueryRow(ctx, `SELECT id, record FROM signet_clients WHERE id = $1`, text(id)).Scan(&r.id, &r.record)
		if errors.Is(err, pgx.ErrNoRows) {
			return refuse(oauth.ErrNoClient)
		}
		if err == nil {
			c, err = r.client()
		}
		return err
	})
	return c, err
}

const updateClient = `WITH new AS (
		UPDATE signet_clients SET version = $2 + 1, record = $3 WHERE id = $1 AND version = $2 RETURNING id)
	SELECT (SELECT count(*) FROM new), (SELECT count(*) FROM signet_clients WHERE id = $1)`

// UpdateClient implements oauth.Store.
func (s *Store) UpdateClient(ctx context.Context, c oauth.Client) error {
	expected := int64(c.Version)
	c.Version++
	value, err := record.EncodeClient(c)
	if err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, q querier) error {
		var updated, known int
		err := q.QueryRow(ctx, updateClient, text(c.ID), expected, value).Scan(&updated, &known)
		switch {
		case err != nil || updated == 1:
			return err
		case known == 0:
			return refuse(oauth.ErrNoClient)
		}
		return refuse(oauth.ErrClientConflict)
	})
}

// RemoveClient implements oauth.Store.
func (s *Store) RemoveClient(ctx context.Context, id string) error {
	return s.write(ctx, func(ctx context.Context, q querier) error {
		return orRefuse(oauth.ErrNoClient)(q.Exec(ctx, `DELETE FROM signet_clients WHERE id = $1`, text(id)))
	})
}

// Clients implements oauth.Store.
func (s *Store) Clients(ctx context.Context, after string, limit int) (page []oauth.Client, err error) {
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		page = nil
		rows, err := q.Query(ctx, `SELECT id, record FROM signet_clients WHERE id > $1 ORDER BY id LIMIT $2`, text(after), limit)
		if err != nil {
			return err
		}
		var r clientRow
		_, err = pgx.ForEachRow(rows, []any{&r.id, &r.record}, func() error {
			c, err := r.client()
			page = append(page, c)
			return err
		})
		return err
	})
	return page, err
}
