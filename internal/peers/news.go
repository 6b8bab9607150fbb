package peers

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"signet/internal/consumers"
)

// told is what the others know of a place.
type told struct {
	name, agent, etag string
	address           netip.Addr
	regular           bool
	last              time.Time
}

func toldOf(c consumers.Consumer) told {
	return told{name: c.Name, agent: c.UserAgent, etag: c.ETag, address: c.Address, regular: c.Regular, last: c.Last}
}

// news reports whether what is now is to be told.
func (t told) news(now told) bool {
	late := now.last.Add(-again).After(t.last)
	t.last, now.last = time.Time{}, time.Time{}
	return late || t != now
}

// change is a consumer to tell of.
type change struct {
	place    int
	consumer consumers.Consumer
}

// news are the consumers to tell of, most of them at most: regular ones first, since anybody
// can make others, and of each kind any: forged ones that change with every round, and have
// waited to be regular, keep no other one back for long.
func (s *Sharer) news(now time.Time) []change {
	var regular, other []change
	s.Table.Places(func(place int, c consumers.Consumer) {
		before, known := s.told[place]
		switch {
		case known && !before.news(toldOf(c)), now.Sub(c.Last) >= Kept:
		case c.Regular:
			regular = append(regular, change{place, c})
		default:
			other = append(other, change{place, c})
		}
	})
	shuffle(regular)
	shuffle(other)
	all := append(regular, other...)
	return all[:min(len(all), most)]
}

func shuffle(all []change) {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
}
