package web

import (
	"net/http"
	"time"
)

// Served is a request that was answered. All but Method come from closed sets; nothing
// else in it is the stranger's.
type Served struct {
	// Route is the template that matched, empty if none did. Method is as it was sent.
	Route, Method string
	// Status is 500 for an answer that was cut off.
	Status int
	Took   time.Duration
	// Version is the ETag of the key set that was served; empty on other routes.
	Version string
}

// tell passes a request on to whoever counts.
func (e *envelope) tell(r *http.Request, answer *answer, took time.Duration) {
	if e.served == nil {
		return
	}
	s := Served{Route: answer.record.Route, Method: r.Method, Status: answer.status, Took: took}
	switch {
	case answer.abandoned:
		s.Status = http.StatusInternalServerError
	case s.Status == 0:
		s.Status = http.StatusOK
	}
	if s.Route == pathJWKS && (s.Status == http.StatusOK || s.Status == http.StatusNotModified) {
		s.Version = answer.Header().Get("ETag")
	}
	e.served(s)
}
