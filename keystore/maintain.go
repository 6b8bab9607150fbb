package keystore

import (
	"slices"
	"time"
)

// maintain does what is due at now: it forgets keys that verify nothing any more and
// publishes the successor of a key that has reached its age; as after every change,
// private halves of keys that sign no more are destroyed. Late is as good as on
// time, and twice is as good as once. While the clock is not to be believed it does
// nothing.
func (c *change) maintain() error {
	if c.held {
		return nil
	}
	c.repairPending()
	c.forget()
	for _, alg := range c.Policy.Algorithms {
		if due := c.due(alg, c.now); due.IsZero() || c.now.Before(due) {
			continue
		}
		active := c.inState(alg, Active, c.now)
		from := later(active.SignsFrom.Add(c.Policy.RotateEvery), c.now.Add(c.Policy.PublishAhead))
		from = later(from, c.earliestSwitch(c.now))
		k, err := c.add(alg, from)
		if err != nil {
			return err
		}
		c.succeed(k, from)
	}
	return nil
}

func (c *change) forget() {
	c.Keys = slices.DeleteFunc(c.Keys, func(k Key) bool {
		at := k.forgottenAt()
		over := !at.IsZero() && !c.now.Before(at)
		if over && !k.Revoked.IsZero() {
			c.Refused = append(c.Refused, k.KID)
		}
		return over
	})
}

// destroy ends the private halves of keys that sign no more, at any process. Every change
// ends with it, so that a rotation that takes effect at once leaves none.
func (c *change) destroy() {
	if c.held {
		return
	}
	for i := range c.Keys {
		if k := &c.Keys[i]; !k.open(c.now.Add(-k.tail())) {
			k.Sealed = ""
		}
	}
}

// forgetAfter is how long a key that verifies nothing any more is remembered: a
// clock that was ahead for less than that has forgotten nothing.
const forgetAfter = 24 * time.Hour

func (k *Key) forgottenAt() time.Time {
	if until := k.KeptUntil(); !until.IsZero() {
		return until.Add(forgetAfter)
	}
	return time.Time{}
}

// repairPending gives a pending key that was made in the future, before the
// clock was set back, a new turn: its old one may be years away. Where the clock
// leaves no key active this one stands in already, and its turn is now.
func (c *change) repairPending() {
	for _, alg := range c.Policy.Algorithms {
		pending, active := c.inState(alg, Pending, c.now), c.inState(alg, Active, c.now)
		if pending == nil || !pending.Created.After(c.now.Add(time.Minute)) {
			continue
		}
		from := c.now
		if active != nil {
			from = later(c.now.Add(c.Policy.PublishAhead), c.earliestSwitch(c.now))
			active.SignsUntil = from
		}
		pending.Created, pending.SignsFrom = c.now, from
	}
}

// nextDue is when maintain has something to do next; zero if never.
func (c *change) nextDue() time.Time {
	var next time.Time
	if c.held { // only that a key begins is to be stored
		for i := range c.Keys {
			next = sooner(next, after(c.now, c.Keys[i].SignsFrom))
		}
		return next
	}
	for i := range c.Keys {
		k := &c.Keys[i]
		if k.Sealed != "" {
			next = sooner(next, k.signsNowhere())
		}
		next = sooner(next, k.forgottenAt())
	}
	for _, alg := range c.Policy.Algorithms {
		next = sooner(next, c.due(alg, c.now))
	}
	return next
}
