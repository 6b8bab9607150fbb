package clientaddr

import "net/http"

// Wrote reports whether a trusted proxy sent the request: then headers that it sets are
// its own word.
func (p *Proxies) Wrote(r *http.Request) bool {
	peer, ok := parseNode(r.RemoteAddr)
	return ok && p.trusts(peer)
}
