// Package keystore holds the signing keys and their life.
//
// A key carries its times, and its state at any instant follows from them:
//
//	created ──► signs from ──► signs until ──► published until ──► forgotten
//	 (pending)     (active)       (retired)        (removed)
//
// A pending key is published and never signs: services keep the key set for a
// while and refuse a key that they have not seen. A retired key stays published
// until the last access token that it signed has expired everywhere; its private
// half is destroyed at once. A removed key is no longer published, and its public
// half is kept as long as a refresh token that it signed may live.
//
// Start at [Open], which returns a [Manager]: it signs, it knows the public keys,
// and it changes the ring. [Ring] and [Key] say what is stored; the decisions are
// in ring.go, change.go and maintain.go, which know no clock and no storage. clock.go
// says which instant it is for the keys when the clock leaps, authentic.go that a stored
// ring is signet's own, private.go what may be imported, reseal.go how the sealing key
// changes, fence.go when a write that failed is no more, vault.go how private halves live
// outside of the process, shared.go how several processes go by one ring.
//
// The package refuses to make keys where sealed ones cannot be opened, to keep a
// private half past its signing time, to use one key with two algorithms, and to take a
// ring that something else has changed.
package keystore

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"signet/internal/compactjws"
	"signet/internal/event"
	"signet/jwks"
)

// Options configure a Manager.
type Options struct {
	Store   Store
	Sealing *SealingKey
	// Vault keeps the private halves that are made from now on; nil means that they are
	// sealed and stored.
	Vault Vault
	// Policy is put in force; nil leaves the one that is stored with the keys.
	Policy *Policy
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Elapsed is a clock that nobody sets, by which leaps of Now are noticed; nil means
	// the monotonic clock of the process or, for a Now that is given, none.
	Elapsed func() time.Duration
	// Shared: other processes use the Store as well, which must be a Timekeeper. Run then
	// reads the ring every PollInterval; see shared.go.
	Shared bool
	// Events hears of each step in a key's life; nil tells nobody.
	Events event.Recorder
	// Log receives what the schedule does; nil means slog.Default().
	Log *slog.Logger
}

// Manager is the ring of a running process: safe for concurrent use. Signing and
// the key set read memory only; a change is stored first and then seen at once.
type Manager struct {
	store   Store
	sealing *SealingKey
	vault   Vault // may be nil
	now     func() time.Time
	elapsed func() time.Duration // may be nil; see elapsedAt
	started time.Time
	log     *slog.Logger
	events  event.Recorder

	changing sync.Mutex // held while the ring is changed
	inVault  vaultWork
	state    atomic.Pointer[snapshot]
	changed  chan struct{} // wakes Run

	keeper  Timekeeper              // nil if the store is not shared
	reading atomic.Pointer[reading] // nil if the store is not shared
	polling polling
	own     *Policy // the one that this process has put in force last; nil if none
}

// Open loads the ring and opens its private halves. If no ring was ever stored
// it makes one active key for each algorithm of the policy; without a policy that is
// ErrNoKey. A sealing key that does not fit is an error that wraps ErrSealingKey, and
// changes nothing.
func Open(ctx context.Context, opts Options) (*Manager, error) {
	m := &Manager{
		store: opts.Store, sealing: opts.Sealing, vault: opts.Vault, now: opts.Now, elapsed: opts.Elapsed, log: opts.Log,
		events:  event.All(opts.Events),
		changed: make(chan struct{}, 1),
	}
	m.setDefaults()
	m.changing.Lock()
	defer m.changing.Unlock()
	read := m.elapsedAt(m.now())
	ring, err := m.load(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.adopt(ring); err != nil {
		return nil, err
	}
	if opts.Shared {
		if err := m.share(ctx, read); err != nil {
			return nil, err
		}
	}
	m.tidyVault(ring)
	if err := m.begin(ctx, ring, opts.Policy); err != nil {
		return nil, err
	}
	m.trust()
	if ring.Version > 0 && ring.Format < ringFormat {
		m.log.Info("the stored keys had no authentication code; they were taken as they are, and have one from now on")
	}
	return m, nil
}

func (m *Manager) setDefaults() {
	m.started = time.Now()
	switch {
	case m.now == nil:
		m.now = time.Now
		if m.elapsed == nil {
			m.elapsed = func() time.Duration { return time.Since(m.started) }
		}
	case m.elapsed == nil:
		m.started = m.now()
	}
	if m.log == nil {
		m.log = slog.Default()
	}
}

// begin puts the policy in force, if there is one. A ring of an older format is stored
// anew even without.
func (m *Manager) begin(ctx context.Context, ring Ring, policy *Policy) error {
	switch {
	case policy != nil:
		return m.follow(ctx, *policy)
	case ring.Version == 0:
		return fmt.Errorf("%w: none was made yet", ErrNoKey)
	case ring.Format < ringFormat:
		return m.change(ctx, func(*change) error { return nil })
	}
	return nil
}

// load returns the stored ring, if it is as signet stored it.
func (m *Manager) load(ctx context.Context) (Ring, error) {
	ring, err := m.store.LoadRing(ctx)
	if err != nil {
		return Ring{}, fmt.Errorf("load the keys: %w", err)
	}
	return ring, m.admit(&ring)
}

// admit refuses a ring that is not as signet stored it.
func (m *Manager) admit(ring *Ring) error {
	state := m.state.Load()
	if state != nil {
		if err := state.ring.admitNext(ring); err != nil && m.keeper == nil {
			return err
		}
	}
	err := m.sealing.admit(*ring)
	if m.keeper == nil || state == nil {
		return err
	}
	if errors.Is(err, ErrSealingKey) {
		err = m.resealed(ring)
	}
	if err != nil {
		return err
	}
	return m.admitShared(state, ring)
}

// Policy returns the policy in force.
func (m *Manager) Policy() Policy { return m.state.Load().ring.Policy }

// SetPolicy puts p in force. Longer lifetimes are recorded in the keys before it
// returns: call it before tokens with those lifetimes are made.
func (m *Manager) SetPolicy(ctx context.Context, p Policy) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	return m.follow(ctx, p)
}

func (m *Manager) follow(ctx context.Context, p Policy) error {
	p.Shared = m.keeper != nil
	err := m.change(ctx, func(c *change) error { return c.follow(p) })
	if err == nil {
		m.own = &p
	}
	return err
}

// Sign returns the compact JWS of payload (RFC 7515 §7.1) with the given typ,
// and the kid of the key that signed it. alg is one of the policy's algorithms,
// or empty for the first of them that has a signing key. An algorithm that was
// added signs when caches have seen its key, and is ErrNoKey until then.
func (m *Manager) Sign(alg, typ string, payload []byte) (token, kid string, err error) {
	for {
		state := m.state.Load() // before the clock is read: the state is never of a later time
		token, kid, err = m.signWith(state, alg, typ, payload)
		// A vault destroys the key of a state that has passed.
		if !errors.Is(err, ErrVault) || m.state.Load() == state {
			return token, kid, err
		}
	}
}

func (m *Manager) signWith(state *snapshot, alg, typ string, payload []byte) (token, kid string, err error) {
	at := m.instant(state, m.now())
	if r := m.reading.Load(); r != nil {
		if err := r.maySign(at); err != nil {
			return "", "", err
		}
	}
	k, err := state.signer(alg, at.at)
	if err != nil {
		return "", "", err
	}
	input := compactjws.SigningInput(k.prefix(typ), payload, k.signatureSize)
	signature, err := compactjws.Sign(k.stored.Alg, k.private, input)
	if err != nil {
		return "", "", signingFailed(k.stored, err)
	}
	return compactjws.Seal(input, signature), k.kid, nil
}

// PublicKey returns the algorithm and the public key of a kid whose tokens the
// issuer honours now: published ones, and removed ones that may have signed a
// refresh token that is still alive. A replica that cannot tell has none, and Behind says
// why.
func (m *Manager) PublicKey(kid string) (alg string, public any, ok bool) {
	state := m.state.Load()
	k, ok := state.keys[kid]
	at := m.instant(state, m.now())
	if !ok || !k.stored.verifies(at.ends()) || m.mayVerify(at) != nil {
		return "", nil, false
	}
	return k.stored.Alg, k.public, true
}

// Document returns the key set of the instant. ErrStale if a replica does not know it any
// more.
func (m *Manager) Document(now time.Time) (*jwks.Document, error) {
	state := m.state.Load()
	at := m.instant(state, now)
	if err := m.mayVerify(at); err != nil {
		return nil, err
	}
	return state.document(at)
}

func (m *Manager) mayVerify(at instant) error {
	if r := m.reading.Load(); r != nil {
		return r.mayVerify(at.elapsed)
	}
	return nil
}

// Rotate publishes a successor for each key that req names; it takes over after
// publish_ahead, after req.In, or at once. A *PendingError if a rotation is under
// way, ErrTooSoon if req.In is shorter than caches hold the key set; then nothing
// has changed. With dryRun it returns what would be, and changes nothing.
func (m *Manager) Rotate(ctx context.Context, req RotateRequest, dryRun bool) ([]Takeover, error) {
	var kids []string
	ring, err := m.apply(ctx, dryRun, func(c *change) (err error) {
		kids, err = c.rotate(req)
		return err
	})
	if err != nil {
		return nil, err
	}
	takeovers := make([]Takeover, 0, len(kids))
	for _, kid := range kids {
		takeovers = append(takeovers, ring.takeover(kid, m.time()))
	}
	return takeovers, nil
}

// Revoke takes the key out of the key set now, for good, and lets a key that was
// never published sign in its place. ErrNoKey or ErrRevoked if it cannot be. With
// dryRun it returns what would be, and changes nothing.
func (m *Manager) Revoke(ctx context.Context, kid string, dryRun bool) (Takeover, error) {
	var replaced revocation
	ring, err := m.apply(ctx, dryRun, func(c *change) (err error) {
		replaced, err = c.revoke(kid)
		return err
	})
	if err != nil {
		return Takeover{}, err
	}
	now := m.time()
	t := Takeover{Old: info(ring.find(kid), now), New: info(ring.find(replaced.by), now)}
	if replaced.superseded != "" {
		superseded := info(ring.find(replaced.superseded), now)
		t.Superseded = &superseded
	}
	return t, nil
}

// Keys returns all keys that the issuer still knows, in the order of their making.
func (m *Manager) Keys() []Info {
	ring, now := m.state.Load().ring, m.time()
	infos := make([]Info, 0, len(ring.Keys))
	for i := range ring.Keys {
		infos = append(infos, info(&ring.Keys[i], now))
	}
	return infos
}

// apply changes the ring, or only tries to.
func (m *Manager) apply(ctx context.Context, dryRun bool, alter func(*change) error) (Ring, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	if dryRun {
		c, err := m.alter(m.state.Load().ring, alter, m.makeKey) // a plan makes nothing in a vault
		return *c.Ring, err
	}
	err := m.change(ctx, alter)
	return m.state.Load().ring, err
}

// change alters a copy of the stored ring, stores it and adopts it. m.changing is held.
func (m *Manager) change(ctx context.Context, alter func(*change) error) error {
	return m.changeTo(ctx, m.sealing, alter)
}

// changeTo stores the altered ring under a sealing key, which is that of the process
// from then on.
func (m *Manager) changeTo(ctx context.Context, sealing *SealingKey, alter func(*change) error) error {
	defer m.emptyVault()
	for range m.attempts() {
		read := m.elapsedAt(m.now())
		stored, err := m.load(ctx)
		if err == nil {
			err = m.adopt(stored)
		}
		if err != nil {
			return err
		}
		if err := m.noteChange(ctx, read); err != nil {
			return err
		}
		c, err := m.alter(stored, alter, m.keyMaker())
		if err != nil {
			return err
		}
		m.forgetDestroyed(c)
		if c.finish(stored, sealing); c.equal(stored) {
			return nil
		}
		ring, err := sealing.authenticate(*c.Ring)
		if err != nil {
			return err
		}
		err = m.store.ReplaceRing(ctx, ring)
		switch {
		case err == nil:
			ring.Version++
			m.sealing = sealing
			return m.keepMade(m.adoptAs(ring, known{at: c.now, elapsed: c.elapsed}))
		case !errors.Is(err, ErrConflict):
			return errors.Join(fmt.Errorf("store the keys: %w", err), m.keepMade(m.reload(ctx, stored, sealing)))
		}
	}
	return ErrConflict
}

// alter applies a change to a copy of ring. A key that it needs is made before the
// clock is read again: making one takes seconds on a slow machine, and the change
// promises when clients can see it.
func (m *Manager) alter(ring Ring, alter func(*change) error, make keyMaker) (*change, error) {
	var ready []Key
	for {
		c := newChange(ring, m.instant(m.state.Load(), m.now()), ready)
		err := alter(c)
		var need *needKey
		if !errors.As(err, &need) {
			c.coverOwn(m.own)
			c.destroy()
			return c, err
		}
		k, err := newKey(make, need.alg, c.Policy.RSABits)
		if err != nil {
			return c, err
		}
		ready = append(ready, k)
	}
}

// reload adopts what is stored: a write in the place of before that was reported as
// failed may have been made all the same, and signing must go by what a restart would
// find. That the caller has given up is one way for a write to fail, so it does not
// count. Every error wraps errUnsettled.
func (m *Manager) reload(ctx context.Context, before Ring, tried *SealingKey) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: %w", errUnsettled, err)
		}
	}()
	ctx, cancel := patient(ctx)
	defer cancel()
	if err := m.settle(ctx, before, tried); err != nil {
		return err
	}
	ring, err := m.store.LoadRing(ctx)
	if err != nil {
		return fmt.Errorf("load the keys again: %w", err)
	}
	if ring.SealedBy == tried.ID() {
		m.sealing = tried
	}
	if err := m.admit(&ring); err != nil {
		return err
	}
	return m.adopt(ring)
}

// patient is for what must be tried although the caller has given up.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

// adopt makes ring, as it was read, what the process signs with and publishes.
func (m *Manager) adopt(ring Ring) error {
	previous := m.state.Load()
	if previous != nil && previous.ring.Version == ring.Version {
		return nil
	}
	return m.adoptAs(ring, knownFrom(&ring, previous, m.elapsedAt(m.now())))
}

// adoptAs is adopt for a process that knows when the clock was right.
func (m *Manager) adoptAs(ring Ring, known known) error {
	previous := m.state.Load()
	next, err := newSnapshot(ring, previous, privateHalves{m.sealing, m.vault})
	if err != nil {
		return err
	}
	next.known = known
	m.state.Store(next)
	if previous != nil {
		m.tellDifference(previous.ring, ring)
		m.tellPolicy(&previous.ring, &ring)
	}
	select {
	case m.changed <- struct{}{}:
	default:
	}
	return nil
}

// keyMaker makes a key for an algorithm.
type keyMaker func(alg string, rsaBits int) (Key, error)

// newKey makes a key whose kid can be typed as an argument: none begins with a
// dash, which one base64url text in 64 does.
func newKey(make keyMaker, alg string, rsaBits int) (Key, error) {
	for {
		k, err := make(alg, rsaBits)
		if err != nil || k.KID[0] != '-' {
			return k, err
		}
	}
}

func (m *Manager) makeKey(alg string, rsaBits int) (Key, error) {
	private, err := generate(alg, rsaBits)
	if err != nil {
		return Key{}, err
	}
	return m.sealed(alg, private)
}

// sealed is a private key as it is stored.
func (m *Manager) sealed(alg string, private crypto.Signer) (Key, error) {
	key, err := newJWK(alg, private)
	if err != nil {
		return Key{}, err
	}
	public, err := publicJWK(key)
	if err != nil {
		return Key{}, err
	}
	sealed, err := m.sealing.seal(key)
	if err != nil {
		return Key{}, err
	}
	return Key{KID: key.KeyID(), Alg: alg, Public: public, Sealed: sealed}, nil
}

func (r Ring) equal(other Ring) bool {
	same := func(a, b Key) bool {
		return a.KID == b.KID && a.Sealed == b.Sealed && a.Held == b.Held && a.Created.Equal(b.Created) &&
			a.SignsFrom.Equal(b.SignsFrom) && a.SignsUntil.Equal(b.SignsUntil) && a.Revoked.Equal(b.Revoked) &&
			a.MaxAccess == b.MaxAccess && a.MaxRefresh == b.MaxRefresh && a.MaxCache == b.MaxCache && a.Extended == b.Extended && a.Shared == b.Shared
	}
	if r.Format != other.Format || r.SealedBy != other.SealedBy || !slices.Equal(r.Refused, other.Refused) || !slices.Equal(r.Doomed, other.Doomed) ||
		!r.Seen.Equal(other.Seen) || !r.Stopped.Equal(other.Stopped) {
		return false
	}
	return r.Policy.equal(other.Policy) && r.HeldUntil.Equal(other.HeldUntil) && slices.EqualFunc(r.Keys, other.Keys, same)
}

func (p Policy) equal(other Policy) bool {
	if !slices.Equal(p.Algorithms, other.Algorithms) {
		return false
	}
	p.Algorithms, other.Algorithms = nil, nil
	return reflect.DeepEqual(p, other)
}
