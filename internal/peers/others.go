package peers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"signet/internal/consumers"
)

// Server is one that has told something within Kept.
type Server struct {
	Name string
	// Since is when it started, Told when it was last heard of.
	Since, Told time.Time
	// Ended: it said so. Silent: it did not, and is not heard of any more.
	Ended, Silent bool
	// Forgotten is how many consumers it could not keep.
	Forgotten uint64
	Uses      map[string]Use
}

// Others are the other servers, by name, and who fetched the key set from them. One consumer
// may be there several times.
type Others struct {
	Servers   []Server
	Consumers []consumers.Consumer
	// Cut: there are more than MaxPlaces regular ones, and some are missing.
	Cut bool
}

// Own is this server.
func (s *Sharer) Own() Server {
	now := s.Now()
	return Server{Name: s.Name, Since: s.started, Told: now, Forgotten: s.Table.Forgotten(), Uses: s.Uses()}
}

// Others reads what the others told.
func (s *Sharer) Others(ctx context.Context) (Others, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	states, places, err := s.Store.Peers(ctx, s.replica)
	if err != nil {
		return Others{}, fmt.Errorf("read what the other servers answered: %w", err)
	}
	now := s.Now()
	out := Others{Cut: len(places) >= MaxPlaces && !slices.ContainsFunc(places, func(p Place) bool { return !p.Regular })}
	for _, state := range states {
		if server, ok := state.server(now); ok {
			out.Servers = append(out.Servers, server)
		}
	}
	slices.SortFunc(out.Servers, func(a, b Server) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Since.Compare(b.Since)) })
	for _, p := range places {
		if c, ok := decode(p, now); ok {
			out.Consumers = append(out.Consumers, c)
		}
	}
	return out, nil
}

func (s State) server(now time.Time) (Server, bool) {
	var a about
	if len(s.Body) > maxBody || json.Unmarshal(s.Body, &a) != nil {
		return Server{}, false
	}
	at := now.Add(-s.Age)
	return Server{Name: consumers.Shown(a.Name), Since: at.Add(-max(0, a.Running)), Told: at, Ended: a.Ends, Silent: !a.Ends && s.Age > silence,
		Forgotten: a.Forgotten, Uses: a.Uses}, true
}
