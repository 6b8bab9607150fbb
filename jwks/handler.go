package jwks

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Source has the document of an instant, without reading a database.
type Source interface {
	Document(now time.Time) (*Document, error)
}

// Handler serves the document at /.well-known/jwks.json to GET and HEAD.
// Half of the common clients fetch once for each forged kid that reaches them,
// so it must stay cheap: no lock, no log line, no authentication, no redirect.
type Handler struct {
	Source Source
	// MaxAge is the configured jwks_max_age.
	MaxAge func() time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Error answers a request for which Source has no document; nil means a
	// bare 503.
	Error func(w http.ResponseWriter, r *http.Request, err error)
}

// ServeHTTP answers with 200, or 304 if the client holds the current document.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now
	if h.Now != nil {
		now = h.Now
	}
	at := now()
	doc, err := h.Source.Document(at)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	age := int64(doc.MaxAge(at, h.MaxAge()) / time.Second)
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Cache-Control", "public, max-age="+strconv.FormatInt(age, 10)+", must-revalidate")
	header.Set("ETag", doc.etag)
	if matches(r.Header.Values("If-None-Match"), doc.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", ContentType)
	header.Set("Content-Length", strconv.Itoa(len(doc.body)))
	if r.Method != http.MethodHead {
		w.Write(doc.body)
	}
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if h.Error != nil {
		h.Error(w, r, err)
		return
	}
	http.Error(w, "the key set is not available; try again", http.StatusServiceUnavailable)
}

// matches applies If-None-Match (RFC 9110 §13.1.2) with the weak comparison that
// it asks for. The field may come in several lines (§5.3).
func matches(lines []string, etag string) bool {
	if len(lines) == 1 && strings.TrimSpace(lines[0]) == "*" {
		return true
	}
	for _, line := range lines {
		for candidate := range strings.SplitSeq(line, ",") {
			if strings.TrimPrefix(strings.TrimSpace(candidate), "W/") == etag {
				return true
			}
		}
	}
	return false
}
