package keystore

import (
	"fmt"
	"slices"
	"time"
)

// change is one alteration of a ring at an instant. It works on a copy.
type change struct {
	*Ring
	instant
	now   time.Time // instant.at, as it is stored
	ready []Key     // new keys that were made for it
}

func newChange(ring Ring, at instant, ready []Key) *change {
	ring = ring.clone()
	c := &change{Ring: &ring, instant: at, now: at.at.UTC().Truncate(time.Millisecond), ready: slices.Clone(ready)}
	c.watch()
	return c
}

// needKey asks whoever applies the change to make a key and to apply it again.
type needKey struct{ alg string }

func (e *needKey) Error() string { return "a new key is needed for " + e.alg }

// add puts a new key for alg into the ring, one that signs from the given instant.
func (c *change) add(alg string, signsFrom time.Time) (*Key, error) {
	i := slices.IndexFunc(c.ready, func(k Key) bool { return k.Alg == alg })
	if i < 0 {
		return nil, &needKey{alg}
	}
	k := c.ready[i]
	c.ready = slices.Delete(c.ready, i, i+1)
	k.Created, k.SignsFrom = c.now, signsFrom
	c.cover(&k)
	c.Keys = append(c.Keys, k)
	return &c.Keys[len(c.Keys)-1], nil
}

// cover records in a key that may still sign the lifetimes now in force.
func (c *change) cover(k *Key) {
	k.MaxAccess = max(k.MaxAccess, c.Policy.AccessLifetime)
	k.MaxRefresh = max(k.MaxRefresh, c.Policy.RefreshLifetime)
	k.MaxCache = max(k.MaxCache, c.Policy.JWKSMaxAge)
	k.Shared = k.Shared || c.Policy.Shared
}

// follow puts a policy in force: lifetimes are recorded in the keys before any token
// is made with them, algorithms that have no key get one, and algorithms that are no
// longer wanted stop signing once the others can.
func (c *change) follow(policy Policy) error {
	if policy.JWKSMaxAge < c.Policy.JWKSMaxAge {
		c.HeldUntil = later(c.HeldUntil, c.now.Add(c.Policy.JWKSMaxAge))
	}
	c.Policy = policy
	for i := range c.Keys {
		if k := &c.Keys[i]; k.Revoked.IsZero() && k.open(c.now) {
			c.cover(k)
		}
	}
	first := len(c.Keys) == 0
	ready := c.now
	for _, alg := range c.Policy.Algorithms {
		c.reopen(alg)
		k := c.reserve(alg, c.now)
		if k == nil {
			from := c.now
			if !first {
				from = later(c.now.Add(c.Policy.PublishAhead), c.earliestSwitch(c.now))
			}
			var err error
			if k, err = c.add(alg, from); err != nil {
				return err
			}
		}
		ready = later(ready, k.SignsFrom)
	}
	c.withdraw(ready)
	return nil
}

// reopen takes back the end of a chain whose algorithm was withdrawn and is wanted again.
func (c *change) reopen(alg string) {
	var newest *Key
	for _, k := range c.chain(alg) {
		if k.Sealed != "" && k.open(c.now) && (newest == nil || k.SignsFrom.After(newest.SignsFrom)) {
			newest = k
		}
	}
	if newest != nil {
		newest.SignsUntil = time.Time{}
	}
}

// withdraw ends the chains of algorithms that the policy no longer names, at the
// instant from which all the others sign. A key of theirs that has not begun to sign
// never will.
func (c *change) withdraw(ready time.Time) {
	unwanted := func(k *Key) bool { return k.Revoked.IsZero() && !slices.Contains(c.Policy.Algorithms, k.Alg) }
	var turns []time.Time // that will not come
	c.Keys = slices.DeleteFunc(c.Keys, func(k Key) bool {
		if !unwanted(&k) || k.State(c.now) != Pending {
			return false
		}
		turns = append(turns, k.SignsFrom)
		return !c.mayBegin(&k)
	})
	for i := range c.Keys {
		k := &c.Keys[i]
		if unwanted(k) && k.State(c.now) == Pending { // only where it may begin elsewhere
			k.SignsFrom, k.SignsUntil = c.now, c.now
		}
		if unwanted(k) && k.open(c.now) && (k.SignsUntil.IsZero() || slices.ContainsFunc(turns, k.SignsUntil.Equal)) {
			k.SignsUntil = ready
		}
	}
}

// RotateRequest says which keys to replace, and when the new ones sign.
type RotateRequest struct {
	// Alg is one algorithm, or empty for all that are configured.
	Alg string
	// In is how long the new key is published before it signs; 0 means publish_ahead.
	In time.Duration
	// Now lets the new key, or the pending one, sign at once. Clients that have
	// not seen it refuse its tokens until they fetch the key set again.
	Now bool
	// Hold publishes the new key, or the pending one, without giving it a turn. Ripe
	// gives it to the held one: now, or when every cache has been asked to fetch it.
	Hold, Ripe bool
}

// heldFor is when a held key would sign if nobody ever came.
const heldFor = 100 * 365 * 24 * time.Hour

// rotate replaces the keys the request names: all of them or, on an error, none.
// It returns the kids of the keys that take over.
func (c *change) rotate(req RotateRequest) ([]string, error) {
	if err := c.refuseStopped(req.Now); err != nil {
		return nil, err
	}
	algs := c.Policy.Algorithms
	if req.Alg != "" {
		if !slices.Contains(algs, req.Alg) {
			return nil, fmt.Errorf("%w: %q is not among keys.algorithms (%v)", ErrAlgorithm, req.Alg, algs)
		}
		algs = []string{req.Alg}
	}
	var kids []string
	for _, alg := range algs {
		k, err := c.rotateOne(alg, req)
		if err != nil {
			return nil, err
		}
		kids = append(kids, k.KID)
	}
	return kids, nil
}

func (c *change) rotateOne(alg string, req RotateRequest) (*Key, error) {
	if req.Hold && c.inState(alg, Active, c.now) == nil {
		return nil, fmt.Errorf("%w: none signs for %s yet, so that its first one cannot be held", ErrNoKey, alg)
	}
	if pending := c.inState(alg, Pending, c.now); pending != nil {
		switch {
		case req.Now:
			return c.succeed(pending, c.atOnce(pending.Created)), nil
		case req.Ripe && pending.Held:
			return c.succeed(pending, c.ripe(pending)), nil
		case req.Hold:
			return c.hold(pending), nil
		}
		return nil, c.pendingError(pending)
	}
	if req.Ripe {
		return nil, fmt.Errorf("%w: none of %s waits for its turn", ErrNoKey, alg)
	}
	from, err := c.switchAt(req)
	if err != nil {
		return nil, err
	}
	k, err := c.add(alg, from)
	switch {
	case err != nil:
		return nil, err
	case req.Hold:
		return c.hold(k), nil
	}
	return c.succeed(k, from), nil
}

// never reports an instant that only a held turn has.
func never(t, now time.Time) bool { return t.Sub(now) > heldFor/2 }

// hold takes a pending key's turn away until an operator gives it one.
func (c *change) hold(k *Key) *Key {
	c.succeed(k, c.now.Add(heldFor))
	k.Held = true
	return k
}

// ripe is when every cache that holds the key set honestly has fetched a held key,
// whatever anyone claims to have fetched. It counts from when the key was held, which
// moves along with leaps of the clock as its turn does.
func (c *change) ripe(k *Key) time.Time {
	held := k.SignsFrom.Add(-heldFor)
	return later(c.now, later(held.Add(max(k.MaxCache, c.Policy.JWKSMaxAge)), c.HeldUntil).Add(settle+c.lead()))
}

func (c *change) pendingError(k *Key) error {
	return &PendingError{Alg: k.Alg, KID: k.KID, SignsFrom: k.SignsFrom, Left: k.SignsFrom.Sub(c.now), Held: k.Held}
}

// switchAt is when a key that is published now takes over.
func (c *change) switchAt(req RotateRequest) (time.Time, error) {
	if req.Now {
		return c.atOnce(c.now), nil
	}
	earliest := c.earliestSwitch(c.now)
	if req.In == 0 {
		return later(c.now.Add(c.Policy.PublishAhead), earliest), nil
	}
	if at := c.now.Add(req.In); !at.Before(earliest.Add(-settle)) {
		return later(at, earliest), nil
	}
	return time.Time{}, fmt.Errorf("%w: services may keep the key set for another %s and would refuse the new key until then",
		ErrTooSoon, earliest.Sub(c.now).Truncate(time.Second))
}

// succeed lets k sign from the given instant, and every other open key of its
// chain until then: also one that a withdrawal was to end sooner, for the
// algorithm is wanted if it gets a new key.
func (c *change) succeed(k *Key, from time.Time) *Key {
	k.SignsFrom, k.Held = from, false
	for _, other := range c.chain(k.Alg) {
		if other.KID != k.KID && other.open(c.now) {
			other.SignsUntil = from
		}
	}
	return k
}

// revocation names the keys that a revocation touches beside the revoked one: the
// one that signs from now on and, if another than the revoked key was active, that.
type revocation struct{ by, superseded string }

// revoke takes a key out of use and lets one that was never published sign at
// once, so that clients which keep keys until they meet an unknown kid fetch the
// set and drop the revoked one. A pending key keeps its turn. A key whose algorithm
// was withdrawn is replaced by one of the first algorithm: the chain stays at its
// end.
func (c *change) revoke(kid string) (replaced revocation, err error) {
	k := c.find(kid)
	switch {
	case k == nil:
		return replaced, fmt.Errorf("%w: %q", ErrNoKey, kid)
	case !k.Revoked.IsZero():
		return replaced, fmt.Errorf("%w: %s, since %s", ErrRevoked, kid, k.Revoked.UTC().Format(time.RFC3339))
	}
	k.Revoked, k.Sealed = c.now, ""
	if k.open(c.now) {
		k.SignsUntil = c.now
	}
	alg := k.Alg
	if !slices.Contains(c.Policy.Algorithms, alg) {
		alg = c.Policy.Algorithms[0]
	}
	pending := c.inState(alg, Pending, c.now)
	if active := c.inState(alg, Active, c.now); active != nil {
		active.SignsUntil = c.now
		replaced.superseded = active.KID
	}
	var until time.Time
	if pending != nil {
		until = pending.SignsFrom
	}
	replacement, err := c.add(alg, c.now)
	if err != nil {
		return replaced, err
	}
	replacement.SignsUntil = until
	replaced.by = replacement.KID
	return replaced, nil
}
