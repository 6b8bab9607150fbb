package consumers

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Storage: sets of eight slots, 4,096 in all. A consumer can be in one set only, which a
// random seed chooses: nobody can aim at another's, and a new one costs at most the
// least of eight others. About 2 MiB when all are in use.
const (
	sets = 512
	ways = 8
	// share is how many slots of a set one network may have: no sender fills a set alone.
	share = ways / 2
)

const (
	// regularAfter is how long after its first fetch a consumer comes back to be a
	// regular one. Forged consumers that are to count as such have to wait too.
	regularAfter = time.Hour
	// regularFor is how long a regular one that stays away keeps its place.
	regularFor = 7 * 24 * time.Hour
)

// set is eight slots, made when the first is used.
type set struct {
	sync.Mutex
	slots *[ways]slot
}

// slot is one consumer.
type slot struct {
	key      uint64
	consumer Consumer // free if Last is zero
}

// note records a fetch; !ok if someone was forgotten for it, or it found no room.
func (s *set) note(key uint64, f *Fetch) (ok bool) {
	s.Lock()
	defer s.Unlock()
	if s.slots == nil {
		s.slots = new([ways]slot)
	}
	for i := range s.slots {
		if have := &s.slots[i]; have.key == key && !have.free() {
			have.again(f)
			return true
		}
	}
	victim := s.victim(f)
	if victim == nil {
		return false
	}
	ok = victim.free()
	*victim = slot{key: key, consumer: newConsumer(f)}
	return ok
}

func newConsumer(f *Fetch) Consumer {
	return Consumer{Name: strings.Clone(f.Name), Address: f.Address, UserAgent: printable(f.UserAgent),
		First: f.At, Last: f.At, ETag: f.ETag, KIDs: f.KIDs}
}

// again is a fetch of a consumer that is known. What is the same is not written: most
// fetches find the version that they had.
func (s *slot) again(f *Fetch) {
	c := &s.consumer
	c.Regular = c.Regular || f.At.Sub(c.First) >= regularAfter
	c.Last = f.At
	if c.ETag != f.ETag {
		c.ETag, c.KIDs = f.ETag, f.KIDs
	}
	if c.Address != f.Address {
		c.Address = f.Address
	}
	if c.Name != "" && !s.shows(f.UserAgent) {
		c.UserAgent = printable(f.UserAgent)
	}
}

// shows reports whether the User-Agent is the one that is kept, for one that
// printable leaves as it is.
func (s *slot) shows(agent string) bool {
	return s.consumer.UserAgent == agent[:min(len(agent), maxAgent)]
}

func (s *slot) free() bool { return s.consumer.Last.IsZero() }

// victim returns the slot for a new consumer, nil if all are of regular ones: a
// network's own if it has its share, and otherwise the best to give up.
func (s *set) victim(f *Fetch) *slot {
	own, from := 0, network(f.Address)
	var worst, ownWorst *slot
	for i := range s.slots {
		have := &s.slots[i]
		if !have.free() && network(have.consumer.Address) == from {
			own++
			ownWorst = have.worse(ownWorst, f.At)
		}
		worst = have.worse(worst, f.At)
	}
	if own >= share {
		return ownWorst
	}
	return worst
}

// worse returns which of two slots to give up first, one that was given or this one:
// nil if neither may be.
func (s *slot) worse(than *slot, now time.Time) *slot {
	if s.stays(now) || than != nil && !s.consumer.Last.Before(than.consumer.Last) {
		return than
	}
	return s
}

// stays reports a regular consumer that has not stayed away.
func (s *slot) stays(now time.Time) bool {
	return s.consumer.Regular && now.Sub(s.consumer.Last) <= regularFor
}

func (s *set) list(all []Consumer) []Consumer {
	s.Lock()
	defer s.Unlock()
	if s.slots == nil {
		return all
	}
	for i := range s.slots {
		if !s.slots[i].free() {
			all = append(all, s.slots[i].consumer)
		}
	}
	return all
}

// network is what counts as one sender. Whoever has one IPv6 address has its /64.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64) // drops the zone
	return p.Addr()
}
