// Package peers is what the servers of one issuer tell each other for operators, over the
// database that they share: who fetched the key set from each, and what each has signed by
// which key.
//
// Start at [Sharer.Run], which tells, and [Sharer.Others], which reads what the others told.
// No request waits for either. What is told is bounded by the places of consumers.Table,
// some of them every [Interval], and is forgotten after [Kept]. As in package consumers
// nothing here is proved, so it must permit nothing.
package peers

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"time"

	"signet/internal/consumers"
)

const (
	// Interval is how soon a server tells of a consumer that has another version of the key
	// set than before, and Beat how often it says that it is there, with its counts.
	Interval = 2 * time.Second
	Beat     = 10 * time.Second
	// Kept is how long what was told is news.
	Kept = 24 * time.Hour
	// MaxStates and MaxPlaces bound what is read: the latest, of places regular ones first.
	MaxStates = 256
	MaxPlaces = 1 << 14

	// silence is after which time a server is not there that did not say that it ends.
	silence = 3 * Beat
	// again is how often a consumer is told of that fetches the version that it had.
	again = 10 * time.Minute
	// most bounds what one round tells: forged consumers cost no more writes than these.
	most = 256
	// sweepEvery is how often what is no news is deleted, by each server.
	sweepEvery = 10 * time.Minute
	// answerTime bounds a round, and the last word of a server that ends.
	answerTime = 5 * time.Second
)

// Store is where it is told. Where a call failed it may have been made; it can be repeated.
type Store interface {
	// TellPeers puts the state of a replica, and each of the places, in the place of what it told
	// there before. The replica of the places is that of the state.
	TellPeers(ctx context.Context, state State, places []Place) error
	// Peers returns what other replicas told within Kept: MaxStates and MaxPlaces at most.
	Peers(ctx context.Context, replica int64) ([]State, []Place, error)
	// SweepPeers deletes what was told before.
	SweepPeers(ctx context.Context) error
}

// State is what a replica says of itself.
type State struct {
	Replica int64         // of one process: random, above 0
	Age     time.Duration // how long ago it was told
	Body    []byte
}

// Place is one of a replica's consumers.
type Place struct {
	Replica int64
	Number  int
	Age     time.Duration // how long ago it fetched last
	Regular bool
	Body    []byte
}

// Options are what a Sharer tells of.
type Options struct {
	Store Store
	// Name is by what people know this server.
	Name  string
	Table *consumers.Table
	// Uses is what this server has signed, by kid.
	Uses func() map[string]Use
	// Now is the clock of the Table; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Sharer tells of one server, and hears of the others.
type Sharer struct {
	Options
	replica int64
	started time.Time
	told    map[int]told // by place; of Run alone
	beaten  time.Time    // when the state was told last
}

// New returns a Sharer of a server that starts now.
func New(opts Options) *Sharer {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	var random [8]byte
	rand.Read(random[:])
	return &Sharer{Options: opts, replica: int64(binary.BigEndian.Uint64(random[:])>>1 | 1), started: opts.Now(), told: make(map[int]told)}
}

// Run tells until ctx ends, and then that the server ends. What could not be told is told
// later.
func (s *Sharer) Run(ctx context.Context) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	failing, swept := false, s.Now()
	for ctx.Err() == nil {
		err := s.round(ctx)
		if err == nil && s.Now().Sub(swept) >= sweepEvery {
			err, swept = s.sweep(ctx), s.Now()
		}
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			s.Log.WarnContext(ctx, "the other servers are not told who fetches the key set here", "err", err)
		case err == nil && failing:
			s.Log.InfoContext(ctx, "the other servers are told again who fetches the key set here")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	s.end(context.WithoutCancel(ctx))
}

// round tells what has changed, and the state if it is time.
func (s *Sharer) round(ctx context.Context) error {
	now := s.Now()
	news := s.news(now)
	if len(news) == 0 && !s.beaten.IsZero() && now.Sub(s.beaten).Abs() < Beat {
		return nil
	}
	return s.tell(ctx, news, false)
}

func (s *Sharer) end(ctx context.Context) {
	if err := s.tell(ctx, s.news(s.Now()), true); err != nil {
		s.Log.WarnContext(ctx, "the other servers are not told that this one ends", "err", err)
	}
}

func (s *Sharer) tell(ctx context.Context, news []change, ends bool) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	now := s.Now()
	places := make([]Place, 0, len(news))
	for _, n := range news {
		places = append(places, Place{Replica: s.replica, Number: n.place, Age: max(0, now.Sub(n.consumer.Last)), Regular: n.consumer.Regular, Body: encode(n.consumer)})
	}
	if err := s.Store.TellPeers(ctx, State{Replica: s.replica, Body: s.state(ends)}, places); err != nil {
		return err
	}
	for _, n := range news {
		s.told[n.place] = toldOf(n.consumer)
	}
	s.beaten = now
	return nil
}

func (s *Sharer) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return s.Store.SweepPeers(ctx)
}
