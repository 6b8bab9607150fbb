package peers

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"signet/internal/consumers"
)

// maxBody bounds what is read of one consumer or state, in bytes.
const maxBody = 1 << 16

// consumer is one as it is told. Times are relative to the last fetch.
type consumer struct {
	Name      string        `json:"name,omitempty"`
	Address   netip.Addr    `json:"address,omitzero"`
	UserAgent string        `json:"user_agent,omitempty"`
	Known     time.Duration `json:"known,omitempty"` // from the first fetch to the last
	ETag      string        `json:"etag"`
	KIDs      []string      `json:"kids"`
	Regular   bool          `json:"regular,omitempty"`
}

func encode(c consumers.Consumer) []byte {
	return mustEncode(consumer{Name: c.Name, Address: c.Address, UserAgent: c.UserAgent, Known: c.Last.Sub(c.First), ETag: c.ETag, KIDs: c.KIDs, Regular: c.Regular})
}

// decode is false for what cannot be read: of a newer Signet, or of nobody's.
func decode(p Place, now time.Time) (consumers.Consumer, bool) {
	var c consumer
	if len(p.Body) > maxBody || json.Unmarshal(p.Body, &c) != nil {
		return consumers.Consumer{}, false
	}
	// Whoever writes to the database wrote it, and it is shown at terminals.
	if hidden := func(text string) bool { return consumers.Shown(text) != text }; hidden(c.Name) || hidden(c.UserAgent) || hidden(c.ETag) || slices.ContainsFunc(c.KIDs, hidden) {
		return consumers.Consumer{}, false
	}
	last := now.Add(-p.Age)
	return consumers.Consumer{Name: c.Name, Address: c.Address, UserAgent: c.UserAgent, First: last.Add(-max(0, c.Known)), Last: last,
		ETag: c.ETag, KIDs: c.KIDs, Regular: c.Regular}, true
}

// Use is what one server has signed by a key since it started.
type Use struct {
	Access         uint64    `json:"access"`
	Refresh        uint64    `json:"refresh"`
	AccessExpires  time.Time `json:"access_expires,omitzero"`
	RefreshExpires time.Time `json:"refresh_expires,omitzero"`
}

// about is the state as it is told.
type about struct {
	Name      string         `json:"name"`
	Running   time.Duration  `json:"running"` // since its start
	Ends      bool           `json:"ends,omitempty"`
	Forgotten uint64         `json:"forgotten,omitempty"`
	Uses      map[string]Use `json:"uses,omitempty"`
}

func (s *Sharer) state(ends bool) []byte {
	return mustEncode(about{Name: s.Name, Running: max(0, s.Now().Sub(s.started)), Ends: ends, Forgotten: s.Table.Forgotten(), Uses: s.Uses()})
}

func mustEncode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // there is nothing in it that JSON cannot say
	}
	return text
}
