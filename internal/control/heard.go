package control

import (
	"context"
	"slices"
	"time"

	"signet/internal/consumers"
	"signet/internal/peers"
)

// Replica is one of those that share a database.
type Replica struct {
	Name string `json:"name"`
	// Since is when it started, Told when it was last heard of.
	Since time.Time `json:"since"`
	Told  time.Time `json:"told"`
	// Ended: it said so. Silent: it did not, and is not heard of any more; who fetched the
	// key set from it since Told is not known.
	Ended  bool `json:"ended,omitempty"`
	Silent bool `json:"silent,omitempty"`
}

// Heard is of whom an answer speaks, where several servers share a database.
type Heard struct {
	// Servers are those of the last day, each as it was started last; first the one that
	// answers, unless the answer is Apart.
	Servers []Replica `json:"servers,omitempty"`
	// Apart: no server runs here, and the answer is what the others told the database.
	Apart bool `json:"apart,omitempty"`
	// Cut: there are more consumers than one answer has, and some of other servers are missing.
	Cut bool `json:"cut,omitempty"`
	// Unheard is why the answer is of one server alone; empty if it is of all.
	Unheard string `json:"unheard,omitempty"`
}

// hearing is what a running server knows with the others.
type hearing struct {
	Heard
	consumers []consumers.Consumer
	forgotten uint64
	servers   []peers.Server // none if the database is this one's alone
	since     time.Time      // when the first of them started
}

func (o *Operator) hear(ctx context.Context) hearing {
	h := hearing{consumers: o.Live.consumers.List(), forgotten: o.Live.consumers.Forgotten(), since: o.Live.since}
	if o.Live.peers == nil {
		return h
	}
	own := o.Live.peers.Own()
	h.servers = []peers.Server{own}
	if others, err := o.Live.peers.Others(ctx); err != nil {
		h.Unheard = err.Error()
	} else {
		h.Cut, h.servers = others.Cut, append(h.servers, others.Servers...)
		h.consumers = consumers.Merge(h.consumers, others.Consumers)
	}
	h.forgotten += h.add(h.servers[1:])
	h.Servers = standing(h.servers)
	return h
}

// hearApart is what the servers told the database, of which none runs here.
func (o *Operator) hearApart(ctx context.Context) (hearing, error) {
	if o.Others == nil {
		return hearing{}, o.notLive()
	}
	others, err := o.Others.Others(ctx)
	if err != nil {
		return hearing{}, err
	}
	if len(others.Servers) == 0 {
		return hearing{}, o.notLive()
	}
	h := hearing{Heard: Heard{Apart: true, Cut: others.Cut, Servers: standing(others.Servers)}, servers: others.Servers, since: others.Servers[0].Since,
		consumers: consumers.Merge(nil, others.Consumers)}
	h.forgotten = h.add(others.Servers)
	return h, nil
}

// add moves since to the first start of the servers, and returns how many consumers they
// could not keep.
func (h *hearing) add(servers []peers.Server) (forgotten uint64) {
	for _, s := range servers {
		forgotten += s.Forgotten
		if s.Since.Before(h.since) {
			h.since = s.Since
		}
	}
	return forgotten
}

// standing are the servers, each as it was started last.
func standing(all []peers.Server) (list []Replica) {
	for _, s := range all {
		if !replaced(s, all) {
			list = append(list, Replica{Name: s.Name, Since: s.Since, Told: s.Told, Ended: s.Ended, Silent: s.Silent})
		}
	}
	return list
}

// replaced reports a server after which another one was started under its name.
func replaced(s peers.Server, all []peers.Server) bool {
	return slices.ContainsFunc(all, func(other peers.Server) bool { return other.Name == s.Name && other.Since.After(s.Since) })
}
