// Package throttle says who may try a password now.
//
// Start at [Limiter.Begin]. Failures are counted by account and address together
// (the pair), by address over all accounts (stolen lists), by the site that an IPv6
// address is of, and by account over all addresses (a distributed guess). After its free failures each further one doubles
// a counter's wait, from a second to MaxWait. Then a counter forgets one failure for
// each MaxWait without another, so that in a time t no pattern of tries gets more than
// free + log2(MaxWait in seconds) rounded up + 1 + t/MaxWait of them past a counter.
//
// With Rules{Pair: 5, Address: 50, Account: 50, MaxWait: 15 * time.Minute} a guesser
// of one account gets 109 tries on the first day and 96 on each later one from a
// single address; from any number of addresses together 154 and 96, and up to 60 more
// whenever the owner logs in from an address that is new to the account.
//
// Nothing is ever locked. NIST SP 800-63B-4 §3.2.2 disables a password after 100
// failures in a row, which lets anyone lock out anyone. Of what it names for keeping
// the owner in, the package uses growing waits and addresses at which the account was
// proved before. From such an address only the pair's waits hold: neither a
// distributed guess nor a neighbour behind the same NAT keeps the owner out. Who can
// still be delayed, by MaxWait at a time: an owner at a new address while others guess,
// and one whose neighbour guesses the same account. Proofs end with the process.
//
// The exemption tells something: whoever shares an address with others, and lets it
// wait, learns by the tries that pass which accounts were proved from there. Clients
// behind a proxy that is not trusted all share one.
//
// Storage is bounded whatever is sent (table.go). Keys are hashes under a random
// seed: names are not kept, and nobody can aim at another's slot.
//
// Replicas of one issuer count together ([NewShared], [Limiter.Share]): once a second
// each stores what failed and what was proved at it, and reads what the others stored.
// There are keys and times in it, the keys hashes under a secret that lies in the same
// database, and never a name or an address as it is. A failure is known at all replicas three seconds later, a proof clears
// and exempts as late. Until then a replica takes it that each
// other one let as many tries pass as itself, and refuses more for these seconds. What
// passed at several at the same instant nevertheless is paid back: the next wait is as
// many times longer, up to N times MaxWait with N replicas.
//
// So they give a guesser 2(N-1) tries more than one, however long he goes on: with
// the rules above and three replicas 4. Where MaxWait is not longer than the D = 3 s and
// the time of a try, it is 3(N-1) more for each MaxWait in D. This holds while exchanges
// are answered within a second, and fewer than 500 tries a second fail at a replica. When
// exchanges fail for a time, each replica may give its own free tries once; after half a
// minute each is as if it were alone, and when it is over they tell each other of the last
// ten minutes. That is also what a replica knows that starts.
//
// The price: within these three seconds a replica leaves only the Nth part of the free
// failures free, and one at least. Whoever mistypes faster waits for the rest of them.
package throttle

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// Rules are how many failures are free before waits begin; 0 turns a rule off.
type Rules struct {
	Pair    int // of one account from one address
	Address int // from one address, over all accounts
	Account int // of one account, over all addresses
	// MaxWait is the longest wait, and how long a failure is remembered after it;
	// at least a second.
	MaxWait time.Duration
}

// Limiter counts tries: safe for concurrent use.
type Limiter struct {
	seed   maphash.Seed
	now    func() time.Time
	start  time.Time
	rules  atomic.Pointer[[kinds]rule]
	shards [shards]shard
	peers  *peers // nil: no other replica is heard
}

// Outcome is how a try ended.
type Outcome int

// Outcomes. Void is neither of the others: the server failed or was busy.
const (
	Failed Outcome = iota // what an outcome is when nobody says
	Proved
	Void
)

// New returns a Limiter that has seen nothing; now is the clock, nil means time.Now.
func New(r Rules, now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	l := &Limiter{seed: maphash.MakeSeed(), now: now, start: now()}
	for i := range l.shards {
		l.shards[i].init()
	}
	l.SetRules(r)
	return l
}

// SetRules puts r in force, for what is counted already too.
func (l *Limiter) SetRules(r Rules) {
	l.rules.Store(&[kinds]rule{
		pair:    newRule(r.Pair, r.MaxWait),
		address: newRule(r.Address, r.MaxWait),
		account: newRule(r.Account, r.MaxWait),
		site:    newRule(r.Address*siteShare, r.MaxWait),
	})
}

// Begin asks for one try at the account with this canonical name ("": only the
// address counts) from the client's address (the zero Addr: unknown, and all unknown
// ones are one). If wait > 0 the try is refused, nothing was counted and done is nil.
// Otherwise the try counts as failed until done is called, once, with its outcome:
// parallel guesses cannot all pass before the first fails.
func (l *Limiter) Begin(name string, from netip.Addr) (done func(Outcome), wait time.Duration) {
	t := l.newTry(name, from)
	now := l.clock()
	t.lock()
	defer t.unlock()
	t.known = t.exempts() && l.of(t.keys[account]).known.has(t.keys, now)
	if wait := t.wait(now); wait > 0 {
		return nil, wait
	}
	t.charge(now)
	return t.end, 0
}

// clock is the time since the Limiter was made. The wall clock's jumps do not
// matter if now reads a monotonic one.
func (l *Limiter) clock() time.Duration { return l.now().Sub(l.start) }

// of returns where what belongs to a key is.
func (l *Limiter) of(key uint64) *shard { return &l.shards[key%shards] }

// network is what counts as one address. Whoever has one IPv6 address has its /64.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is6() {
		return a
	}
	return prefix(a, 64)
}

// Whoever has one /64 may have a /48 of them (RFC 6177 §2): failures from there count
// together too, and so many times those of an address are free.
const (
	siteBits  = 48
	siteShare = 16
)

func prefix(a netip.Addr, bits int) netip.Addr {
	p, _ := a.Prefix(bits) // drops the zone
	return p.Addr()
}
