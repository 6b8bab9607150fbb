package control

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"signet/internal/consumers"
	"signet/keystore"
)

// Consumer is one that fetched the key set. What it calls itself is not proved.
type Consumer struct {
	Name      string     `json:"name,omitempty"`
	Address   netip.Addr `json:"address,omitzero"`
	UserAgent string     `json:"user_agent,omitempty"`
	LastFetch time.Time  `json:"last_fetch"`
	ETag      string     `json:"etag"`
	// Regular consumers came back after an hour or more.
	Regular bool `json:"regular"`
	// Has and Lacks are keys of the present set; Gone are those that it fetched and
	// that have left the set since.
	Has   []string `json:"has"`
	Lacks []string `json:"lacks"`
	Gone  []string `json:"gone"`
}

// Counts reports whether a rotation should wait for the consumer: one that fetched
// within a day, and is known by a name or came back. One-time visitors could be anyone.
func (c *Consumer) Counts(now time.Time) bool { return c.lately(now) && (c.Regular || c.Name != "") }

// Label names a consumer in one text.
func (c *Consumer) Label() string {
	address := "unknown address"
	if c.Address.IsValid() {
		address = c.Address.String()
	}
	return cmp.Or(c.Name, address+" "+cmp.Or(c.UserAgent, "without User-Agent"))
}

// Holders says how many consumers of the last day have a key.
type Holders struct {
	KID   string         `json:"kid"`
	Alg   string         `json:"alg"`
	State keystore.State `json:"state"`
	Have  int            `json:"have"`
	Of    int            `json:"of"`
}

// ConsumerQuery asks for the consumers, and for one key if that is set.
type ConsumerQuery struct {
	KID string `json:"kid,omitempty"`
}

// ConsumerList is who fetched the key set since the server started or, where several share
// a database, since the first of them did, and within the last day from the others.
// Forgotten is how many one-time visitors are missing from it.
type ConsumerList struct {
	Heard
	Consumers []Consumer `json:"consumers"`
	Keys      []Holders  `json:"keys"`
	Forgotten uint64     `json:"forgotten"`
	Since     time.Time  `json:"since"`
	Now       time.Time  `json:"now"`
}

// lately is how far back a consumer counts as one that is there.
const lately = 24 * time.Hour

func (o *Operator) listConsumers(ctx context.Context, in ConsumerQuery) (ConsumerList, error) {
	if o.Live != nil {
		return o.consumersOf(o.hear(ctx), in)
	}
	heard, err := o.hearApart(ctx)
	if err != nil {
		return ConsumerList{}, err
	}
	return o.consumersOf(heard, in)
}

func (o *Operator) consumersOf(heard hearing, in ConsumerQuery) (ConsumerList, error) {
	keys, err := o.keysAskedFor(in.KID)
	if err != nil {
		return ConsumerList{}, err
	}
	now := o.now()
	set, err := o.Keys.Document(now)
	if err != nil {
		return ConsumerList{}, err
	}
	list := ConsumerList{Heard: heard.Heard, Consumers: []Consumer{}, Forgotten: heard.forgotten, Since: heard.since, Now: now}
	for _, c := range heard.consumers {
		list.Consumers = append(list.Consumers, viewConsumer(c, set.KIDs()))
	}
	for _, k := range keys {
		list.Keys = append(list.Keys, holders(k, list.Consumers, now))
	}
	return list, nil
}

// keysAskedFor are the published keys or, if a kid is named, that key in any state.
func (o *Operator) keysAskedFor(kid string) ([]keystore.Info, error) {
	keys := slices.DeleteFunc(o.Keys.Keys(), func(k keystore.Info) bool {
		if kid != "" {
			return k.KID != kid
		}
		return k.State == keystore.Removed || k.State == keystore.Revoked
	})
	if kid != "" && len(keys) == 0 {
		return nil, noKey(kid)
	}
	return keys, nil
}

// viewConsumer compares what a consumer fetched with the present set.
func viewConsumer(c consumers.Consumer, set []string) Consumer {
	view := Consumer{Name: c.Name, Address: c.Address, UserAgent: c.UserAgent, LastFetch: c.Last, ETag: c.ETag, Regular: c.Regular,
		Has: []string{}, Lacks: []string{}, Gone: []string{}}
	for _, kid := range set {
		if slices.Contains(c.KIDs, kid) {
			view.Has = append(view.Has, kid)
		} else {
			view.Lacks = append(view.Lacks, kid)
		}
	}
	for _, kid := range c.KIDs {
		if !slices.Contains(set, kid) {
			view.Gone = append(view.Gone, kid)
		}
	}
	return view
}

// Holds reports whether the consumer fetched the key, in the set or not.
func (c *Consumer) Holds(kid string) bool {
	return slices.Contains(c.Has, kid) || slices.Contains(c.Gone, kid)
}

func (c *Consumer) lately(now time.Time) bool { return now.Sub(c.LastFetch) <= lately }

func holders(k keystore.Info, all []Consumer, now time.Time) Holders {
	h := Holders{KID: k.KID, Alg: k.Alg, State: k.State}
	for _, c := range all {
		if !c.lately(now) {
			continue
		}
		h.Of++
		if c.Holds(k.KID) {
			h.Have++
		}
	}
	return h
}
