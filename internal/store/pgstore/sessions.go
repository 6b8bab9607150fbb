package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"signet/internal/store/record"
	"signet/issuer"
)

// sessionColumns are in the order in which sessionRow reads them.
const sessionColumns = `s.id, s.subject, s.client, s.created, s.ends, s.epoch, s.rotated, s.expires, s.generation, s.jti, s.previous, s.kid`

// sessionRow is a session as it is stored, or NULLs where there is none.
type sessionRow struct {
	id, subject, client          []byte
	created, ends, epoch         zeronull.Int8
	rotated, expires, generation zeronull.Int8
	jti, previous, kid           []byte
}

func (r *sessionRow) into() []any {
	return []any{&r.id, &r.subject, &r.client, &r.created, &r.ends, &r.epoch, &r.rotated, &r.expires, &r.generation, &r.jti, &r.previous, &r.kid}
}

func (r *sessionRow) session() issuer.Session {
	return issuer.Session{
		ID: record.UnpackID(r.id), Subject: record.UnpackID(r.subject), Client: string(r.client),
		Created: record.Instant(int64(r.created)), Rotated: record.Instant(int64(r.rotated)),
		Expires: record.Instant(int64(r.expires)), Ends: record.Instant(int64(r.ends)),
		Generation: uint64(r.generation), Epoch: uint64(r.epoch),
		Current: record.UnpackID(r.jti), Previous: record.UnpackID(r.previous), KID: record.UnpackKID(r.kid),
	}
}

// packed is an identifier for a column that is never NULL.
func packed(id string) []byte { return append([]byte{}, record.PackID(id)...) }

const createSession = `INSERT INTO signet_sessions
	(id, subject, client, created, ends, epoch, rotated, expires, generation, jti, previous, kid)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING`

// CreateSession implements issuer.Sessions.
func (s *Store) CreateSession(ctx context.Context, n issuer.Session) error {
	return s.write(ctx, func(ctx context.Context, q querier) error {
		return orRefuse(issuer.ErrSessionExists)(q.Exec(ctx, createSession,
			packed(n.ID), packed(n.Subject), text(n.Client), n.Created.UnixMilli(), n.Ends.UnixMilli(), int64(n.Epoch),
			n.Rotated.UnixMilli(), n.Expires.UnixMilli(), int64(n.Generation), packed(n.Current), packed(n.Previous), record.PackKID(n.KID)))
	})
}

// orRefuse makes a refusal of a statement that changed nothing.
func orRefuse(refused error) func(pgconn.CommandTag, error) error {
	return func(tag pgconn.CommandTag, err error) error {
		if err == nil && tag.RowsAffected() == 0 {
			return refuse(refused)
		}
		return err
	}
}

// Session implements issuer.Sessions.
func (s *Store) Session(ctx context.Context, id string) (session issuer.Session, err error) {
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		var r sessionRow
		err := q.QueryRow(ctx, `SELECT `+sessionColumns+` FROM signet_sessions s WHERE s.id = $1`, packed(id)).Scan(r.into()...)
		if errors.Is(err, pgx.ErrNoRows) {
			return refuse(issuer.ErrNoSession)
		}
		session = r.session()
		return err
	})
	return session, err
}

// EndSession implements issuer.Sessions.
func (s *Store) EndSession(ctx context.Context, id string) error {
	return s.write(ctx, func(ctx context.Context, q querier) error {
		return orRefuse(issuer.ErrNoSession)(q.Exec(ctx, `DELETE FROM signet_sessions WHERE id = $1`, packed(id)))
	})
}

// ListSessions implements issuer.SessionIndex.
func (s *Store) ListSessions(ctx context.Context, subject, after string, limit int) (page []issuer.Session, err error) {
	sql, args := `SELECT `+sessionColumns+` FROM signet_sessions s WHERE s.id > $1`, []any{packed(after), limit}
	if subject != "" {
		sql, args = sql+` AND s.subject = $3`, append(args, packed(subject))
	}
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		page = nil
		rows, err := q.Query(ctx, sql+` ORDER BY s.id LIMIT $2`, args...)
		if err != nil {
			return err
		}
		var r sessionRow
		_, err = pgx.ForEachRow(rows, r.into(), func() error {
			page = append(page, r.session())
			return nil
		})
		return err
	})
	return page, err
}

// EndSubjectSessions implements issuer.SessionIndex.
func (s *Store) EndSubjectSessions(ctx context.Context, subject string) (ended int, err error) {
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		tag, err := q.Exec(ctx, `DELETE FROM signet_sessions WHERE subject = $1`, packed(subject))
		ended = int(tag.RowsAffected())
		return err
	})
	if err != nil {
		return 0, err
	}
	return ended, nil
}

// sweepSessions is Sweep.Matches for the sessions of a page. A row that another changes
// meanwhile is looked at again before it is deleted.
const sweepSessions = `WITH page AS (SELECT id FROM signet_sessions WHERE id > $1 ORDER BY id LIMIT $2),
	gone AS (DELETE FROM signet_sessions s USING page p
		WHERE s.id = p.id AND ($3 OR s.kid = $4 OR s.expires <= $5 OR s.ends <= $5) RETURNING s.id)
	SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM page), (SELECT id FROM page ORDER BY id DESC LIMIT 1)`

// SweepSessions implements issuer.SessionIndex.
func (s *Store) SweepSessions(ctx context.Context, sweep issuer.Sweep, after string, limit int) (ended int, last string, err error) {
	var kid []byte // NULL equals no kid
	if sweep.KID != "" {
		kid = record.PackKID(sweep.KID)
	}
	var expired *int64
	if !sweep.ExpiredAt.IsZero() {
		expired = new(sweep.ExpiredAt.UnixMilli())
	}
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		var looked int
		var id []byte
		if err := q.QueryRow(ctx, sweepSessions, packed(after), limit, sweep.All, kid, expired).Scan(&ended, &looked, &id); err != nil {
			return err
		}
		if last = ""; looked == limit {
			last = record.UnpackID(id)
		}
		return nil
	})
	if err != nil {
		return 0, "", err
	}
	return ended, last, nil
}

// milliseconds is t in the resolution of the store.
func milliseconds(t time.Time) time.Time { return record.Instant(t.UnixMilli()) }
