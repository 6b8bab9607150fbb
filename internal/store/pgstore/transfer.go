package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"signet/internal/audit"
	"signet/internal/store/record"
	"signet/internal/store/transfer"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/users"
)

var (
	_ transfer.Reader = (*Store)(nil)
	_ transfer.Target = (*Target)(nil)
)

// nameFilling is the value in signet_meta of a database that is being filled, and that
// Open refuses.
const nameFilling = "filling"

// Target is a database that is being filled, and that Open refuses until it is finished.
type Target struct {
	*Store
	from string
	last []byte // the mark as this migration left it, or found it
}

// errOvertaken: the mark is not as this migration left it. Nothing may be put, emptied or
// opened on its behalf any more: the other one may have finished, and servers be at work.
var errOvertaken = errors.New("another signet migrate fills the same database, or has finished it: this one has changed nothing since")

// OpenTarget opens the database with this URL, which must be empty, to be filled from what
// from names, or goes on with one that was begun so; anew empties that first. It returns
// fs.ErrExist for one that holds anything else, and a transfer.FillingError for one that
// is filled from elsewhere.
func OpenTarget(ctx context.Context, url, from string, anew bool, opts Options) (*Target, error) {
	opts.filling = true
	store, err := Open(ctx, url, opts)
	if err != nil {
		return nil, err
	}
	t := &Target{Store: store, from: from}
	if err := t.begin(ctx, anew); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return t, nil
}

// begin leaves the mark, or finds it.
func (t *Target) begin(ctx context.Context, anew bool) error {
	value, mark, err := t.filling(ctx)
	t.last = value
	switch {
	case err != nil:
		return err
	case mark == nil:
		return t.beginEmpty(ctx)
	case anew:
		return t.empty(ctx)
	case mark.From != t.from:
		return &transfer.FillingError{Database: t.name, From: mark.From}
	}
	return nil
}

// tables are all but that of the schema.
var tables = []string{"signet_users", "signet_hash_kinds", "signet_sessions", "signet_clients", "signet_assertions", "signet_ring", "signet_meta"}

// beginEmpty marks a database that nobody has used.
func (t *Target) beginEmpty(ctx context.Context) error {
	var looks []string
	for _, table := range tables {
		looks = append(looks, "EXISTS (SELECT 1 FROM "+table+")")
	}
	first, err := t.markAt(transfer.Place{})
	if err != nil {
		return err
	}
	return t.leave(ctx, first, func(ctx context.Context, q querier) error {
		var used bool
		if err := q.QueryRow(ctx, "SELECT "+strings.Join(looks, " OR ")).Scan(&used); err != nil {
			return err
		}
		if used {
			return refuse(fmt.Errorf("%s: %w", t.name, fs.ErrExist))
		}
		tag, err := q.Exec(ctx, `INSERT INTO signet_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, text(nameFilling), first)
		return t.oneRow(tag, err)
	})
}

// empty forgets what was filled in. The mark comes first: its row lock keeps out another
// migration, and it is not there where one has finished.
func (t *Target) empty(ctx context.Context) error {
	first, err := t.markAt(transfer.Place{})
	if err != nil {
		return err
	}
	return t.leave(ctx, first, func(ctx context.Context, q querier) error {
		if _, err := q.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
			return err
		}
		if err := t.replaceMark(ctx, q, first); err != nil {
			return err
		}
		for _, table := range tables {
			if table == "signet_meta" {
				continue
			}
			if _, err := q.Exec(ctx, `TRUNCATE TABLE `+table); err != nil {
				return err
			}
		}
		_, err := q.Exec(ctx, `DELETE FROM signet_meta WHERE name <> $1`, text(nameFilling))
		return err
	})
}

// leave makes a change that leaves this mark.
func (t *Target) leave(ctx context.Context, mark []byte, change func(ctx context.Context, q querier) error) error {
	err := t.transactLong(ctx, change)
	if err == nil {
		t.last = mark
	}
	return err
}

func (t *Target) markAt(at transfer.Place) ([]byte, error) {
	return json.Marshal(transfer.Mark{From: t.from, Place: at})
}

// replaceMark puts a mark in the place of the last one.
func (t *Target) replaceMark(ctx context.Context, q querier, mark []byte) error {
	tag, err := q.Exec(ctx, `UPDATE signet_meta SET value = $3 WHERE name = $1 AND value = $2`, text(nameFilling), t.last, mark)
	return t.oneRow(tag, err)
}

// oneRow is errOvertaken where the mark was not as it should be.
func (t *Target) oneRow(tag pgconn.CommandTag, err error) error {
	if err == nil && tag.RowsAffected() != 1 {
		return refuse(fmt.Errorf("%s: %w", t.name, errOvertaken))
	}
	return err
}

// filling returns what the database says of its being filled, also as it is written; nil
// if it is not.
func (s *Store) filling(ctx context.Context) ([]byte, *transfer.Mark, error) {
	value, err := s.meta(ctx, nameFilling)
	if err != nil || value == nil {
		return nil, nil, err
	}
	mark := new(transfer.Mark)
	if err := json.Unmarshal(value, mark); err != nil {
		return nil, nil, storageError("read the place of its filling in", s.name, err)
	}
	return value, mark, nil
}

// refuseFilling refuses a database that is not whole.
func (s *Store) refuseFilling(ctx context.Context) error {
	_, mark, err := s.filling(ctx)
	if err == nil && mark != nil {
		return &transfer.FillingError{Database: s.name, From: mark.From}
	}
	return err
}

// Place implements transfer.Target.
func (t *Target) Place(ctx context.Context) (transfer.Place, error) {
	_, mark, err := t.filling(ctx)
	if err != nil || mark == nil {
		return transfer.Place{}, err
	}
	return mark.Place, nil
}

// fillTimeout bounds a statement that puts a page.
const fillTimeout = `SET LOCAL statement_timeout = '60s'`

// Put implements transfer.Target.
func (t *Target) Put(ctx context.Context, page transfer.Page, at transfer.Place) error {
	mark, err := t.markAt(at)
	if err != nil {
		return err
	}
	return t.leave(ctx, mark, func(ctx context.Context, q querier) error {
		if _, err := q.Exec(ctx, fillTimeout); err != nil {
			return err
		}
		if err := t.replaceMark(ctx, q, mark); err != nil {
			return err
		}
		return t.putPage(ctx, q, page)
	})
}

// Finish implements transfer.Target.
func (t *Target) Finish(ctx context.Context) error {
	return t.write(ctx, func(ctx context.Context, q querier) error {
		tag, err := q.Exec(ctx, `DELETE FROM signet_meta WHERE name = $1 AND value = $2`, text(nameFilling), t.last)
		return t.oneRow(tag, err)
	})
}

func (t *Target) putPage(ctx context.Context, q querier, page transfer.Page) error {
	return errors.Join(putUsers(ctx, q, page.Users), putSessions(ctx, q, page.Sessions),
		putClients(ctx, q, page.Clients), putAssertions(ctx, q, page.Assertions), t.putSingle(ctx, q, page.Rest))
}

// bulk writes rows by COPY, which a transaction and a connection have.
func bulk[T any](ctx context.Context, q querier, table string, columns []string, records []T, row func(T) ([]any, error)) error {
	if len(records) == 0 {
		return nil
	}
	to := q.(interface {
		CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
	})
	n, err := to.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromSlice(len(records), func(i int) ([]any, error) { return row(records[i]) }))
	if err == nil && int(n) != len(records) {
		err = fmt.Errorf("%d of %d records were taken", n, len(records))
	}
	return err
}

func putUsers(ctx context.Context, q querier, all []users.User) error {
	columns := []string{"id", "name", "user_id", "disabled", "epoch", "version", "record", "claim_bytes", "hash_kind"}
	kinds := map[string]int64{}
	err := bulk(ctx, q, "signet_users", columns, all, func(u users.User) ([]any, error) {
		kind := users.HashKind(u.Hash)
		kinds[kind]++
		r, err := newUserRow(u)
		return []any{r.id, r.name, r.userID, r.disabled, r.epoch, r.version, r.record, int64(issuer.ClaimBytes(u)), text(kind)}, err
	})
	for kind, n := range maps.All(kinds) {
		if err == nil {
			_, err = q.Exec(ctx, `INSERT INTO signet_hash_kinds (kind, shard, count) VALUES ($1, $2, $3)`+count, text(kind), shard(), n)
		}
	}
	return err
}

func putSessions(ctx context.Context, q querier, all []issuer.Session) error {
	columns := []string{"id", "subject", "client", "created", "ends", "epoch", "rotated", "expires", "generation", "jti", "previous", "kid"}
	return bulk(ctx, q, "signet_sessions", columns, all, func(n issuer.Session) ([]any, error) {
		return sessionValues(n), nil
	})
}

func putClients(ctx context.Context, q querier, all []oauth.Client) error {
	return bulk(ctx, q, "signet_clients", []string{"id", "version", "record"}, all, func(c oauth.Client) ([]any, error) {
		value, err := record.EncodeClient(c)
		return []any{text(c.ID), int64(c.Version), value}, err
	})
}

func putAssertions(ctx context.Context, q querier, all []transfer.Assertion) error {
	return bulk(ctx, q, "signet_assertions", []string{"expires", "hash"}, all, func(a transfer.Assertion) ([]any, error) {
		return []any{a.Expires.UnixMilli(), a.Hash[:]}, nil
	})
}

func (t *Target) putSingle(ctx context.Context, q querier, one *transfer.Single) error {
	if one == nil {
		return nil
	}
	ring, err := record.EncodeRing(one.Ring)
	if err != nil {
		return err
	}
	mark, err := json.Marshal(one.AuditMark)
	if err != nil {
		return err
	}
	if one.Ring.Version > 0 {
		_, err = q.Exec(ctx, `INSERT INTO signet_ring (one, version, ring) VALUES (1, $1, $2)`, int64(one.Ring.Version), ring)
	}
	if err == nil && len(one.DecoyKey) > 0 {
		_, err = q.Exec(ctx, putMeta, text(nameDecoys), one.DecoyKey)
	}
	if err == nil && one.AuditMark != (audit.Mark{}) {
		_, err = q.Exec(ctx, putMeta, text(nameAuditMark+t.opts.Replica), mark)
	}
	if err == nil {
		err = putOtherMarks(ctx, q, one.OtherMarks)
	}
	return err
}

// Count implements transfer.Reader.
func (s *Store) Count(ctx context.Context, kind transfer.Kind) (n int, err error) {
	table := map[transfer.Kind]string{
		transfer.Users: "signet_users", transfer.Sessions: "signet_sessions", transfer.Clients: "signet_clients", transfer.Assertions: "signet_assertions",
	}[kind]
	if table == "" {
		return 1, nil
	}
	if !s.enter() {
		return 0, ErrClosed
	}
	defer s.calls.Done()
	// Not by read, which gives up: a large table takes a while.
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM `+table).Scan(&n)
	})
	if err != nil {
		return 0, storageError("count "+string(kind)+" in", s.name, err)
	}
	return n, nil
}

// Page implements transfer.Reader.
func (s *Store) Page(ctx context.Context, kind transfer.Kind, after string, limit int) (page transfer.Page, err error) {
	switch kind {
	case transfer.Users:
		page.Users, err = s.Users(ctx, after, limit)
	case transfer.Sessions:
		page.Sessions, err = s.ListSessions(ctx, "", after, limit)
	case transfer.Clients:
		page.Clients, err = s.Clients(ctx, after, limit)
	case transfer.Assertions:
		page.Assertions, err = s.assertionsAfter(ctx, after, limit)
	default:
		if after == "" {
			page.Rest, err = s.single(ctx)
		}
	}
	return page, err
}

func (s *Store) assertionsAfter(ctx context.Context, after string, limit int) (page []transfer.Assertion, err error) {
	last, err := transfer.ParsePlace(after)
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		page = nil
		rows, err := q.Query(ctx, `SELECT expires, hash FROM signet_assertions WHERE (expires, hash) > ($1, $2) ORDER BY expires, hash LIMIT $3`,
			last.Expires.UnixMilli(), last.Hash[:], limit)
		if err != nil {
			return err
		}
		var expires int64
		var hash []byte
		_, err = pgx.ForEachRow(rows, []any{&expires, &hash}, func() error {
			if len(hash) != 16 {
				return errors.New("the hash of a used assertion has another length")
			}
			page = append(page, transfer.Assertion{Expires: time.UnixMilli(expires).UTC(), Hash: [16]byte(hash)})
			return nil
		})
		return err
	})
	return page, err
}

func (s *Store) single(ctx context.Context) (*transfer.Single, error) {
	one := new(transfer.Single)
	var err error
	if one.Ring, err = s.LoadRing(ctx); err != nil {
		return nil, err
	}
	if one.DecoyKey, err = s.meta(ctx, nameDecoys); err != nil {
		return nil, err
	}
	if one.AuditMark, err = s.AuditMark(ctx); err != nil {
		return nil, err
	}
	if one.OtherMarks, err = s.OtherMarks(ctx); err != nil {
		return nil, err
	}
	one.HashKinds, err = s.HashKinds(ctx)
	return one, err
}
