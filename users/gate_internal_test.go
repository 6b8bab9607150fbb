package users

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
)

// entrant is one call of enter that runs on its own.
type entrant struct {
	cancel context.CancelFunc
	leave  func()
	err    error
	done   bool
}

func enterSoon(t *testing.T, g *gate) *entrant {
	ctx, cancel := context.WithCancel(t.Context())
	e := &entrant{cancel: cancel}
	go func() {
		e.leave, e.err = g.enter(ctx)
		e.done = true
	}()
	synctest.Wait()
	return e
}

// fill takes every slot of g.
func fill(t *testing.T, g *gate) []*entrant {
	var inside []*entrant
	for range runtime.GOMAXPROCS(0) {
		e := enterSoon(t, g)
		if !e.done || e.err != nil {
			t.Fatalf("a free slot was not given: done %v, error %v", e.done, e.err)
		}
		inside = append(inside, e)
	}
	return inside
}

func TestGateLetsOneHashPerCoreRunAndTheQueueWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(0, 2)
		inside := fill(t, g)
		first, second := enterSoon(t, g), enterSoon(t, g)
		if first.done || second.done {
			t.Fatal("more hashes run than there are cores")
		}
		wantBusy(t, enterSoon(t, g))

		inside[0].leave()
		synctest.Wait()
		if first.done == second.done {
			t.Fatalf("one slot let in: first %v, second %v, want one of them", first.done, second.done)
		}
		third := enterSoon(t, g) // the queue has a place again
		if third.done {
			t.Fatalf("third: %v, want it to wait", third.err)
		}
		wantBusy(t, enterSoon(t, g))

		inside[0] = first
		if second.done {
			inside[0] = second
		}
		for _, e := range inside {
			e.leave()
			synctest.Wait()
		}
		for _, e := range []*entrant{first, second, third} {
			if !e.done || e.err != nil {
				t.Errorf("done %v, error %v, want all who waited let in", e.done, e.err)
			}
		}
	})
}

func TestGateWithoutQueueRefusesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(0, 0)
		inside := fill(t, g)
		wantBusy(t, enterSoon(t, g))
		inside[0].leave()
		if e := enterSoon(t, g); e.err != nil {
			t.Errorf("a free slot was refused: %v", e.err)
		}
	})
}

func TestGateQueueIsLeftWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(0, 1)
		inside := fill(t, g)
		waiting := enterSoon(t, g)
		waiting.cancel()
		synctest.Wait()
		if !errors.Is(waiting.err, context.Canceled) {
			t.Fatalf("error = %v, want %v", waiting.err, context.Canceled)
		}
		next := enterSoon(t, g)
		if next.done {
			t.Fatalf("error = %v, want it to wait in the place that was left", next.err)
		}
		inside[0].leave()
		synctest.Wait()
		if !next.done || next.err != nil {
			t.Errorf("done %v, error %v: the one who left still holds a slot", next.done, next.err)
		}
	})
}

func wantBusy(t *testing.T, e *entrant) {
	t.Helper()
	var busy *BusyError
	if !e.done || !errors.As(e.err, &busy) {
		t.Fatalf("done %v, error %v, want a *BusyError at once", e.done, e.err)
	}
	if busy.RetryAfter <= 0 {
		t.Errorf("RetryAfter = %s, want more than nothing", busy.RetryAfter)
	}
}
