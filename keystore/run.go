package keystore

import (
	"context"
	"sync"
	"time"

	"signet/internal/event"
)

// checkEvery bounds how long Run trusts a timer: timers follow the monotonic
// clock and do not notice that the wall clock was set.
const checkEvery = 30 * time.Second

// Maintain does what is due now: scheduled rotation, and the destruction of
// private halves whose time to sign is over. It returns when something is due
// next, zero if nothing is.
func (m *Manager) Maintain(ctx context.Context) (next time.Time, err error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	err = m.change(ctx, func(c *change) error {
		if err := c.maintain(); err != nil {
			return err
		}
		c.destroy() // not due any more when nextDue looks
		next = c.nextDue()
		return nil
	})
	return next, err
}

// Run calls Maintain whenever something is due, until ctx ends. Nothing breaks
// while it does not run: signing and publishing follow the times of the keys.
func (m *Manager) Run(ctx context.Context) {
	defer m.leave(ctx)
	if m.keeper != nil {
		var polls sync.WaitGroup
		defer polls.Wait()
		polls.Go(func() { m.poll(ctx) })
	}
	var warned time.Time
	for {
		drain(m.changed) // what has changed so far, this call looks at
		next, err := m.Maintain(ctx)
		if err != nil && ctx.Err() == nil {
			m.log.Error("key maintenance failed; it will be tried again", "error", err)
			next = time.Time{}
		}
		warned = m.warn(warned)
		wait := checkEvery
		if !next.IsZero() {
			wait = min(wait, max(next.Sub(m.time()), 0))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-m.changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// leave stores the time at which a process ends, so that the next one can tell a
// short downtime from a leap of the clock. Whoever is killed leaves the time of the
// last hour.
func (m *Manager) leave(ctx context.Context) {
	ctx, cancel := patient(ctx)
	defer cancel()
	m.changing.Lock()
	defer m.changing.Unlock()
	if err := m.change(ctx, func(c *change) error { c.seenAtTheEnd(); return nil }); err != nil {
		m.log.Warn("the time could not be stored with the keys", "error", err)
	}
}

// warnEvery is how often a stopped schedule is logged.
const warnEvery = time.Hour

// warn logs that the schedule is stopped, and that it goes on; warned is when it
// did so last, zero if it runs.
func (m *Manager) warn(warned time.Time) time.Time {
	s := m.Schedule()
	switch {
	case s.Stopped.IsZero() && !warned.IsZero():
		m.log.Info("the schedule of the keys goes on", "clock", s.Clock.UTC())
		return time.Time{}
	case s.Stopped.IsZero(), !warned.IsZero() && s.Now.Sub(warned) < warnEvery:
		return warned
	}
	if m.offClock() {
		m.log.Error("the clock of this machine has leapt, or disagrees with the database's: nothing is signed here until it is set right (NTP)",
			"clock", s.Clock.UTC(), "expected", s.Now, "ahead", s.Leap)
		return s.Now
	}
	m.log.Warn("the clock has leapt, or this was down for long: the schedule of the keys is stopped. The active keys sign on, and none is made or destroyed. If the clock is right: signet keys resume",
		"clock", s.Clock.UTC(), "expected", s.Now, "ahead", s.Leap, "since", s.Stopped)
	return s.Now
}

func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// tellDifference tells the log, and those who keep records, what has become of each key.
func (m *Manager) tellDifference(before, now Ring) {
	for i := range now.Keys {
		k, old := &now.Keys[i], before.find(now.Keys[i].KID)
		switch {
		case old == nil:
			m.tell("publish", k)
			m.log.Info("published a new signing key", "alg", k.Alg, "kid", k.KID, "signs_from", k.SignsFrom)
		case old.Sealed != "" && k.Sealed == "" && k.Revoked.IsZero():
			m.tell("retire", k)
			m.log.Info("destroyed the private half of a retired key", "alg", k.Alg, "kid", k.KID,
				"published_until", k.PublishedUntil())
		case old.Revoked.IsZero() && !k.Revoked.IsZero():
			m.tell("revoke", k)
			m.log.Warn("revoked a key", "alg", k.Alg, "kid", k.KID)
		case !old.SignsFrom.Equal(k.SignsFrom):
			m.tell("reschedule", k)
			m.log.Info("moved the turn of a pending key", "alg", k.Alg, "kid", k.KID, "signs_from", k.SignsFrom)
		}
	}
	for i := range before.Keys {
		if k := &before.Keys[i]; now.find(k.KID) == nil {
			m.tell("forget", k)
			m.log.Info("forgot a key", "alg", k.Alg, "kid", k.KID)
		}
	}
}

// recordLimit is how long the keys wait for a record: they do not depend on it.
const recordLimit = 5 * time.Second

func (m *Manager) tell(step string, k *Key) {
	ctx, cancel := context.WithTimeout(context.Background(), recordLimit)
	defer cancel()
	e := event.Event{Kind: event.Key, Outcome: event.Done, Action: step, Alg: k.Alg, Target: k.KID}
	if err := m.events.Record(ctx, e); err != nil {
		m.log.Error("a step of a key is not on record", "step", step, "kid", k.KID, "error", err)
	}
}
