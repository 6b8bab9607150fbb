package keystore

import (
	"errors"
	"slices"
	"testing"

	"signet/internal/event/eventtest"
)

// TestEachStepOfAKeyIsTold from its publication to the day on which it is forgotten.
func TestEachStepOfAKeyIsTold(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	r := new(eventtest.Recorder)
	f.opts.Events = r
	f.reopen()
	old := f.Keys()[0].KID
	steps := func() (steps []string) {
		for _, e := range r.Take() {
			if e.Alg != "ES256" {
				t.Errorf("%s of an %q key", e.Action, e.Alg)
			}
			who := "new"
			if e.Target == old {
				who = "old"
			}
			steps = append(steps, who+" "+e.Action)
		}
		return steps
	}
	f.rotate(RotateRequest{})
	for range 60 {
		f.clock.advance(day / 4)
		f.maintain()
	}
	if got, want := steps(), []string{"new publish", "old retire", "old forget"}; !slices.Equal(got, want) {
		t.Errorf("a rotation: told %q, want %q", got, want)
	}
	f.revoke(f.Keys()[0].KID)
	got := steps()
	slices.Sort(got)
	if want := []string{"new publish", "new revoke"}; !slices.Equal(got, want) {
		t.Errorf("a revocation: told %q, want %q", got, want)
	}
}

// TestKeysDoNotDependOnTheRecord: a rotation is done although it cannot be recorded.
func TestKeysDoNotDependOnTheRecord(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	r := new(eventtest.Recorder)
	r.Fail(errors.New("the disk is full"), errors.New("the disk is full"))
	f.opts.Events = r
	f.reopen()
	f.rotate(RotateRequest{})
	if n := len(f.Keys()); n != 2 || len(r.Take()) != 1 {
		t.Errorf("%d keys, want 2, and the new one told", n)
	}
}
