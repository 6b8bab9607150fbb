package throttle

import (
	"slices"
	"sync"
	"time"
)

// How much a replica tells, whatever is tried: the counters with the most failures
// first, and later ones than maxFlights not while there is no room.
const (
	maxFlights = 1 << 14
	maxCharges = 2048 // in a batch
	maxProofs  = 1024 // in a batch, and in waiting
)

// rounds is in how many exchanges that work the tries of one instant become known to all.
const rounds = int(settle / Interval)

// flights are the tries that the other replicas may not know of yet.
type flights struct {
	mu     sync.Mutex
	others uint32 // replicas besides this one
	of     map[flightKey]*flight
	proofs map[uint64]provedAt // by pair
}

type flightKey struct {
	kind kind
	key  uint64
}

// flight is what happened at one counter lately.
type flight struct {
	count       uint32         // of the counter
	open        uint32         // tries that have not ended
	failed      [rounds]uint32 // since the last exchange, the one before, …
	unsent      uint32         // failures to tell
	first, last time.Duration  // when the unsent ones began
	proved      time.Duration  // when the counter was cleared
	cleared     int            // rounds for which that is to be remembered
}

// provedAt is a proof to tell.
type provedAt struct {
	proof
	clears bool // the account's counter too
	known  bool // the address is known from now on
}

func newFlights() flights {
	return flights{of: make(map[flightKey]*flight), proofs: make(map[uint64]provedAt)}
}

// mine is how many tries at a counter this replica let pass that others may not know of.
func (f *flight) mine() (n uint32) {
	for _, failed := range f.failed {
		n += failed
	}
	return n + f.open
}

func (f *flight) idle() bool { return f.mine() == 0 && f.unsent == 0 && f.cleared == 0 }

// use returns a counter's flight, nil if there is no room.
func (f *flights) use(k flightKey, count uint32) *flight {
	if found := f.of[k]; found != nil {
		found.count = count
		return found
	}
	if len(f.of) >= maxFlights && !f.evict(count) {
		return nil
	}
	made := &flight{count: count}
	f.of[k] = made
	return made
}

// evict makes room for a counter with so many failures, of eight others by that of the
// fewest, if it has no more.
func (f *flights) evict(count uint32) bool {
	var mildest flightKey
	found, looked := false, 0
	for k, other := range f.of {
		if other.open == 0 && other.count <= count {
			mildest, found, count = k, true, other.count
		}
		if looked++; looked == ways {
			break
		}
	}
	if found {
		delete(f.of, mildest)
	}
	return found
}

// unknown is how many tries the others may have let pass meanwhile, if each did as
// this replica.
func (f *flights) unknown(k flightKey) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if found := f.of[k]; found != nil {
		return f.others * found.mine()
	}
	return 0
}

// mostOwed bounds what a counter can owe: one wait for each other replica, or where
// waits are short as many as it lets pass until it hears.
func (f *flights) mostOwed(r rule) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.others * uint32(1+2*settle/r.maxWait)
}

// age ends a round with so many other replicas. One that failed settles nothing, unless
// it has failed so long that this replica is alone.
func (f *flights) age(others int, heard bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.others = uint32(others)
	if !heard && others > 0 {
		return
	}
	for k, flight := range f.of {
		copy(flight.failed[1:], flight.failed[:rounds-1])
		flight.failed[0] = 0
		flight.cleared = max(0, flight.cleared-1)
		if flight.idle() {
			delete(f.of, k)
		}
	}
}

// take returns what is to be told and takes it as told.
func (f *flights) take(now time.Duration) told {
	f.mu.Lock()
	defer f.mu.Unlock()
	var t told
	for k, p := range f.proofs {
		t.proofs = append(t.proofs, toldProof{k, p, now - p.at})
	}
	clear(f.proofs)
	var unsent []flightKey
	for k, flight := range f.of {
		if flight.unsent > 0 {
			unsent = append(unsent, k)
		}
	}
	slices.SortFunc(unsent, func(a, b flightKey) int { return int(f.of[b].count) - int(f.of[a].count) })
	for _, k := range unsent[:min(len(unsent), maxCharges)] {
		flight := f.of[k]
		t.charges = append(t.charges, toldCharge{k, min(flight.unsent, maxFailures), now - flight.last, flight.last - flight.first})
		flight.unsent = 0
	}
	return t
}

// doubt is the wait of a counter if the other replicas have let pass as many tries as
// this one since they last heard of each other. So a burst at all replicas at once gets
// its free tries once, and not from each. The wait ends when they have heard.
func (t *try) doubt(k kind, c counter, now time.Duration) time.Duration {
	p := t.limiter.peers
	if p == nil {
		return 0
	}
	unknown := p.flights.unknown(flightKey{k, t.keys[k]})
	if unknown == 0 {
		return 0
	}
	c.count = min(c.count+unknown, t.rules[k].ceiling)
	return min(t.rules[k].left(c, now), settle)
}

// tellBegin and tellEnd note a try for the next exchange.
func (t *try) tellBegin() {
	p := t.limiter.peers
	if p == nil {
		return
	}
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	for k := range kinds {
		if !t.counts(k) {
			continue
		}
		if f := p.flights.use(flightKey{k, t.keys[k]}, t.charged[k].after.count); f != nil {
			f.open++
		}
	}
}

func (t *try) tellEnd(o Outcome, now time.Duration) {
	p := t.limiter.peers
	if p == nil {
		return
	}
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	for k := range kinds {
		if t.counts(k) {
			p.flights.end(flightKey{k, t.keys[k]}, o, t.charged[k].after.last, now)
		}
	}
	if o == Proved && t.named {
		p.flights.prove(t, now)
	}
}

// end notes how a try at a counter ended.
func (f *flights) end(k flightKey, o Outcome, began, now time.Duration) {
	flight := f.of[k]
	if flight == nil {
		return // there was no room
	}
	if flight.open > 0 {
		flight.open--
	}
	switch {
	case o == Failed:
		flight.failed[0]++
		flight.fail(began)
	case o == Proved && (k.kind == pair || k.kind == account):
		flight.clear(now)
	}
	if flight.idle() {
		delete(f.of, k)
	}
}

func (f *flight) fail(began time.Duration) {
	if f.unsent == 0 {
		f.first, f.last = began, began
	}
	f.first, f.last = min(f.first, began), max(f.last, began)
	f.unsent++
}

// clear notes that a counter was cleared: failures before it that are heard of later do
// not count any more.
func (f *flight) clear(at time.Duration) {
	f.unsent, f.failed, f.proved, f.cleared = 0, [rounds]uint32{}, at, rounds+1
}

func (f *flights) prove(t *try, now time.Duration) {
	if _, there := f.proofs[t.keys[pair]]; !there && len(f.proofs) >= maxProofs {
		return
	}
	p := provedAt{proof{account: t.keys[account], address: t.keys[address], at: now}, t.counts(account), t.exempts()}
	p.clears = p.clears || f.proofs[t.keys[pair]].clears
	f.proofs[t.keys[pair]] = p
}
