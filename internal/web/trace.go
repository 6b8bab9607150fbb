package web

import (
	"context"
	"net/http"
)

// Trace starts to follow a request with an id. The context carries what follows it;
// end is told the route that matched, empty if none did, and the status of the answer,
// 0 if it was cut off.
type Trace = func(r *http.Request, id string) (ctx context.Context, end func(route string, status int))

// traced follows a request, except those that come by themselves: probes, and the key
// set, which clients may fetch for each token that they see.
func (e *envelope) traced(r *http.Request, id string) (context.Context, func(string, int)) {
	if e.trace != nil {
		switch r.URL.Path {
		case pathJWKS, pathAlive, pathReady:
		default:
			return e.trace(r, id)
		}
	}
	return r.Context(), nil
}

// sent is the status that the client got; 0 if the connection was cut.
func (a *answer) sent() int {
	switch {
	case a.abandoned:
		return 0
	case a.status == 0:
		return http.StatusOK
	}
	return a.status
}
