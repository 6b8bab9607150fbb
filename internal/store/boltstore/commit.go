package boltstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// maxBatch bounds how many requests share a commit.
const maxBatch = 1024

// tx is a transaction with the helpers that all writes go through: they count,
// so that the loop knows whether a request has changed anything.
type tx struct {
	*bbolt.Tx
	writes int
}

func (t *tx) get(bucket, key []byte) []byte {
	return t.Bucket(bucket).Get(key)
}

// put stores value, which must stay as it is until the commit.
func (t *tx) put(bucket, key, value []byte) error {
	t.writes++
	if err := t.Bucket(bucket).Put(key, value); err != nil {
		return &writeError{op: "put", bucket: string(bucket), err: err}
	}
	return nil
}

func (t *tx) delete(bucket, key []byte) error {
	t.writes++
	if err := t.Bucket(bucket).Delete(key); err != nil {
		return &writeError{op: "delete", bucket: string(bucket), err: err}
	}
	return nil
}

// writeError is a write call that bbolt refused.
type writeError struct {
	op, bucket string
	err        error
}

func (e *writeError) Error() string { return e.op + " in " + e.bucket + ": " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// request is one call of write on its way through the loop.
type request struct {
	fn func(*tx) error
	// owned is set once: by the loop that takes the request, or by the caller
	// that gives it up.
	owned atomic.Bool
	err   error
	done  chan struct{}
}

// write runs fn in a read-write transaction and returns once that is durable.
// The transaction is shared with other requests, so fn decides first, by
// reading, and an fn that returns an error shall have written nothing. It may
// run more than once: what it leaves in the variables around it must come from
// the last run alone.
//
// A ctx that ends before the loop has taken the request withdraws it. After
// that write waits for the true result.
func (s *Store) write(ctx context.Context, fn func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.enter() {
		return ErrClosed
	}
	defer s.calls.Done()
	r := &request{fn: fn, done: make(chan struct{})}
	defer s.pending.Add(-1)
	if s.pending.Add(1) == 1 {
		s.alone(r)
		return r.err
	}
	select {
	case s.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.owned.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		<-r.done
	}
	return r.err
}

// alone serves a request that met no other, without the two changes of
// goroutine that the way through the loop costs.
func (s *Store) alone(r *request) {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.serve([]*request{r})
}

// run is the writer loop. It takes what waits and commits it at once; while
// that syncs, the next batch gathers. No request waits for company.
func (s *Store) run() {
	batch := make([]*request, 0, maxBatch)
	for r := range s.queue {
		s.writer.Lock()
		batch = s.gather(appendOwned(batch[:0], r))
		s.serve(batch)
		s.writer.Unlock()
		for _, r := range batch {
			close(r.done)
		}
		clear(batch)
		// The callers just answered often have a next request. Let those that
		// can run put it into the queue, or the first of them would commit alone.
		runtime.Gosched()
	}
}

// gather adds the requests that already wait.
func (s *Store) gather(batch []*request) []*request {
	for len(batch) < maxBatch {
		select {
		case r, ok := <-s.queue:
			if !ok {
				return batch
			}
			batch = appendOwned(batch, r)
		default:
			return batch
		}
	}
	return batch
}

func appendOwned(batch []*request, r *request) []*request {
	if !r.owned.CompareAndSwap(false, true) {
		return batch // withdrawn
	}
	return append(batch, r)
}

// serve gives every request of the batch its result in r.err. A request that
// spoils the transaction is taken out with its own error, and the others run
// again without it.
func (s *Store) serve(batch []*request) {
	rest := slices.Clone(batch)
	for len(rest) > 0 {
		spoiler, err := s.attempt(rest)
		if spoiler < 0 {
			if err != nil {
				failAll(rest, err)
			}
			return
		}
		rest = slices.Delete(rest, spoiler, spoiler+1)
	}
}

func failAll(batch []*request, err error) {
	for _, r := range batch {
		r.err = err
	}
}

// attempt runs the batch in one transaction and commits it. It returns the
// index of the request that spoiled it, or -1 and the error that all share.
func (s *Store) attempt(batch []*request) (spoiler int, err error) {
	if s.halted != nil {
		return -1, s.told(0, batch, s.halted)
	}
	if err := s.outside.check(); err != nil {
		return -1, s.storageError("write to", err)
	}
	btx, err := s.begin(true)
	if err != nil {
		return -1, s.told(0, batch, s.storageError("write to", err))
	}
	t := &tx{Tx: btx}
	for i, r := range batch {
		if !s.apply(t, r) {
			s.rollback(btx)
			return i, nil
		}
	}
	if t.writes == 0 {
		s.rollback(btx)
		return -1, nil
	}
	began := time.Now()
	err = s.finish(btx)
	return -1, s.told(time.Since(began), batch, err)
}

// told tells of a commit, and returns its error.
func (s *Store) told(took time.Duration, batch []*request, err error) error {
	if s.committed != nil {
		s.committed(took, len(batch), err)
	}
	return err
}

// apply runs one request and reports whether the transaction is still good. It
// is not after a panic, or an error that came after a write: half of a request
// must not be committed.
func (s *Store) apply(t *tx, r *request) bool {
	before := t.writes
	r.err = guard(func() error { return r.fn(t) })
	if r.err == nil {
		return true
	}
	if p := (*panicError)(nil); errors.As(r.err, &p) {
		cause := s.cause(r.err)
		if errors.As(cause, &p) {
			s.log.Error("a write panicked", "panic", p.value, "stack", string(p.stack))
		}
		r.err = s.storageError("write to", cause)
		return false
	}
	if w := (*writeError)(nil); errors.As(r.err, &w) {
		r.err = s.storageError("write to", r.err)
		return false
	}
	return t.writes == before
}

// finish commits. After a failure nothing may be acknowledged, not even a
// refusal: it may rest on what the transaction would have written.
func (s *Store) finish(btx *bbolt.Tx) error {
	id := btx.ID()
	var err error
	s.beside(func() { err = guard(func() error { return s.commit(btx) }) })
	if err == nil {
		if err := s.outside.committed(uint64(id)); err != nil {
			return s.storageError("write to", err)
		}
		return nil
	}
	s.rollback(btx)
	err = s.storageError("write to", err)
	s.log.Error("commit failed", "err", err)
	if p := (*panicError)(nil); errors.As(err, &p) || s.reached(id) {
		s.halt(err)
	}
	return err
}

// reached reports whether the failed transaction id got as far as the meta
// page. Then the file in the cache is ahead of the one on the disk for good: a
// failed sync is not repeated by the next one, and going on would overwrite
// pages that the state on the disk still needs.
func (s *Store) reached(id int) bool {
	reached := true
	err := guard(func() error {
		return s.db.View(func(t *bbolt.Tx) error {
			reached = t.ID() >= id
			return nil
		})
	})
	return err != nil || reached
}

// halt refuses all further writes.
func (s *Store) halt(cause error) {
	s.halted = fmt.Errorf("no more writes until signet is restarted: %w", cause)
	s.log.Error("the database takes no more writes; restart signet", "cause", cause)
}

// rollback leaves the transaction, unless bbolt has done so already.
func (s *Store) rollback(btx *bbolt.Tx) {
	if btx.DB() == nil {
		return
	}
	if err := guard(btx.Rollback); err != nil {
		s.stuck.Store(true)
		s.halt(s.storageError("roll back", err))
	}
}
