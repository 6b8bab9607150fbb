package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"signet/internal/store/record"
	"signet/issuer"
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
	tag, err := q.Exec(ctx, `DELETE FROM signet_sessions WHERE id = $1 AND jti = $2 AND generation = $3`, r.id, r.jti, r.generation)
	if err == nil && tag.RowsAffected() == 0 {
		return 0, errChanged
	}
	return outcome, err
}
