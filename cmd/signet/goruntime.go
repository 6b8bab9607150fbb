package main

import (
	"runtime"
	"sync"
	"time"
)

// spareBytes is how much more of the heap may be garbage before it is collected.
const spareBytes = 8 << 20

// spareTheCollector keeps a part of the heap until it is told to stop. It is never
// touched, so it takes no memory, but counts as live: the collector waits until the heap
// has grown by as much as is live. What an idle issuer has live is so little that under
// load it would be collected after each thousand requests. A higher GOGC would do the
// same, and multiply what the password hashes take.
func spareTheCollector() (stop func()) {
	spare := make([]byte, spareBytes)
	return func() { runtime.KeepAlive(spare) }
}

// room lets requests run beside the password hashes. A hash holds one of the places where
// Go code runs for 10 ms at a time, and logins keep as many busy as there are cores: other
// requests would wait for all of that. While hashes are computed there are twice as many
// places, so that the system shares the cores, and it does so fairly. At other times that
// would only cost.
type room struct {
	places int // while no hash is computed
	linger time.Duration

	mu      sync.Mutex
	hashes  int
	widened bool
	narrow  *time.Timer
}

func newRoom() *room {
	r := &room{places: runtime.GOMAXPROCS(0), linger: time.Second}
	r.narrow = time.AfterFunc(r.linger, r.leave)
	r.narrow.Stop()
	return r
}

// beside computes a hash.
func (r *room) beside(compute func()) {
	r.enter()
	defer r.exit()
	compute()
}

func (r *room) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hashes++
	if !r.widened {
		r.widened = true
		runtime.GOMAXPROCS(2 * r.places)
	}
}

// exit leaves the places for a while: to change their number stops the world.
func (r *room) exit() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hashes--; r.hashes == 0 {
		r.narrow.Reset(r.linger)
	}
}

func (r *room) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hashes == 0 && r.widened {
		r.widened = false
		runtime.GOMAXPROCS(r.places)
	}
}
