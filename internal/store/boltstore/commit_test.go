package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"signet/issuer"
	"signet/users"
)

// oneBatch runs the functions as one batch: it occupies the writer until all
// of them wait. It returns their errors in order.
func oneBatch(s *Store, fns ...func(*tx) error) []error {
	release := occupy(s)
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	for i, fn := range fns {
		wg.Go(func() { errs[i] = s.write(context.Background(), fn) })
		waitQueued(s, i+1)
	}
	release()
	wg.Wait()
	return errs
}

// occupy keeps the writer busy, with a request that changes nothing, until the
// function returned is called.
func occupy(s *Store) (release func()) {
	entered, leave, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		s.write(context.Background(), func(*tx) error {
			close(entered)
			<-leave
			return nil
		})
	}()
	<-entered
	return func() { close(leave); <-left }
}

// waitQueued waits until n requests wait behind an occupied writer: one in the
// hands of the loop, the others in the queue.
func waitQueued(s *Store, n int) {
	for len(s.queue) != n-1 || s.pending.Load() != int64(n+1) {
		runtime.Gosched()
	}
}

func put(key string) func(*tx) error {
	return func(t *tx) error { return t.put(bucketNames, []byte(key), []byte("x")) }
}

func has(t *testing.T, s *Store, key string) (found bool) {
	t.Helper()
	err := s.view(t.Context(), func(t *tx) error {
		found = t.get(bucketNames, []byte(key)) != nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// countCommits counts the commits from here on.
func countCommits(s *Store) *int {
	n := new(int)
	s.commit = func(tx *bbolt.Tx) error { *n++; return tx.Commit() }
	return n
}

func TestBatchSharesOneCommit(t *testing.T) {
	s := openTest(t, newPath(t))
	commits := countCommits(s)
	var fns []func(*tx) error
	for i := range 100 {
		fns = append(fns, put(fmt.Sprint("key", i)))
	}
	if err := errors.Join(oneBatch(s, fns...)...); err != nil {
		t.Fatal(err)
	}
	if *commits != 1 {
		t.Errorf("%d commits for one batch, want 1", *commits)
	}
	for i := range 100 {
		if key := fmt.Sprint("key", i); !has(t, s, key) {
			t.Errorf("%s is missing", key)
		}
	}
}

func TestNothingWrittenNothingCommitted(t *testing.T) {
	s := openTest(t, newPath(t))
	commits := countCommits(s)
	err := s.UpdateUser(t.Context(), users.User{ID: "nobody"})
	if !errors.Is(err, users.ErrNotFound) {
		t.Errorf("got %v, want %v", err, users.ErrNotFound)
	}
	if *commits != 0 {
		t.Errorf("a refusal took %d commits", *commits)
	}
}

func TestSpoilersAreIsolated(t *testing.T) {
	s := openTest(t, newPath(t))
	commits := countCommits(s)
	refusal := errors.New("refused")
	errs := oneBatch(s,
		put("first"),
		func(*tx) error { return refusal },
		func(t *tx) error { return errors.Join(put("half")(t), refusal) },
		func(t *tx) error { put("panicked")(t); panic("boom") },
		func(t *tx) error { put("before a failed put")(t); return put("")(t) },
		func(t *tx) error { var p *issuer.Session; return put(p.ID)(t) },
		put("last"),
	)
	for i, want := range []error{nil, refusal, refusal, ErrStorage, berrors.ErrKeyRequired, ErrStorage, nil} {
		if !errors.Is(errs[i], want) {
			t.Errorf("request %d: got %v, want %v", i, errs[i], want)
		}
	}
	if !errors.Is(errs[4], ErrStorage) {
		t.Errorf("a failed put: got %v, want %v", errs[4], ErrStorage)
	}
	if *commits != 1 {
		t.Errorf("%d commits, want 1 for those that are left", *commits)
	}
	for key, want := range map[string]bool{
		"first": true, "last": true, "half": false, "panicked": false, "before a failed put": false,
	} {
		if got := has(t, s, key); got != want {
			t.Errorf("%q stored: %v, want %v", key, got, want)
		}
	}
}

func TestCommitFailureReachesEveryone(t *testing.T) {
	s := openTest(t, newPath(t))
	s.commit = func(*bbolt.Tx) error { return syscall.ENOSPC }
	refusal := errors.New("refused")
	errs := oneBatch(s, put("a"), func(*tx) error { return refusal }, put("b"))
	for i, err := range errs {
		// The refusal too: it may rest on what was not written.
		if !errors.Is(err, ErrStorage) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, refusal) {
			t.Errorf("request %d: got %v, want %v and %v", i, err, ErrStorage, syscall.ENOSPC)
		}
	}
	if has(t, s, "a") || has(t, s, "b") {
		t.Error("a failed commit left something")
	}
	s.commit = (*bbolt.Tx).Commit // there is space again
	if err := s.write(t.Context(), put("c")); err != nil {
		t.Errorf("a write after the failure: %v", err)
	}
}

func TestUnknownCommitStopsWriting(t *testing.T) {
	for name, commit := range map[string]func(*bbolt.Tx) error{
		"sync of the meta page failed": func(tx *bbolt.Tx) error { return errors.Join(tx.Commit(), syscall.EIO) },
		"panic":                        func(*bbolt.Tx) error { panic("page 7: unexpected") },
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, newPath(t))
			s.commit = commit
			if err := s.write(t.Context(), put("a")); !errors.Is(err, ErrStorage) {
				t.Errorf("got %v, want %v", err, ErrStorage)
			}
			s.commit = func(*bbolt.Tx) error { t.Error("committed again"); return nil }
			if err := s.CheckWritable(t.Context()); !errors.Is(err, ErrStorage) {
				t.Errorf("the next write: got %v, want %v", err, ErrStorage)
			}
			if _, err := s.Session(t.Context(), "none"); !errors.Is(err, issuer.ErrNoSession) {
				t.Errorf("a read: got %v, want %v", err, issuer.ErrNoSession)
			}
		})
	}
}

func TestWithdrawnRequestDoesNotRun(t *testing.T) {
	s := openTest(t, newPath(t))
	release := occupy(s)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	go func() { errs <- s.write(ctx, put("withdrawn")) }()
	waitQueued(s, 1)
	// The loop holds the first; the second is certainly not taken yet.
	second := make(chan error)
	go func() { second <- s.write(ctx, put("withdrawn too")) }()
	waitQueued(s, 2)
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	release()
	if err := <-errs; err == nil != has(t, s, "withdrawn") {
		t.Errorf("reported %v, stored: %v", err, has(t, s, "withdrawn"))
	}
	if has(t, s, "withdrawn too") {
		t.Error("a withdrawn request ran")
	}
}

func TestTakenRequestReportsItsResult(t *testing.T) {
	s := openTest(t, newPath(t))
	ctx, cancel := context.WithCancel(t.Context())
	errs := oneBatch(s, func(*tx) error { return nil })
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	release := occupy(s)
	done := make(chan error)
	go func() {
		done <- s.write(ctx, func(t *tx) error {
			cancel() // too late
			return put("taken")(t)
		})
	}()
	waitQueued(s, 1)
	release()
	if err := <-done; err != nil {
		t.Errorf("got %v, want the result of the commit", err)
	}
	if !has(t, s, "taken") {
		t.Error("the request did not run")
	}
}

func TestClose(t *testing.T) {
	s := openTest(t, newPath(t))
	release := occupy(s)
	under, closed := make(chan error), make(chan error)
	go func() { under <- s.write(t.Context(), put("under way")) }()
	waitQueued(s, 1)
	go func() { closed <- s.Close() }()
	for s.enter() { // until Close has begun
		s.calls.Done()
		runtime.Gosched()
	}
	select {
	case err := <-closed:
		t.Errorf("Close did not wait: %v", err)
	default:
	}
	release()
	if err := errors.Join(<-under, <-closed); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"write": s.CheckWritable(t.Context()), "check": s.Check(), "close": s.Close(),
		"read": s.view(t.Context(), func(*tx) error { return nil }),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: got %v, want %v", name, err, ErrClosed)
		}
	}
	if !has(t, openTest(t, s.path), "under way") {
		t.Error("Close lost a write that was under way")
	}
}

func TestCheckWritableCommits(t *testing.T) {
	s := openTest(t, newPath(t))
	commits := countCommits(s)
	if err := s.CheckWritable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if *commits != 1 {
		t.Errorf("%d commits, want 1", *commits)
	}
}

// TestFileVanishesUnderneath: pages that can no longer be read are errors of
// the calls that need them. The process lives.
func TestFileVanishesUnderneath(t *testing.T) {
	for _, size := range []int64{8192, 0} {
		s, err := Open(newPath(t), Options{})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, s, 500)
		if err := os.Truncate(s.path, size); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Session(t.Context(), testSession(1).ID); !errors.Is(err, ErrStorage) {
			t.Errorf("read from %d bytes: got %v, want %v", size, err, ErrStorage)
		}
		if err := s.CheckWritable(t.Context()); !errors.Is(err, ErrStorage) {
			t.Errorf("write to %d bytes: got %v, want %v", size, err, ErrStorage)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close with %d bytes: %v", size, err)
		}
	}
}
