package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestAtMost: one request more than may be is told to come again, and has its place when
// another has ended.
func TestAtMost(t *testing.T) {
	const limit = 3
	arrived, leave := make(chan bool), make(chan bool)
	h := AtMost(limit, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-leave
	}))
	ask := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/token/", nil))
		return w
	}
	answers := make(chan int, limit+1)
	for range limit {
		go func() { answers <- ask().Code }()
		<-arrived
	}
	if w := ask(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" ||
		w.Body.String() != `{"detail":"Too many requests at once; try again."}` {
		t.Errorf("one more is answered with %d %v %s", w.Code, w.Header(), w.Body)
	}
	leave <- true
	if code := <-answers; code != http.StatusOK {
		t.Errorf("one of them is answered with %d", code)
	}
	go func() { answers <- ask().Code }()
	<-arrived
	close(leave)
	for range limit {
		if code := <-answers; code != http.StatusOK {
			t.Errorf("another is answered with %d", code)
		}
	}
}
