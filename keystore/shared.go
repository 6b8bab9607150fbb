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
// Its own clock counts for nothing but itself. Where it leaps, or disagrees with that of the
// storage at a start, the replica signs nothing until it is right: the lifetimes of its
// tokens would be wrong.

const (
	// PollInterval is how often a replica reads the ring.
	PollInterval = 5 * time.Second
	// StaleAfter is how long a replica signs that cannot read the ring.
	StaleAfter = 3 * PollInterval
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

// mayBegin reports a pending key whose turn may come elsewhere before the change is read.
func (c *change) mayBegin(k *Key) bool {
	return c.Policy.Shared && k.SignsFrom.Sub(c.now) <= tail
}

// reading is what a replica knows of the ring and of its clock. It is never changed.
type reading struct {
	at    time.Duration // when the last good read began, by the monotonic clock
	clock known         // an instant at which the wall clock was right
	// failed is why later reads were not good; nil if the last one was.
	failed error
}

// polling serialises the reads of a replica.
type polling struct {
	mu    sync.Mutex
	reads atomic.Uint64 // that have begun
	apart time.Duration // between those that unknown kids ask for
	told  time.Duration // when the log last heard of clocks that are apart
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
	return nil
}

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
	if err := m.admit(&ring); err != nil {
		return err
	}
	return m.adopt(ring)
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
	return nil
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
	return nil
}

func (m *Manager) tellApart(apart time.Duration) {
	now := m.elapsedAt(m.now())
	if m.polling.told != 0 && now-m.polling.told < warnEvery {
		return
	}
	m.polling.told = now
	m.log.Warn("the clock of this machine and that of the database are apart: keep both right (NTP)", "by", apart)
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
			r.at = max(r.at, began)
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

// sharedInstant is instant for a replica.
func (s *snapshot) sharedInstant(r *reading, wall time.Time, elapsed time.Duration) instant {
	at := instant{wall: wall, elapsed: elapsed, at: wall, shared: true}
	expected, seen := r.clock.expect(elapsed), s.ring.Seen
	switch leap := wall.Sub(expected); {
	case leap.Abs() > ClockBound:
		at.at, at.leap, at.held, at.off = expected, leap, true, true
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

func (r *reading) stale(elapsed time.Duration) error {
	age := (elapsed - r.at).Truncate(time.Second)
	if r.failed == nil {
		return fmt.Errorf("%w: they were last read %s ago", ErrStale, age)
	}
	return fmt.Errorf("%w: they were last read %s ago: %w", ErrStale, age, r.failed)
}

func (i instant) clockError() error {
	way := "ahead of"
	if i.leap < 0 {
		way = "behind"
	}
	return fmt.Errorf("%w: it is %s %s what it should be: set it right (NTP), and this goes on by itself",
		ErrClock, i.leap.Abs().Round(time.Second), way)
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
		if k := &c.Keys[i]; k.Revoked.IsZero() && k.open(c.now) {
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

// offClock reports that the clock of this replica cannot be right.
func (m *Manager) offClock() bool { return m.instant(m.state.Load(), m.now()).off }
