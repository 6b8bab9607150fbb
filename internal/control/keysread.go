package control

import "time"

// KeysRead is how old the keys are that a server on a shared database has in memory.
type KeysRead struct {
	// At is when it last read them, and AgeSeconds how long ago that is.
	At         time.Time `json:"at"`
	AgeSeconds float64   `json:"age_seconds"`
	// Late: another read is overdue, and what other servers changed since is not known.
	Late bool `json:"late"`
	// Failing is why; empty if the last read was good.
	Failing string `json:"failing,omitempty"`
	// SignsForSeconds is how long the server goes on signing with them, 0 if it has stopped.
	SignsForSeconds float64 `json:"signs_for_seconds"`
	// PublishesForSeconds is how long it goes on publishing and verifying; absent if that has
	// no end.
	PublishesForSeconds *float64 `json:"publishes_for_seconds,omitempty"`
}

// keysRead is nil where a command has just read them itself.
func (o *Operator) keysRead() *KeysRead {
	f, shared := o.Keys.Freshness()
	if !shared || o.Live == nil {
		return nil
	}
	out := &KeysRead{At: f.Read, AgeSeconds: f.Age.Seconds(), Late: f.Late(), SignsForSeconds: f.SignsFor().Seconds()}
	if f.Failed != nil {
		out.Failing = f.Failed.Error()
	}
	if f.Refused {
		left := f.PublishesFor().Seconds()
		out.PublishesForSeconds = &left
	}
	return out
}
