package pgstore

import "time"

// Pool is how busy the connections are.
type Pool struct {
	// InUse and Idle are open, Limit is how many may be (pool_max_conns).
	InUse, Idle, Limit int
	// Waits counts the calls that found none free, Waited how long they waited in all.
	Waits  uint64
	Waited time.Duration
}

// Pool says how busy the connections are.
func (s *Store) Pool() Pool {
	stat := s.pool.Stat()
	return Pool{
		InUse: int(stat.AcquiredConns()), Idle: int(stat.IdleConns()), Limit: int(stat.MaxConns()),
		Waits: uint64(stat.EmptyAcquireCount()), Waited: stat.EmptyAcquireWaitTime(),
	}
}
