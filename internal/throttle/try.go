package throttle

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"time"
)

// kind is one of the four counters.
type kind uint8

const (
	pair kind = iota
	address
	account
	site
	kinds
)

// keys are the counters of one try, by kind.
type keys [kinds]uint64

// try is what one Begin charged.
type try struct {
	limiter *Limiter
	rules   [kinds]rule
	keys    keys
	named   bool // the account's counters count
	placed  bool // the address is one client's, not that of all unknown ones
	sited   bool // the address is one of many that its owner may have
	known   bool // the account was proved from this address lately
	ended   bool
	charged [kinds]charge
}

// charge is a counter before and after a try was added.
type charge struct {
	before, after counter
	raised        bool // not where the count was at its ceiling already
}

// subject is what a counter counts.
type subject struct {
	kind kind
	name string
	net  netip.Addr
}

// key is where the counter of a subject is.
func (l *Limiter) key(s subject) uint64 {
	if l.peers != nil {
		return l.peers.key(s)
	}
	return maphash.Comparable(l.seed, s)
}

func (l *Limiter) newTry(name string, from netip.Addr) *try {
	net := network(from)
	t := &try{limiter: l, rules: *l.rules.Load(), named: name != "", placed: net.IsValid()}
	t.keys[address] = l.key(subject{kind: address, net: net})
	t.keys[site] = t.keys[address]
	if t.sited = net.Is6(); t.sited {
		t.keys[site] = l.key(subject{kind: site, net: prefix(net, siteBits)})
	}
	if !t.named { // one lock is enough
		t.keys[pair], t.keys[account] = t.keys[address], t.keys[address]
		return t
	}
	t.keys[pair] = l.key(subject{pair, name, net})
	t.keys[account] = l.key(subject{kind: account, name: name})
	return t
}

// exempts reports whether having been proved before can count for this try: never
// for an address that attackers share, and only while the pair's rule limits it.
func (t *try) exempts() bool {
	return t.named && t.placed && t.rules[pair].on()
}

// counts reports whether the try is charged to a counter. Failures at a known
// address stay apart from those of the account elsewhere, so that neither its
// failures keep others out nor its successes free a distributed attacker.
func (t *try) counts(k kind) bool {
	switch {
	case !t.rules[k].on():
		return false
	case k == address:
		return true
	case k == site:
		return t.sited
	case k == account:
		return t.named && !t.known
	}
	return t.named
}

// holds reports whether a counter that the try is charged to can make it wait.
func (t *try) holds(k kind) bool { return k == pair || !t.known }

// lock takes the shards of the keys, in the order in which every try takes them.
func (t *try) lock() {
	for _, i := range t.shards() {
		t.limiter.shards[i].Lock()
	}
}

func (t *try) unlock() {
	for _, i := range t.shards() {
		t.limiter.shards[i].Unlock()
	}
}

func (t *try) shards() []uint64 {
	var s []uint64
	for _, key := range t.keys {
		s = append(s, key%shards)
	}
	slices.Sort(s)
	return slices.Compact(s)
}

// counter returns a counter to which the try is charged, nil if it is not or the
// counter has been evicted.
func (t *try) counter(k kind) *counter {
	if !t.counts(k) {
		return nil
	}
	return find(t.table(k), t.keys[k])
}

func (t *try) table(k kind) *table[counter] {
	return &t.limiter.of(t.keys[k]).counters[k]
}

// wait is the longest of the counters' waits.
func (t *try) wait(now time.Duration) (wait time.Duration) {
	for k := range kinds {
		if c := t.counter(k); c != nil && t.holds(k) {
			c.last = min(c.last, now) // a clock that went back: the wait begins again
			wait = max(wait, t.rules[k].left(*c, now), t.doubt(k, *c, now))
		}
	}
	return wait
}

func (t *try) charge(now time.Duration) {
	for k := range kinds {
		if !t.counts(k) {
			continue
		}
		c := place(t.table(k), t.keys[k], t.rules[k], now)
		before, rule := *c, t.rules[k]
		*c = rule.add(before, t.keys[k], now)
		t.charged[k] = charge{before, *c, c.count > rule.failures(before, now)}
	}
	t.tellBegin()
}

// end is the done of Begin. A second call does nothing.
func (t *try) end(o Outcome) {
	now := t.limiter.clock()
	t.lock()
	defer t.unlock()
	if t.ended {
		return
	}
	t.ended = true
	t.tellEnd(o, now)
	switch o {
	case Void:
		t.takeBack(pair, address, account, site)
	case Proved:
		t.clear(pair, account)
		t.takeBack(address, site) // not more: one good account must not buy an address new tries
		if t.exempts() {
			t.limiter.of(t.keys[account]).known.add(t.keys, now)
		}
	}
}

// takeBack undoes the charges, exactly if nothing came after. What a try did not add is
// not taken: else parallel logins of good accounts would wear down their address's count.
func (t *try) takeBack(ks ...kind) {
	for _, k := range ks {
		switch c := t.counter(k); {
		case c == nil:
		case *c == t.charged[k].after:
			*c = t.charged[k].before
		case t.charged[k].raised:
			c.count--
		}
	}
}

func (t *try) clear(ks ...kind) {
	for _, k := range ks {
		if c := t.counter(k); c != nil {
			*c = counter{}
		}
	}
}
