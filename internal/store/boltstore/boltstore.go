// Package boltstore keeps everything Signet stores in one bbolt file: the ring
// of signing keys, the users, the sessions, and the OAuth clients.
//
// Start at Open. A Store implements keystore.Store, users.Store, issuer.Store
// and oauth.Store; what these promise is tested by package storetest. Writes go
// through one loop (commit.go) that gathers the requests which wait while the
// disk syncs and commits them together: one sync serves many. Snapshot copies the file
// meanwhile (snapshot.go), ReadBackup says whether a copy is whole (backup.go).
//
// The package refuses to guess about a file. One that is damaged, truncated,
// of another program or of a newer Signet is reported in a sentence and never
// changed; only where there is no file is a new database made. One process
// holds the file at a time, and who comes second is told who that is.
package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"signet/internal/audit"
	"signet/internal/store"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

var (
	_ keystore.Store = (*Store)(nil)
	_ users.Store    = (*Store)(nil)
	_ issuer.Store   = (*Store)(nil)
	_ oauth.Store    = (*Store)(nil)
	_ audit.Marks    = (*Store)(nil)
)

// Errors a caller branches on, besides those of the domains.
var (
	// ErrInUse: another process holds the file.
	ErrInUse = errors.New("the database is in use")
	// ErrDamaged: the file is not a whole database. It was not changed.
	ErrDamaged = errors.New("the database is damaged")
	// ErrForeign: the file belongs to another program or to a newer Signet. It
	// was not changed.
	ErrForeign = errors.New("not a database of this signet")
	// ErrStorage: the storage failed. Whether the change was made is unknown.
	ErrStorage = store.ErrStorage
	// ErrClosed: the store was closed.
	ErrClosed = store.ErrClosed
)

var errStuck = errors.New("its pages became unreadable: check the file and restart signet")

// Store is one open database file. Its methods may be called concurrently.
type Store struct {
	db   *bbolt.DB
	file *os.File // bbolt's own handle, for reading pages past its memory map
	path string
	log  *slog.Logger
	// outside knows what others did to the file.
	outside outside

	queue chan *request
	// commit is bbolt's Commit, except in tests of its failure.
	commit    func(*bbolt.Tx) error
	committed func(took time.Duration, requests int, err error) // may be nil
	// pending counts the calls of write under way.
	pending atomic.Int64

	writer sync.Mutex // held while a batch runs
	halted error      // why there are no more writes; guarded by writer
	// stuck: bbolt panicked where it holds its locks, and may hold them still.
	stuck atomic.Bool
	loop  sync.WaitGroup

	mu     sync.RWMutex // guards closed, and calls.Add against calls.Wait
	closed bool
	calls  sync.WaitGroup
}

// Path returns the path the store was opened with.
func (s *Store) Path() string { return s.path }

// Close waits for the calls under way and closes the file. Calls that come
// later get ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if s.stuck.Load() { // and calls may wait for ever
		return s.storageError("close", errStuck)
	}
	s.calls.Wait()
	close(s.queue)
	s.loop.Wait()
	if s.stuck.Load() {
		return s.storageError("close", errStuck)
	}
	if err := s.db.Close(); err != nil {
		return s.storageError("close", err)
	}
	return nil
}

// Check verifies the structure of the whole file and returns every fault that
// bbolt finds. It reads all of the file, and writes wait for it.
func (s *Store) Check() error {
	if !s.enter() {
		return ErrClosed
	}
	defer s.calls.Done()
	// bbolt checks its free list without a lock: no writer may be at work.
	tx, err := s.begin(true)
	if err != nil {
		return s.storageError("check", err)
	}
	defer tx.Rollback()
	if err := structureFaults(tx, s.file); err != nil {
		return damaged(s.path, err)
	}
	return nil
}

func structureFaults(tx *bbolt.Tx, file *os.File) error {
	// bbolt's check runs in a goroutine of its own, where a page number that
	// leads out of the file would end the process.
	if err := inspect(file, 0); err != nil {
		return err
	}
	var faults []error
	for err := range tx.Check() {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// roomToWrite is how much of the disk must be free for a store to be called writable:
// where there is less, a tiny write still finds a free page and a session does not.
const roomToWrite = 256 << 10

// CheckWritable commits a tiny write and reports whether that worked and others may.
func (s *Store) CheckWritable(ctx context.Context) error {
	if !s.enter() {
		return ErrClosed
	}
	defer s.calls.Done()
	if err := hasRoom(s.file); err != nil {
		return s.storageError("write to", err)
	}
	return s.write(ctx, func(t *tx) error {
		return t.put(bucketMeta, keyProbe, []byte{1})
	})
}

// enter registers a call that Close waits for; it ends with s.calls.Done.
func (s *Store) enter() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return false
	}
	s.calls.Add(1)
	return true
}

// view runs fn in a read transaction. What fn keeps must be a copy: the memory
// is the file's and goes away with the transaction.
func (s *Store) view(ctx context.Context, fn func(t *tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.enter() {
		return ErrClosed
	}
	defer s.calls.Done()
	if err := s.outside.whole(); err != nil {
		return s.storageError("read", err)
	}
	btx, err := s.begin(false)
	if err != nil {
		return s.storageError("read", err)
	}
	defer btx.Rollback()
	err = guard(func() error { return fn(&tx{Tx: btx}) })
	if p := (*panicError)(nil); errors.As(err, &p) {
		return s.storageError("read", s.cause(err))
	}
	return err
}

// cause is what made bbolt panic, where that is known: pages that went away between
// the look at the file and the use of them.
func (s *Store) cause(panicked error) error {
	return cmp.Or(s.outside.whole(), panicked)
}

// begin starts a transaction. bbolt reads the meta pages then, under its locks.
func (s *Store) begin(writable bool) (btx *bbolt.Tx, err error) {
	if s.stuck.Load() {
		return nil, errStuck
	}
	err = guard(func() (err error) {
		btx, err = s.db.Begin(writable)
		return err
	})
	if p := (*panicError)(nil); errors.As(err, &p) {
		s.stuck.Store(true)
	}
	return btx, err
}

// storageError wraps a failure of the storage, for branching on ErrStorage.
func (s *Store) storageError(what string, err error) error {
	return fmt.Errorf("%w: cannot %s %s: %w", ErrStorage, what, s.path, err)
}

// panicError is a panic that became an error. bbolt panics on pages it cannot
// make sense of.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprint("panic: ", e.value) }

// guard runs fn and turns a panic into an error, also one by a memory fault:
// bbolt follows page numbers through a memory map, and a damaged number leads
// out of it.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return fn()
}
