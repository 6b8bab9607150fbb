package throttle

import (
	"testing"
	"time"
	"unsafe"
)

func TestSizes(t *testing.T) {
	if got := unsafe.Sizeof(counter{}); got != 24 {
		t.Errorf("a counter has %d bytes", got)
	}
	if got := unsafe.Sizeof(proof{}); got != 24 {
		t.Errorf("a proof has %d bytes", got)
	}
	full := pairSlots*unsafe.Sizeof(counter{}) + addressSlots*unsafe.Sizeof(counter{}) +
		accountSlots*unsafe.Sizeof(counter{}) + knownSlots*unsafe.Sizeof(proof{}) + unsafe.Sizeof(Limiter{})
	if full > 60<<20 {
		t.Errorf("a full Limiter has %d bytes", full)
	}
}

// TestEviction: free and forgotten slots first, then the fewest failures, then the oldest.
func TestEviction(t *testing.T) {
	r := newRule(5, 15*time.Minute)
	const now = 10 * time.Hour
	recent := func(count uint32, ago time.Duration) counter { return counter{last: now - ago, count: count} }
	tests := []struct {
		what string
		set  set[counter]
		want int
	}{
		{"an empty set", set[counter]{}, 0},
		{"a free slot", set[counter]{recent(1, 1), recent(1, 2), {}, recent(1, 3), recent(1, 3), recent(1, 3), recent(1, 3), recent(1, 3)}, 2},
		{"a forgotten one", set[counter]{recent(1, 1), recent(1, 2), recent(1, 1), recent(4, 2*time.Hour), recent(1, 3), recent(1, 3), recent(1, 3), recent(1, 3)}, 3},
		{"the fewest failures", set[counter]{recent(7, 9), recent(6, 9), recent(9, 9), recent(8, 9), recent(5, 1), recent(15, 9), recent(6, 9), recent(6, 9)}, 4},
		{"the fewest that are left", set[counter]{recent(2, 1), recent(4, time.Hour-1), recent(2, 1), recent(2, 1), recent(2, 1), recent(2, 1), recent(2, 1), recent(2, 1)}, 1},
		{"the oldest", set[counter]{recent(1, 1), recent(1, 2), recent(1, 3), recent(1, 4), recent(1, 5), recent(1, 9), recent(1, 7), recent(1, 8)}, 5},
		{"from before the clock went back", set[counter]{recent(5, -time.Hour), recent(1, 2), recent(5, 3), recent(5, 4), recent(5, 5), recent(5, 9), recent(5, 7), recent(5, 8)}, 1},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			table := newTable[counter](pairSlots)
			const key = 12345
			for i := range test.set {
				test.set[i].key = uint64(i)
			}
			s := table.use(key)
			*s = test.set
			if got := place(&table, key, r, now); got != &s[test.want] {
				t.Errorf("slot %d was not evicted: %v", test.want, *s)
			}
		})
	}
}

// TestKeysSpread: every slot can be reached, and from a key its own.
func TestKeysSpread(t *testing.T) {
	table := newTable[counter](pairSlots)
	used := make(map[*set[counter]]bool)
	for key := range uint64(pairSlots / ways) {
		used[table.use(key*shards)] = true
		if table.get(key*shards) != table.use(key*shards) {
			t.Fatalf("key %d is read from another set than it is written to", key)
		}
	}
	if len(used) != pairSlots/shards/ways {
		t.Errorf("%d sets are reached, want %d", len(used), pairSlots/shards/ways)
	}
}
