package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ownConnections is how many connections are kept for what no request asks for.
const ownConnections = 2

// openOwn returns the pool for what a replica does by itself: the keys, the clock, the
// counts of failed logins, the mark of the audit log, readiness. Strangers decide how busy
// the other pool is; a flood there must not keep a revoked key in use, guesses uncounted,
// or a replica from signing.
func openOwn(ctx context.Context, config *pgxpool.Config) (*pgxpool.Pool, error) {
	own := config.Copy()
	own.MaxConns, own.MinConns, own.MinIdleConns = ownConnections, 0, 0
	return pgxpool.NewWithConfig(ctx, own)
}

// Pool is how busy the connections for requests are.
type Pool struct {
	// InUse and Idle are open, Limit is how many may be (pool_max_conns).
	InUse, Idle, Limit int
	// Waits counts the calls that found none free, Waited how long they waited in all.
	Waits  uint64
	Waited time.Duration
}

// Pool says how busy the connections for requests are.
func (s *Store) Pool() Pool {
	stat := s.pool.Stat()
	return Pool{
		InUse: int(stat.AcquiredConns()), Idle: int(stat.IdleConns()), Limit: int(stat.MaxConns()),
		Waits: uint64(stat.EmptyAcquireCount()), Waited: stat.EmptyAcquireWaitTime(),
	}
}
