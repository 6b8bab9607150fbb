package pgstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// maxTries bounds how often a call is tried: a refusal for others' sake comes again
	// while they are at it.
	maxTries = 8
	// firstWait and maxWait bound the wait before the next try.
	firstWait = 5 * time.Millisecond
	maxWait   = 250 * time.Millisecond
	// acquireLimit is how long a call waits for a connection, callLimit how long it may
	// take in all where its caller sets no limit: a network that drops everything must not
	// hold a request for ever. Statements have their own limit in the server.
	acquireLimit = 5 * time.Second
	callLimit    = 15 * time.Second
)

// errChanged asks for another try: a row was changed between two looks at it.
var errChanged = errors.New("the record is changed by others all the time")

// querier is a connection, or a transaction on one.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// read runs fn, which only reads and may run more than once.
func (s *Store) read(ctx context.Context, fn func(ctx context.Context, q querier) error) error {
	return s.readOn(ctx, s.pool, fn)
}

func (s *Store) readOn(ctx context.Context, pool *pgxpool.Pool, fn func(ctx context.Context, q querier) error) error {
	return s.run(ctx, pool, "read", func(ctx context.Context, c *pgxpool.Conn) error { return fn(ctx, c) })
}

// write runs fn, which changes something by its last statement alone: that is a
// transaction of its own. What fn leaves in the variables around it must come from its
// last run.
func (s *Store) write(ctx context.Context, fn func(ctx context.Context, q querier) error) error {
	return s.writeOn(ctx, s.pool, fn)
}

func (s *Store) writeOn(ctx context.Context, pool *pgxpool.Pool, fn func(ctx context.Context, q querier) error) error {
	return s.told(func() error {
		return s.run(ctx, pool, "write to", func(ctx context.Context, c *pgxpool.Conn) error {
			err := fn(ctx, c)
			if lost(err) {
				return unsure{err}
			}
			return err
		})
	})
}

// transact runs fn in a transaction, which an error of fn rolls back.
func (s *Store) transact(ctx context.Context, fn func(ctx context.Context, q querier) error) error {
	return s.told(func() error { return s.run(ctx, s.pool, "write to", inTransaction(fn)) })
}

// transactLong is transact for what may take minutes: no limit holds but those that fn sets
// in the server, and the end of ctx cuts it off.
func (s *Store) transactLong(ctx context.Context, fn func(ctx context.Context, q querier) error) error {
	return s.told(func() error { return s.runWithin(ctx, ctx, s.pool, "write to", inTransaction(fn)) })
}

func inTransaction(fn func(ctx context.Context, q querier) error) func(ctx context.Context, c *pgxpool.Conn) error {
	return func(ctx context.Context, c *pgxpool.Conn) error {
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback(ctx) // after a commit it does nothing
		if err := fn(ctx, tx); err != nil {
			return err
		}
		if err = tx.Commit(ctx); lost(err) {
			return unsure{err}
		}
		return err
	}
}

// told tells of a write that was made, or that the database failed to make.
func (s *Store) told(write func() error) error {
	began := time.Now()
	err := write()
	if s.opts.Committed != nil && (err == nil || errors.Is(err, ErrStorage)) {
		s.opts.Committed(time.Since(began), 1, err)
	}
	return err
}

// run gives fn a connection of the pool, and tries again where nothing can have been changed. What
// has begun does not end with ctx, only with its deadline: to cut it off would leave its
// result unknown, and cost the connection, at the will of any client that hangs up.
func (s *Store) run(ctx context.Context, pool *pgxpool.Pool, what string, fn func(ctx context.Context, c *pgxpool.Conn) error) error {
	within, cancel := detach(ctx, s.callLimit)
	defer cancel()
	return s.runWithin(ctx, within, pool, what, fn)
}

// runWithin is run where what has begun ends with within.
func (s *Store) runWithin(ctx, within context.Context, pool *pgxpool.Pool, what string, fn func(ctx context.Context, c *pgxpool.Conn) error) error {
	if !s.enter() {
		return ErrClosed
	}
	defer s.calls.Done()
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.once(ctx, within, pool, fn)
		if err == nil || errors.Is(err, ErrStorage) {
			return err
		}
		if refused, ok := errors.AsType[refusal](err); ok {
			return refused.err
		}
		if try == maxTries || !again(err) || !pause(ctx, try) {
			return storageError(what, s.name, err)
		}
	}
}

// once is one try.
func (s *Store) once(ctx, within context.Context, pool *pgxpool.Pool, fn func(ctx context.Context, c *pgxpool.Conn) error) error {
	c, err := s.acquire(ctx, pool)
	if err != nil {
		return err
	}
	defer c.Release()
	err = fn(within, c)
	if code(err) == readOnly {
		// A primary that became a standby keeps its connections. Another one may lead to
		// the new primary.
		_ = c.Conn().Close(within)
	}
	return err
}

func (s *Store) acquire(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Conn, error) {
	wait, cancel := context.WithTimeout(ctx, s.acquireLimit)
	defer cancel()
	c, err := pool.Acquire(wait)
	if err == nil {
		return c, nil
	}
	if wait.Err() != nil {
		if busy := s.busy(ctx, pool); busy != nil {
			return nil, busy
		}
	}
	if ctx.Err() != nil {
		return nil, refuse(ctx.Err())
	}
	if closed, ok := errors.AsType[refusal](err); ok { // by admitConnection
		return nil, closed
	}
	if _, refused := errors.AsType[*tls.CertificateVerificationError](err); refused {
		err = fmt.Errorf("its certificate is not trusted; name the CA that signed it with sslrootcert=FILE in the URL, and the host as the certificate names it: %w", err)
	}
	return nil, connectError{err}
}

// detach is ctx without its cancellation, but with its deadline, which most bounds.
func detach(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	limit := time.Now().Add(most)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(limit) {
		limit = deadline
	}
	return context.WithDeadline(context.WithoutCancel(ctx), limit)
}

// pause waits before the next try, longer each time and never as long as others do, and
// reports whether there is to be one.
func pause(ctx context.Context, try int) bool {
	most := min(maxWait, firstWait<<(try-1))
	timer := time.NewTimer(rand.N(most) + 1)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// storageError wraps a failure of the database, for branching on ErrStorage.
func storageError(what, name string, err error) error {
	return fmt.Errorf("%w: cannot %s %s: %w", ErrStorage, what, name, err)
}
