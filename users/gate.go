package users

import (
	"cmp"
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// gate lets one hash run per core, and a bounded number wait. Without it a flood
// of logins would take all memory and all cores, and with them the refreshes.
type gate struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   atomic.Int64
}

// busyRetry is how long a refused login is told to stay away.
const busyRetry = time.Second

func newGate(slots, queue int) *gate {
	g := &gate{slots: make(chan struct{}, cmp.Or(slots, runtime.GOMAXPROCS(0)))}
	g.setQueue(queue)
	return g
}

func (g *gate) setQueue(queue int) { g.queue.Store(int64(queue)) }

// Pool is how busy the computing of password hashes is.
type Pool struct {
	// Running hashes are computed now, of Slots at once. Waiting ones wait for a slot;
	// Queue of them may.
	Running, Slots, Waiting, Queue int
}

// Pool returns how busy the computing of password hashes is now.
func (d *Directory) Pool() Pool {
	g := d.gate
	return Pool{Running: len(g.slots), Slots: cap(g.slots), Waiting: int(g.waiting.Load()), Queue: int(g.queue.Load())}
}

// enter waits for a slot and returns how to leave it. *BusyError if the queue is
// full, the context's error if that ends first.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-g.slots }
	select {
	case g.slots <- struct{}{}:
		return leave, nil
	default:
	}
	if g.waiting.Add(1) > g.queue.Load() {
		g.waiting.Add(-1)
		return nil, &BusyError{RetryAfter: busyRetry}
	}
	defer g.waiting.Add(-1)
	select {
	case g.slots <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
