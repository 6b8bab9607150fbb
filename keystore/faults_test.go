package keystore

import (
	"context"
	"errors"
	"testing"
	"time"
)

// changes are all ways to change the ring, each with something to do.
var changes = map[string]func(context.Context, *fixture) error{
	"rotate": func(ctx context.Context, f *fixture) error {
		_, err := f.Rotate(ctx, RotateRequest{}, false)
		return err
	},
	"rotate now": func(ctx context.Context, f *fixture) error {
		_, err := f.Rotate(ctx, RotateRequest{Now: true}, false)
		return err
	},
	"revoke": func(ctx context.Context, f *fixture) error {
		_, err := f.Revoke(ctx, f.Keys()[0].KID, false)
		return err
	},
	"maintain": func(ctx context.Context, f *fixture) error {
		f.clock.advance(90 * day)
		_, err := f.Maintain(ctx)
		return err
	},
	"policy": func(ctx context.Context, f *fixture) error {
		p := f.Policy()
		p.AccessLifetime, p.Algorithms = 2*time.Hour, []string{"EdDSA", "ES384"}
		return f.SetPolicy(ctx, p)
	},
}

func TestFailedWriteIsReported(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testPolicy())
			before, known, policy := f.store.bytes(), asJSON(t, f.state.Load().ring), asJSON(t, f.Policy())
			f.store.faults = []fault{lost}
			if err := change(t.Context(), f); !errors.Is(err, errDisk) {
				t.Errorf("%v, want %v", err, errDisk)
			}
			if f.store.bytes() != before || asJSON(t, f.state.Load().ring) != known || asJSON(t, f.Policy()) != policy {
				t.Error("what failed changed something")
			}
			f.expectAsStored()
			if err := change(t.Context(), f); err != nil {
				t.Errorf("the next attempt: %v", err)
			}
			f.expectAsStored()
		})
	}
}

// The write is made and reported as failed: what signs and what is published is
// what a restart would find.
func TestFailedWriteThatWasMade(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testPolicy())
			before := f.store.bytes()
			f.store.faults = []fault{applied}
			if err := change(t.Context(), f); !errors.Is(err, errDisk) {
				t.Errorf("%v, want %v", err, errDisk)
			}
			if f.store.bytes() == before {
				t.Fatal("nothing was stored")
			}
			f.expectAsStored()
		})
	}
}

// The caller gives up during the write, which is made all the same.
func TestContextThatEndsDuringTheWrite(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testPolicy())
			before := f.store.bytes()
			ctx, cancel := context.WithCancel(t.Context())
			f.store.before = cancel
			if err := change(ctx, f); !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want %v", err, context.Canceled)
			}
			if f.store.bytes() == before {
				t.Fatal("nothing was stored")
			}
			f.expectAsStored()
		})
	}
}

func TestStoreThatCannotBeRead(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testPolicy())
			f.store.noRead = true
			if err := change(t.Context(), f); !errors.Is(err, errRead) {
				t.Errorf("%v, want %v", err, errRead)
			}
			f.expectAsStored()
			f.signer("")
		})
	}
}

func TestConflictIsTriedAgainOnTheNewRing(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testPolicy())
			f.store.before = func() { f.store.edit(func(r *Ring) { r.HeldUntil = start.Add(time.Hour) }) }
			if err := change(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if got := f.store.ring(); got.Version != 3 || !got.HeldUntil.Equal(start.Add(time.Hour)) {
				t.Errorf("version %d, held until %v: the rival's change is lost", got.Version, got.HeldUntil)
			}
			f.expectAsStored()
		})
	}
}

// Another process did what was asked for: the second attempt says so.
func TestConflictWithTheSameRotation(t *testing.T) {
	f := newFixture(t, testPolicy())
	other, err := Open(t.Context(), f.opts)
	if err != nil {
		t.Fatal(err)
	}
	f.store.before = func() {
		if _, err := other.Rotate(t.Context(), RotateRequest{}, false); err != nil {
			t.Error(err)
		}
	}
	var pending *PendingError
	if _, err := f.Rotate(t.Context(), RotateRequest{}, false); !errors.As(err, &pending) {
		t.Fatalf("%v, want a *PendingError", err)
	}
	if ring := f.store.ring(); ring.Version != 2 || len(ring.Keys) != 4 {
		t.Errorf("version %d with %d keys, want one rotation of two", ring.Version, len(ring.Keys))
	}
}

func TestEndlessConflictIsGivenUp(t *testing.T) {
	f := newFixture(t, testPolicy())
	f.opts.Store = contended{f.store}
	f.reopen()
	if _, err := f.Rotate(t.Context(), RotateRequest{}, false); !errors.Is(err, ErrConflict) {
		t.Errorf("%v, want %v", err, ErrConflict)
	}
	f.expectAsStored()
}

// contended loses every race.
type contended struct{ *memStore }

func (contended) ReplaceRing(context.Context, Ring) error { return ErrConflict }

// SetPolicy fails and was made: from then on caches are promised what is stored,
// and nothing is switched before the longer promise of before has ended.
func TestFailedPolicyPromisesNoMoreThanIsStored(t *testing.T) {
	policy := testPolicy("ES256")
	policy.JWKSMaxAge = time.Hour
	f := newFixture(t, policy)
	shorter := policy
	shorter.JWKSMaxAge = time.Minute
	f.store.faults = []fault{applied}
	if err := f.SetPolicy(t.Context(), shorter); !errors.Is(err, errDisk) {
		t.Fatalf("SetPolicy: %v, want %v", err, errDisk)
	}
	if got := f.Policy().JWKSMaxAge; got != time.Minute {
		t.Errorf("caches are promised %v, and a minute is stored", got)
	}
	in := RotateRequest{In: 10 * time.Minute}
	if _, err := f.Rotate(t.Context(), in, false); !errors.Is(err, ErrTooSoon) {
		t.Errorf("while caches hold what was promised before: %v, want %v", err, ErrTooSoon)
	}
	f.clock.advance(time.Hour)
	f.rotate(in)
}

// SetPolicy withdraws an algorithm, fails, and was made: what a restart would find is
// in force at once, and at no time does nothing sign.
func TestFailedWithdrawalIsInForceAsStored(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	f.store.faults = []fault{applied}
	if err := f.SetPolicy(t.Context(), testPolicy("EdDSA")); !errors.Is(err, errDisk) {
		t.Fatalf("SetPolicy: %v, want %v", err, errDisk)
	}
	if algs := f.Policy().Algorithms; len(algs) != 1 || algs[0] != "EdDSA" {
		t.Errorf("in force is %v, and EdDSA is stored", algs)
	}
	f.expectAsStored()
	for range 50 {
		if got := f.info(f.signer("")); got.State != Active {
			t.Fatalf("at %v a %s key signs", f.clock.Now(), got.State)
		}
		f.clock.advance(time.Hour)
		f.maintain()
	}
}
