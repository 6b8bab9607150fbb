package keystore

import (
	"slices"
	"time"
)

// State is what a key is for at an instant.
type State string

// The life of a key. See the package comment for the order.
const (
	Pending State = "pending" // published, does not sign yet
	Active  State = "active"  // published and signs
	Retired State = "retired" // published, signs no more
	Removed State = "removed" // unpublished; still verifies refresh tokens here
	Revoked State = "revoked" // taken out of use by an operator
)

// clientLeeway is the largest clock leeway seen in verifying clients: a token is
// believed by some of them this long after its exp.
const clientLeeway = 150 * time.Second

// settle covers the moment between the instant a change carries and the instant
// at which clients can see it.
const settle = 2 * time.Second

// State returns what the key is for at now. Nothing has to run for it to change.
func (k *Key) State(now time.Time) State {
	switch {
	case !k.Revoked.IsZero():
		return Revoked
	case now.Before(k.SignsFrom):
		return Pending
	case k.open(now):
		return Active
	case now.Before(k.PublishedUntil()):
		return Retired
	default:
		return Removed
	}
}

// open reports whether the key has no successor yet at now.
func (k *Key) open(now time.Time) bool {
	return k.SignsUntil.IsZero() || now.Before(k.SignsUntil)
}

// PublishedUntil is when the key leaves the key set: when the last access token
// that it signed has expired everywhere, plus the time a cache may lag behind.
// Zero while no end is planned.
func (k *Key) PublishedUntil() time.Time {
	switch {
	case !k.Revoked.IsZero():
		return k.Revoked
	case k.SignsUntil.IsZero():
		return time.Time{}
	}
	return k.SignsUntil.Add(k.MaxAccess + clientLeeway + k.MaxCache + k.Extended + k.tail())
}

// KeptUntil is when the issuer forgets the key: when the last refresh token that
// it signed has expired too. A revoked key is kept as long, as a record, and
// verifies nothing. Zero while no end is planned.
func (k *Key) KeptUntil() time.Time {
	if k.SignsUntil.IsZero() {
		return time.Time{}
	}
	kept := k.SignsUntil.Add(k.MaxRefresh + clientLeeway + k.Extended + k.tail())
	if published := k.PublishedUntil(); published.After(kept) {
		return published
	}
	return kept
}

// published reports whether the key is in the key set at now. Every key of the
// ring was put there when it was made, so a clock that was set back hides none; and
// it brings none back that was revoked.
func (k *Key) published(now time.Time) bool {
	until := k.PublishedUntil()
	return k.Revoked.IsZero() && (until.IsZero() || now.Before(until))
}

// verifies reports whether the issuer itself still honours tokens of the key.
func (k *Key) verifies(now time.Time) bool {
	until := k.KeptUntil()
	return k.Revoked.IsZero() && (until.IsZero() || now.Before(until))
}

// chain yields the keys of one algorithm that were not revoked.
func (r *Ring) chain(alg string) []*Key {
	var keys []*Key
	for i := range r.Keys {
		if k := &r.Keys[i]; k.Alg == alg && k.Revoked.IsZero() {
			keys = append(keys, k)
		}
	}
	return keys
}

// inState returns the key of alg that is in the state at now, or nil. There is
// at most one pending and one active key in a chain. A key whose turn lies ahead
// and whose private half is gone is not pending: the clock was set back over its
// turn, and it can have no other.
func (r *Ring) inState(alg string, state State, now time.Time) *Key {
	for _, k := range r.chain(alg) {
		if k.State(now) == state && (state != Pending || k.Sealed != "") {
			return k
		}
	}
	return nil
}

// find returns the key with this kid, or nil.
func (r *Ring) find(kid string) *Key {
	i := slices.IndexFunc(r.Keys, func(k Key) bool { return k.KID == kid })
	if i < 0 {
		return nil
	}
	return &r.Keys[i]
}

// signer returns the key that signs for alg at now, or nil.
func (r *Ring) signer(alg string, now time.Time) *Key {
	if k := r.inState(alg, Active, now); k != nil && k.Sealed != "" {
		return k
	}
	return nil
}

// reserve returns the key that signs for alg when the times leave none: after
// the clock was set back over a rotation, the private half of the key whose
// turn it seems to be is gone. Its successor is published and can stand in.
func (r *Ring) reserve(alg string, now time.Time) *Key {
	var found *Key
	for _, k := range r.chain(alg) {
		if k.Sealed != "" && k.open(now) && (found == nil || k.SignsFrom.Before(found.SignsFrom)) {
			found = k
		}
	}
	return found
}

// nextChange is the next instant at which the key set is planned to differ: a key
// leaves it, or the successor of one that reaches its age comes.
func (r *Ring) nextChange(now time.Time) time.Time {
	var next time.Time
	for i := range r.Keys {
		if k := &r.Keys[i]; k.Revoked.IsZero() {
			next = sooner(next, after(now, k.PublishedUntil()))
		}
	}
	for _, alg := range r.Policy.Algorithms {
		next = sooner(next, after(now, r.due(alg, now)))
	}
	return next
}

// due is when the successor of alg's active key is to be published; zero if
// nothing is scheduled.
func (r *Ring) due(alg string, now time.Time) time.Time {
	active := r.inState(alg, Active, now)
	if r.Policy.RotateEvery <= 0 || active == nil || r.inState(alg, Pending, now) != nil {
		return time.Time{}
	}
	return active.SignsFrom.Add(r.Policy.RotateEvery - r.Policy.PublishAhead)
}

// earliestSwitch is the first instant at which every cache that holds the key
// set honestly has seen a key that is published at now.
func (r *Ring) earliestSwitch(now time.Time) time.Time {
	held := r.HeldUntil
	if latest := now.Add(r.longestCache()); held.After(latest) {
		held = latest // promised by a clock that was ahead
	}
	return later(now.Add(r.Policy.JWKSMaxAge), held).Add(settle + r.lead())
}

// longestCache is the longest jwks_max_age that any key has seen in force.
func (r *Ring) longestCache() time.Duration {
	longest := time.Duration(0)
	for i := range r.Keys {
		longest = max(longest, r.Keys[i].MaxCache)
	}
	return longest
}

// missesTurn reports whether the times leave alg without a signing key although
// it has signed before: the clock was set back. A chain that has only just been
// begun has not missed anything; its pending key waits.
func (r *Ring) missesTurn(alg string, now time.Time) bool {
	for _, k := range r.chain(alg) {
		if k.Created.After(now) || k.State(now) == Active && k.Sealed == "" {
			return true
		}
	}
	return false
}

// clone copies the ring so that a failed change leaves the original alone.
func (r Ring) clone() Ring {
	r.Keys, r.Refused, r.Doomed = slices.Clone(r.Keys), slices.Clone(r.Refused), slices.Clone(r.Doomed)
	return r
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sooner returns the earlier of two instants, where zero means none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// after returns t if it lies after now, and zero otherwise.
func after(now, t time.Time) time.Time {
	if t.After(now) {
		return t
	}
	return time.Time{}
}
