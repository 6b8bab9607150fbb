package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The flood: so many connections, of which those that do not wait for a core (the queue
// of the default configuration) ask for so many times what the cores can do. It begins a
// lead before what is measured, so that the queue is full then.
const (
	floodConnections = 256
	floodQueue       = 64
	floodFactor      = 4
	floodLead        = time.Second
)

// flood is one wrk with logins, again and again.
type flood struct {
	load
	all     outcome // of every time
	running sync.WaitGroup
	err     error
}

func measureFlood(ctx context.Context, l *lab) error {
	dir, tokens, err := l.withSessions(ctx, "flood", 2*l.scale.turns)
	if err != nil {
		return err
	}
	s, err := l.serve(ctx, dir)
	if err != nil {
		return err
	}
	defer s.Stop()
	f := &flood{load: loginLoad(s.url)}
	f.connections, f.refusals = floodConnections, true
	f.delay = floodDelay(hashRate(time.Second))
	defer f.running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return l.flooded(ctx, f, refreshLoad(s.url, tokens), keySetLoad(s.url))
}

// floodDelay is how long a connection waits after a refusal.
func floodDelay(capacity float64) time.Duration {
	free := floodConnections - floodQueue
	return time.Duration(float64(free) / (floodFactor * max(1, capacity)) * float64(time.Second))
}

// flooded measures two loads during the flood, and then without it, in turns.
func (l *lab) flooded(ctx context.Context, f *flood, refresh, jwks load) error {
	var during, alone [2]seen
	first := func(ctx context.Context) (float64, error) {
		if err := f.begin(ctx, l, 2*l.scale.slice+2*floodLead); err != nil {
			return 0, err
		}
		return l.side(refresh, &during[0])(ctx)
	}
	last := func(ctx context.Context) (float64, error) {
		v, err := l.side(jwks, &during[1])(ctx)
		f.running.Wait()
		return v, errors.Join(err, f.err)
	}
	got, err := inTurns(ctx, l.scale.turns, first, last, l.side(refresh, &alone[0]), l.side(jwks, &alone[1]))
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%d logins were answered meanwhile, %d of them refused; %d connections failed", f.all.Requests, f.all.Refused, f.all.Broken)
	l.foundUnder(workFloodFresh, got[0], got[2], median(during[0].cpu), note)
	l.foundUnder(workFloodP99, median(during[0].p99), median(alone[0].p99), median(during[0].cpu), "")
	l.foundUnder(workFloodJWKS, got[1], got[3], median(during[1].cpu), "")
	l.foundUnder(workFloodJP99, median(during[1].p99), median(alone[1].p99), median(during[1].cpu), "")
	return nil
}

// begin starts the flood, and returns when it has filled the queue.
func (f *flood) begin(ctx context.Context, l *lab, slice time.Duration) error {
	f.running.Go(func() {
		var o outcome
		o, f.err = l.run(ctx, f.load, slice)
		f.all.Requests, f.all.Refused, f.all.Broken = f.all.Requests+o.Requests, f.all.Refused+o.Refused, f.all.Broken+o.Broken
	})
	select {
	case <-time.After(floodLead):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
