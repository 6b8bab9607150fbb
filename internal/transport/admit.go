package transport

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Admit lets through connections from the named networks and from this machine; others
// are closed before a byte is read. It is for a plain listener behind a proxy: whoever
// goes around that would send passwords in the clear, or headers that only the proxy
// may write.
func Admit(l net.Listener, from []netip.Prefix, log *slog.Logger) net.Listener {
	return &admitting{Listener: l, from: from, log: log, now: time.Now}
}

// tellEvery bounds the lines that strangers can cause.
const tellEvery = time.Minute

type admitting struct {
	net.Listener
	from []netip.Prefix
	log  *slog.Logger
	now  func() time.Time

	mu     sync.Mutex
	toldAt time.Time
	closed int // since then
}

// Accept returns the next connection that is admitted.
func (a *admitting) Accept() (net.Conn, error) {
	for {
		conn, err := a.Listener.Accept()
		if err != nil || a.admits(conn.RemoteAddr()) {
			return conn, err
		}
		conn.Close()
		a.tell(conn.RemoteAddr())
	}
}

func (a *admitting) admits(remote net.Addr) bool {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return false
	}
	from := tcp.AddrPort().Addr().Unmap().WithZone("")
	return from.IsLoopback() || slices.ContainsFunc(a.from, func(p netip.Prefix) bool { return p.Contains(from) })
}

func (a *admitting) tell(remote net.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed++
	now := a.now()
	if !a.toldAt.IsZero() && now.Sub(a.toldAt) < tellEvery {
		return
	}
	a.log.Warn("connections were closed: their sender is not in behind_proxy; if it is what terminates TLS, name it there",
		"sender", remote.String(), "closed", a.closed)
	a.toldAt, a.closed = now, 0
}
