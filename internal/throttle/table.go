package throttle

import (
	"sync"
	"time"
)

// Storage: fixed numbers of slots in sets of eight. A key can be in one set only, so
// that a new key costs at most the least of eight others.
const (
	shards = 64
	ways   = 8
	sets   = 16 // in a block, which is allocated when one of its slots is first used
)

// slots of all shards: 57 MiB when every block is in use.
const (
	pairSlots    = 1 << 20
	addressSlots = 1 << 19
	accountSlots = 1 << 19
	siteSlots    = 1 << 17
	knownSlots   = 1 << 18
)

// counter is the failures under one key.
type counter struct {
	key   uint64
	last  time.Duration // when the last was charged, on Limiter.clock
	count uint32        // 0: the slot is free
	owed  uint32        // further waits, for tries that other replicas let pass meanwhile
}

// shard is the part of all tables whose keys it has.
type shard struct {
	sync.Mutex
	counters [kinds]table[counter]
	known    known
}

func (s *shard) init() {
	s.counters[pair] = newTable[counter](pairSlots)
	s.counters[address] = newTable[counter](addressSlots)
	s.counters[account] = newTable[counter](accountSlots)
	s.counters[site] = newTable[counter](siteSlots)
	s.known = known{newTable[proof](knownSlots)}
}

type (
	set[E any]   [ways]E
	block[E any] [sets]set[E]
	table[E any] struct{ blocks []*block[E] }
)

// newTable returns a shard's part of a table of slots.
func newTable[E any](slots int) table[E] {
	return table[E]{make([]*block[E], slots/shards/ways/sets)}
}

// at returns where a key's set is: its block, which may be nil, and the index in it.
func (t *table[E]) at(key uint64) (b **block[E], index uint64) {
	key /= shards
	return &t.blocks[key/sets%uint64(len(t.blocks))], key % sets
}

// get returns a key's set, nil if nothing was ever there.
func (t *table[E]) get(key uint64) *set[E] {
	b, i := t.at(key)
	if *b == nil {
		return nil
	}
	return &(*b)[i]
}

// use returns a key's set, to write to it.
func (t *table[E]) use(key uint64) *set[E] {
	b, i := t.at(key)
	if *b == nil {
		*b = new(block[E])
	}
	return &(*b)[i]
}

// find returns a key's counter, or nil.
func find(t *table[counter], key uint64) *counter {
	s := t.get(key)
	if s == nil {
		return nil
	}
	for i := range s {
		if s[i].count > 0 && s[i].key == key {
			return &s[i]
		}
	}
	return nil
}

// place returns a key's counter, or a free one.
func place(t *table[counter], key uint64, r rule, now time.Duration) *counter {
	if c := find(t, key); c != nil {
		return c
	}
	c := r.mildest(t.use(key), now)
	*c = counter{}
	return c
}

// mildest returns the slot to evict: a free or forgotten one, that with the fewest failures,
// of those the oldest. So a flood of fresh keys evicts fresh keys, and an account
// under attack stays counted.
func (r rule) mildest(s *set[counter], now time.Duration) *counter {
	least, fewest := &s[0], r.failures(s[0], now)
	for i := 1; i < len(s) && least.count > 0; i++ {
		n := r.failures(s[i], now)
		if n < fewest || n == fewest && s[i].last < least.last {
			least, fewest = &s[i], n
		}
	}
	return least
}
