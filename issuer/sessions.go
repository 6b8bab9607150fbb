package issuer

import (
	"context"
	"time"
)

// sweepStep is how many sessions one step of a sweep looks at: small enough that
// no writer waits for it.
const sweepStep = 500

// sweepEvery is the pause between two sweeps, sweepPause between two steps.
const (
	sweepEvery = 10 * time.Minute
	sweepPause = 5 * time.Millisecond
)

// sweepAfter is how long an expired session stays: a clock that was ahead for less
// than that has ended none. Where other processes use the store, the clock of one of them
// that is further ahead must not end their sessions; see Options.Passed.
const sweepAfter = 24 * time.Hour

// Sessions returns up to limit sessions whose ID comes after the given one, of
// one subject or, if it is empty, of all. Fewer than limit means that there are
// no more.
func (i *Issuer) Sessions(ctx context.Context, subject, after string, limit int) ([]Session, error) {
	return i.store.ListSessions(ctx, subject, after, limit)
}

// EndSession ends one session, or returns ErrNoSession.
func (i *Issuer) EndSession(ctx context.Context, id string) error {
	if err := i.store.EndSession(ctx, id); err != nil {
		return err
	}
	i.log.InfoContext(ctx, "session ended", "sid", id)
	return nil
}

// EndSubject ends all sessions of a user and returns how many there were.
func (i *Issuer) EndSubject(ctx context.Context, subject string) (int, error) {
	return i.store.EndSubjectSessions(ctx, subject)
}

// EndAll ends every session and returns how many there were.
func (i *Issuer) EndAll(ctx context.Context) (int, error) {
	return i.sweep(ctx, Sweep{All: true}, 0)
}

// EndSignedBy ends the sessions that rest on a refresh token which the key kid
// signed, and returns how many there were.
func (i *Issuer) EndSignedBy(ctx context.Context, kid string) (int, error) {
	return i.sweep(ctx, Sweep{KID: kid}, 0)
}

// Run sweeps expired sessions from time to time until ctx ends. Nothing depends
// on it but the size of the database.
func (i *Issuer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		ended, err := i.sweepExpired(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			i.log.Error("sweep of expired sessions failed; it will be tried again", "error", err)
		case ended > 0:
			i.log.Info("swept expired sessions", "count", ended)
		}
		sleep(ctx, sweepEvery)
	}
}

func (i *Issuer) sweepExpired(ctx context.Context) (ended int, err error) {
	passed, err := i.passed(ctx)
	if err != nil {
		return 0, err
	}
	return i.sweep(ctx, Sweep{ExpiredAt: passed.UTC().Truncate(time.Millisecond).Add(-sweepAfter)}, sweepPause)
}

// sweep goes through all sessions in steps.
func (i *Issuer) sweep(ctx context.Context, what Sweep, pause time.Duration) (ended int, err error) {
	for after := ""; ; {
		n, last, err := i.store.SweepSessions(ctx, what, after, sweepStep)
		ended += n
		if err != nil || last == "" {
			return ended, err
		}
		after = last
		sleep(ctx, pause)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
