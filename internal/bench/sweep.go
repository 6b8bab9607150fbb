package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"signet/issuer"
)

// untilSwept is a Store that tells when a sweep has come to the end.
type untilSwept struct {
	issuer.Store
	ended chan int
	swept int
}

// SweepSessions implements issuer.SessionIndex.
func (u *untilSwept) SweepSessions(ctx context.Context, sweep issuer.Sweep, after string, limit int) (int, string, error) {
	n, last, err := u.Store.SweepSessions(ctx, sweep, after, limit)
	u.swept += n
	if err == nil && last == "" {
		u.ended <- u.swept
	}
	return n, last, err
}

// measureSweep writes while the issuer sweeps, as it does by itself, and again for as
// long without.
func measureSweep(ctx context.Context, l *lab) error {
	dir, err := l.fresh("sweep")
	if err != nil {
		return err
	}
	if err := l.addExpired(ctx, dir); err != nil {
		return err
	}
	s, err := openSeeder(ctx, dir, l.issuerURL(), nil)
	if err != nil {
		return err
	}
	defer s.Close()
	live, err := s.oneSession(ctx)
	if err != nil {
		return err
	}
	with, swept, err := s.writeDuringSweep(ctx, live, l.issuerURL())
	if err != nil {
		return err
	}
	if swept != l.scale.expired {
		return fmt.Errorf("%d of %d expired sessions were swept", swept, l.scale.expired)
	}
	without, _, err := s.writeUntil(ctx, live, nil, len(with))
	if err != nil {
		return err
	}
	l.foundUnder(workSweep, slices.Max(with), slices.Max(without), unknown,
		fmt.Sprintf("of %d writes while %d sessions were swept; median %.1f ms, and %.1f ms without", len(with), swept, median(with), median(without)))
	return nil
}

// oneSession begins a session and returns its ID.
func (s *seeder) oneSession(ctx context.Context) (string, error) {
	tokens, err := s.sessions(ctx, []string{"someone"}, 1)
	if err != nil {
		return "", err
	}
	claims, err := s.issuer.Parse(tokens[0])
	if err != nil {
		return "", err
	}
	return claims.Session, nil
}

func (s *seeder) writeDuringSweep(ctx context.Context, session, url string) (took []float64, swept int, err error) {
	store := &untilSwept{Store: s.store, ended: make(chan int, 1)}
	sweeper := issuer.New(issuer.Options{Store: store, Users: proven{}, Policy: tokenPolicy(url), Log: slog.New(slog.DiscardHandler)})
	running, stop := context.WithCancel(ctx)
	var sweeping sync.WaitGroup
	sweeping.Go(func() { sweeper.Run(running) })
	defer sweeping.Wait()
	defer stop()
	return s.writeUntil(ctx, session, store.ended, 0)
}

func (l *lab) addExpired(ctx context.Context, dir string) error {
	longAgo := func() time.Time { return time.Now().AddDate(0, -2, 0) }
	s, err := openSeeder(ctx, dir, l.issuerURL(), longAgo)
	if err != nil {
		return err
	}
	defer s.Close()
	ids := make([]string, l.scale.expired)
	for i := range ids {
		ids[i] = fmt.Sprintf("subject%09d", i)
	}
	_, err = s.sessions(ctx, ids, 0)
	return err
}

// writeUntil refreshes one session again and again until ended says how many were swept,
// or n times, and returns how long each took, in ms.
func (s *seeder) writeUntil(ctx context.Context, session string, ended <-chan int, n int) (took []float64, swept int, err error) {
	for {
		begun := time.Now()
		if err := s.advance(ctx, session); err != nil {
			return nil, 0, err
		}
		took = append(took, time.Since(begun).Seconds()*1000)
		select {
		case swept = <-ended:
			return took, swept, nil
		default:
		}
		if len(took) == n {
			return took, 0, nil
		}
	}
}
