package keystore

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// The wall clock can be set; the times of keys are kept on one that cannot leap.
//
// A process knows an instant at which the clock was right, and the monotonic clock says
// what it should be by now. At a start that instant is the one of the ring (Ring.Seen), and
// a clock that is ahead of it by less than a rotation step is believed: nobody can tell a
// downtime from a leap. While the process runs
//
//   - a small leap, forward or back, moves what is to come along with the clock (rebase);
//   - one by more than a rotation step stops the schedule: the time of the keys goes on at
//     the pace of the monotonic clock, the active keys sign, and nothing is made, destroyed
//     or forgotten until the clock is right again or an operator confirms it.
//
// The time of the keys never goes back but along with a leap. Where several processes share
// the ring, no leap of one clock moves it; see shared.go.

// smallestStep and seenEvery bound how large a leap passes for the passing of time, and
// how often the right time is stored.
const (
	smallestStep = time.Hour
	seenEvery    = time.Hour
	// nearly is how close to the expected time a clock that had leapt counts as
	// corrected.
	nearly = 5 * time.Minute
	// slewed is how far the clock moves from the monotonic one while it is kept right.
	slewed = time.Second
)

// step is the largest leap of the clock that the schedule takes for the passing of
// time: what a restart after a downtime needs, and less than a rotation.
func (p Policy) step() time.Duration {
	step := p.PublishAhead
	if p.RotateEvery > 0 {
		step = min(step, p.RotateEvery)
	}
	return max(step, smallestStep)
}

// instant is a moment by the wall clock and in the time of the keys.
type instant struct {
	wall    time.Time
	elapsed time.Duration // by the monotonic clock
	// at is when states are evaluated.
	at time.Time
	// leap is how far the wall clock is ahead of what it should be, or less than zero if
	// it is behind; zero if the schedule is not stopped.
	leap time.Duration
	// held: the schedule is stopped, or is to be. Otherwise leapt asks for a rebase.
	held, leapt bool
	// shared: the ring is that of several processes, and this clock one of theirs. off: it
	// cannot be right; then held is of this process alone.
	shared, off bool
}

// known is an instant at which the wall clock was right.
type known struct {
	at      time.Time
	elapsed time.Duration
	// before: it was of an earlier process, so that what has passed since is not known.
	before bool
}

func (k known) expect(elapsed time.Duration) time.Time { return k.at.Add(elapsed - k.elapsed) }

// ends is when what ends is evaluated: a clock that was set back hides no key.
func (i instant) ends() time.Time {
	if i.wall.Before(i.at) {
		return i.wall
	}
	return i.at
}

// instant places a reading of both clocks.
func (s *snapshot) instant(wall time.Time, elapsed time.Duration) instant {
	at := instant{wall: wall, elapsed: elapsed, at: wall}
	seen := s.ring.Seen
	if seen.IsZero() {
		return at
	}
	expected := later(s.known.expect(elapsed), seen)
	leap := wall.Sub(expected)
	switch {
	case !s.ring.Stopped.IsZero(), leap.Abs() > s.ring.Policy.step():
		at.at, at.leap, at.held = expected, leap, true
	case leap.Abs() > slewed && !s.known.before:
		at.at, at.leapt = expected, true
	case wall.Before(seen):
		at.at = seen
	}
	return at
}

// knownFrom is what a process that knew previous knows from a ring that it has read.
func knownFrom(ring *Ring, previous *snapshot, elapsed time.Duration) known {
	if previous == nil || previous.ring.Seen.IsZero() {
		return known{at: ring.Seen, elapsed: elapsed, before: true}
	}
	expected := previous.known.expect(elapsed)
	if ahead := expected.Sub(ring.Seen); ahead >= 0 && ahead <= ring.Policy.step() {
		return previous.known // another process has changed the ring since
	}
	return known{at: ring.Seen, elapsed: elapsed, before: true}
}

// trust takes the clock of a start for right, if nothing speaks against it: from now on
// leaps are noticed.
func (m *Manager) trust() {
	state := m.state.Load()
	at := m.instant(state, m.now())
	if !at.shared && state.known.before && !at.held && !at.wall.Before(state.ring.Seen) {
		next := &snapshot{ring: state.ring, keys: state.keys, known: known{at: at.at, elapsed: at.elapsed}}
		m.state.Store(next)
	}
}

// elapsedAt is the reading of the monotonic clock. Without one, Options.Now is
// trusted while the process runs.
func (m *Manager) elapsedAt(wall time.Time) time.Duration {
	if m.elapsed != nil {
		return m.elapsed()
	}
	return wall.Sub(m.started)
}

func (m *Manager) instant(s *snapshot, wall time.Time) instant {
	elapsed := m.elapsedAt(wall)
	if r := m.reading.Load(); r != nil {
		return s.sharedInstant(r, wall, elapsed)
	}
	return s.instant(wall, elapsed)
}

// time is the instant at which the states of keys are evaluated.
func (m *Manager) time() time.Time { return m.Schedule().Now }

// Schedule says how the time of the keys stands to the clock.
type Schedule struct {
	// Now is the instant at which the states of keys are evaluated.
	Now time.Time `json:"now"`
	// Clock is the wall clock, Leap how far it is ahead of what it should be, or less
	// than zero if it is behind; zero while the schedule runs.
	Clock time.Time     `json:"clock"`
	Leap  time.Duration `json:"leap,omitempty"`
	// Stopped is since when, by Now, the schedule is stopped; zero while it runs.
	Stopped time.Time `json:"stopped,omitzero"`
}

// Schedule returns how the time of the keys stands to the clock now.
func (m *Manager) Schedule() Schedule {
	state := m.state.Load() // before the clock is read, as in Sign
	at := m.instant(state, m.now())
	out := Schedule{Now: at.at, Clock: at.wall, Leap: at.leap, Stopped: state.ring.Stopped}
	if at.held && out.Stopped.IsZero() {
		out.Stopped = at.at
	}
	return out
}

// Resume confirms the wall clock: what lies ahead of the keys lies as far ahead of it,
// what was published is so for as long as it would have been, and the schedule goes
// on. ErrNotStopped if the clock has not leapt.
func (m *Manager) Resume(ctx context.Context, dryRun bool) ([]Info, error) {
	ring, err := m.apply(ctx, dryRun, func(c *change) error {
		switch {
		case c.off:
			return c.clockError()
		case !c.held:
			return ErrNotStopped
		}
		c.rebase(c.wall)
		return nil
	})
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(ring.Keys))
	for i := range ring.Keys {
		infos = append(infos, info(&ring.Keys[i], ring.Seen))
	}
	return infos, nil
}

// refuseStopped refuses a plan whose times nobody could say; at once can be said.
func (c *change) refuseStopped(atOnce bool) error {
	if !c.held || atOnce && !c.off {
		return nil
	}
	if c.off {
		return c.clockError()
	}
	return fmt.Errorf("%w: the clock says %s, and by the time that has passed it should be %s",
		ErrStopped, c.wall.UTC().Format(time.RFC3339), c.now.UTC().Format(time.RFC3339))
}

// watch begins every change: it goes along with a small leap of the clock, stops the
// schedule at a large one, and lets it go on when the clock is right again.
func (c *change) watch() {
	switch {
	case c.shared: // one clock of several moves no time of the ring
	case c.leapt, c.held && c.leap.Abs() <= nearly:
		c.rebase(c.wall)
	case c.held && c.Stopped.IsZero():
		c.Stopped = c.now
	}
	if c.now.Sub(c.Seen) >= seenEvery || c.Seen.IsZero() || c.begun() {
		c.Seen = c.now
	}
}

// begun reports whether a key has begun to sign since Seen: a process that starts while
// the schedule is stopped must not take it for one that never did.
func (c *change) begun() bool {
	return slices.ContainsFunc(c.Keys, func(k Key) bool {
		return k.SignsFrom.After(c.Seen) && !k.SignsFrom.After(c.now)
	})
}

// rebase moves the time of the keys to another instant. Forward, what began stays as
// it is, and what is to come moves along: a key is published as long before it signs,
// and after, as was planned. Back, beginnings move too, and nothing ends sooner.
func (c *change) rebase(to time.Time) {
	to = to.UTC().Truncate(time.Millisecond)
	by := to.Sub(c.now)
	for i := range c.Keys {
		c.Keys[i].rebase(c.now, by)
	}
	if by < 0 || c.HeldUntil.After(c.now) {
		c.HeldUntil = shift(c.HeldUntil, by)
	}
	c.now, c.Seen, c.Stopped = to, to, time.Time{}
	c.held, c.leapt, c.leap = false, false, 0
}

func (k *Key) rebase(now time.Time, by time.Duration) {
	ended, kept := !k.open(now), k.KeptUntil()
	if by < 0 {
		k.Created, k.Revoked = shift(k.Created, by), shift(k.Revoked, by)
	}
	if by < 0 || k.SignsFrom.After(now) {
		k.SignsFrom = shift(k.SignsFrom, by)
	}
	if by < 0 || !ended {
		k.SignsUntil = shift(k.SignsUntil, by)
	}
	if ended && kept.After(sooner(now, now.Add(by))) {
		k.Extended += by.Abs()
	}
}

func shift(t time.Time, by time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(by)
}
