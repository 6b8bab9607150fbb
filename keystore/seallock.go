package keystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// One process at a time changes the sealing key in a file, or settles a change that was
// interrupted: another would take the new key beside it for what a crash has left, and
// remove it. The database does not keep them apart where it is one of several processes.

const (
	// sealLockWait is how long a process waits for another: longer than a change may take.
	sealLockWait = time.Minute
	sealLockPoll = 50 * time.Millisecond
)

var errSealLocked = errors.New("another signet is changing it: try again later")

// lockSealingKey locks the file at path until unlock is called. It is the file itself that
// is locked, so that nothing else need be writable. Where there is no file there is nothing
// to change, and where it cannot be opened reading it says why.
func lockSealingKey(ctx context.Context, path string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, sealLockWait)
	defer cancel()
	for {
		unlock, err := tryLockSealingKey(path)
		if !errors.Is(err, errSealLocked) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(sealLockPoll):
		}
	}
}

func tryLockSealingKey(path string) (unlock func(), err error) {
	f, err := openForLock(path)
	if err != nil {
		return func() {}, nil
	}
	return lockOpened(f, path)
}

func lockOpened(f *os.File, path string) (unlock func(), err error) {
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: lock %s: %w", ErrSealingKey, path, err), f.Close())
	}
	if !stillAt(f, path) { // whoever had the lock has put a new key there
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrSealingKey, path, errSealLocked), f.Close())
	}
	return func() { f.Close() }, nil
}

// openForLock opens for writing where it may: some network file systems lock nothing else.
func openForLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	return os.Open(path)
}

func stillAt(f *os.File, path string) bool {
	locked, err := f.Stat()
	now, err2 := os.Stat(path)
	return err == nil && err2 == nil && os.SameFile(locked, now)
}
