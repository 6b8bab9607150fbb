package linear

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Request is what a client asks a Target for. Which fields are set depends on the Kind:
// the User of logins and of what is done to an account, the Token of what presents
// one, the Session of EndSession.
type Request struct {
	Kind                 Kind
	User, Session, Token string
}

// Reply is what the Target answered, with the refresh token that came with it.
type Reply struct {
	Answer Answer
	Token  string
	Detail string
}

// Target is one process of the issuer, as clients and operators reach it.
type Target interface {
	// Do makes one request, once.
	Do(ctx context.Context, r Request) Reply
	// Await returns when the process answers again.
	Await(ctx context.Context) error
}

// Fault is something that happens to the issuer once so many requests were made.
type Fault struct {
	After int
	Do    func() error
}

// Load makes a history by clients that choose by chance what they do next. Its choices
// follow from the Seed; how requests meet does not.
type Load struct {
	Seed    uint64
	Users   []string
	Clients int
	// Requests is how many are made in all.
	Requests int
	// Targets are the processes; each request goes to any of them.
	Targets []Target
	// Faults are in the order of After, which is less than Requests.
	Faults []Fault
}

// Run records the history in h, and does the faults one after another in the calling
// goroutine. At its end nothing is under way any more, and each session has been asked once
// more what it honours.
func (l *Load) Run(ctx context.Context, h *History) error {
	r := &run{load: l, history: h, book: new(book)}
	for range l.Faults {
		r.reached = append(r.reached, make(chan struct{}))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, together := errgroup.WithContext(ctx)
	for id := range l.Clients {
		group.Go(func() error { return r.client(id).loop(together) })
	}
	for i, f := range l.Faults {
		if err := r.fault(together, f, r.reached[i]); err != nil {
			cancel()
			return errors.Join(group.Wait(), err)
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return r.client(l.Clients).settle(ctx)
}

// run is one run of a Load.
type run struct {
	load    *Load
	history *History
	book    *book
	made    atomic.Int64
	reached []chan struct{} // by fault
}

func (r *run) fault(ctx context.Context, f Fault, reached <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-reached:
		return f.Do()
	}
}

// count counts a request that was made, and lets the faults happen that wait for it.
func (r *run) count() {
	made := r.made.Add(1)
	for i, f := range r.load.Faults {
		if int64(f.After) == made {
			close(r.reached[i])
		}
	}
}

func (r *run) client(id int) *client {
	return &client{run: r, id: id, chance: rand.New(rand.NewPCG(r.load.Seed, uint64(id)))}
}
