package jwks_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"signet/jwks"
)

// broken is a response whose client has gone.
type broken struct{ http.ResponseWriter }

func (broken) Write([]byte) (int, error) { return 0, http.ErrHandlerTimeout }

// TestFetchedHearsWhoHoldsTheDocument and of nobody else.
func TestFetchedHearsWhoHoldsTheDocument(t *testing.T) {
	h, source := newHandler(t, time.Time{}, time.Minute)
	heard := 0
	h.Fetched = func(_ *http.Request, doc *jwks.Document, at time.Time) {
		if doc != source.doc || !at.Equal(start) || !slices.Equal(doc.KIDs(), []string{"one", "two"}) {
			t.Errorf("heard of %v at %s", doc.KIDs(), at)
		}
		heard++
	}
	tests := []struct {
		method, ifNoneMatch string
		want                int
	}{
		{"GET", "", 1}, {"GET", `"other"`, 1}, {"GET", source.doc.ETag(), 1}, {"GET", `"other", W/` + source.doc.ETag(), 1},
		{"GET", "*", 0}, {"HEAD", "", 0}, {"HEAD", source.doc.ETag(), 0},
	}
	for _, c := range tests {
		heard = 0
		request(h, c.method, c.ifNoneMatch)
		if heard != c.want {
			t.Errorf("%s with If-None-Match %q: heard %d times, want %d", c.method, c.ifNoneMatch, heard, c.want)
		}
	}
	heard = 0
	h.ServeHTTP(broken{httptest.NewRecorder()}, httptest.NewRequest("GET", "/", nil))
	source.err = fmt.Errorf("no document")
	request(h, "GET", "")
	if heard != 0 {
		t.Errorf("heard %d times of a document that did not leave", heard)
	}
}
