package control

import (
	"cmp"
	"context"
	"sync"
	"time"

	"signet/internal/consumers"
	"signet/internal/peers"
)

// Live is what only a running server knows. It is in memory and ends with the process.
type Live struct {
	consumers *consumers.Table
	since     time.Time
	inherited sync.Map // kids
	listen    string
	tls       bool
	peers     Peers // nil where the server has its database alone
}

// Peers are the servers that share a database: peers.Sharer.
type Peers interface {
	Own() peers.Server
	// Others reads what the others told.
	Others(ctx context.Context) (peers.Others, error)
}

// Hears gives the server the others, before anybody asks.
func (l *Live) Hears(p Peers) { l.peers = p }

// Listens says where the public listener of the server is, before anybody asks.
func (l *Live) Listens(address string, tls bool) { l.listen, l.tls = address, tls }

// Watch gives o the Live of a server that starts now, before it makes its first token.
func (o *Operator) Watch(table *consumers.Table) {
	o.Live = &Live{consumers: table, since: o.now()}
	for _, k := range o.Keys.Keys() {
		o.Live.Inherit(k.KID)
	}
}

// Inherit marks a key that may have signed elsewhere or before: what is counted here is
// not all that it signed. Whoever brings a key from outside has to say so.
// A nil Live takes it, and knows nothing.
func (l *Live) Inherit(kid string) {
	if l != nil {
		l.inherited.Store(kid, true)
	}
}

// sawAll reports whether every token of the key was counted.
func (l *Live) sawAll(kid string) bool {
	_, inherited := l.inherited.Load(kid)
	return !inherited
}

// notLive: nobody keeps who fetched the key set while no server runs.
func (o *Operator) notLive() error {
	return &Error{Message: "only a running server knows who has fetched the key set, and none is running", Hint: cmp.Or(o.Serve, "signet serve")}
}
