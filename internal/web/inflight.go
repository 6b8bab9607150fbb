package web

import (
	"net/http"
	"sync/atomic"
	"time"

	"signet/internal/web/problem"
)

// AtMost lets n requests be answered at once, and tells one more to come again: by HTTP/2
// each connection can have many that wait for a body.
func AtMost(n int, next http.Handler) http.Handler {
	var under atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer under.Add(-1)
		if under.Add(1) <= int64(n) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		full := problem.Renderer{}
		full.Write(w, r, problem.Problem{Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
			Detail: "Too many requests at once; try again."})
	})
}
