package keystore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"signet/internal/compactjws"
)

// three replicas with the clock of the storage right, and theirs off as given.
func three(t testing.TB, policy Policy, skews ...time.Duration) (*fleet, *replica, *replica, *replica) {
	t.Helper()
	f := newFleet(t, newSealingKey(t), policy, 0, append(skews, make([]time.Duration, 3-len(skews))...)...)
	return f, f.replicas[0], f.replicas[1], f.replicas[2]
}

func (r *replica) sign(t testing.TB, alg string) (token, kid string) {
	t.Helper()
	token, kid, err := r.Sign(alg, "JWT", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return token, kid
}

func (f *fleet) expectPublished(kid string, want bool, replicas ...*replica) {
	f.Helper()
	for i, r := range replicas {
		if got := f.fetchSet(r).keys[kid] != ""; got != want {
			f.Errorf("%v after the start replica %d of those publishes %s: %v, want %v", f.clock.Now().Sub(start), i, kid, got, want)
		}
	}
}

// together lets writes wait until all replicas have read the ring that they replace.
type together struct {
	*replica
	meet *sync.WaitGroup
	once sync.Once
}

func (s *together) ReplaceRing(ctx context.Context, r Ring) error {
	s.once.Do(func() { s.meet.Done(); s.meet.Wait() })
	return s.replica.ReplaceRing(ctx, r)
}

// All replicas do what is due at the same instant: one of them makes the key.
func TestOneReplicaMakesTheKey(t *testing.T) {
	f, a, b, c := three(t, testPolicy("ES256"))
	f.clock.advance(89 * day)
	var meet, done sync.WaitGroup
	meet.Add(3)
	for _, r := range f.replicas {
		r.Manager.store = &together{replica: r, meet: &meet}
		done.Go(func() {
			if _, err := r.Maintain(t.Context()); err != nil {
				t.Errorf("maintain: %v", err)
			}
		})
	}
	done.Wait()
	ring := f.store.ring()
	if len(ring.Keys) != 2 || ring.Version != 2 {
		t.Fatalf("%d keys in version %d, want 2 in 2", len(ring.Keys), ring.Version)
	}
	f.expectPublished(ring.Keys[1].KID, true, a, b, c)
}

// What one replica does is known to all within PollInterval, by themselves.
func TestReplicasPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a, b, c := three(t, testPolicy("ES256"))
		var log bytes.Buffer
		b.log = slog.New(slog.NewTextHandler(&log, nil))
		began := time.Now()
		for _, r := range f.replicas { // the clock of the bubble from now on
			r.elapsedAtStart(began)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, r := range f.replicas {
			running.Go(func() { r.Run(ctx) })
		}
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		pass(time.Second)
		takeover, err := a.Rotate(t.Context(), RotateRequest{}, false)
		if err != nil {
			t.Fatal(err)
		}
		pending := takeover[0].New.KID
		f.expectPublished(pending, false, b, c)
		pass(PollInterval)
		f.expectPublished(pending, true, a, b, c)

		f.store.mu.Lock()
		b.down = true
		f.store.mu.Unlock()
		_, first := b.sign(t, "")
		pass(StaleAfter - PollInterval)
		b.sign(t, "")
		pass(PollInterval + time.Second)
		_, _, err = b.Sign("", "JWT", []byte("{}"))
		if !errors.Is(err, ErrStale) || !errors.Is(err, errDown) || !strings.Contains(err.Error(), "they were last read 1") {
			t.Errorf("a replica that is cut off signs: %v, want %v", err, ErrStale)
		}
		f.expectPublished(first, true, b)
		f.expectPublished(pending, true, b)
		if _, _, ok := b.PublicKey(first); !ok {
			t.Error("a replica that is cut off does not verify")
		}
		if err := b.Behind(); !errors.Is(err, ErrStale) {
			t.Errorf("of a kid that it does not know it says %v, want %v", err, ErrStale)
		}
		c.sign(t, "")

		f.store.mu.Lock()
		b.down = false
		f.store.mu.Unlock()
		pass(PollInterval)
		b.sign(t, "")
		for _, want := range []string{"the keys cannot be read from the database", errDown.Error(), "the keys are read from the database again"} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("the log does not say once %q: %s", want, &log)
			}
		}
		cancel()
		running.Wait()
	})
}

// elapsedAtStart lets a replica go by the clock of the bubble.
func (r *replica) elapsedAtStart(began time.Time) {
	set := func() { r.true.ns.Store(start.Add(time.Since(began)).UnixNano()) }
	r.now = func() time.Time { set(); return r.wall() }
	r.Manager.elapsed = func() time.Duration { set(); return r.elapsed() }
}

// A replica that cannot read the ring promises caches less and less: from the moment on at
// which a key could sign that it does not know, nothing.
func TestCutOffReplicaPromisesLess(t *testing.T) {
	f, a, b, _ := three(t, testPolicy("ES256"))
	f.run(time.Minute, nil)
	b.poll()
	b.down = true
	for _, step := range []struct{ age, want time.Duration }{
		{PollInterval, 5 * time.Minute}, {10 * time.Second, 5*time.Minute - 4*time.Second},
		{3 * time.Minute, 2*time.Minute + 6*time.Second}, {5*time.Minute + 6*time.Second, 0}, {time.Hour, 0},
	} {
		f.run(step.age-b.age(), nil)
		if got := b.MaxAge(); got != step.want {
			t.Errorf("%v after it was read the key set may be kept for %v, want %v", step.age, got, step.want)
		}
		if got := a.MaxAge(); got != 5*time.Minute {
			t.Errorf("a replica that reads lets it be kept for %v", got)
		}
	}
}

// The database was restored from a backup under running replicas, or is another: they say
// what to do, and stop signing in time.
func TestRestoredDatabaseUnderReplicas(t *testing.T) {
	for name, restore := range map[string]func(f *fleet, old []byte){
		"older":             func(f *fleet, old []byte) { f.store.text = old },
		"the same version":  func(f *fleet, old []byte) { f.store.text = old; f.store.edit(func(r *Ring) { r.HeldUntil = start }) },
		"changed by others": func(f *fleet, _ []byte) { s := f.store; s.sealing = nil; s.edit(func(r *Ring) { r.HeldUntil = start }) },
	} {
		t.Run(name, func(t *testing.T) {
			f, a, b, _ := three(t, testPolicy("ES256"))
			var log bytes.Buffer
			b.log = slog.New(slog.NewTextHandler(&log, nil))
			old := f.store.text
			if _, err := a.Rotate(t.Context(), RotateRequest{}, false); err != nil {
				t.Fatal(err)
			}
			f.run(PollInterval, nil)
			restore(f, old)
			f.run(StaleAfter+time.Second, nil)
			if _, _, err := b.Sign("", "JWT", nil); !errors.Is(err, ErrStale) || !errors.Is(err, ErrRing) {
				t.Errorf("it signs on: %v, want %v because of %v", err, ErrStale, ErrRing)
			}
			if want := map[bool]string{true: "restart every replica", false: "restore the database from a backup"}[name != "changed by others"]; strings.Count(log.String(), want) != 1 {
				t.Errorf("the log does not say once %q: %s", want, &log)
			}
			if name == "older" {
				b.open(t)
				b.sign(t, "")
			}
		})
	}
}

// One replica changes the sealing key; the others go on when its file is copied to them.
func TestResealWithReplicas(t *testing.T) {
	f, a, b, _ := three(t, testPolicy("ES256"))
	theirs := t.TempDir() + "/seal.key"
	copySealingKey := func() {
		text, err := os.ReadFile(a.Manager.sealing.from)
		if err == nil {
			err = os.WriteFile(theirs, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copySealingKey()
	own, err := ReadSealingKey(theirs)
	if err != nil {
		t.Fatal(err)
	}
	b.Manager.sealing = own
	if _, err := a.Reseal(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	b.poll()
	f.clock.advance(StaleAfter + time.Second)
	if _, _, err := b.Sign("", "JWT", nil); !errors.Is(err, ErrStale) || !errors.Is(err, ErrSealingKey) || !strings.Contains(err.Error(), "copy its file here") {
		t.Errorf("without the new sealing key: %v, want %v because of %v", err, ErrStale, ErrSealingKey)
	}
	copySealingKey()
	b.poll()
	b.sign(t, "")
	if _, err := b.Rotate(t.Context(), RotateRequest{}, false); err != nil {
		t.Error(err)
	}
}

// A replica that cannot take the ring goes by its own for a short time: a key may have been
// revoked. One that is cut off goes on.
func TestReplicaThatCannotTakeTheRing(t *testing.T) {
	f, a, b, c := three(t, testPolicy("ES256"))
	own := *b.Manager.sealing
	own.from = sealingPath(t)
	copySealingKey := func() {
		text := read(t, a.Manager.sealing.from)
		if err := os.WriteFile(own.from, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copySealingKey()
	b.Manager.sealing = &own
	_, kid := a.sign(t, "")
	c.down = true
	must[Resealed](t)(a.Reseal(t.Context(), false))
	must[Takeover](t)(a.Revoke(t.Context(), kid, false))
	knows := func(r *replica, want bool) {
		t.Helper()
		if _, _, ok := r.PublicKey(kid); ok != want {
			t.Errorf("%v after it read the keys it knows the key: %v, want %v", r.age(), ok, want)
		}
		if _, err := r.Document(r.wall()); (err == nil) != want || !want && (!errors.Is(err, ErrStale) || !errors.Is(err, ErrSealingKey)) {
			t.Errorf("its key set: %v", err)
		}
	}
	f.clock.advance(RefusedAfter - time.Second)
	b.poll()
	knows(b, true)
	f.clock.advance(2 * time.Second)
	knows(b, false)
	if err := b.Behind(); !errors.Is(err, ErrStale) || !errors.Is(err, ErrSealingKey) {
		t.Errorf("it can tell: %v, want %v because of %v", err, ErrStale, ErrSealingKey)
	}
	b.down = true
	b.poll()
	if _, _, ok := b.PublicKey(kid); ok {
		t.Error("it knows the key again when the database is away")
	}
	f.clock.advance(time.Hour)
	c.poll()
	knows(c, true)

	b.down = false
	copySealingKey()
	b.poll()
	if _, _, ok := b.PublicKey(kid); ok || b.Behind() != nil {
		t.Errorf("with the sealing key: it knows the key that was revoked: %v, it cannot tell: %v", ok, b.Behind())
	}
	f.expectPublished(kid, false, b)
	b.sign(t, "")
}

// Clocks that differ by 4 s stop nothing and move no plan, whoever writes last.
func TestClocksOfReplicasDiffer(t *testing.T) {
	policy := hourly()
	f, a, b, c := three(t, policy, 2*time.Second, -2*time.Second, 0)
	takeover, err := a.Rotate(t.Context(), RotateRequest{Alg: "ES256"}, false)
	if err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Second) // b is behind what a has stored
	for range 3 * 60 {
		for _, r := range []*replica{b, a, c} {
			r.poll()
			if _, err := r.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.sign(t, "")
			if s := r.Schedule(); !s.Stopped.IsZero() || s.Leap != 0 {
				t.Fatalf("at %v the schedule is %+v", f.clock.Now(), s)
			}
			f.checkStored()
		}
		b.leave(t.Context())
		b.open(t)
		f.clock.advance(time.Minute)
	}
	ring := f.store.ring()
	if k := ring.find(takeover[0].New.KID); !k.SignsFrom.Equal(takeover[0].New.SignsFrom) || k.State(f.clock.Now()) != Active {
		t.Errorf("the turn of the key was moved from %v to %v", takeover[0].New.SignsFrom, k.SignsFrom)
	}
}

// The clock of one replica leaps by a day: it signs nothing until it is right, publishes
// what the others do, and moves nothing of theirs.
func TestClockOfOneReplicaLeaps(t *testing.T) {
	for name, leap := range map[string]time.Duration{"ahead": day, "back": -day, "a little": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			f, a, b, c := three(t, hourly())
			pending, err := a.Rotate(t.Context(), RotateRequest{Alg: "ES256"}, false)
			if err != nil {
				t.Fatal(err)
			}
			f.run(time.Minute, nil)
			planned := asJSON(t, f.store.ring().Keys)
			b.leapt = leap
			for range 3 {
				if _, _, err := b.Sign("", "JWT", nil); !errors.Is(err, ErrClock) {
					t.Errorf("with a clock that has leapt: %v, want %v", err, ErrClock)
				}
				if _, err := b.Maintain(t.Context()); err != nil {
					t.Error(err)
				}
				f.run(PollInterval, nil)
			}
			if _, err := b.Resume(t.Context(), false); !errors.Is(err, ErrClock) {
				t.Errorf("resume: %v, want %v", err, ErrClock)
			}
			if got := asJSON(t, f.store.ring().Keys); got != planned {
				t.Errorf("the plan has become %s, it was %s", got, planned)
			}
			if doc, err := b.Document(b.wall()); err != nil || doc.ETag() != document(t, a).ETag() || b.MaxAge() != 0 {
				t.Errorf("it publishes another key set, for %v, %v", b.MaxAge(), err)
			}
			takeover, err := b.Rotate(t.Context(), RotateRequest{Alg: "EdDSA"}, false)
			if err != nil || takeover[0].New.SignsFrom.Sub(f.clock.Now()).Round(time.Second) != time.Hour {
				t.Errorf("a rotation there is planned for %+v, %v", takeover, err)
			}
			f.run(PollInterval, nil)
			for _, r := range []*replica{a, c} {
				r.sign(t, "")
				if s := r.Schedule(); !s.Stopped.IsZero() || s.Leap != 0 || s.Now.Sub(f.clock.Now()).Abs() > time.Second {
					t.Errorf("the schedule of another is %+v", s)
				}
			}
			b.leapt = 0
			f.run(PollInterval, nil)
			b.sign(t, "")
			if k := f.store.ring(); !k.find(pending[0].New.KID).SignsFrom.Equal(pending[0].New.SignsFrom) {
				t.Error("the turn of the pending key was moved")
			}
		})
	}
}

func document(t testing.TB, r *replica) interface{ ETag() string } {
	t.Helper()
	doc, err := r.Document(r.wall())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// A machine stood still: its clock is right again at once, and it has to look.
func TestPausedReplicaLooksFirst(t *testing.T) {
	f, _, b, _ := three(t, hourly())
	f.run(time.Minute, nil)
	f.run(time.Hour, b)
	b.paused = time.Hour
	if _, _, err := b.Sign("", "JWT", nil); !errors.Is(err, ErrClock) {
		t.Errorf("before it has looked: %v, want %v", err, ErrClock)
	}
	if got := b.MaxAge(); got != 0 {
		t.Errorf("before it has looked the key set may be kept for %v", got)
	}
	b.poll()
	b.sign(t, "")
}

// Where a replica starts the storage says whether its clock is right. All may have been
// down for long.
func TestStartOfAReplica(t *testing.T) {
	f, a, b, _ := three(t, hourly())
	f.clock.advance(30 * day)
	a.open(t)
	a.sign(t, "")
	if s := a.Schedule(); !s.Stopped.IsZero() {
		t.Errorf("after a downtime of 30 days the schedule is %+v", s)
	}
	b.leapt = 10 * time.Minute // less than a step
	b.open(t)
	if _, _, err := b.Sign("", "JWT", nil); !errors.Is(err, ErrClock) {
		t.Errorf("started with a wrong clock: %v, want %v", err, ErrClock)
	}
	b.leapt = 0
	b.poll()
	b.sign(t, "")

	opts := a.opts
	opts.Store = f.store
	if _, err := Open(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "no clock") {
		t.Errorf("a shared store without a clock: %v", err)
	}
}

// The storage's clock is wrong, and no replica's: they go on, and say so.
func TestClockOfTheStorageIsWrong(t *testing.T) {
	f, a, _, _ := three(t, hourly())
	var log bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(&log, nil))
	a.storageSkew = time.Hour
	f.run(2*time.Minute, nil)
	a.sign(t, "")
	if got := strings.Count(log.String(), "are apart"); got != 1 {
		t.Errorf("it is logged %d times: %s", got, &log)
	}
	if got := a.Schedule().Now; !got.Equal(f.clock.Now()) {
		t.Errorf("the time of the keys is %v at %v", got, f.clock.Now())
	}
}

// At once means: when every replica publishes the key.
func TestRotateNowWithReplicas(t *testing.T) {
	f, a, b, c := three(t, testPolicy("ES256"))
	takeover, err := a.Rotate(t.Context(), RotateRequest{Now: true}, false)
	if err != nil {
		t.Fatal(err)
	}
	kid := takeover[0].New.KID
	if got := takeover[0].New.SignsFrom.Sub(f.clock.Now()); got != lead {
		t.Errorf("it signs in %v, want %v", got, lead)
	}
	f.run(PollInterval, nil)
	f.expectPublished(kid, true, a, b, c)
	f.run(lead, nil)
	for _, r := range f.replicas {
		if _, signs := r.sign(t, ""); signs != kid {
			t.Errorf("%s signs, want %s", signs, kid)
		}
	}
	// A key that is published everywhere begins at once.
	if _, err := b.Rotate(t.Context(), RotateRequest{}, false); err != nil {
		t.Fatal(err)
	}
	f.run(time.Minute, nil)
	takeover, err = c.Rotate(t.Context(), RotateRequest{Now: true}, false)
	if err != nil || takeover[0].New.SignsFrom.After(f.clock.Now()) {
		t.Errorf("a key that was pending for a minute signs from %+v, %v", takeover, err)
	}
}

// A revoked key signs elsewhere until it is read there, or StaleAfter without that. The
// replacement signs at once, and the others know it when they meet it.
func TestRevokeWithReplicas(t *testing.T) {
	f, a, b, c := three(t, testPolicy("ES256"))
	_, old := a.sign(t, "")
	c.down = true
	takeover, err := a.Revoke(t.Context(), old, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, kid := a.sign(t, ""); kid != takeover.New.KID {
		t.Errorf("%s signs, want %s", kid, takeover.New.KID)
	}
	if _, _, ok := b.PublicKey(takeover.New.KID); ok {
		t.Fatal("the other replica knows the key before it has read it: the test shows nothing")
	}
	if err := b.Behind(); err != nil {
		t.Error(err)
	}
	if _, _, ok := b.PublicKey(takeover.New.KID); !ok {
		t.Error("a token of the new key is refused at another replica")
	}
	if _, _, ok := b.PublicKey(old); ok {
		t.Error("the revoked key verifies at another replica that has read the ring")
	}
	f.run(StaleAfter, nil)
	if _, kid := c.sign(t, ""); kid != old {
		t.Errorf("a replica that is cut off signs with %s", kid)
	}
	f.run(time.Second, nil)
	if _, _, err := c.Sign("", "JWT", nil); !errors.Is(err, ErrStale) {
		t.Errorf("a replica that is cut off signs with a revoked key: %v, want %v", err, ErrStale)
	}
}

// A key is published until the last token that any replica could sign with it has expired
// for everyone, and its private half is there until none signs with it.
func TestTailOfAKey(t *testing.T) {
	policy := testPolicy("ES256")
	f, a, b, c := three(t, policy, -2*time.Second, 2*time.Second)
	takeover, err := a.Rotate(t.Context(), RotateRequest{}, false)
	if err != nil {
		t.Fatal(err)
	}
	b.poll()
	b.down = true
	_, old := b.sign(t, "")
	// The pending key leaked; what replaces it takes over from the active one at once.
	revoked, err := a.Revoke(t.Context(), takeover[0].New.KID, false)
	if err != nil || revoked.Superseded == nil || revoked.Superseded.KID != old {
		t.Fatalf("%+v, %v: the test shows nothing", revoked, err)
	}
	f.run(StaleAfter, nil)
	if _, kid := b.sign(t, ""); kid != old {
		t.Fatalf("%s signs: the test shows nothing", kid)
	}
	expired := b.wall().Add(policy.AccessLifetime + clientLeeway + policy.JWKSMaxAge)
	if _, err := a.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k := f.store.ring(); k.find(old).Sealed == "" {
		t.Error("the private half is destroyed while a replica may sign with it")
	}
	f.run(tail-StaleAfter, nil)
	if _, err := c.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k := f.store.ring(); k.find(old).Sealed != "" {
		t.Error("the private half is there although nobody signs with it")
	}
	f.wait(expired.Sub(f.clock.Now()))
	f.expectPublished(old, true, a, b, c)
	f.wait(time.Minute)
	f.expectPublished(old, false, a, c)
	f.expectPublished(old, true, b) // which has not heard of the end
}

// Another replica was given shorter lifetimes: the tokens of this one verify all the same.
func TestReplicasWithDifferentLifetimes(t *testing.T) {
	long := testPolicy("ES256")
	long.AccessLifetime, long.RefreshLifetime = time.Hour, 10*day
	f, a, b, _ := three(t, long)
	var log bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(&log, nil))
	if err := b.SetPolicy(t.Context(), testPolicy("ES256")); err != nil {
		t.Fatal(err)
	}
	takeover, err := b.Rotate(t.Context(), RotateRequest{Now: true}, false)
	if err != nil {
		t.Fatal(err)
	}
	a.poll()
	ring := f.store.ring()
	if k := ring.find(takeover[0].New.KID); k.MaxAccess != time.Hour || k.MaxRefresh != 10*day {
		t.Errorf("the key is kept for tokens of %v and %v", k.MaxAccess, k.MaxRefresh)
	}
	if strings.Count(log.String(), "give all replicas one configuration") != 1 {
		t.Errorf("the log does not say once that the settings differ: %s", &log)
	}
}

// The ring of replicas is for those who know what it asks; that of one process stays as it was.
func TestFormatOfASharedRing(t *testing.T) {
	f, a, _, _ := three(t, testPolicy("ES256"))
	if ring := f.store.ring(); ring.Format != sharedFormat || !ring.Keys[0].Shared {
		t.Errorf("it has format %d and a key that is shared: %v", ring.Format, ring.Keys[0].Shared)
	}
	alone := a.opts
	alone.Shared, alone.Store = false, f.store
	m, err := Open(t.Context(), alone)
	if err != nil {
		t.Fatal(err)
	}
	if ring := f.store.ring(); ring.Format != sharedFormat || ring.Policy.Shared {
		t.Errorf("after a move to a store of one process it has format %d, shared %v", ring.Format, ring.Policy.Shared)
	}
	if _, err := m.Rotate(t.Context(), RotateRequest{Now: true}, false); err != nil {
		t.Error(err)
	}
	if ring := newFixture(t, testPolicy("ES256")).store.ring(); ring.Format != ringFormat || strings.Contains(asJSON(t, ring), "shared") {
		t.Errorf("the ring of one process is %s", asJSON(t, ring))
	}
}

// A key that is withdrawn just before its turn may begin where nobody has heard of that.
func TestWithdrawnBeforeItsTurn(t *testing.T) {
	policy := testPolicy("ES256", "EdDSA")
	policy.PublishAhead, policy.JWKSMaxAge, policy.RotateEvery = 10*time.Minute, time.Minute, 0
	f, a, b, c := three(t, policy)
	takeover, err := a.Rotate(t.Context(), RotateRequest{Alg: "EdDSA"}, false)
	if err != nil {
		t.Fatal(err)
	}
	f.run(policy.PublishAhead-3*time.Second, nil)
	b.poll()
	b.down = true
	policy.Algorithms = []string{"ES256"}
	if err := a.SetPolicy(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	f.run(PollInterval, nil)
	token, kid := b.sign(t, "EdDSA")
	if kid != takeover[0].New.KID {
		t.Fatalf("%s signs: the test shows nothing", kid)
	}
	if _, err := compactjws.Parse(token, compactjws.MaxBytes); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.verifies(a, token), f.verifies(c, token)); err != nil {
		t.Errorf("what it signed does not verify elsewhere: %v", err)
	}
}

// A schedule that was stopped before the store was shared, or whose time lies ahead because
// all clocks were set back, waits for an operator, at any replica.
func TestStoppedScheduleOfReplicas(t *testing.T) {
	for name, stop := range map[string]func(*Ring){
		"stopped before":      func(r *Ring) { r.Stopped = r.Seen },
		"all clocks set back": func(r *Ring) { r.Seen = r.Seen.Add(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			f, a, b, c := three(t, hourly())
			f.store.edit(stop)
			f.run(PollInterval, nil)
			stored := f.store.bytes()
			for _, r := range f.replicas {
				if _, err := r.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
				r.sign(t, "")
				if s := r.Schedule(); s.Stopped.IsZero() {
					t.Errorf("the schedule is %+v", s)
				}
			}
			if f.store.bytes() != stored {
				t.Errorf("a replica has changed %s\nto %s", stored, f.store.bytes())
			}
			if _, err := a.Rotate(t.Context(), RotateRequest{}, false); !errors.Is(err, ErrStopped) {
				t.Errorf("a rotation: %v, want %v", err, ErrStopped)
			}
			if _, err := b.Resume(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			f.run(PollInterval, nil)
			for _, r := range []*replica{a, b, c} {
				if s := r.Schedule(); !s.Stopped.IsZero() || s.Leap != 0 || !s.Now.Equal(f.clock.Now()) {
					t.Errorf("after that the schedule is %+v", s)
				}
			}
		})
	}
}

// Kids that nobody has, which anyone can send, share reads of the ring.
func TestUnknownKidsShareReads(t *testing.T) {
	f, a, _, _ := three(t, testPolicy("ES256"))
	began := time.Now()
	a.elapsedAtStart(began)
	a.polling.apart = lookAgainAfter
	before := f.store.loaded()
	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() {
			for range 4 {
				if err := a.Behind(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	asking.Wait()
	took := time.Since(began)
	if got, most := f.store.loaded()-before, int(took/lookAgainAfter)+1; got < 4 || got > most {
		t.Errorf("%d reads of the ring for 200 kids in %v, want 4 to %d", got, took, most)
	}
}

// Replicas that start at once over an empty database have one ring.
func TestReplicasBeginTogether(t *testing.T) {
	sealing, policy := newSealingKey(t), testPolicy("ES256", "EdDSA")
	f := newFleet(t, sealing, policy, 0)
	var meet, done sync.WaitGroup
	meet.Add(3)
	for range 3 {
		r := &replica{memStore: f.store, true: f.clock}
		r.opts = Options{Store: &together{replica: r, meet: &meet}, Sealing: sealing, Policy: &policy, Now: r.wall, Elapsed: r.elapsed, Shared: true, Log: silent}
		f.replicas = append(f.replicas, r)
		done.Go(func() { r.open(t) })
	}
	done.Wait()
	if ring := f.store.ring(); ring.Version != 1 || len(ring.Keys) != 2 {
		t.Fatalf("version %d with %d keys, want 1 with 2", ring.Version, len(ring.Keys))
	}
	for _, r := range f.replicas {
		if _, kid := r.sign(t, ""); kid != f.store.ring().Keys[0].KID {
			t.Errorf("%s signs", kid)
		}
	}
}

// What has passed is said by the clock that is behind, of a replica and the storage.
func TestPassed(t *testing.T) {
	f, a, b, c := three(t, testPolicy("ES256"), 0, 2*day, -time.Hour)
	for i, tt := range []struct {
		r    *replica
		want time.Duration
	}{{a, 0}, {b, 0}, {c, -time.Hour}} {
		if got, err := tt.r.Passed(t.Context()); err != nil || !got.Equal(f.clock.Now().Add(tt.want)) {
			t.Errorf("replica %d: %v %v, want %v after %v", i, got, err, tt.want, f.clock.Now())
		}
	}
	b.down = true
	if _, err := b.Passed(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("without the storage: %v, want %v", err, errDown)
	}
	if got, err := newFixture(t, testPolicy()).Passed(t.Context()); err != nil || !got.Equal(start) {
		t.Errorf("of one process: %v %v", got, err)
	}
}
