// Package hashpool computes password hashes in a process of its own, so that their memory
// is collected apart from the server's, and the system shares the cores between the two.
//
// Start at [Pool], a users.Hasher. It starts this program again as a worker, and asks it
// over pipes; [Work] is the worker's side. No password is in an argument, an environment,
// a log or an error. It does not limit how many hashes are computed at once: package users
// does.
package hashpool

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"signet/users/passhash"
)

// Command is the argument with which this program is a worker.
const Command = "hash-worker"

// Errors of a hash that was not computed.
var (
	// ErrEnded: the worker ended before it answered.
	ErrEnded = errors.New("the process that computes password hashes has ended")
	// ErrClosed: the Pool is closed.
	ErrClosed = errors.New("the process that computes password hashes was stopped")
)

const (
	// pause is the least time between two starts.
	pause = time.Second
	// absence is how long hashes are computed here after a start that failed.
	absence = time.Minute
)

// Pool has one worker at most: safe for concurrent use.
type Pool struct {
	log   *slog.Logger
	start func() (*worker, error)

	mu     sync.Mutex // held while a worker is started
	worker *worker    // nil if it could not be started
	next   time.Time  // of a start
	closed bool
}

// New returns a Pool whose worker uses so many cores. Start starts it, or the first hash.
func New(log *slog.Logger, cores int) *Pool {
	return &Pool{log: log, start: func() (*worker, error) { return start(cores) }}
}

// Start starts the worker, so that no login has to wait for it.
func (p *Pool) Start() { _, _ = p.running() } // what failed is logged

// Close ends the worker. Hashes under way fail with ErrEnded, later ones with ErrClosed.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.worker != nil {
		p.worker.stop()
	}
}

// Matches is hash.Matches(password), by the worker.
func (p *Pool) Matches(hash *passhash.Hash, password string) (bool, error) {
	kind, salt, key := hash.Parts()
	a, err := p.do(request{Kind: kind, Salt: salt, Key: key, Password: []byte(password)})
	return a.Match, err
}

// Argon2id is passhash.Argon2id, by the worker.
func (p *Pool) Argon2id(memoryKiB, time uint32, threads uint8, password string) (string, error) {
	a, err := p.do(request{MemoryKiB: memoryKiB, Time: time, Threads: threads, Password: []byte(password)})
	return a.Hash, err
}

func (p *Pool) do(r request) (answer, error) {
	w, err := p.running()
	if err != nil {
		return answer{}, err
	}
	var a answer
	if w == nil {
		a = r.compute()
	} else if a, err = w.do(r); err != nil {
		return answer{}, err
	}
	if a.Fault != "" {
		return answer{}, errors.New(a.Fault)
	}
	return a, nil
}

// running is the worker, started if there is none; nil if it cannot be: a system that
// forbids the server to start a process has its logins nevertheless.
func (p *Pool) running() (*worker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, ErrClosed
	case p.worker != nil && p.worker.alive():
		return p.worker, nil
	case p.worker == nil && time.Now().Before(p.next):
		return nil, nil
	}
	time.Sleep(time.Until(p.next)) // one that dies at once is not started again and again
	w, err := p.start()
	p.worker, p.next = w, time.Now().Add(pause)
	if err != nil {
		p.next = time.Now().Add(absence)
		p.log.Warn("the hash worker cannot be started: password hashes are computed beside the requests", "error", err, "next_try_in", absence)
		return nil, nil
	}
	go p.attend(w)
	return w, nil
}

// attend says how the worker ended, once.
func (p *Pool) attend(w *worker) {
	if err := w.attend(); !w.stopping.Load() {
		p.log.Error("the hash worker ended; it is started again for the next login", "pid", w.cmd.Process.Pid, "error", err, "said", w.said.String())
	}
}
