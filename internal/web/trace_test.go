package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"signet/internal/web/problem"
)

// TestTraceIsToldHowARequestEnded: once, with what the client got; probes and the key set
// are not followed.
func TestTraceIsToldHowARequestEnded(t *testing.T) {
	type key struct{}
	for _, tt := range []struct {
		name, path string
		handle     http.HandlerFunc
		calls      int
		status     int
	}{
		{"answer", "/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, 1, http.StatusTeapot},
		{"empty answer", "/", func(http.ResponseWriter, *http.Request) {}, 1, http.StatusOK},
		{"panic", "/", func(http.ResponseWriter, *http.Request) { panic("x") }, 1, http.StatusInternalServerError},
		{"panic within an answer", "/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("half")); panic("x") }, 1, 0},
		{"abort", "/", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1, 0},
		{"key set", pathJWKS, func(http.ResponseWriter, *http.Request) {}, 0, 0},
		{"alive", pathAlive, func(http.ResponseWriter, *http.Request) {}, 0, 0},
		{"ready", pathReady, func(http.ResponseWriter, *http.Request) {}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var began, route string
			calls, status := 0, 0
			e := &envelope{log: slog.New(slog.DiscardHandler), trace: func(r *http.Request, id string) (context.Context, func(string, int)) {
				began = id
				return context.WithValue(r.Context(), key{}, true), func(r string, s int) { calls, route, status = calls+1, r, s }
			}}
			e.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if followed := r.Context().Value(key{}) != nil; followed != (tt.calls == 1) {
					t.Errorf("the request is followed: %t", followed)
				}
				problem.RecordOf(r.Context()).Route = "/{x}"
				tt.handle(w, r)
			})
			w := httptest.NewRecorder()
			func() {
				defer func() { _ = recover() }() // net/http does so
				e.ServeHTTP(w, httptest.NewRequest("GET", tt.path, nil))
			}()
			if calls != tt.calls || status != tt.status {
				t.Errorf("told %d times of status %d, want %d times of %d", calls, status, tt.calls, tt.status)
			}
			if tt.calls == 1 && (route != "/{x}" || began == "" || began != w.Header().Get("X-Request-Id")) {
				t.Errorf("route %q, id %q", route, began)
			}
		})
	}
}
