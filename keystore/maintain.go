package keystore

import (
	"slices"
	"time"
)

// maintain does what is due at now: it destroys the private halves of keys that
// sign no more, forgets keys that verify nothing any more, and publishes the
// successor of a key that has reached its age. Late is as good as on time, and
// twice is as good as once.
func (c *change) maintain() error {
	c.repairPending()
	for i := range c.Keys {
		if k := &c.Keys[i]; !k.open(c.now) {
			k.Sealed = ""
		}
	}
	c.Keys = slices.DeleteFunc(c.Keys, func(k Key) bool {
		until := k.KeptUntil()
		return !until.IsZero() && !c.now.Before(until)
	})
	for _, alg := range c.policy.Algorithms {
		if due := c.due(alg); due.IsZero() || c.now.Before(due) {
			continue
		}
		active := c.inState(alg, Active, c.now)
		from := later(active.SignsFrom.Add(c.policy.RotateEvery), c.now.Add(c.policy.PublishAhead))
		from = later(from, c.earliestSwitch(c.now))
		k, err := c.add(alg, from)
		if err != nil {
			return err
		}
		c.succeed(k, from)
	}
	return nil
}

// due is when the successor of alg's active key is to be published; zero if
// nothing is scheduled.
func (c *change) due(alg string) time.Time {
	active := c.inState(alg, Active, c.now)
	if c.policy.RotateEvery <= 0 || active == nil || c.inState(alg, Pending, c.now) != nil {
		return time.Time{}
	}
	return active.SignsFrom.Add(c.policy.RotateEvery - c.policy.PublishAhead)
}

// repairPending gives a pending key that was made in the future, before the
// clock was set back, a new turn: its old one may be years away. Where the clock
// leaves no key active this one stands in already, and its turn is now.
func (c *change) repairPending() {
	for _, alg := range c.policy.Algorithms {
		pending, active := c.inState(alg, Pending, c.now), c.inState(alg, Active, c.now)
		if pending == nil || !pending.Created.After(c.now.Add(time.Minute)) {
			continue
		}
		from := c.now
		if active != nil {
			from = later(c.now.Add(c.policy.PublishAhead), c.earliestSwitch(c.now))
			active.SignsUntil = from
		}
		pending.Created, pending.SignsFrom = c.now, from
	}
}

// nextDue is when maintain has something to do next; zero if never.
func (c *change) nextDue() time.Time {
	var next time.Time
	for i := range c.Keys {
		k := &c.Keys[i]
		if k.Sealed != "" {
			next = sooner(next, k.SignsUntil)
		}
		next = sooner(next, k.KeptUntil())
	}
	for _, alg := range c.policy.Algorithms {
		next = sooner(next, c.due(alg))
	}
	return next
}
