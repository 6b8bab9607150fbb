package keystore

import (
	"context"
	"fmt"
	"time"
)

// The clock of a replica is believed while it agrees with the monotonic clock, or else with
// that of the storage.

// believed takes the wall clock for right.
func (m *Manager) believed() known {
	now := m.now()
	return known{at: now, elapsed: m.elapsedAt(now)}
}

// compareClocks returns the time by the clock of the storage, and how far the wall clock is
// from it at least.
func (m *Manager) compareClocks(ctx context.Context) (storage known, apart time.Duration, err error) {
	asked := m.now()
	at, err := m.keeper.Time(ctx)
	if err != nil {
		return known{}, 0, fmt.Errorf("read the clock of the database: %w", err)
	}
	answered := m.now()
	apart = max(asked.Sub(at), at.Sub(answered), 0)
	return known{at: at, elapsed: m.elapsedAt(answered)}, apart, nil
}

// Passed returns an instant that has come by the clock of this machine and, where the ring is
// shared, by that of the storage as well: what has expired then may be deleted for all.
func (m *Manager) Passed(ctx context.Context) (time.Time, error) {
	if m.keeper == nil {
		return m.now(), nil
	}
	at, err := m.keeper.Time(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the clock of the database: %w", err)
	}
	return sooner(m.now(), at), nil
}

// checkClock believes the wall clock anew if that of the storage agrees. Where it has leapt
// and the storage disagrees, the time of the keys is that of the storage.
func (m *Manager) checkClock(ctx context.Context) error {
	storage, apart, err := m.compareClocks(ctx)
	if err != nil {
		return err
	}
	at := m.instant(m.state.Load(), m.now())
	switch {
	case apart <= 2*ClockBound:
		storage = m.believed()
	case !at.off: // two of three clocks agree: the storage's is wrong, or this one drifts
		m.tellApart(apart)
		return nil
	}
	m.setReading(func(r *reading) { r.clock = storage })
	m.tellOff(m.instant(m.state.Load(), m.now()))
	return nil
}

// tellOff tells the log when the clock is found to be wrong, and when it is right again.
func (m *Manager) tellOff(at instant) {
	switch was := m.polling.clockOff.Swap(at.off); {
	case at.off && !was:
		m.log.Error("nothing is signed here", "error", at.clockError())
	case was && !at.off:
		m.log.Info("the clock of this machine is right again")
	}
}

// tellApart warns once in a while of a clock that has not leapt and is wrong.
func (m *Manager) tellApart(apart time.Duration) {
	if now := m.elapsedAt(m.now()); now >= time.Duration(m.polling.quiet.Load()) {
		m.polling.quiet.Store(int64(now + warnEvery))
		m.log.Warn("the clock of this machine and that of the database are apart: keep both right (NTP)", "by", apart)
	}
}

// sharedInstant is instant for a replica.
func (s *snapshot) sharedInstant(r *reading, wall time.Time, elapsed time.Duration) instant {
	at := instant{wall: wall, elapsed: elapsed, at: wall, shared: true}
	expected, seen := r.clock.expect(elapsed), s.ring.Seen
	switch leap := wall.Sub(expected); {
	case leap.Abs() > ClockBound:
		at.at, at.leap, at.off = expected, leap, true
	case !s.ring.Stopped.IsZero(), seen.Sub(wall) > clocksApart:
		// From before the store was shared, or from before all clocks were set back.
		at.leap, at.held = wall.Sub(seen), true
	}
	if !s.ring.Stopped.IsZero() {
		at.at = seen
	}
	at.at = later(at.at, seen)
	return at
}

func (i instant) clockError() error {
	way := "ahead of"
	if i.leap < 0 {
		way = "behind"
	}
	return fmt.Errorf("%w: it is %s %s what it should be: set it right (NTP), and this goes on by itself",
		ErrClock, i.leap.Abs().Round(time.Second), way)
}
