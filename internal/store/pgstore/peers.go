package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"signet/internal/peers"
)

var _ peers.Store = (*Store)(nil)

const storePlaces = `INSERT INTO signet_fetches (replica, place, fetched, regular, body)
	SELECT $1::bigint, t.place, now() - t.age * interval '1 microsecond', t.regular, t.body
	FROM unnest($2::bigint[], $3::bigint[], $4::boolean[], $5::bytea[]) AS t (place, age, regular, body)
	ON CONFLICT (replica, place) DO UPDATE SET fetched = excluded.fetched, regular = excluded.regular, body = excluded.body`

const storePeer = `INSERT INTO signet_peers (replica, told, body) VALUES ($1, now(), $2)
	ON CONFLICT (replica) DO UPDATE SET told = excluded.told, body = excluded.body`

// The ages are said, and not the times: replicas' clocks differ.
const (
	otherPeers = `SELECT replica, (extract(epoch FROM now() - told) * 1000000)::bigint, body FROM signet_peers
		WHERE replica <> $1 AND told > now() - $2::bigint * interval '1 microsecond' ORDER BY told DESC LIMIT $3`
	otherPlaces = `SELECT replica, place, (extract(epoch FROM now() - fetched) * 1000000)::bigint, regular, body FROM signet_fetches
		WHERE replica <> $1 AND fetched > now() - $2::bigint * interval '1 microsecond' ORDER BY regular DESC, fetched DESC LIMIT $3`
)

// TellPeers implements peers.Store: one statement, and one more if there are places. The state
// comes last: who reads that a replica has told something finds it.
func (s *Store) TellPeers(ctx context.Context, state peers.State, places []peers.Place) error {
	if len(places) > 0 {
		if err := s.storePlaces(ctx, state.Replica, places); err != nil {
			return err
		}
	}
	return s.writeOn(ctx, s.own, func(ctx context.Context, q querier) error {
		_, err := q.Exec(ctx, storePeer, state.Replica, state.Body)
		return err
	})
}

func (s *Store) storePlaces(ctx context.Context, replica int64, places []peers.Place) error {
	var numbers, ages []int64
	var regular []bool
	var bodies [][]byte
	for _, p := range places {
		numbers, ages = append(numbers, int64(p.Number)), append(ages, p.Age.Microseconds())
		regular, bodies = append(regular, p.Regular), append(bodies, p.Body)
	}
	return s.writeOn(ctx, s.own, func(ctx context.Context, q querier) error {
		_, err := q.Exec(ctx, storePlaces, replica, numbers, ages, regular, bodies)
		return err
	})
}

// Peers implements peers.Store.
func (s *Store) Peers(ctx context.Context, replica int64) (states []peers.State, places []peers.Place, err error) {
	err = s.readOn(ctx, s.own, func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, otherPeers, replica, peers.Kept.Microseconds(), peers.MaxStates)
		if err != nil {
			return err
		}
		if states, err = pgx.CollectRows(rows, scanState); err != nil {
			return err
		}
		rows, err = q.Query(ctx, otherPlaces, replica, peers.Kept.Microseconds(), peers.MaxPlaces)
		if err != nil {
			return err
		}
		places, err = pgx.CollectRows(rows, scanPlace)
		return err
	})
	return states, places, err
}

func scanState(row pgx.CollectableRow) (state peers.State, err error) {
	var age int64
	err = row.Scan(&state.Replica, &age, &state.Body)
	state.Age = since(age)
	return state, err
}

func scanPlace(row pgx.CollectableRow) (p peers.Place, err error) {
	var age int64
	err = row.Scan(&p.Replica, &p.Number, &age, &p.Regular, &p.Body)
	p.Age = since(age)
	return p, err
}

func since(microseconds int64) time.Duration {
	return time.Duration(max(0, microseconds)) * time.Microsecond
}

// SweepPeers implements peers.Store.
func (s *Store) SweepPeers(ctx context.Context) error {
	for _, sql := range []string{
		`DELETE FROM signet_fetches WHERE fetched <= now() - $1::bigint * interval '1 microsecond'`,
		`DELETE FROM signet_peers WHERE told <= now() - $1::bigint * interval '1 microsecond'`,
	} {
		err := s.writeOn(ctx, s.own, func(ctx context.Context, q querier) error {
			_, err := q.Exec(ctx, sql, peers.Kept.Microseconds())
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
