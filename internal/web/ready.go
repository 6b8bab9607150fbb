package web

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A request waits for a check of readiness for readyTimeout at most, and the result
// of a check holds for readyFor: a check may cost a write, and anyone may ask.
const (
	readyTimeout = 2 * time.Second
	readyFor     = time.Second
)

// errNotAnswering: the check is under way for longer than a request waits, on a
// disk that hangs.
var errNotAnswering = errors.New("the check of readiness does not come back")

// readiness shares one check among all who ask, whoever of them leaves first.
type readiness struct {
	mu      sync.Mutex
	running chan struct{} // closed when the check under way has ended; nil without one
	checked time.Time
	err     error
}

// check returns what the last check found, after a new one if that is too old.
// A nil check always succeeds.
func (r *readiness) check(ctx context.Context, check func(context.Context) error) error {
	if check == nil {
		return nil
	}
	done := r.begin(check)
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case <-done:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.err
	case <-timeout.C:
		return errNotAnswering
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin returns a channel that is closed once a result is there that is new enough.
func (r *readiness) begin(check func(context.Context) error) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running != nil {
		return r.running
	}
	done := make(chan struct{})
	if !r.checked.IsZero() && time.Since(r.checked) < readyFor {
		close(done)
		return done
	}
	r.running = done
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		defer cancel()
		err := check(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err, r.checked, r.running = err, time.Now(), nil
		close(done)
	}()
	return done
}
