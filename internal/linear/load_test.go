package linear

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// runInside makes a history of an issuer in this process, behind what through puts before it.
func runInside(t *testing.T, seed uint64, window time.Duration, faults []Fault, replace func(*parts), through func(Target) Target) *History {
	t.Helper()
	accounts := []string{"kyoko", "madoka"}
	h := NewHistory(window)
	load := Load{Seed: seed, Users: accounts, Clients: 6, Requests: 300, Faults: faults,
		Targets: []Target{through(newInside(t, window, accounts, replace))}}
	must(t, load.Run(t.Context(), h))
	return h
}

func straight(to Target) Target { return to }

// lossy loses the answers of some requests: of those that are done, that are not, and
// that are done later.
type lossy struct {
	Target
	made  atomic.Int64
	later sync.WaitGroup
}

func (l *lossy) Do(ctx context.Context, r Request) Reply {
	switch l.made.Add(1) % 60 {
	case 0:
		return Reply{Answer: Lost}
	case 20:
		l.Target.Do(ctx, r)
		return Reply{Answer: Lost}
	case 40:
		l.later.Go(func() { l.Target.Do(context.WithoutCancel(ctx), r) })
		return Reply{Answer: Lost}
	default:
		return l.Target.Do(ctx, r)
	}
}

// TestSoundStores: no history of an issuer that keeps the rules is called a violation.
func TestSoundStores(t *testing.T) {
	stores := map[string]func(*parts){
		"memory": func(p *parts) { p.sessions = newMemory() },
		"bbolt":  func(*parts) {},
	}
	for name, replace := range stores {
		for seed, window := range []time.Duration{0, 0, time.Second, 5 * time.Minute, 5 * time.Minute} {
			t.Run(fmt.Sprintf("%s/%v/%d", name, window, seed), func(t *testing.T) {
				t.Parallel()
				must(t, runInside(t, uint64(seed), window, nil, replace, straight).Check(time.Minute))
			})
			t.Run(fmt.Sprintf("%s/%v/%d/lossy", name, window, seed), func(t *testing.T) {
				t.Parallel()
				var l lossy
				h := runInside(t, uint64(seed), window, nil, replace, func(to Target) Target { l.Target = to; return &l })
				l.later.Wait()
				must(t, h.Check(time.Minute))
			})
		}
	}
}

// TestBrokenStores: each fault is found in a few histories.
func TestBrokenStores(t *testing.T) {
	crashing := newMemory()
	stores := map[string]struct {
		faults  []Fault
		replace func(*parts)
	}{
		"a lost update":                    {replace: func(p *parts) { p.sessions = lostUpdate{newMemory()} }},
		"reuse does not end the session":   {replace: func(p *parts) { p.sessions = mildReuse{newMemory()} }},
		"a conflict is told as an end":     {replace: func(p *parts) { p.sessions = &letsOut{memory: newMemory()} }},
		"a logout that is not stored":      {replace: func(p *parts) { p.sessions = &late{memory: newMemory()} }},
		"reads from an old copy":           {replace: func(p *parts) { p.sessions = &staleReads{memory: newMemory()} }},
		"sessions outlive a disabling":     {replace: func(p *parts) { p.sessions = anyEpoch{newMemory()} }},
		"an account is remembered":         {replace: func(p *parts) { p.accounts = &remembered{Users: p.accounts} }},
		"a crash undoes acknowledged work": {faults: crashing.crash(), replace: func(p *parts) { p.sessions = crashing }},
	}
	for name, s := range stores {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				h := runInside(t, seed, 5*time.Minute, s.faults, s.replace, straight)
				if violation, ok := errors.AsType[*Violation](h.Check(time.Minute)); ok {
					t.Logf("seed %d: %s", seed, violation.Words)
					return
				}
			}
			t.Error("it was not found")
		})
	}
}
