package pgstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// errBusy: the pool has no connection to give.
var errBusy = errors.New("all connections are in use")

// raise is what to do about it; those of the replica itself are as many as it needs.
const raise = "raise pool_max_conns in the URL of store, as far as max_connections of the database allows, or find out what is slow"

// warnBusyEvery is how often the log says that requests find no connection.
const warnBusyEvery = time.Minute

// shortage counts the calls of requests that got no connection.
type shortage struct {
	mu      sync.Mutex
	warned  time.Time
	refused int // since then
}

// busy is why a pool gave no connection within a time, if all of its own are in use.
// A caller that has less time than acquireLimit is told the same: its deadline says
// nothing of the cause.
func (s *Store) busy(ctx context.Context, pool *pgxpool.Pool) error {
	if errors.Is(ctx.Err(), context.Canceled) || pool.Stat().AcquiredConns() < pool.Config().MaxConns {
		return nil
	}
	if pool != s.pool {
		return errBusy
	}
	s.tellShortage(ctx, pool.Config().MaxConns)
	return fmt.Errorf("%w: raise pool_max_conns in the URL", errBusy)
}

func (s *Store) tellShortage(ctx context.Context, limit int32) {
	s.short.mu.Lock()
	defer s.short.mu.Unlock()
	s.short.refused++
	if now := time.Now(); now.Sub(s.short.warned) >= warnBusyEvery {
		s.log.WarnContext(ctx, "requests find no free connection to the database", "pool_max_conns", limit, "refused", s.short.refused, "do", raise)
		s.short.warned, s.short.refused = now, 0
	}
}
