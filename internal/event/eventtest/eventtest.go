// Package eventtest is an event.Recorder for tests.
package eventtest

import (
	"context"
	"sync"

	"signet/internal/event"
)

// Recorder keeps what it is told, and fails on demand. The zero value is ready.
type Recorder struct {
	mu       sync.Mutex
	events   []event.Event
	fail     error
	notReady error
}

// Record implements event.Recorder.
func (r *Recorder) Record(_ context.Context, e event.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return r.fail
}

// Ready implements event.Recorder.
func (r *Recorder) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notReady
}

// Fail makes Record return record and Ready return ready from now on.
func (r *Recorder) Fail(record, ready error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail, r.notReady = record, ready
}

// Take returns what was told since the last call, without causes.
func (r *Recorder) Take() []event.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	for i := range events {
		events[i].Cause = nil
	}
	return events
}
