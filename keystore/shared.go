package keystore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Several processes, the replicas of one issuer, may go by one ring. Each reads it every
// PollInterval; whatever one of them changes holds elsewhere when it has been read there.
// The times of a change leave room for that:
//
//	publish ──► in every replica's key set ──► in every cache ──► signs ──► ends ──► ends everywhere
//	    └───────────── lead ────────────┴─ jwks_max_age ─┘               └──── tail ────┘
//
// A revocation leaves none: a replica drops the key when it next reads the ring. One that
// cannot read it
//
//   - signs for StaleAfter at most, since a key may have been revoked, or its time ended;
//   - publishes the keys that it knows, and lets caches keep them only until another key
//     could sign (Manager.MaxAge);
//   - verifies tokens of those keys, and says of others that it cannot tell (Manager.Behind).
//
// One that reads a ring and cannot take it, for want of the sealing key, knows that its own
// is no longer the one: after RefusedAfter it publishes nothing, and cannot tell of any key,
// since each may have been revoked.
//
// Its own clock counts for nothing but itself. Where it leaps, or disagrees with that of the
// storage at a start, the replica signs nothing until it is right: the lifetimes of its
// tokens would be wrong.

const (
	// PollInterval is how often a replica reads the ring.
	PollInterval = 5 * time.Second
	// StaleAfter is how long a replica signs that cannot read the ring.
	StaleAfter = 3 * PollInterval
	// RefusedAfter is how long a replica publishes and verifies by the ring that it has after
	// it has last read one that it could take, if it has read another since.
	RefusedAfter = 5 * time.Minute
	// ClockBound is how far the clock of a replica, or of the storage, may be off.
	ClockBound = 2 * time.Second

	// clocksApart is how far the clocks of two replicas are apart at most: each may be off
	// from that of the storage by 2 × ClockBound, and by a leap of ClockBound that passes
	// for none.
	clocksApart = 6 * ClockBound
	// lead is how long a new key is published before every replica publishes it: a read, the
	// clocks, and the write of the change.
	lead = PollInterval + clocksApart + 3*time.Second
	// tail is how long a replica may sign with a key, by its own clock, after its end.
	tail = StaleAfter + clocksApart + 3*time.Second
	// spare is how much later than after PollInterval a read may come before caches are
	// promised less.
	spare = time.Second
	// lookAgainAfter is between reads that unknown kids ask for: anyone can send those.
	lookAgainAfter = 200 * time.Millisecond
)

// lead is for keys that are published now.
func (r *Ring) lead() time.Duration {
	if r.Policy.Shared {
		return lead
	}
	return 0
}

func (k *Key) tail() time.Duration {
	if k.Shared {
		return tail
	}
	return 0
}

// signsNowhere is when the private half may be destroyed; zero while no end is planned.
func (k *Key) signsNowhere() time.Time {
	if k.SignsUntil.IsZero() {
		return time.Time{}
	}
	return k.SignsUntil.Add(k.tail())
}

// atOnce is the first instant at which a key that is published since created may sign
// without waiting for caches.
func (c *change) atOnce(created time.Time) time.Time { return later(c.now, created.Add(c.lead())) }

// reading is what a replica knows of the ring and of its clock. It is never changed.
type reading struct {
	at    time.Duration // when the last good read began, by the monotonic clock
	clock known         // an instant at which the wall clock was right
	// failed is why later reads were not good; nil if the last one was.
	failed error
	// refused: one of them found a ring that this replica could not take.
	refused bool
}

// ringRefused is an error about a ring that was read.
type ringRefused struct{ error }

func (e ringRefused) Unwrap() error { return e.error }

// polling serialises the reads of a replica.
type polling struct {
	mu    sync.Mutex
	reads atomic.Uint64 // that have begun
	apart time.Duration // between those that unknown kids ask for

	clockOff atomic.Bool  // as the log knows it
	quiet    atomic.Int64 // until when, by the monotonic clock, the log hears of no clocks that are apart
}

// share begins to go by a ring of several processes. It was asked for at read.
func (m *Manager) share(ctx context.Context, read time.Duration) error {
	keeper, ok := m.store.(Timekeeper)
	if !ok {
		return errors.New("the keys are to be shared, and their store has no clock (keystore.Timekeeper)")
	}
	m.keeper, m.polling.apart = keeper, lookAgainAfter
	first := &reading{at: read}
	storage, apart, err := m.compareClocks(ctx)
	if err != nil {
		return err
	}
	first.clock = storage
	if apart <= 2*ClockBound {
		first.clock = m.believed()
	}
	m.reading.Store(first)
	m.tellOff(m.instant(m.state.Load(), m.now()))
	return nil
}

// poll reads the ring every PollInterval until ctx ends.
func (m *Manager) poll(ctx context.Context) {
	ticker := time.NewTicker(PollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.polling.mu.Lock()
			m.look(ctx)
			m.polling.mu.Unlock()
		}
	}
}

// look reads the ring once, and takes it over if it has changed. m.polling is held.
func (m *Manager) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, PollInterval)
	defer cancel()
	m.polling.reads.Add(1)
	began := m.elapsedAt(m.now())
	err := m.readRing(ctx)
	if err == nil {
		err = m.checkClock(ctx)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return // the process ends
	}
	m.note(began, err)
}

// readRing loads the ring, and adopts it unless it is the one that is known.
func (m *Manager) readRing(ctx context.Context) error {
	before := m.state.Load()
	ring, err := m.store.LoadRing(ctx)
	if err != nil {
		return fmt.Errorf("load the keys: %w", err)
	}
	if before.holds(&ring) {
		return nil
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	if now := m.state.Load(); now != before && now.ring.Version >= ring.Version {
		return nil // a change of this process was there first
	}
	err = m.admit(&ring)
	if err == nil {
		err = m.adopt(ring)
	}
	if err != nil {
		return ringRefused{err}
	}
	return nil
}

// holds reports whether ring is the one of s, as it was stored.
func (s *snapshot) holds(ring *Ring) bool {
	return s.ring.Version == ring.Version && s.ring.MAC == ring.MAC
}

// admitShared refuses what the database cannot hold while it is the one that this replica
// has read: an older ring, or another one under the same Version.
func (m *Manager) admitShared(state *snapshot, ring *Ring) error {
	known := &state.ring
	if ring.Version > known.Version && ring.Format >= known.Format || state.holds(ring) {
		return nil
	}
	return fmt.Errorf("%w: they are at version %d, and this replica has read version %d: if the database was restored from a backup, restart every replica; if not, restore the newest",
		ErrRing, ring.Version, known.Version)
}

// resealed takes the sealing key from its file again if it is the one of ring: another
// replica has changed it (Reseal), and it was copied here since.
func (m *Manager) resealed(ring *Ring) error {
	key, err := SealingKeyFor(m.sealing.from, *ring)
	if err != nil {
		return fmt.Errorf("%w; if another replica has changed it (signet keys reseal), copy its file here", err)
	}
	key.from, m.sealing = m.sealing.from, key
	m.log.Info("the private keys are sealed with a new sealing key, which was found in its file", "file", key.from)
	if err := m.putInPlace(); err != nil {
		m.log.Warn("the new sealing key is not in its place yet; the next start tries again", "error", err)
	}
	return nil
}

// putInPlace finishes a change of the sealing key of which nobody knew whether it was made,
// unless another process is at it.
func (m *Manager) putInPlace() error {
	path := resolved(m.sealing.from)
	unlock, err := tryLockSealingKey(path)
	if err != nil {
		if errors.Is(err, errSealLocked) {
			return nil
		}
		return err
	}
	defer unlock()
	return m.finishOwn(path)
}

func (m *Manager) setReading(change func(*reading)) {
	for {
		old := m.reading.Load()
		next := *old
		change(&next)
		if m.reading.CompareAndSwap(old, &next) {
			return
		}
	}
}

// note records how a read went that began at the given time, and tells the log when that
// changes.
func (m *Manager) note(began time.Duration, failed error) {
	before := m.reading.Load()
	m.setReading(func(r *reading) {
		if r.failed = failed; failed == nil {
			r.at, r.refused = max(r.at, began), false
			return
		}
		// That the database went away since makes an old ring no better.
		if _, refused := errors.AsType[ringRefused](failed); refused {
			r.refused = true
		}
	})
	switch {
	case failed == nil && before.failed != nil:
		m.log.Info("the keys are read from the database again")
	case failed != nil && (before.failed == nil || before.failed.Error() != failed.Error()):
		m.log.Error("the keys cannot be read from the database; this replica goes on with those it has, and signs with them for a short time only",
			"signs_for", max(0, before.at+StaleAfter-began), "error", failed)
	}
}

// noteChange records that the ring was read for a change. The change is made at the right
// time, whatever the clock of this replica says.
func (m *Manager) noteChange(ctx context.Context, began time.Duration) error {
	if m.reading.Load() == nil {
		return nil
	}
	m.note(began, nil)
	if !m.instant(m.state.Load(), m.now()).off {
		return nil
	}
	return m.checkClock(ctx)
}

// maySign refuses what another replica could know better.
func (r *reading) maySign(at instant) error {
	switch {
	case at.elapsed-r.at > StaleAfter:
		return r.stale(at.elapsed)
	case at.off:
		return at.clockError()
	}
	return nil
}

// mayVerify refuses what a ring that could not be taken may say otherwise.
func (r *reading) mayVerify(elapsed time.Duration) error {
	if r.refused && elapsed-r.at > RefusedAfter {
		return r.stale(elapsed)
	}
	return nil
}

func (r *reading) stale(elapsed time.Duration) error {
	age := (elapsed - r.at).Truncate(time.Second)
	if r.failed == nil {
		return fmt.Errorf("%w: they were last read %s ago", ErrStale, age)
	}
	return fmt.Errorf("%w: they were last read %s ago: %w", ErrStale, age, r.failed)
}

// MaxAge is how long a cache may keep the key set that is published now: jwks_max_age or,
// where the ring is shared, until a key could sign that was made since it was last read.
// Ask for it before the Document.
func (m *Manager) MaxAge() time.Duration {
	r, limit := m.reading.Load(), m.Policy().JWKSMaxAge
	if r == nil {
		return limit
	}
	at := m.instant(m.state.Load(), m.now())
	if at.off { // the age may be more than it seems
		return 0
	}
	return max(0, min(limit, limit+PollInterval+spare-(at.elapsed-r.at)))
}

// Behind is called for a kid that PublicKey does not know. It reads the ring again where
// another replica may have made the key just now, and reports why this one cannot say that
// there is no such key. With nil PublicKey says it.
func (m *Manager) Behind() error {
	if m.reading.Load() == nil {
		return nil
	}
	m.lookAgain()
	if r := m.reading.Load(); r.failed != nil {
		return r.stale(m.elapsedAt(m.now()))
	}
	return nil
}

// lookAgain waits for a read that begins from now on, which all who wait share. Where reads
// fail the next poll is soon enough.
func (m *Manager) lookAgain() {
	begun := m.polling.reads.Load()
	m.polling.mu.Lock()
	defer m.polling.mu.Unlock()
	if m.reading.Load().failed != nil || m.polling.reads.Load() > begun {
		return
	}
	time.Sleep(m.polling.apart - (m.elapsedAt(m.now()) - m.reading.Load().at))
	m.look(context.Background())
}

// attempts is how often a change is tried that others are faster than. Replicas do what is
// due at the same instant.
func (m *Manager) attempts() int {
	if m.keeper != nil {
		return 10
	}
	return 3
}

// coverOwn records the lifetimes in force at this process, where another replica has put a
// policy with shorter ones in force.
func (c *change) coverOwn(own *Policy) {
	if own == nil || !c.Policy.Shared {
		return
	}
	for i := range c.Keys {
		if k := &c.Keys[i]; k.Revoked.IsZero() && k.open(c.now.Add(-k.tail())) {
			k.MaxAccess, k.MaxRefresh = max(k.MaxAccess, own.AccessLifetime), max(k.MaxRefresh, own.RefreshLifetime)
		}
	}
}

// tellPolicy tells the log that the keys go by another configuration than this process.
func (m *Manager) tellPolicy(before, now *Ring) {
	if m.keeper == nil || m.own == nil || now.Policy.equal(before.Policy) || now.Policy.equal(*m.own) {
		return
	}
	m.log.Warn("another replica has put other settings of keys and tokens in force, and the keys go by those: give all replicas one configuration",
		"algorithms", now.Policy.Algorithms, "rotate_every", now.Policy.RotateEvery, "publish_ahead", now.Policy.PublishAhead,
		"jwks_max_age", now.Policy.JWKSMaxAge, "access", now.Policy.AccessLifetime, "refresh", now.Policy.RefreshLifetime)
}

// seenAtTheEnd stores the time at which a process ends, unless another has just done so.
func (c *change) seenAtTheEnd() {
	if !c.shared || c.now.Sub(c.Seen) > StaleAfter {
		c.Seen = c.now
	}
}
