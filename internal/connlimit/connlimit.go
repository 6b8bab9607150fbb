// Package connlimit bounds how many connections an HTTP server has open, so that no
// number of them takes the files that the rest of the process needs.
//
// Start at [Bound]. At the limit the connection that has been silent longest, and for a
// second at least, makes room for the next: one that is new and has sent nothing, or that is
// kept alive between requests (RFC 9112 §9.5 lets a server close those at any time). So
// whoever is silent on many connections keeps others waiting for seconds and not for a
// time-out; who opens more than limit of them each second still does. The package refuses to
// cut a request that has begun: those end by the time-outs of the server.
package connlimit

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// patience is how long a connection may be silent before it makes room: what was sent on a
// new one may not have been read yet.
const patience = time.Second

// warnEvery is how often the log says that the limit is reached.
const warnEvery = time.Minute

// Bound makes server keep at most limit connections open that come from the listener
// returned. do tells the reader of the log how to raise the limit.
func Bound(server *http.Server, listener net.Listener, limit int, log *slog.Logger, do string) net.Listener {
	b := &bound{limit: limit, log: log, do: do, conns: map[net.Conn]*conn{}}
	server.ConnState = b.changed
	return netutil.LimitListener(listener, limit)
}

type bound struct {
	limit int
	log   *slog.Logger
	do    string

	mu      sync.Mutex
	conns   map[net.Conn]*conn // that are open
	waiting list               // of silent ones, the longest first
	later   *time.Timer        // when the first will have been silent for long enough
	closed  int                // to make room, since the last warning
	warned  time.Time
}

// changed follows a connection; it is the ConnState of the server. It runs twice for each
// request.
func (b *bound) changed(c net.Conn, state http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if state == http.StateNew {
		b.conns[c] = &conn{Conn: c}
	}
	known := b.conns[c]
	if known == nil {
		return // it has been closed
	}
	switch state {
	case http.StateNew, http.StateIdle:
		b.wait(known)
	case http.StateActive:
		b.waiting.remove(known)
	case http.StateClosed, http.StateHijacked:
		b.waiting.remove(known)
		delete(b.conns, c)
	}
}

func (b *bound) wait(c *conn) {
	c.since = time.Now()
	b.waiting.append(c)
	b.makeRoom()
}

// makeRoom keeps one place free, at once or as soon as a connection may be closed.
func (b *bound) makeRoom() {
	longest := b.waiting.first
	if len(b.conns) < b.limit || longest == nil || b.later != nil {
		return
	}
	if left := patience - time.Since(longest.since); left > 0 {
		b.later = time.AfterFunc(left, b.again)
		return
	}
	b.waiting.remove(longest)
	hangUp(longest.Conn)
	b.closed++
	b.warn()
}

func (b *bound) again() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.later = nil
	b.makeRoom()
}

// hangUp closes the connection below TLS: a farewell could block.
func hangUp(c net.Conn) {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = over.NetConn()
	}
	c.Close()
}

func (b *bound) warn() {
	if now := time.Now(); now.Sub(b.warned) >= warnEvery {
		b.log.Warn("as many connections are open as may be; the longest silent ones are closed to make room",
			"limit", b.limit, "closed", b.closed, "do", b.do)
		b.warned, b.closed = now, 0
	}
}
