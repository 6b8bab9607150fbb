package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"signet/internal/store/record"
	"signet/issuer"
	"signet/users"
)

// advanceSession is the Advanced case of Session.Advance. The row that it returns is the
// one before: a statement reads what was there when it began. Who waits for another that
// advances the same session finds another jti, and changes nothing.
const advanceSession = `WITH advanced AS (
		UPDATE signet_sessions SET previous = jti, jti = $3, kid = $4, rotated = $5, expires = $6, generation = generation + 1
		WHERE id = $1 AND jti = $2 AND epoch = $7 AND expires > $5 AND ends > $5 RETURNING id)
	SELECT (SELECT count(*) FROM advanced), ` + sessionColumns + ` FROM signet_sessions s WHERE s.id = $1`

// AdvanceSession implements issuer.Sessions: in one statement, or in two where the
// session ends by it.
func (s *Store) AdvanceSession(ctx context.Context, id string, step issuer.Step) (session issuer.Session, outcome issuer.Outcome, err error) {
	// In the resolution of the store, so that the session returned is the one stored.
	step.Now, step.Expires = milliseconds(step.Now), milliseconds(step.Expires)
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		var advanced int
		var r sessionRow
		err := q.QueryRow(ctx, advanceSession, packed(id), packed(step.Presented), packed(step.Next), record.PackKID(step.KID),
			step.Now.UnixMilli(), step.Expires.UnixMilli(), int64(step.Epoch)).Scan(append([]any{&advanced}, r.into()...)...)
		if errors.Is(err, pgx.ErrNoRows) {
			return refuse(issuer.ErrNoSession)
		}
		if err != nil {
			return err
		}
		session = r.session()
		outcome, err = settle(ctx, q, &r, &session, step, advanced == 1)
		return err
	})
	if err != nil {
		return issuer.Session{}, 0, err
	}
	return session, outcome, nil
}

const sessionWithUser = `SELECT ` + userColumns + `, ` + sessionColumns + `
	FROM signet_users u LEFT JOIN signet_sessions s ON s.id = $1 WHERE u.id = $2`

// SessionWithUser implements issuer.Refresher.
func (s *Store) SessionWithUser(ctx context.Context, id, subject string) (u users.User, session issuer.Session, err error) {
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		var account userRow
		var r sessionRow
		err := q.QueryRow(ctx, sessionWithUser, packed(id), text(subject)).Scan(append(account.into(), r.into()...)...)
		if u, err = found(&account, &r, err); err == nil {
			session = r.session()
		}
		return err
	})
	return u, session, err
}

// found returns the account of a joined row that was read with err.
func found(account *userRow, r *sessionRow, err error) (users.User, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return users.User{}, refuse(users.ErrNotFound)
	}
	if err != nil {
		return users.User{}, err
	}
	u, err := account.user()
	if err == nil && r.id == nil {
		err = refuse(issuer.ErrNoSession)
	}
	return u, err
}

// advanceWithUser is advanceSession with the account's epoch, read by the same statement.
const advanceWithUser = `WITH account AS (SELECT ` + userColumns + `, u.claim_bytes FROM signet_users u WHERE u.id = $7),
	advanced AS (
		UPDATE signet_sessions s SET previous = s.jti, jti = $3, kid = $4, rotated = $5, expires = $6, generation = s.generation + 1
		FROM account u WHERE s.id = $1 AND s.jti = $2 AND s.epoch = u.epoch AND s.expires > $5 AND s.ends > $5
			AND NOT u.disabled AND u.claim_bytes <= $8 RETURNING s.id)
	SELECT (SELECT count(*) FROM advanced), u.claim_bytes <= $8, ` + userColumns + `, ` + sessionColumns + `
	FROM account u LEFT JOIN signet_sessions s ON s.id = $1`

// AdvanceWithUser implements issuer.Refresher, as AdvanceSession does.
func (s *Store) AdvanceWithUser(ctx context.Context, id, subject string, step issuer.Step, room int) (u users.User, session issuer.Session, outcome issuer.Outcome, err error) {
	step.Now, step.Expires = milliseconds(step.Now), milliseconds(step.Expires)
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		session, outcome = issuer.Session{}, 0
		var advanced int
		var fits bool
		var account userRow
		var r sessionRow
		err := q.QueryRow(ctx, advanceWithUser, packed(id), packed(step.Presented), packed(step.Next), record.PackKID(step.KID),
			step.Now.UnixMilli(), step.Expires.UnixMilli(), text(subject), room).
			Scan(append(append([]any{&advanced, &fits}, account.into()...), r.into()...)...)
		if u, err = found(&account, &r, err); err != nil || u.Disabled || !fits {
			return err
		}
		session, step.Epoch = r.session(), u.Epoch
		outcome, err = settle(ctx, q, &r, &session, step, advanced == 1)
		return err
	})
	if err != nil {
		return u, issuer.Session{}, 0, err
	}
	return u, session, outcome, nil
}

// settle lets Session.Advance decide about the session that was read, and ends it where
// that is the outcome, if nobody has changed it since. errChanged if somebody has.
func settle(ctx context.Context, q querier, r *sessionRow, session *issuer.Session, step issuer.Step, advanced bool) (issuer.Outcome, error) {
	outcome := session.Advance(step)
	switch {
	case advanced && outcome != issuer.Advanced:
		return 0, fmt.Errorf("%w: it advanced a session that was not to be", ErrStorage)
	case advanced, outcome == issuer.Repeated, outcome == issuer.Expired:
		return outcome, nil
	case outcome == issuer.Advanced:
		return 0, errChanged
	}
	tag, err := q.Exec(ctx, `DELETE FROM signet_sessions WHERE id = $1 AND generation = $2`, r.id, int64(r.generation))
	if err == nil && tag.RowsAffected() == 0 {
		return 0, errChanged
	}
	return outcome, err
}
