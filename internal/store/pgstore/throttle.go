package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"signet/internal/throttle"
)

var _ throttle.Exchange = (*Store)(nil)

const storeBatch = `INSERT INTO signet_throttle (replica, number, made, body)
	VALUES ($1, $2, now() - $3::bigint * interval '1 microsecond', $4) ON CONFLICT (replica, number) DO NOTHING`

// otherBatches says the age of a batch and not its time: replicas' clocks differ.
const otherBatches = `SELECT t.replica, t.number, (extract(epoch FROM now() - t.made) * 1000000)::bigint, t.body
	FROM signet_throttle t LEFT JOIN unnest($2::bigint[], $3::bigint[]) AS seen (replica, number) ON seen.replica = t.replica
	WHERE t.replica <> $1 AND t.number > coalesce(seen.number, 0) AND t.made > now() - $4::bigint * interval '1 microsecond'
	ORDER BY t.replica, t.number LIMIT $5`

// Exchange implements throttle.Exchange: one statement, and one more if there is a batch
// to store.
func (s *Store) Exchange(ctx context.Context, out throttle.Batch, seen map[int64]int64) (theirs []throttle.Batch, err error) {
	if out.Number > 0 {
		if err := s.storeBatch(ctx, out); err != nil {
			return nil, err
		}
	}
	var replicas, numbers []int64
	for replica, number := range seen {
		replicas, numbers = append(replicas, replica), append(numbers, number)
	}
	err = s.readOn(ctx, s.own, func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, otherBatches, out.Replica, replicas, numbers, throttle.Kept.Microseconds(), throttle.MaxBatches)
		if err != nil {
			return err
		}
		theirs, err = pgx.CollectRows(rows, scanBatch)
		return err
	})
	return theirs, err
}

func (s *Store) storeBatch(ctx context.Context, b throttle.Batch) error {
	return s.writeOn(ctx, s.own, func(ctx context.Context, q querier) error {
		_, err := q.Exec(ctx, storeBatch, b.Replica, b.Number, b.Age.Microseconds(), b.Body)
		return err
	})
}

func scanBatch(row pgx.CollectableRow) (b throttle.Batch, err error) {
	var age int64
	err = row.Scan(&b.Replica, &b.Number, &age, &b.Body)
	b.Age = time.Duration(max(0, age)) * time.Microsecond
	return b, err
}

// Sweep implements throttle.Exchange.
func (s *Store) Sweep(ctx context.Context) error {
	return s.writeOn(ctx, s.own, func(ctx context.Context, q querier) error {
		_, err := q.Exec(ctx, `DELETE FROM signet_throttle WHERE made <= now() - $1::bigint * interval '1 microsecond'`, throttle.Kept.Microseconds())
		return err
	})
}

// ThrottleKey returns the secret for throttle.NewShared, as DecoyKey does its own.
func (s *Store) ThrottleKey(ctx context.Context) ([]byte, error) {
	return s.sharedKey(ctx, nameThrottle)
}
