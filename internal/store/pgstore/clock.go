package pgstore

import (
	"context"
	"time"

	"signet/keystore"
)

var _ keystore.Timekeeper = (*Store)(nil)

// Time implements keystore.Timekeeper. It is the clock of the server that answers, read
// while it does and not when its transaction began.
func (s *Store) Time(ctx context.Context) (now time.Time, err error) {
	err = s.readOn(ctx, s.own, func(ctx context.Context, q querier) error {
		return q.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now)
	})
	return now.UTC(), err
}
