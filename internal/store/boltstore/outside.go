package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// watchEvery is how often Watch looks at the file.
const watchEvery = time.Second

// What others did to the file while it was open here.
var (
	errRemoved     = errors.New("the file was removed or renamed")
	errReplaced    = errors.New("another file was put in its place")
	errOverwritten = errors.New("it was written over from outside")
)

// outside notices what others do to the open file: a lock keeps no one from removing,
// replacing, truncating or overwriting it. Every write looks before it begins and again
// before it is acknowledged, so that none is acknowledged which a restart would not find.
type outside struct {
	file     *os.File
	path     string
	log      *slog.Logger
	pageSize uint64
	marks    [2]meta      // the meta pages as this process left them; guarded by Store.writer
	size     atomic.Int64 // what the pages in use take

	// damage is for good: what is on the pages cannot be trusted any more.
	damage atomic.Pointer[error]

	mu   sync.Mutex
	told bool // the log has said that something is wrong
}

// begin takes the file as it is now for the right one.
func (o *outside) begin() error {
	for i := range o.marks {
		m, err := o.mark(i)
		if err != nil {
			return err
		}
		o.marks[i] = m
	}
	o.size.Store(o.needed())
	return nil
}

// mark reads a meta page; one that is not valid is the zero meta.
func (o *outside) mark(i int) (meta, error) {
	m, valid, err := readMeta(o.file, int64(i)*int64(o.pageSize))
	if !valid {
		m = meta{}
	}
	return m, err
}

func (o *outside) needed() int64 {
	newest := o.marks[0]
	if o.marks[1].txid > newest.txid {
		newest = o.marks[1]
	}
	return int64(newest.pages * newest.pageSize)
}

// whole says why nothing may be read: pages are missing or not those that were written.
func (o *outside) whole() error {
	if damage := o.damage.Load(); damage != nil {
		return *damage
	}
	info, err := o.file.Stat()
	if err != nil {
		return err
	}
	if need := o.size.Load(); info.Size() < need {
		return o.damaged(fmt.Errorf("it was truncated from outside: it has %d bytes and needs %d", info.Size(), need))
	}
	return nil
}

func (o *outside) damaged(cause error) error {
	err := fmt.Errorf("%w: %w: restore a backup", ErrDamaged, cause)
	if !o.damage.CompareAndSwap(nil, &err) {
		return *o.damage.Load()
	}
	o.log.Error("the database file was damaged while it was open; nothing is read from it or written to it any more",
		"file", o.path, "cause", cause, "do", "stop signet, mv "+o.path+" "+o.path+".bad, restore a backup (signet restore FILE), start signet")
	return err
}

// check says why nothing may be written. The caller holds Store.writer.
func (o *outside) check() error {
	if err := o.whole(); err != nil {
		return err
	}
	for i, want := range o.marks {
		if got, err := o.mark(i); err != nil {
			return err
		} else if got != want {
			return o.damaged(errOverwritten)
		}
	}
	if err := o.inPlace(); err != nil {
		return fmt.Errorf("%w: put it back; or signet backup FILE, which has all that was stored, then stop the server, and signet restore FILE", err)
	}
	return nil
}

// committed is check after transaction id, which wrote one of the meta pages.
func (o *outside) committed(id uint64) error {
	own := id % 2
	m, err := o.mark(int(own))
	if err != nil {
		return err
	}
	if m.txid != id {
		return o.damaged(errOverwritten)
	}
	o.marks[own] = m
	o.size.Store(o.needed())
	return o.check()
}

// inPlace says why the path does not lead to the file. That may pass: whoever moved it
// may move it back.
func (o *outside) inPlace() error {
	err := o.displaced()
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil && !o.told:
		o.log.Error("the database file is not in its place; nothing is written until it is back",
			"file", o.path, "cause", err, "stored_so_far", o.handle(),
			"do", "put the file back; or signet backup FILE, which has all that was stored, then stop signet, move away what is at its place, signet restore FILE, and start signet; stored_so_far is the file itself")
	case err == nil && o.told:
		o.log.Info("the database file is in its place again", "file", o.path)
	}
	o.told = err != nil
	return err
}

func (o *outside) displaced() error {
	there, err := os.Stat(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return errRemoved
	}
	if err != nil {
		return err
	}
	own, err := o.file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(there, own) {
		return errReplaced
	}
	return nil
}

// handle is where the open file can be read although no name leads to it.
func (o *outside) handle() string {
	if runtime.GOOS != "linux" {
		return "only in the memory of this process"
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), o.file.Fd())
}

// Watch looks at the file until ctx ends, so that the log says what others did to it
// also while nobody writes.
func (s *Store) Watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look()
		}
	}
}

func (s *Store) look() {
	if !s.enter() {
		return
	}
	defer s.calls.Done()
	if !s.writer.TryLock() {
		return // a write is under way, and looks itself
	}
	defer s.writer.Unlock()
	_ = s.outside.check() // which logs it
}
