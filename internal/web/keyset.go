package web

import (
	"net/http"
	"time"

	"signet/internal/consumers"
	"signet/internal/web/problem"
	"signet/jwks"
)

// forKeySet reports a request that is answered ahead of the router: clients may fetch the
// key set for each token that they see. The router has the route as well, for what it says
// of other methods.
func forKeySet(r *http.Request) bool {
	return r.URL.Path == pathJWKS && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

func (s *site) keySet() http.Handler {
	set := &jwks.Handler{Source: s.opts.Keys, MaxAge: s.opts.MaxAge, Now: s.opts.Now, Error: s.noKeys}
	if s.opts.Consumers != nil {
		set.Fetched = s.fetched
	}
	return set
}

// fetched records who holds the document now.
func (s *site) fetched(r *http.Request, doc *jwks.Document, at time.Time) {
	if r.UserAgent() == consumers.Doctor {
		return
	}
	s.opts.Consumers.Note(consumers.Fetch{
		Name: consumers.NameIn(r.URL.RawQuery), Address: s.opts.Proxies.Client(r), UserAgent: r.UserAgent(),
		ETag: doc.ETag(), KIDs: doc.KIDs(), At: at,
	})
}

func (s *site) noKeys(w http.ResponseWriter, r *http.Request, err error) {
	if a, ok := w.(*answer); ok {
		r = a.recorded(r) // ahead of the router nothing has done so yet
	}
	s.errors.Write(w, r, problem.Problem{Status: http.StatusServiceUnavailable, Cause: err,
		Detail: "The key set is not available; try again.", RetryAfter: time.Second})
}

// preflight lets scripts of any origin read the key set with any header
// (https://fetch.spec.whatwg.org/#http-cors-protocol).
func preflight(w http.ResponseWriter, _ *http.Request) {
	header := w.Header()
	header.Set("Allow", "GET, HEAD, OPTIONS")
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Allow-Methods", "GET, HEAD")
	header.Set("Access-Control-Allow-Headers", "*")
	header.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}
