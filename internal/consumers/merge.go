package consumers

import "net/netip"

// Places calls f with each consumer and the number of its place, which stays the same as long
// as the consumer does. There are never more than 4,096 places.
func (t *Table) Places(f func(place int, c Consumer)) {
	for i := range t.sets {
		for j, c := range t.sets[i].copied() {
			if !c.Last.IsZero() {
				f(i*ways+j, c)
			}
		}
	}
}

func (s *set) copied() (all [ways]Consumer) {
	s.Lock()
	defer s.Unlock()
	if s.slots != nil {
		for i := range s.slots {
			all[i] = s.slots[i].consumer
		}
	}
	return all
}

// Merge makes one list, as List has it, of those of several tables. Of a consumer that is in
// more than one the last fetch counts.
func Merge(lists ...[]Consumer) []Consumer {
	type key struct {
		name, agent string
		address     netip.Addr
	}
	found := make(map[key]int)
	var all []Consumer
	for _, list := range lists {
		for _, c := range list {
			k := key{name: c.Name}
			if c.Name == "" {
				k = key{agent: c.UserAgent, address: c.Address}
			}
			i, known := found[k]
			if !known {
				found[k] = len(all)
				all = append(all, c)
				continue
			}
			all[i] = merged(all[i], c)
		}
	}
	sorted(all)
	return all
}

func merged(a, b Consumer) Consumer {
	if b.Last.After(a.Last) {
		a, b = b, a
	}
	if b.First.Before(a.First) {
		a.First = b.First
	}
	a.Regular = a.Regular || b.Regular || a.Last.Sub(a.First) >= regularAfter
	return a
}
