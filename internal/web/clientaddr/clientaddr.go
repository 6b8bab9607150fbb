// Package clientaddr is the client's address behind trusted proxies.
//
// Start at [Proxies.Client]. What a client writes into a header stands left of what
// the proxies add, so headers are read from right to left, and believed only as far
// as trusted proxies wrote them (RFC 7239 §8.1). The package refuses to guess: where
// an entry is no address, the last proxy that is known counts as the client. It reads
// addresses alone; nobody's host or scheme is learned from a request.
package clientaddr

import (
	"net/http"
	"net/netip"
)

// Headers in which proxies say for whom they speak.
const (
	XForwardedFor = "X-Forwarded-For"
	Forwarded     = "Forwarded" // RFC 7239
)

// Limits of what is looked at. Chains of proxies are shorter.
const (
	maxEntries = 32
	maxEntry   = 512 // bytes
)

// Proxies are those whose word is taken. The zero value trusts none.
type Proxies struct {
	// Trusted are the proxies' networks, as ParsePrefixes returns them.
	Trusted []netip.Prefix
	// Header is the one that the proxies write, XForwardedFor ("" means that) or
	// Forwarded. No other is read: proxies pass on what a client wrote there.
	Header string
}

// Client returns the address that the request comes from, without port and zone,
// IPv4-mapped IPv6 as IPv4. It is the zero Addr if that is unknown, as on a Unix
// socket.
func (p *Proxies) Client(r *http.Request) netip.Addr {
	last, ok := parseNode(r.RemoteAddr)
	if !ok || !p.trusts(last) {
		return last
	}
	list := p.list(r)
	for range maxEntries {
		from, ok := list.previous()
		if !ok {
			break
		}
		last = from
		if !p.trusts(last) {
			break
		}
	}
	return last
}

func (p *Proxies) trusts(a netip.Addr) bool {
	for _, prefix := range p.Trusted {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// list returns the entries of the header that the proxies write.
func (p *Proxies) list(r *http.Request) *list {
	switch p.Header {
	case "", XForwardedFor:
		return &list{lines: r.Header.Values(XForwardedFor), parse: parseNode}
	case Forwarded:
		return &list{lines: r.Header.Values(Forwarded), parse: parseElement, quotes: true}
	}
	return &list{}
}
