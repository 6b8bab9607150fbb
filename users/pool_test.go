package users

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestPoolSaysWhoRunsAndWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Directory{gate: newGate(0, 2)}
		slots := runtime.GOMAXPROCS(0)
		if got, want := d.Pool(), (Pool{Slots: slots, Queue: 2}); got != want {
			t.Errorf("idle: %+v, want %+v", got, want)
		}
		inside, waits := fill(t, d.gate), enterSoon(t, d.gate)
		if got, want := d.Pool(), (Pool{Running: slots, Slots: slots, Waiting: 1, Queue: 2}); got != want {
			t.Errorf("full: %+v, want %+v", got, want)
		}
		inside[0].leave()
		synctest.Wait()
		waits.leave()
		for _, e := range inside[1:] {
			e.leave()
		}
		if got, want := d.Pool(), (Pool{Slots: slots, Queue: 2}); got != want {
			t.Errorf("idle again: %+v, want %+v", got, want)
		}
	})
}

// TestHashedHearsOfHashes: of each that is computed, and of none that is refused.
func TestHashedHearsOfHashes(t *testing.T) {
	var took []time.Duration
	d := &Directory{gate: newGate(0, 0), hashed: func(d time.Duration) { took = append(took, d) }}
	d.params.Store(&Params{MemoryKiB: 64, Time: 1, Threads: 1})
	if _, err := d.hash(t.Context(), "correct horse battery staple"); err != nil || len(took) != 1 || took[0] <= 0 {
		t.Errorf("told %v, error %v", took, err)
	}
	for range cap(d.gate.slots) {
		d.gate.slots <- struct{}{}
	}
	if _, err := d.hash(t.Context(), "correct horse battery staple"); err == nil || len(took) != 1 {
		t.Errorf("refused: told %v, error %v", took, err)
	}
}
