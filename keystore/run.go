package keystore

import (
	"context"
	"time"
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
	for {
		drain(m.changed) // what has changed so far, this call looks at
		next, err := m.Maintain(ctx)
		if err != nil && ctx.Err() == nil {
			m.log.Error("key maintenance failed; it will be tried again", "error", err)
			next = time.Time{}
		}
		wait := checkEvery
		if !next.IsZero() {
			wait = min(wait, max(next.Sub(m.now()), 0))
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

func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}

func (m *Manager) logDifference(before, now Ring) {
	for i := range now.Keys {
		k, old := &now.Keys[i], before.find(now.Keys[i].KID)
		switch {
		case old == nil:
			m.log.Info("published a new signing key", "alg", k.Alg, "kid", k.KID, "signs_from", k.SignsFrom)
		case old.Sealed != "" && k.Sealed == "" && k.Revoked.IsZero():
			m.log.Info("destroyed the private half of a retired key", "alg", k.Alg, "kid", k.KID,
				"published_until", k.PublishedUntil())
		case old.Revoked.IsZero() && !k.Revoked.IsZero():
			m.log.Warn("revoked a key", "alg", k.Alg, "kid", k.KID)
		case !old.SignsFrom.Equal(k.SignsFrom):
			m.log.Info("moved the turn of a pending key", "alg", k.Alg, "kid", k.KID, "signs_from", k.SignsFrom)
		}
	}
	for i := range before.Keys {
		if k := &before.Keys[i]; now.find(k.KID) == nil {
			m.log.Info("forgot a key", "alg", k.Alg, "kid", k.KID)
		}
	}
}
