package pgstore

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"

	"signet/internal/store/record"
	"signet/issuer"
	"signet/users"
)

// userColumns are in the order in which userRow reads them.
const userColumns = `u.id, u.name, u.user_id, u.disabled, u.epoch, u.version, u.record`

// userRow is an account as it is stored.
type userRow struct {
	id, name, userID []byte
	disabled         bool
	epoch, version   int64
	record           []byte
}

func (r *userRow) into() []any {
	return []any{&r.id, &r.name, &r.userID, &r.disabled, &r.epoch, &r.version, &r.record}
}

func (r *userRow) user() (users.User, error) {
	u, err := record.DecodeUser(string(r.id), r.record)
	u.Name, u.UserID, u.Disabled = string(r.name), string(r.userID), r.disabled
	u.Epoch, u.Version = uint64(r.epoch), uint64(r.version)
	return u, err
}

// newUserRow leaves to the record what has no column.
func newUserRow(u users.User) (userRow, error) {
	r := userRow{id: text(u.ID), name: text(u.Name), disabled: u.Disabled, epoch: int64(u.Epoch), version: int64(u.Version)}
	if u.UserID != "" {
		r.userID = text(u.UserID)
	}
	u.Name, u.UserID, u.Disabled, u.Epoch, u.Version = "", "", false, 0, 0
	var err error
	r.record, err = record.EncodeUser(u)
	return r, err
}

// text is s for a column that is never NULL.
func text(s string) []byte { return append([]byte{}, s...) }

// kindShards is over how many rows the count of a kind is spread.
const kindShards = 16

func shard() int16 { return rand.N(int16(kindShards)) }

// count adds to the counts of hash kinds what is selected before it: kind, shard, count.
const count = ` ON CONFLICT (kind, shard) DO UPDATE SET count = signet_hash_kinds.count + excluded.count`

const createUser = `WITH new AS (
		INSERT INTO signet_users (id, name, user_id, disabled, epoch, version, record, claim_bytes, hash_kind)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING hash_kind)
	INSERT INTO signet_hash_kinds (kind, shard, count) SELECT hash_kind, $10::smallint, 1 FROM new` + count

// CreateUser implements users.Store.
func (s *Store) CreateUser(ctx context.Context, u users.User) error {
	u.Version = 1
	r, err := newUserRow(u)
	if err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, q querier) error {
		tag, err := q.Exec(ctx, createUser, r.id, r.name, r.userID, r.disabled, r.epoch, r.version, r.record,
			int64(issuer.ClaimBytes(u)), text(users.HashKind(u.Hash)), shard())
		if err != nil || tag.RowsAffected() == 1 {
			return err
		}
		return taken(ctx, q, r)
	})
}

// taken says what of a new account is another's.
func taken(ctx context.Context, q querier, r userRow) error {
	var name, userID bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM signet_users WHERE name = $1 OR id = $2),
		EXISTS (SELECT 1 FROM signet_users WHERE user_id = $3)`, r.name, r.id, r.userID).Scan(&name, &userID)
	switch {
	case err != nil:
		return err
	case name:
		return refuse(users.ErrExists)
	case userID:
		return refuse(users.ErrUserID)
	}
	return errChanged // it has been removed since
}

// UserByName implements users.Store.
func (s *Store) UserByName(ctx context.Context, name string) (users.User, error) {
	return s.userBy(ctx, "name", name)
}

// UserByID implements users.Store.
func (s *Store) UserByID(ctx context.Context, id string) (users.User, error) {
	return s.userBy(ctx, "id", id)
}

// UserByUserID implements users.Store.
func (s *Store) UserByUserID(ctx context.Context, userID string) (users.User, error) {
	return s.userBy(ctx, "user_id", userID)
}

func (s *Store) userBy(ctx context.Context, column, value string) (u users.User, err error) {
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		var r userRow
		err := q.QueryRow(ctx, `SELECT `+userColumns+` FROM signet_users u WHERE `+column+` = $1`, text(value)).Scan(r.into()...)
		if errors.Is(err, pgx.ErrNoRows) {
			return refuse(users.ErrNotFound)
		}
		if err == nil {
			u, err = r.user()
		}
		return err
	})
	return u, err
}

// UpdateUser implements users.Store.
func (s *Store) UpdateUser(ctx context.Context, u users.User) error {
	expected := int64(u.Version)
	u.Version++
	r, err := newUserRow(u)
	if err != nil {
		return err
	}
	return s.transact(ctx, func(ctx context.Context, q querier) error {
		var version int64
		var name, kind []byte
		err := q.QueryRow(ctx, `SELECT version, name, hash_kind FROM signet_users WHERE id = $1 FOR UPDATE`, r.id).Scan(&version, &name, &kind)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return refuse(users.ErrNotFound)
		case err != nil:
			return err
		case version != expected || string(name) != u.Name:
			return refuse(users.ErrConflict)
		}
		next := text(users.HashKind(u.Hash))
		_, err = q.Exec(ctx, `UPDATE signet_users SET user_id = $2, disabled = $3, epoch = $4, version = $5, record = $6,
			claim_bytes = $7, hash_kind = $8 WHERE id = $1`, r.id, r.userID, r.disabled, r.epoch, r.version, r.record,
			int64(issuer.ClaimBytes(u)), next)
		if code(err) == uniqueViolation {
			return refuse(users.ErrUserID)
		}
		if err != nil || string(kind) == string(next) {
			return err
		}
		_, err = q.Exec(ctx, `INSERT INTO signet_hash_kinds (kind, shard, count) VALUES ($1, $3, -1), ($2, $3, 1)`+count, kind, next, shard())
		return err
	})
}

const removeUser = `WITH gone AS (DELETE FROM signet_users WHERE id = $1 RETURNING hash_kind)
	INSERT INTO signet_hash_kinds (kind, shard, count) SELECT hash_kind, $2::smallint, -1 FROM gone` + count

// RemoveUser implements users.Store.
func (s *Store) RemoveUser(ctx context.Context, id string) error {
	return s.write(ctx, func(ctx context.Context, q querier) error {
		return orRefuse(users.ErrNotFound)(q.Exec(ctx, removeUser, text(id), shard()))
	})
}

// Users implements users.Store.
func (s *Store) Users(ctx context.Context, after string, limit int) (page []users.User, err error) {
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		page = nil
		rows, err := q.Query(ctx, `SELECT `+userColumns+` FROM signet_users u WHERE u.name > $1 ORDER BY u.name LIMIT $2`, text(after), limit)
		if err != nil {
			return err
		}
		var r userRow
		_, err = pgx.ForEachRow(rows, r.into(), func() error {
			u, err := r.user()
			page = append(page, u)
			return err
		})
		return err
	})
	return page, err
}

// HashKinds implements users.Store.
func (s *Store) HashKinds(ctx context.Context) (counts map[string]int, err error) {
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		counts = map[string]int{}
		rows, err := q.Query(ctx, `SELECT kind, sum(count)::bigint FROM signet_hash_kinds GROUP BY kind`)
		if err != nil {
			return err
		}
		var kind []byte
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&kind, &n}, func() error {
			if n != 0 {
				counts[string(kind)] = int(n)
			}
			return nil
		})
		return err
	})
	return counts, err
}
