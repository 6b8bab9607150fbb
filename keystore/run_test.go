package keystore

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// running is a Manager whose Run is under way in a synctest bubble, on a wall
// clock that can be set.
type running struct {
	*fixture
	offset *atomic.Int64
	stop   func()
}

func newRunning(t *testing.T, policy Policy) *running {
	r := &running{offset: &atomic.Int64{}}
	r.fixture = &fixture{t: t, clock: newClock(), store: &memStore{}}
	began := time.Now()
	r.opts = Options{Store: r.store, Sealing: newSealingKey(t), Policy: &policy, Now: r.wall, Log: silent,
		Elapsed: func() time.Duration { return time.Since(began) }}
	r.start()
	return r
}

func (r *running) wall() time.Time { return time.Now().Add(time.Duration(r.offset.Load())) }

func (r *running) start() {
	r.t.Helper()
	r.reopen()
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	r.stop = func() { cancel(); <-done }
}

// live lets time pass in steps. At every step something signs, and the key set
// has what verifies it.
func (r *running) live(length, step time.Duration) {
	r.t.Helper()
	for end := time.Now().Add(length); time.Now().Before(end); {
		r.expectServes()
		time.Sleep(step) // in the bubble no time is lost
		synctest.Wait()
	}
	r.expectServes()
}

func (r *running) expectServes() {
	r.t.Helper()
	r.clock.ns.Store(r.wall().UnixNano())
	token, _, err := r.Sign("", "JWT", []byte("{}"))
	if err != nil {
		r.t.Fatalf("at %v: %v", r.wall(), err)
	}
	r.expectVerifies(token)
}

// expectIdle holds Run to at most a look per half minute, and a few for what was due.
func (r *running) expectIdle(length time.Duration) {
	r.t.Helper()
	synctest.Wait()
	before := r.store.loaded()
	time.Sleep(length)
	synctest.Wait()
	if got, limit := r.store.loaded()-before, int(length/checkEvery)+20; got > limit {
		r.t.Errorf("%d looks at the keys in %v, want at most %d", got, length, limit)
	}
}

func hourly() Policy {
	p := testPolicy("ES256", "EdDSA")
	p.RotateEvery, p.PublishAhead, p.RefreshLifetime = 12*time.Hour, time.Hour, 6*time.Hour
	return p
}

func TestScheduledRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, hourly())
		signers := map[string]bool{}
		for range 5 {
			signers[r.signer("ES256")] = true
			r.live(12*time.Hour, 20*time.Minute)
			r.expectIdle(time.Minute)
		}
		if len(signers) != 5 {
			t.Errorf("%d keys signed in 5 periods", len(signers))
		}
		for _, k := range r.Keys() {
			if private := k.State == Active || k.State == Pending; k.PrivateHalf != private {
				t.Errorf("a %s key has a private half: %v", k.State, k.PrivateHalf)
			}
		}
		if got := len(r.Keys()); got > 9 {
			t.Errorf("%d keys are kept", got)
		}
		r.stop()
	})
}

func TestScheduledRotationAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, hourly())
		signers := map[string]bool{}
		for range 8 {
			r.live(7*time.Hour, time.Hour)
			r.stop()
			time.Sleep(50 * time.Minute) // down, possibly over a rotation
			r.start()
			signers[r.signer("ES256")] = true
		}
		if len(signers) < 5 {
			t.Errorf("%d keys signed in 62 hours", len(signers))
		}
		r.stop()
	})
}

// A key is published when it is due, and takes over after publish_ahead: the
// schedule does not drift.
func TestScheduleIsKeptToTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, hourly())
		began := r.wall()
		r.live(3*12*time.Hour, time.Hour)
		for _, k := range r.Keys() {
			if late := k.SignsFrom.Sub(began) % (12 * time.Hour); late > time.Second {
				t.Errorf("a key signs %v behind the schedule", late)
			}
		}
		r.stop()
	})
}

func TestRunDoesAtOnceWhatAChangeMakesDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, hourly())
		synctest.Wait()
		r.clock.ns.Store(r.wall().UnixNano())
		old := r.rotate(RotateRequest{Alg: "ES256", Now: true})[0].Old.KID
		synctest.Wait()
		if r.info(old).PrivateHalf {
			t.Error("the private half of a key that signs no more is kept until the next look")
		}
		r.stop()
	})
}

func TestRunGoesOnAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, hourly())
		synctest.Wait()
		setNoRead := func(v bool) { r.store.mu.Lock(); r.store.noRead = v; r.store.mu.Unlock() }
		setNoRead(true)
		r.live(36*time.Hour, time.Hour)
		r.expectIdle(time.Hour)
		setNoRead(false)
		first := r.signer("ES256")
		r.live(2*time.Hour, 10*time.Minute)
		if r.signer("ES256") == first {
			t.Error("the rotation that was due was not made up for")
		}
		r.stop()
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, hourly())
		synctest.Wait()
		r.stop() // the bubble fails if Run stays
	})
}

// The clock jumps while Run is under way: signing goes on at once, and some time
// later the schedule does too.
func TestClockIsSet(t *testing.T) {
	const year = 365 * day
	for name, jumps := range map[string][]time.Duration{
		"forward a year":                    {year},
		"back a year":                       {-year},
		"forward and back":                  {year, -year},
		"back and forward":                  {-year, year},
		"back over the last rotation":       {-90 * time.Minute},
		"forward over the next rotation":    {90 * time.Minute},
		"to and fro over a rotation":        {13 * time.Hour, -13 * time.Hour, 13 * time.Hour},
		"far into the future and back soon": {10 * year, -10 * year},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRunning(t, hourly())
				r.live(25*time.Hour, time.Hour)
				for _, jump := range jumps {
					r.offset.Add(int64(jump))
					r.expectServes()
					r.expectIdle(10 * time.Minute)
					r.expectServes()
					r.stop()
					r.start()
					r.live(6*time.Hour, 30*time.Minute)
				}
				r.expectIdle(time.Hour)
				r.stop()
			})
		})
	}
}

// After a visit to the future rotation starts again by itself.
func TestScheduleRecoversFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, hourly())
		r.live(25*time.Hour, time.Hour)
		r.offset.Add(int64(365 * day))
		r.live(15*time.Hour, time.Hour)
		r.offset.Add(-int64(365 * day))
		r.live(time.Hour, time.Minute)
		signers := map[string]bool{}
		for range 6 {
			r.live(12*time.Hour, time.Hour)
			signers[r.signer("ES256")] = true
		}
		if len(signers) < 4 {
			t.Errorf("%d keys signed in six periods: the schedule is stuck: %s", len(signers), asJSON(t, r.Keys()))
		}
		r.stop()
	})
}

// The clock was ahead, a rotation was completed there, and the clock was set
// right: of the keys whose turn lies in the future one can sign, and only that
// one may be given the turn now.
func TestRotateNowAfterTheClockWasAhead(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	f.clock.advance(365 * day)
	f.rotate(RotateRequest{})
	f.clock.advance(2 * day)
	f.maintain()
	f.rotate(RotateRequest{})
	f.clock.advance(2 * day)
	f.maintain()
	f.clock.advance(-369 * day)
	for range 3 {
		f.signer("ES256")
		f.rotate(RotateRequest{Now: true})
		if got := f.info(f.signer("")); got.State != Active {
			t.Errorf("a %s key signs", got.State)
		}
	}
}
