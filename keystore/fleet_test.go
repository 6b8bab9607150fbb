package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"pgregory.net/rapid"

	"signet/jwks"
)

var errDown = errors.New("the database does not answer")

// replica is one of several processes over one store, with a clock and a way to the store of
// its own.
type replica struct {
	*Manager
	*memStore
	opts Options
	true *clock
	// skew is how far its clock, and that of the storage, are off; leapt how far its clock
	// has leapt besides; paused for how long its monotonic clock stood still.
	skew, storageSkew, leapt, paused time.Duration
	down                             bool
	// disturbed: a clock was set, and the storage's was not looked at since.
	disturbed      bool
	read, nextPoll time.Time
	// slow passes time while the store is at work; may be nil.
	slow func(*replica)
}

func (r *replica) wall() time.Time        { return r.true.Now().Add(r.skew + r.leapt) }
func (r *replica) elapsed() time.Duration { return r.true.Now().Sub(start) - r.paused }

// age is how long ago the ring was last read, whatever its clocks say.
func (r *replica) age() time.Duration { return r.true.Now().Sub(r.read) }

// apart is how far its clock is from that of the storage.
func (r *replica) apart() time.Duration { return (r.skew + r.leapt - r.storageSkew).Abs() }

func (r *replica) LoadRing(ctx context.Context) (Ring, error) {
	if r.down {
		return Ring{}, errDown
	}
	defer r.pass()
	r.read = r.true.Now()
	return r.memStore.LoadRing(ctx)
}

func (r *replica) ReplaceRing(ctx context.Context, ring Ring) error {
	if r.down {
		return errDown
	}
	r.pass()
	return r.memStore.ReplaceRing(ctx, ring)
}

func (r *replica) Time(context.Context) (time.Time, error) {
	if r.down {
		return time.Time{}, errDown
	}
	return r.true.Now().Add(r.storageSkew), nil
}

func (r *replica) pass() {
	if r.slow != nil {
		r.slow(r)
	}
}

func (r *replica) open(t rapid.TB) {
	m, err := Open(context.Background(), r.opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Manager = m
	m.polling.apart = 0
}

// poll is what Run does every PollInterval, and when what it reads has changed.
func (r *replica) poll() {
	before := r.state.Load()
	r.polling.mu.Lock()
	r.look(context.Background())
	r.polling.mu.Unlock()
	r.nextPoll, r.disturbed = r.true.Now().Add(PollInterval), r.disturbed && r.down
	if r.state.Load() != before {
		r.Maintain(context.Background())
	}
}

// fleet is several replicas, with everyone who relies on their keys: it remembers every
// token that was made and every copy of a key set that a cache may hold.
type fleet struct {
	rapid.TB
	clock    *clock // the true time
	store    *memStore
	replicas []*replica

	access, refresh map[string]minted // by the kid of the key that made them
	copies          map[string]held   // by ETag
	// revoked and replacing are when a key was, or began because another was.
	revoked, replacing map[string]time.Time
	// abrupt: a key has signed that caches had not seen, as --now and revoke announce.
	abrupt bool
	seen   time.Time
	signed int
	busy   bool // in the middle of what a replica does
}

func newFleet(t rapid.TB, sealing *SealingKey, policy Policy, storageSkew time.Duration, skews ...time.Duration) *fleet {
	f := &fleet{TB: t, clock: newClock(), store: &memStore{sealing: sealing},
		access: map[string]minted{}, refresh: map[string]minted{}, copies: map[string]held{},
		revoked: map[string]time.Time{}, replacing: map[string]time.Time{}}
	for _, skew := range skews {
		r := &replica{memStore: f.store, true: f.clock, skew: skew, storageSkew: storageSkew, nextPoll: start}
		own := *sealing
		r.opts = Options{Store: r, Sealing: &own, Policy: &policy, Now: r.wall, Elapsed: r.elapsed, Shared: true, Log: silent}
		r.open(t)
		f.replicas = append(f.replicas, r)
	}
	return f
}

// run lets time pass, with the polls that are due; but is inside a change, and does not.
func (f *fleet) run(d time.Duration, but *replica) {
	end := f.clock.Now().Add(d)
	for {
		var next *replica
		for _, r := range f.replicas {
			if r != but && !r.nextPoll.After(end) && (next == nil || r.nextPoll.Before(next.nextPoll)) {
				next = r
			}
		}
		if next == nil {
			break
		}
		f.clock.advance(max(0, next.nextPoll.Sub(f.clock.Now())))
		next.poll()
	}
	f.clock.advance(max(0, end.Sub(f.clock.Now())))
}

// pass lets time pass in the middle of what a replica does, and not of what others do then.
func (f *fleet) pass(r *replica, takes time.Duration) {
	if f.busy {
		return
	}
	f.busy = true
	f.run(takes, r)
	f.busy = false
}

// wait is run, but of a long time only the ends: the polls between find nothing.
func (f *fleet) wait(d time.Duration) {
	const ends = 20 * time.Second
	if d > 2*ends {
		f.run(ends, nil)
		f.clock.advance(d - 2*ends)
		for _, r := range f.replicas {
			r.poll()
			r.nextPoll = f.clock.Now().Add(time.Duration(len(f.copies)) * time.Second % PollInterval)
		}
		d = ends
	}
	f.run(d, nil)
}

func (f *fleet) expect(r *replica, err error, allowed ...error) bool {
	if err == nil {
		return true
	}
	var pending *PendingError
	allowed = append(allowed, ErrNoKey, ErrAlgorithm)
	if r.down {
		allowed = append(allowed, errDown)
	}
	if r.disturbed || r.apart() > 2*ClockBound {
		allowed = append(allowed, ErrClock)
	}
	if !errors.As(err, &pending) && !slices.ContainsFunc(allowed, func(target error) bool { return errors.Is(err, target) }) {
		f.Fatalf("at %v: %v", f.clock.Now(), err)
	}
	return false
}

func (f *fleet) check() {
	for _, r := range f.replicas {
		f.mint(r)
	}
	for _, r := range f.replicas {
		set := f.fetch(r)
		f.checkTokens(r, set)
	}
	f.checkCopies()
	f.checkStored()
}

// mint makes tokens with every algorithm, and with none named, where the replica may.
func (f *fleet) mint(r *replica) {
	for _, alg := range append([]string{""}, r.Policy().Algorithms...) {
		token, kid, err := r.Sign(alg, "JWT", []byte(`{"sub":"kyoko"}`))
		stale, off := r.age() > StaleAfter, r.apart() > 3*ClockBound
		switch {
		case errors.Is(err, ErrStale) && stale, errors.Is(err, ErrClock) && (r.disturbed || r.apart() > 2*ClockBound):
		case alg != "" && errors.Is(err, ErrNoKey) && !f.hasActive(r, alg):
		case err != nil:
			f.Fatalf("at %v nothing signs for %q at a replica that last read the ring %v ago: %v", f.clock.Now(), alg, r.age(), err)
		case stale, off:
			f.Fatalf("at %v a replica signs that last read the ring %v ago, and whose clock is off by %v", f.clock.Now(), r.age(), r.apart())
		default:
			f.remember(r, token, kid)
		}
	}
}

func (f *fleet) hasActive(r *replica, alg string) bool {
	return slices.ContainsFunc(r.Keys(), func(k Info) bool { return k.Alg == alg && k.State == Active && k.PrivateHalf })
}

func (f *fleet) remember(r *replica, token, kid string) {
	if since, ok := f.revoked[kid]; ok {
		if read := f.clock.Now().Add(-r.age()); read.After(since) {
			f.Fatalf("at %v a replica signs with the key %s, revoked at %v, and has read the ring at %v", f.clock.Now(), kid, since, read)
		}
		return
	}
	f.signed++
	public, _ := json.Marshal(f.entry(r, kid))
	for living, lifetime := range map[*map[string]minted]time.Duration{
		&f.access: r.own.AccessLifetime, &f.refresh: r.own.RefreshLifetime,
	} {
		expires := r.wall().Add(lifetime + clientLeeway)
		if old := (*living)[kid]; old.expires.Before(expires) {
			(*living)[kid] = minted{text: token, expires: expires, public: string(public)}
		}
	}
}

func (f *fleet) entry(r *replica, kid string) string { return f.fetchSet(r).keys[kid] }

// fetch is what a cache gets that asks a replica now.
func (f *fleet) fetch(r *replica) held {
	set := f.fetchSet(r)
	old := f.copies[set.passedTag()]
	set.until = later(set.until, old.until)
	f.copies[set.passedTag()] = set
	return set
}

// passedTag tells copies apart by what is in them.
func (h held) passedTag() string {
	kids := make([]string, 0, len(h.keys))
	for kid := range h.keys {
		kids = append(kids, kid)
	}
	slices.Sort(kids)
	return strings.Join(kids, " ")
}

func (f *fleet) fetchSet(r *replica) held {
	handler := jwks.Handler{Source: r.Manager, Now: r.wall, MaxAge: r.MaxAge}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/jwks.json", nil))
	_, value, _ := strings.Cut(w.Header().Get("Cache-Control"), "max-age=")
	value, _, _ = strings.Cut(value, ",")
	seconds, err := strconv.Atoi(value)
	var body struct{ Keys []json.RawMessage }
	if err != nil || seconds < 0 || json.Unmarshal(w.Body.Bytes(), &body) != nil || len(body.Keys) == 0 {
		f.Fatalf("at %v the key set is %s, %v", f.clock.Now(), w.Body, w.Header())
	}
	copy := held{keys: map[string]string{}, until: f.clock.Now().Add(time.Duration(seconds) * time.Second)}
	for _, key := range body.Keys {
		var name struct{ KID string }
		if err := json.Unmarshal(key, &name); err != nil {
			f.Fatalf("key %s: %v", key, err)
		}
		copy.keys[name.KID] = string(key)
	}
	return copy
}

// checkTokens is the invariant: what any replica has signed verifies with the key set of
// this one, unless a revocation that it has not read is the reason, or it has not read the
// ring for so long that it lets nobody keep its key set.
func (f *fleet) checkTokens(r *replica, set held) {
	now, read := f.clock.Now(), f.clock.Now().Add(-r.age())
	limit := r.Policy().JWKSMaxAge + PollInterval
	if f.abrupt {
		limit = PollInterval + spare
	}
	excused := func(kid string) bool {
		replaces, abrupt := f.replacing[kid]
		return now.Sub(read) > limit || abrupt && !read.After(replaces)
	}
	for kid, token := range f.access {
		switch {
		case !now.Before(token.expires):
			delete(f.access, kid)
		case set.keys[kid] == "" && !excused(kid):
			f.Fatalf("at %v a token of key %s, alive until %v, does not verify with the key set of a replica that has read the ring at %v", now, kid, token.expires, read)
		}
	}
	for kid, token := range f.refresh {
		if !now.Before(token.expires) {
			delete(f.refresh, kid)
			continue
		}
		if _, _, ok := r.PublicKey(kid); !ok && r.Behind() == nil {
			if _, _, ok := r.PublicKey(kid); !ok {
				f.Fatalf("at %v a refresh token of key %s, alive until %v, does not verify", now, kid, token.expires)
			}
		}
	}
	for kid, since := range f.revoked {
		if _, _, ok := r.PublicKey(kid); read.After(since) && (ok || set.keys[kid] != "") {
			f.Fatalf("at %v the revoked key %s verifies: %v, is published: %v", now, kid, ok, set.keys[kid] != "")
		}
	}
}

// checkCopies: what a cache holds verifies every living token as well.
func (f *fleet) checkCopies() {
	for tag, copy := range f.copies {
		if !f.clock.Now().Before(copy.until) {
			delete(f.copies, tag)
			continue
		}
		for kid, token := range f.access {
			if !f.abrupt && copy.keys[kid] == "" {
				f.Fatalf("at %v a token of key %s, alive until %v, does not verify with a copy that is held until %v", f.clock.Now(), kid, token.expires, copy.until)
			}
		}
	}
}

// checkStored: of one algorithm at most one key is active and one pending, no clock of a
// replica has stopped the schedule, and the time does not go back.
func (f *fleet) checkStored() {
	ring, count := f.store.ring(), map[string]int{}
	for i := range ring.Keys {
		k := &ring.Keys[i]
		state := k.State(later(f.clock.Now(), ring.Seen))
		count[k.Alg+string(state)]++
		if count[k.Alg+string(state)] > 1 && (state == Active || state == Pending) {
			f.Fatalf("at %v two %s keys are %s: %s", f.clock.Now(), k.Alg, state, f.store.bytes())
		}
	}
	if !ring.Stopped.IsZero() || ring.Seen.Before(f.seen) || ring.Seen.Sub(f.clock.Now()) > clocksApart {
		f.Fatalf("at %v the ring is stopped since %v, seen at %v after %v", f.clock.Now(), ring.Stopped, ring.Seen, f.seen)
	}
	f.seen = ring.Seen
}

func (f *fleet) revoke(r *replica, kid string) {
	takeover, err := r.Revoke(context.Background(), kid, false)
	if f.expect(r, err, ErrRevoked) {
		f.revoked[kid], f.replacing[takeover.New.KID] = f.clock.Now(), f.clock.Now()
		delete(f.access, kid)
		delete(f.refresh, kid)
	}
}

// waitForEvent moves the time to near the next instant at which something changes.
func (f *fleet) waitForEvent(offset time.Duration) {
	var next time.Time
	consider := func(t time.Time) { next = sooner(next, after(f.clock.Now(), t.Add(offset))) }
	ring := f.store.ring()
	for i := range ring.Keys {
		k := &ring.Keys[i]
		for _, t := range []time.Time{k.SignsFrom, k.SignsUntil, k.PublishedUntil(), k.KeptUntil()} {
			consider(t)
		}
	}
	for _, copy := range f.copies {
		consider(copy.until)
	}
	if !next.IsZero() {
		f.wait(next.Sub(f.clock.Now()))
	}
}

// life draws what happens to replicas and their keys without a token ever being refused.
func (f *fleet) life() map[string]func(*rapid.T) {
	at := func(t *rapid.T) *replica { return rapid.SampledFrom(f.replicas).Draw(t, "replica") }
	anyAlg := rapid.SampledFrom([]string{"", "", "ES256", "EdDSA", "ES384"})
	rotate := func(r *replica, req RotateRequest) {
		_, err := r.Rotate(context.Background(), req, false)
		f.expect(r, err, ErrTooSoon)
	}
	return map[string]func(*rapid.T){
		"": func(*rapid.T) { f.check() },
		"wait": func(t *rapid.T) {
			unit := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Second, time.Minute, time.Hour}).Draw(t, "unit")
			f.wait(unit * time.Duration(rapid.IntRange(1, 60).Draw(t, "wait")))
		},
		"wait for an event": func(t *rapid.T) {
			f.waitForEvent(time.Second * time.Duration(rapid.IntRange(-20, 20).Draw(t, "offset")))
		},
		"maintain": func(t *rapid.T) {
			r := at(t)
			_, err := r.Maintain(context.Background())
			f.expect(r, err)
		},
		"rotate": func(t *rapid.T) { rotate(at(t), RotateRequest{Alg: anyAlg.Draw(t, "alg")}) },
		"rotate in": func(t *rapid.T) {
			seconds := rapid.IntRange(1, 3*3600).Draw(t, "seconds")
			rotate(at(t), RotateRequest{Alg: anyAlg.Draw(t, "alg"), In: time.Duration(seconds) * time.Second})
		},
		"hold":    func(t *rapid.T) { rotate(at(t), RotateRequest{Alg: anyAlg.Draw(t, "alg"), Hold: true}) },
		"ripen":   func(t *rapid.T) { rotate(at(t), RotateRequest{Alg: anyAlg.Draw(t, "alg"), Ripe: true}) },
		"cut off": func(t *rapid.T) { at(t).down = true },
		"connect": func(t *rapid.T) { r := at(t); r.down = false; r.poll() },
		"set policy": func(t *rapid.T) {
			r, p := at(t), drawPolicy(t)
			f.expect(r, r.SetPolicy(context.Background(), p))
		},
		"restart": func(t *rapid.T) {
			if r := at(t); !r.down && r.leapt == 0 {
				r.leave(context.Background())
				r.opts.Policy = r.own
				r.open(f)
				r.poll()
			}
		},
		"leap": func(t *rapid.T) {
			unit := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, day}).Draw(t, "unit")
			r := at(t)
			r.disturbed = true
			r.leapt = unit * time.Duration(rapid.IntRange(3, 60).Draw(t, "leap")) * time.Duration(rapid.SampledFrom([]int{-1, 1}).Draw(t, "way"))
		},
		"set right": func(t *rapid.T) { r := at(t); r.leapt, r.disturbed = 0, true },
		"pause": func(t *rapid.T) {
			r, d := at(t), time.Second*time.Duration(rapid.IntRange(1, 120).Draw(t, "pause"))
			f.pass(r, d)
			r.paused, r.disturbed = r.paused+d, true
		},
		"slow": func(t *rapid.T) {
			takes := time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond
			at(t).slow = func(r *replica) { f.pass(r, takes) }
		},
	}
}

func (f *fleet) drama(life map[string]func(*rapid.T)) map[string]func(*rapid.T) {
	f.abrupt = true
	life["rotate now"] = func(t *rapid.T) {
		r := rapid.SampledFrom(f.replicas).Draw(t, "replica")
		_, err := r.Rotate(context.Background(), RotateRequest{Alg: rapid.SampledFrom([]string{"", "ES256"}).Draw(t, "alg"), Now: true}, false)
		f.expect(r, err)
	}
	life["revoke"] = func(t *rapid.T) {
		keys := f.store.ring().Keys
		f.revoke(rapid.SampledFrom(f.replicas).Draw(t, "replica"), keys[rapid.IntRange(0, len(keys)-1).Draw(t, "key")].KID)
	}
	return life
}

func drawFleet(t *rapid.T, sealing *SealingKey) *fleet {
	skew := func(name string) time.Duration {
		return time.Millisecond * time.Duration(rapid.IntRange(-2000, 2000).Draw(t, name))
	}
	f := newFleet(t, sealing, drawPolicy(t), skew("storage"), skew("first"), skew("second"), skew("third"))
	for i, r := range f.replicas {
		r.nextPoll = start.Add(time.Duration(i) * 1700 * time.Millisecond)
	}
	return f
}

func TestNobodyIsLoggedOutAtAnyReplica(t *testing.T) {
	sealing, signed := newSealingKey(t), 0
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t, sealing)
		t.Repeat(f.life())
		signed += f.signed
	})
	if signed == 0 {
		t.Error("nothing was signed")
	}
}

func TestRevocationAndHasteAtAnyReplica(t *testing.T) {
	sealing := newSealingKey(t)
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t, sealing)
		t.Repeat(f.drama(f.life()))
	})
}

// verifies holds the signature of a token to the key set of a replica.
func (f *fleet) verifies(r *replica, token string) error {
	doc, err := r.Document(r.wall())
	if err != nil {
		return err
	}
	_, err = jws.Verify([]byte(token), jws.WithKeySet(parseSet(f, doc.Body())))
	return err
}

func parseSet(t rapid.TB, text []byte) jwk.Set {
	set, err := jwk.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
