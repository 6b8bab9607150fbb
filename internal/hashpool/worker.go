package hashpool

import (
	"encoding/gob"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// patience is how long one hash may take: more than the limits of package passhash
	// allow. A worker that was stopped or hangs is ended, and another one started.
	patience = time.Minute
	// leave is how long a worker may take to end.
	leave = time.Second
)

// worker is the other process.
type worker struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      io.Reader
	patience time.Duration
	said     head          // read it after attend
	ended    chan struct{} // closed when it has ended
	stopping atomic.Bool

	writing  sync.Mutex
	requests *gob.Encoder

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan<- answer // nil when nobody answers any more
}

// start starts this program again. It gets neither the environment of the server, in
// which the password of a database may be, nor files but three pipes. A crash names its
// cause without a trace.
func start(cores int) (*worker, error) {
	path, err := executable()
	if err != nil {
		return nil, err
	}
	w := &worker{cmd: exec.Command(path, Command), ended: make(chan struct{}), patience: patience, waiting: map[uint64]chan<- answer{}}
	w.cmd.Args[0] = "signet"
	w.cmd.Env = []string{fmt.Sprintf("GOMAXPROCS=%d", cores), "GOTRACEBACK=none"}
	w.cmd.Stderr = &w.said
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if w.out, err = w.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	w.requests = gob.NewEncoder(w.in)
	if err := lowered(w.cmd.Start); err != nil {
		return nil, err
	}
	return w, nil
}

// do returns the answer to r; ErrEnded if there is none.
func (w *worker) do(r request) (answer, error) {
	reply := make(chan answer, 1)
	if !w.expect(&r, reply) {
		return answer{}, ErrEnded
	}
	stuck := time.AfterFunc(w.patience, w.kill)
	defer stuck.Stop()
	w.send(r)
	a, ok := <-reply
	if !ok {
		return answer{}, ErrEnded
	}
	return a, nil
}

// expect numbers a request, and reports whether the worker lives.
func (w *worker) expect(r *request, reply chan<- answer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		return false
	}
	w.last++
	r.ID = w.last
	w.waiting[r.ID] = reply
	return true
}

func (w *worker) send(r request) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if w.requests.Encode(r) != nil {
		w.kill() // it got a part
	}
}

// attend hands out the answers until the worker ends, and returns how it did.
func (w *worker) attend() error {
	defer close(w.ended)
	for answers := gob.NewDecoder(w.out); ; {
		var a answer
		if answers.Decode(&a) != nil {
			break
		}
		w.deliver(a)
	}
	w.kill() // unless it has ended: what it wrote cannot be read
	w.giveUp()
	return w.cmd.Wait()
}

func (w *worker) deliver(a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if reply := w.waiting[a.ID]; reply != nil {
		reply <- a
		delete(w.waiting, a.ID)
	}
}

func (w *worker) giveUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, reply := range w.waiting {
		close(reply)
	}
	w.waiting = nil
}

func (w *worker) alive() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting != nil
}

// stop lets the worker end, and waits for that.
func (w *worker) stop() {
	w.stopping.Store(true)
	w.in.Close()
	late := time.AfterFunc(leave, w.kill)
	defer late.Stop()
	<-w.ended
}

func (w *worker) kill() { w.cmd.Process.Kill() }

// head keeps the first of what a worker writes to its standard error.
type head struct{ text []byte }

const headBytes = 256

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), headBytes-len(h.text))]...)
	return len(p), nil
}

func (h *head) String() string { return string(h.text) }
