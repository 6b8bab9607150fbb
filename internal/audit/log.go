package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"signet/internal/event"
)

// Limits of what waits in memory, in records.
const (
	maxQueue = 1024
	maxHeld  = 10_000
)

// Pauses: between two tries to write a file that could not be written, and between a
// record and the mark of it in the database.
const (
	retryEvery = time.Second
	markAfter  = time.Second
)

// answerLimit is how long a record may take to reach the disk.
const answerLimit = 10 * time.Second

// Marks keeps the mark of the log outside of its file: a store. The mark follows the
// file within a second, and at Close.
type Marks interface {
	// AuditMark returns the mark that was stored last, or the zero one.
	AuditMark(ctx context.Context) (Mark, error)
	SetAuditMark(ctx context.Context, m Mark) error
}

// Options are the settings of Open.
type Options struct {
	Path  string
	Marks Marks
	// Lazy opens the file at the first record: a command that only looks makes none.
	Lazy bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log hears of a file that cannot be written, or was changed; nil means slog.Default().
	Log *slog.Logger
}

// Log is an open audit log: an event.Recorder, safe for concurrent use.
type Log struct {
	path  string
	marks Marks
	now   func() time.Time
	log   *slog.Logger

	strangers  *strangers
	pending    atomic.Uint64 // events left out since the last record
	unrecorded atomic.Uint64 // and since Open
	failures   atomic.Uint64
	failing    atomic.Pointer[error]     // why the last try to write failed; nil if it did not
	flushing   atomic.Pointer[time.Time] // since when the writer is at the disk; nil if it is not
	stands     atomic.Pointer[Mark]      // of what is on the disk
	suspicion  atomic.Pointer[string]    // what was found of a file that was changed; nil is nothing

	queue  chan *entry
	reopen chan chan error
	marked chan struct{} // there is a mark that the database does not know
	saving sync.Mutex    // held while the mark is stored: an older one never comes after
	own    ownMarks      // guarded by saving, as are known and other
	known  bool          // the database has the first of own
	other  bool          // it was told that the database has another log's
	closed chan struct{}
	ended  chan struct{} // the writer has
	close  sync.Once
	loops  sync.WaitGroup

	// appendTo is file.append, except in tests of a disk that hangs.
	appendTo func(f *file, text []byte) error

	// Of the writer's goroutine alone.
	file   *file
	left   *left // the file before
	opened bool  // there was a file once
	held   []held
}

var _ event.Recorder = (*Log)(nil)

// held is a record that waits for the disk.
type held struct {
	Record
	strangers bool // strangers can cause any number of them
}

// entry is a record on its way to the disk.
type entry struct {
	held
	done chan error
}

// Open opens the log at path, or makes one, and goes on where it ended. ErrInUse and
// ErrForeign are of a file that it must not touch.
func Open(ctx context.Context, opts Options) (*Log, error) {
	l := &Log{
		path: opts.Path, marks: opts.Marks, appendTo: (*file).append, now: opts.Now, log: opts.Log, strangers: newStrangers(),
		queue: make(chan *entry, maxQueue), reopen: make(chan chan error),
		marked: make(chan struct{}, 1), closed: make(chan struct{}), ended: make(chan struct{}),
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	mark, err := l.marks.AuditMark(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the mark of the audit log: %w", err)
	}
	l.stands.Store(&mark)
	l.own, l.known = ownMarks{mark}, true
	if !opts.Lazy {
		if err := l.open(atStart); err != nil {
			return nil, err
		}
	}
	l.loops.Go(func() { defer close(l.ended); l.write() })
	l.loops.Go(l.mark)
	return l, nil
}

// Record implements event.Recorder: it returns once the record is on the disk. An event
// that is not for the file, or one too many of those that strangers cause, is taken
// without. That ctx is canceled changes nothing, only its deadline counts: what was done is
// recorded, whoever still waits.
func (l *Log) Record(ctx context.Context, e event.Event) error {
	if err := l.Ready(); err != nil && e.Kind == event.Login && e.Outcome == event.Failed {
		l.leaveOut(1) // refused for this, and by how many strangers is theirs to choose
		return err
	}
	now := l.now()
	forFile, strangers := written(e)
	if !forFile || strangers && !l.admit(e, now) {
		return nil
	}
	en := &entry{held: held{recordOf(ctx, e, now), strangers}, done: make(chan error, 1)}
	limit := time.NewTimer(l.patience(ctx))
	defer limit.Stop()
	select {
	case <-l.closed:
		return ErrClosed
	case l.queue <- en:
		return l.await(en, limit.C)
	case <-limit.C:
		l.leaveOut(1)
		return l.hangs()
	}
}

// patience is how long a record may take to reach the disk: until the deadline of ctx,
// answerLimit at most, and no time at all while the disk is known to hang. That whoever
// asked goes away is no reason to leave it out: an attempt would leave no trace.
func (l *Log) patience(ctx context.Context) time.Duration {
	if began := l.flushing.Load(); began != nil && time.Since(*began) > answerLimit {
		return 0
	}
	if deadline, ok := ctx.Deadline(); ok {
		return min(answerLimit, time.Until(deadline))
	}
	return answerLimit
}

// hangs reports a disk that does not answer.
func (l *Log) hangs() error {
	err := fmt.Errorf("%w: its disk does not answer", ErrUnwritten)
	l.failing.CompareAndSwap(nil, &err)
	return err
}

// await returns what became of a record.
func (l *Log) await(en *entry, limit <-chan time.Time) error {
	select {
	case err := <-en.done:
		return err
	case <-limit:
		return l.hangs()
	case <-l.ended: // the writer empties its queue before that
		select {
		case err := <-en.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// Ready implements event.Recorder: it tells why the file could not be written when that
// was last tried, which is once a second while it fails.
func (l *Log) Ready() error {
	if err := l.failing.Load(); err != nil {
		return *err
	}
	return nil
}

// Head is the last record on the disk.
func (l *Log) Head() Head { return l.Mark().Head }

// Mark is what the store will keep of the log as it is now.
func (l *Log) Mark() Mark { return *l.stands.Load() }

// Path is that of the file.
func (l *Log) Path() string { return l.path }

// wait waits for the loops to end.
func (l *Log) wait() error {
	done := make(chan struct{})
	go func() { l.loops.Wait(); close(done) }()
	limit := time.NewTimer(l.patience(context.Background()))
	defer limit.Stop()
	select {
	case <-done:
		return nil
	case <-limit.C:
		return fmt.Errorf("records that were not on the disk yet are lost: %w", l.hangs())
	}
}

// Stats are figures of a log.
type Stats struct {
	// Records is the number of the last record, Failures how often the file could not be
	// written, Unrecorded how many events were too many to be written down.
	Records, Failures, Unrecorded uint64
	// Failing reports that the file cannot be written now, Suspect that it was found to be
	// cut or changed by somebody else.
	Failing, Suspect bool
}

// Stats returns the figures of now, since Open where they are counts of events.
func (l *Log) Stats() Stats {
	return Stats{Records: l.Head().Seq, Failures: l.failures.Load(), Unrecorded: l.unrecorded.Load(), Failing: l.Ready() != nil, Suspect: l.Suspicion() != ""}
}

// Reopen closes the file and opens the one that is at the path now: what moves logs away
// asks for it. A disk that hangs is waited for as long as for a record.
func (l *Log) Reopen() error {
	done := make(chan error, 1)
	limit := time.NewTimer(l.patience(context.Background()))
	defer limit.Stop()
	select {
	case l.reopen <- done:
	case <-limit.C:
		return l.hangs()
	case <-l.closed:
		return ErrClosed
	}
	select {
	case err := <-done:
		return err
	case <-limit.C:
		return l.hangs()
	}
}

// Close writes what waits, stores the mark and closes the file. An error means that
// records are lost; without the mark, which the log says, they are there. A disk that
// hangs is not waited for for longer than for a record.
func (l *Log) Close() error {
	err := ErrClosed
	l.close.Do(func() {
		close(l.closed)
		if err = l.wait(); err != nil {
			return
		}
		if err := l.saveMark(); err != nil {
			l.log.Warn("the mark of the audit log was not stored: a cut of its last records will not show", "error", err)
		}
		err = nil
		if l.file != nil {
			err = l.file.Close()
		}
		if failing := l.Ready(); failing != nil {
			err = errors.Join(err, fmt.Errorf("%d records are lost: %w", len(l.held), failing))
		}
	})
	return err
}
