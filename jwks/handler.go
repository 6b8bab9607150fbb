package jwks

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
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
	// MaxAge is how long a cache may keep the document at most: jwks_max_age, or less.
	MaxAge func() time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Error answers a request for which Source has no document; nil means a
	// bare 503.
	Error func(w http.ResponseWriter, r *http.Request, err error)
	// Fetched hears which document the sender of a request now holds: one that it got,
	// or whose ETag it named. It is on the path of every request. May be nil.
	Fetched func(r *http.Request, doc *Document, at time.Time)

	control atomic.Pointer[cacheControl]
}

// cacheControl is the Cache-Control of answers that may be kept for some seconds: mostly
// the next answer says the same.
type cacheControl struct {
	seconds int64
	field   []string
}

func (h *Handler) cacheControl(age time.Duration) []string {
	seconds := int64(age / time.Second)
	c := h.control.Load()
	if c == nil || c.seconds != seconds {
		c = &cacheControl{seconds, []string{"public, max-age=" + strconv.FormatInt(seconds, 10) + ", must-revalidate"}}
		h.control.Store(c)
	}
	return c.field
}

// Header fields that are the same in every answer. Nothing writes to them: whoever changes
// the header of an answer puts another slice in their place.
var (
	anyOrigin   = []string{"*"}
	contentType = []string{ContentType}
)

// ServeHTTP answers with 200, or 304 if the client holds the current document.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now
	if h.Now != nil {
		now = h.Now
	}
	at := now()
	maxAge := h.MaxAge() // before the document: it may be of an older one, and shorter
	doc, err := h.Source.Document(at)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	header := w.Header()
	header["Access-Control-Allow-Origin"] = anyOrigin
	header["Cache-Control"] = h.cacheControl(doc.MaxAge(at, maxAge))
	header["Etag"] = doc.tag
	if lines := r.Header["If-None-Match"]; matches(lines, doc.etag) {
		w.WriteHeader(http.StatusNotModified)
		if !anyTag(lines) {
			h.fetched(r, doc, at)
		}
		return
	}
	header["Content-Type"] = contentType
	header["Content-Length"] = doc.length
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(doc.body); err == nil {
		h.fetched(r, doc, at)
	}
}

// fetched does not count HEAD: its sender holds no document.
func (h *Handler) fetched(r *http.Request, doc *Document, at time.Time) {
	if h.Fetched != nil && r.Method != http.MethodHead {
		h.Fetched(r, doc, at)
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
	if anyTag(lines) {
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

// anyTag reports If-None-Match: *, which does not say what its sender holds.
func anyTag(lines []string) bool {
	return len(lines) == 1 && strings.TrimSpace(lines[0]) == "*"
}
