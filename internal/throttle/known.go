package throttle

import "time"

const (
	// knownFor is how long an address stays known to an account.
	knownFor = 30 * 24 * time.Hour
	// knownOf is how many addresses are known to one account. It is less than a set has,
	// so that no account pushes out another's alone.
	knownOf = 4
)

// proof is that an account was proved from an address.
type proof struct {
	account, address uint64
	at               time.Duration
}

// known are the proofs of a shard's accounts. Only the right password adds one.
type known struct{ table[proof] }

func (k *known) has(ks keys, now time.Duration) bool {
	s := k.get(ks[account])
	if s == nil {
		return false
	}
	for i := range s {
		if s[i].of(ks) {
			s[i].at = min(s[i].at, now) // a clock that went back
			return !s[i].free(now)
		}
	}
	return false
}

func (k *known) add(ks keys, now time.Duration) {
	*victim(k.use(ks[account]), ks, now) = proof{account: ks[account], address: ks[address], at: now}
}

func (p *proof) of(ks keys) bool { return p.account == ks[account] && p.address == ks[address] }

func (p *proof) free(now time.Duration) bool {
	return *p == proof{} || now-p.at > knownFor
}

// victim returns the slot for a new proof: the pair's own, the account's oldest if it
// has its share, a free one, the oldest.
func victim(s *set[proof], ks keys, now time.Duration) *proof {
	var own int
	var oldest, ownOldest *proof
	for i := range s {
		p := &s[i]
		switch {
		case p.of(ks):
			return p
		case p.account == ks[account] && !p.free(now):
			own++
			ownOldest = older(ownOldest, p, now)
		}
		oldest = older(oldest, p, now)
	}
	if own >= knownOf {
		return ownOldest
	}
	return oldest
}

// older returns the one to give up first; a may be nil.
func older(a, b *proof, now time.Duration) *proof {
	switch {
	case a == nil, b.free(now) && !a.free(now):
		return b
	case a.free(now), a.at <= b.at:
		return a
	}
	return b
}
