package throttle

import "time"

// count counts what another replica told in a batch that was made at a time.
func (l *Limiter) count(t told, made time.Duration) {
	for _, p := range t.proofs {
		l.hearProof(p, made-p.age)
	}
	for _, c := range t.charges {
		l.hearCharge(c, made-c.age)
	}
}

// hearProof clears what a proof here would clear, as far as it is older.
func (l *Limiter) hearProof(p toldProof, at time.Duration) {
	l.clearHeard(flightKey{pair, p.pair}, at)
	if p.clears {
		l.clearHeard(flightKey{account, p.account}, at)
	}
	if p.known {
		s := l.of(p.account)
		s.Lock()
		defer s.Unlock()
		s.known.add(keys{account: p.account, address: p.address}, at)
	}
}

func (l *Limiter) clearHeard(k flightKey, at time.Duration) {
	s := l.of(k.key)
	s.Lock()
	defer s.Unlock()
	later := l.peers.flights.clearHeard(k, at)
	c := find(&s.counters[k.kind], k.key)
	if c == nil {
		return
	}
	if c.last <= at {
		later = 0
	}
	c.count, c.owed = min(c.count, later), 0
}

// clearHeard notes that a counter was cleared elsewhere, and returns how many tries here
// may be later.
func (f *flights) clearHeard(k flightKey, at time.Duration) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	flight := f.use(k, 0)
	if flight == nil {
		return 0
	}
	later := flight.mine()
	flight.proved, flight.cleared = at, rounds+1
	return later
}

// hearCharge counts failures as if they had been made here.
func (l *Limiter) hearCharge(c toldCharge, last time.Duration) {
	r := l.rules.Load()[c.kind]
	if !r.on() || c.failures == 0 {
		return
	}
	s := l.of(c.key)
	s.Lock()
	defer s.Unlock()
	proved, cleared := l.peers.flights.clearedAt(c.flightKey)
	most := l.peers.flights.mostOwed(r)
	at, step := last-c.span, c.span/time.Duration(max(1, c.failures-1))
	for range c.failures {
		if !cleared || at >= proved {
			slot := place(&s.counters[c.kind], c.key, r, l.clock())
			*slot = r.merge(*slot, c.key, at, most)
		}
		at += step
	}
}

// clearedAt returns when a counter was cleared, if it was lately.
func (f *flights) clearedAt(k flightKey) (time.Duration, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if flight := f.of[k]; flight != nil && flight.cleared > 0 {
		return flight.proved, true
	}
	return 0, false
}

// merge counts a failure at another replica. A try that would have been refused here
// has used up a later one: it counts as if it had come at the end of the wait, up to
// most of them when the count is at its ceiling. So each counts once in the bound on
// tries, in whatever order replicas hear of them.
func (r rule) merge(c counter, key uint64, at time.Duration, most uint32) counter {
	switch {
	case c.count == 0 || at >= c.last+r.hold(c):
		return r.add(c, key, at)
	case c.count < r.ceiling:
		c.count++
		c.last = max(c.last, at)
	case c.owed < most:
		c.owed++
	default:
		c.last = max(c.last, at)
	}
	return c
}
