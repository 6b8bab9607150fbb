package keystore

import "time"

// Freshness is how current the ring is by which a replica goes.
type Freshness struct {
	// Read is when the ring was last read from the database, and taken; Age how long ago
	// that is, by a clock that nobody sets.
	Read time.Time
	Age  time.Duration
	// Failed is why later reads were not good; nil if the last one was.
	Failed error
	// Refused: one of them found a ring that this replica could not take.
	Refused bool
}

// Freshness reports false where the ring is that of this process alone, and thus never old.
func (m *Manager) Freshness() (Freshness, bool) {
	r := m.reading.Load()
	if r == nil {
		return Freshness{}, false
	}
	now := m.now()
	age := max(0, m.elapsedAt(now)-r.at)
	return Freshness{Read: now.Add(-age), Age: age, Failed: r.failed, Refused: r.refused}, true
}

// Late reports whether a read is overdue.
func (f Freshness) Late() bool { return f.Failed != nil || f.Age > PollInterval+spare }

// SignsFor is how long the replica goes on signing without another read.
func (f Freshness) SignsFor() time.Duration { return max(0, StaleAfter-f.Age) }

// PublishesFor is how long it goes on publishing and verifying, where it has read a ring that
// it could not take; without such a ring that has no end.
func (f Freshness) PublishesFor() time.Duration { return max(0, RefusedAfter-f.Age) }
