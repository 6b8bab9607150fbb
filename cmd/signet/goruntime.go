package main

import (
	"runtime"
	"sync"
	"time"
)

// spareBytes is how much more of the heap may be garbage before it is collected.
const spareBytes = 24 << 20

// spareTheCollector keeps a part of the heap until it is told to stop. It is never
// touched, so it takes no memory, but counts as live: the collector waits until the heap
// has grown by as much as is live. What an idle issuer has live is so little that under
// load it would be collected after each thousand requests.
func spareTheCollector() (stop func()) {
	spare := make([]byte, spareBytes)
	return func() { runtime.KeepAlive(spare) }
}

// room lets requests run beside a durable write, which holds one of the places where Go
// code runs until the runtime notices that it waits for the disk. While there is such
// work, and a little longer, there are more places: the system shares the cores among
// them. At other times that would only cost. Password hashes need none: they are computed
// by another process.
type room struct {
	places int // while there is none
	linger time.Duration

	mu      sync.Mutex
	holders int
	widened bool
	narrow  *time.Timer
}

// widening is how many times as many places there are beside such work.
const widening = 2

func newRoom() *room {
	r := &room{places: runtime.GOMAXPROCS(0), linger: time.Second}
	r.narrow = time.AfterFunc(r.linger, r.leave)
	r.narrow.Stop()
	return r
}

// cores is how many places there are while there is no such work; 0 without a room.
func (r *room) cores() int {
	if r == nil {
		return 0
	}
	return r.places
}

// beside does the work; without a room it just does it.
func (r *room) beside(work func()) {
	if r == nil {
		work()
		return
	}
	r.enter()
	defer r.exit()
	work()
}

func (r *room) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holders++
	if !r.widened {
		r.widened = true
		runtime.GOMAXPROCS(widening * r.places)
	}
}

// exit leaves the places for a while: to change their number stops the world.
func (r *room) exit() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holders--; r.holders == 0 {
		r.narrow.Reset(r.linger)
	}
}

func (r *room) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holders == 0 && r.widened {
		r.widened = false
		runtime.GOMAXPROCS(r.places)
	}
}
