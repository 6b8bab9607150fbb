package pgstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"signet/internal/audit"
)

// Names of values in signet_meta; those of a replica end in its own.
const (
	nameDecoys    = "decoys"
	nameThrottle  = "throttle"
	nameProbe     = "probe/"
	nameAuditMark = "audit mark/"
)

const putMeta = `INSERT INTO signet_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`

// DecoyKey returns the key for users.Options: 256 random bits, made when it is first
// asked for, and the same for all replicas. Whoever reads it here reads the names of all
// accounts beside it.
func (s *Store) DecoyKey(ctx context.Context) ([]byte, error) {
	return s.sharedKey(ctx, nameDecoys)
}

// sharedKey returns the secret with a name, and makes it if there is none.
func (s *Store) sharedKey(ctx context.Context, name string) ([]byte, error) {
	if key, err := s.meta(ctx, name); err != nil || key != nil {
		return key, err
	}
	fresh := make([]byte, 32)
	rand.Read(fresh)
	err := s.writeOn(ctx, s.own, func(ctx context.Context, q querier) error {
		_, err := q.Exec(ctx, `INSERT INTO signet_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, text(name), fresh)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.meta(ctx, name) // perhaps another replica's
}

// meta returns a named value, or nil.
func (s *Store) meta(ctx context.Context, name string) (value []byte, err error) {
	err = s.readOn(ctx, s.own, func(ctx context.Context, q querier) error {
		err := q.QueryRow(ctx, `SELECT value FROM signet_meta WHERE name = $1`, text(name)).Scan(&value)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return value, err
}

func (s *Store) setMeta(ctx context.Context, name string, value []byte) error {
	return s.writeOn(ctx, s.own, func(ctx context.Context, q querier) error {
		_, err := q.Exec(ctx, putMeta, text(name), value)
		return err
	})
}

// CheckWritable commits a tiny write and reports whether that worked.
func (s *Store) CheckWritable(ctx context.Context) error {
	return s.setMeta(ctx, nameProbe+s.opts.Replica, []byte{1})
}

// AuditMark implements audit.Marks, for the log of this replica.
func (s *Store) AuditMark(ctx context.Context) (m audit.Mark, err error) {
	text, err := s.meta(ctx, nameAuditMark+s.opts.Replica)
	if err != nil || text == nil {
		return audit.Mark{}, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return audit.Mark{}, storageError("read the mark of the audit log in", s.name, err)
	}
	return m, nil
}

// SetAuditMark implements audit.Marks.
func (s *Store) SetAuditMark(ctx context.Context, m audit.Mark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.setMeta(ctx, nameAuditMark+s.opts.Replica, text)
}

// Usage returns the bytes of the tables and their indexes. How many of them are free is
// not known without reading them all: it is said to be none. An engine that does not
// measure its tables says 0.
func (s *Store) Usage(ctx context.Context) (size, free int64, err error) {
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		err := q.QueryRow(ctx, `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
			WHERE c.relkind = 'r' AND c.relname LIKE 'signet\_%' AND pg_table_is_visible(c.oid)`).Scan(&size)
		if code(err) == undefinedFunction {
			size = 0
			return nil
		}
		return err
	})
	return size, free, err
}
