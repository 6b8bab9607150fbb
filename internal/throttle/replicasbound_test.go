package throttle_test

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"signet/internal/throttle"
)

// guesser tries one counter at all replicas, and notes what passed.
type guesser struct {
	*replicas
	counter string
	tries   int
	takes   time.Duration // each try
	open    []func(throttle.Outcome)
	passed  []time.Duration
}

// try is one at a replica.
func (g *guesser) try(at *throttle.Limiter) (wait time.Duration) {
	g.tries++
	name, from := "kyoko", host(1)
	switch g.counter {
	case "address":
		name = fmt.Sprint(g.tries)
	case "account":
		from = host(g.tries)
	case "site":
		name, from = "", netip.AddrFrom16([16]byte{0x20, 0x01, 6: byte(g.tries >> 8), 7: byte(g.tries)})
	}
	done, wait := at.Begin(name, from)
	if wait == 0 {
		g.passed = append(g.passed, time.Duration(g.clock.Load()))
		g.open = append(g.open, done)
	}
	return wait
}

// rest ends the tries that are open, each after the time that it takes.
func (g *guesser) rest(d time.Duration) {
	d = max(d, g.takes)
	g.advance(g.takes)
	for _, done := range g.open {
		done(throttle.Failed)
	}
	g.open = nil
	g.advance(d - g.takes)
}

// burst tries at each replica in turn until it is refused, and returns the shortest wait.
func (g *guesser) burst(first int) time.Duration {
	shortest := time.Duration(1<<63 - 1)
	for i := range g.all {
		at := g.all[(first+i)%len(g.all)]
		wait := g.try(at)
		for wait == 0 {
			wait = g.try(at)
		}
		shortest = min(shortest, wait)
	}
	return shortest
}

// TestNoPatternOfTriesAtReplicasBeatsTheBound of the package comment: bursts at all
// replicas at the same instant, tries that take long, rests of any length, exchanges
// whose answers are late or lost.
func TestNoPatternOfTriesAtReplicasBeatsTheBound(t *testing.T) {
	most := -1000
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(rt, "replicas")
		free := rapid.IntRange(1, 20).Draw(rt, "free")
		maxWait := time.Duration(rapid.IntRange(1, 1000).Draw(rt, "max wait")) * time.Second
		kinds := map[string]throttle.Rules{
			"pair":    {Pair: free, MaxWait: maxWait},
			"address": {Address: free, MaxWait: maxWait},
			"account": {Account: free, MaxWait: maxWait},
			"site":    {Address: free, MaxWait: maxWait},
		}
		g := &guesser{counter: rapid.SampledFrom([]string{"pair", "address", "account", "site"}).Draw(rt, "counter")}
		g.replicas = newReplicas(t, kinds[g.counter], n)
		if g.counter == "site" {
			free *= 16
		}
		g.table.lag = time.Duration(rapid.IntRange(0, 900).Draw(rt, "lag, in milliseconds")) * time.Millisecond
		g.takes = time.Duration(rapid.IntRange(0, 3000).Draw(rt, "a try takes, in milliseconds")) * time.Millisecond
		more := (n - 1) * (2 + 3*int((3*throttle.Interval+g.takes)/maxWait))
		if rapid.Bool().Draw(rt, "lossy") {
			lossy(g.table, rapid.SliceOfN(rapid.IntRange(0, 2), 1, 30).Draw(rt, "failures"))
			more = (n - 1) * (2 + free + 3*int((5*throttle.Interval+g.takes)/maxWait))
		}
		steps := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 20).Draw(rt, "steps")
		numbers := rapid.SliceOfN(rapid.IntRange(0, 3000), 1, 20).Draw(rt, "numbers")
		wait := time.Duration(0)
		for i := range 60 {
			x := numbers[i%len(numbers)]
			switch steps[i%len(steps)] {
			case 0:
				g.rest(time.Duration(x) * time.Second)
			case 1, 2:
				g.rest(wait)
				wait = g.burst(x)
			case 3:
				g.rest(time.Duration(x) * time.Millisecond)
			case 4:
				wait = g.try(g.all[x%n])
			}
		}
		over := overBound(g, free, maxWait, more)
		most = max(most, over)
		if over > 0 {
			rt.Fatalf("%d tries more than the bound", over)
		}
	})
	if os.Getenv("SHOW") != "" {
		t.Log("most", most)
	}
}

// lossy lets calls fail, no two of one replica in a row: 1 before they did anything, 2
// after.
func lossy(x *table, failures []int) {
	calls, failed := 0, map[int64]bool{}
	x.fail = func(replica int64) (before, after error) {
		calls++
		how := failures[calls%len(failures)]
		if failed[replica] = how > 0 && !failed[replica]; !failed[replica] {
			return nil, nil
		}
		if how == 1 {
			return errTable, nil
		}
		return nil, errTable
	}
}

// overBound is how far a window of the tries that passed is beyond the bound, in tries.
func overBound(g *guesser, free int, maxWait time.Duration, more int) int {
	doublings := 0
	for time.Second<<doublings < maxWait {
		doublings++
	}
	over := -1 << 30
	for i := range g.passed {
		for j := i; j < len(g.passed); j++ {
			one := free + doublings + 1 + int((g.passed[j]-g.passed[i])/maxWait)
			over = max(over, j-i+1-one-more)
		}
	}
	return over
}

// TestGuessesPerDayAtThreeReplicas holds the number of the package comment.
func TestGuessesPerDayAtThreeReplicas(t *testing.T) {
	tests := []struct {
		counter     string
		rules       throttle.Rules
		first, then int // with one replica
	}{
		{"pair", defaults, 109, 96},
		{"account", defaults, 154, 96},
	}
	for _, test := range tests {
		t.Run(test.counter, func(t *testing.T) {
			g := &guesser{counter: test.counter, replicas: newReplicas(t, test.rules, 3)}
			began := time.Duration(g.clock.Load())
			for day, most := range []int{test.first + 4, test.first + 4 + test.then, test.first + 4 + 2*test.then} {
				for time.Duration(g.clock.Load())-began < time.Duration(day+1)*24*time.Hour {
					g.rest(g.burst(len(g.passed)))
				}
				t.Logf("%d guesses in %d days", len(g.passed), day+1)
				if len(g.passed) > most || len(g.passed) < most-20 {
					t.Errorf("%d guesses in %d days, want at most %d", len(g.passed), day+1, most)
				}
			}
		})
	}
}
