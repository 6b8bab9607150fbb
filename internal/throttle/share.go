package throttle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// Interval is how often a replica tells what it counted and hears the others.
	Interval = time.Second
	// Kept is how long a batch stays for a replica that was cut off.
	Kept = 10 * time.Minute
	// MaxBatches is how many batches one Exchange returns.
	MaxBatches = 64

	// answerTime bounds an Exchange.
	answerTime = 5 * time.Second
	// beat is how often a replica that counted nothing says that it is there, and
	// silence is after which time it is not.
	beat    = 10 * time.Second
	silence = 3 * beat
	// settle is when tries of one instant are known to all: one replica writes up to
	// an interval later, another reads up to an interval after that, and the answers
	// of the database take less than a third.
	settle = 3 * Interval
)

// Exchange is the table over which the replicas of one issuer hear of each other.
type Exchange interface {
	// Exchange stores out, unless its number is 0 or its replica has stored that
	// number already: a call whose answer was lost can be repeated. It returns up to
	// MaxBatches of other replicas that are younger than Kept, those of one replica in
	// the order of their numbers from the one after seen.
	Exchange(ctx context.Context, out Batch, seen map[int64]int64) ([]Batch, error)
	// Sweep forgets the batches that are older than Kept.
	Sweep(ctx context.Context) error
}

// Batch is what one replica counted between two exchanges.
type Batch struct {
	Replica int64         // of one process: random, above 0
	Number  int64         // 1, 2, … without gaps
	Age     time.Duration // how long ago it was made
	Body    []byte        // MaxBody bytes at most
}

// NewShared is New for one of several replicas: all of them have the same secret key,
// and tell each other what they count while Share runs.
func NewShared(r Rules, now func() time.Time, key []byte) *Limiter {
	l := New(r, now)
	l.peers = newPeers(key)
	return l
}

// Share exchanges counts with the other replicas until ctx ends. No try waits for it.
// While it fails the replica counts alone, and tells afterwards what it did not tell.
func (l *Limiter) Share(ctx context.Context, x Exchange, log *slog.Logger) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	failing := false
	for ctx.Err() == nil {
		err := l.round(ctx, x)
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			log.WarnContext(ctx, "failed logins at other replicas are not heard of, and none are told", "err", err)
		case err == nil && failing:
			log.InfoContext(ctx, "failed logins at other replicas are heard of again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// round is one exchange; or some, if there is more to hear.
func (l *Limiter) round(ctx context.Context, x Exchange) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := l.exchange(ctx, x)
	l.peers.settle(l.clock(), err == nil)
	if err != nil {
		return err
	}
	return l.peers.sweep(ctx, x, l.clock())
}

func (l *Limiter) exchange(ctx context.Context, x Exchange) error {
	out := l.peers.next(l.clock())
	for {
		theirs, err := x.Exchange(ctx, out, l.peers.seen)
		if err != nil {
			return err
		}
		l.peers.told(out)
		if err := l.hear(theirs); err != nil || len(theirs) < MaxBatches {
			return err
		}
		out = Batch{Replica: l.peers.replica}
	}
}

// hear counts what others did. A batch that cannot be read is passed over.
func (l *Limiter) hear(theirs []Batch) error {
	var unread error
	now := l.clock()
	for _, b := range theirs {
		if !l.peers.fresh(b, now) {
			continue
		}
		t, err := parseTold(b.Body)
		if err != nil {
			unread = errors.Join(unread, fmt.Errorf("batch %d of replica %x: %w", b.Number, b.Replica, err))
			continue
		}
		l.count(t, now-b.Age)
	}
	return unread
}
