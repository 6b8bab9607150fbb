package jwks_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"signet/jwks"
)

// countingSource has one document and counts how often it is asked.
type countingSource struct {
	doc   *jwks.Document
	err   error
	asked []time.Time
}

func (s *countingSource) Document(now time.Time) (*jwks.Document, error) {
	s.asked = append(s.asked, now)
	return s.doc, s.err
}

func newHandler(t testing.TB, change time.Time, maxAge time.Duration) (*jwks.Handler, *countingSource) {
	t.Helper()
	keys := []jwk.Key{newPrivate(t, "ES256", "one"), newPrivate(t, "RS256", "two")}
	source := &countingSource{doc: mustDocument(t, keys, change)}
	return &jwks.Handler{
		Source: source,
		MaxAge: func() time.Duration { return maxAge },
		Now:    func() time.Time { return start },
	}, source
}

func request(h http.Handler, method, ifNoneMatch string) *http.Response {
	r := httptest.NewRequest(method, "/.well-known/jwks.json", nil)
	if ifNoneMatch != "" {
		r.Header.Set("If-None-Match", ifNoneMatch)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestGetServesTheDocument(t *testing.T) {
	h, source := newHandler(t, time.Time{}, 5*time.Minute)
	res := request(h, http.MethodGet, "")
	if text := body(t, res); res.StatusCode != http.StatusOK || text != string(source.doc.Body()) {
		t.Errorf("%s with %q", res.Status, text)
	}
	want := map[string]string{
		"Content-Type":                "application/jwk-set+json",
		"Content-Length":              strconv.Itoa(len(source.doc.Body())),
		"Etag":                        source.doc.ETag(),
		"Cache-Control":               "public, max-age=300, must-revalidate",
		"Access-Control-Allow-Origin": "*",
	}
	got := map[string]string{}
	for name, values := range res.Header {
		got[name] = strings.Join(values, "; ")
	}
	if !maps.Equal(got, want) {
		t.Errorf("headers %v, want %v", got, want)
	}
}

// A request costs one look at what is in memory, and at its own instant.
func TestSourceIsAskedOncePerRequest(t *testing.T) {
	h, source := newHandler(t, time.Time{}, time.Minute)
	request(h, http.MethodGet, "")
	request(h, http.MethodHead, "")
	request(h, http.MethodGet, source.doc.ETag())
	if want := []time.Time{start, start, start}; !slices.Equal(source.asked, want) {
		t.Errorf("asked for %v, want %v", source.asked, want)
	}
}

func TestHeadSendsTheHeadersAlone(t *testing.T) {
	h, _ := newHandler(t, time.Time{}, 5*time.Minute)
	get, head := request(h, http.MethodGet, ""), request(h, http.MethodHead, "")
	if !maps.EqualFunc(get.Header, head.Header, slices.Equal) || head.StatusCode != get.StatusCode {
		t.Errorf("HEAD %s %v, GET %s %v", head.Status, head.Header, get.Status, get.Header)
	}
	if text := body(t, head); text != "" {
		t.Errorf("HEAD has the body %q", text)
	}
}

func TestIfNoneMatch(t *testing.T) {
	h, source := newHandler(t, time.Time{}, 5*time.Minute)
	tag := source.doc.ETag()
	tests := []struct {
		header string
		status int
	}{
		{tag, 304},
		{"W/" + tag, 304},
		{`"other", ` + tag, 304},
		{tag + `,"other"`, 304},
		{`"other" , W/` + tag + ` `, 304},
		{"*", 304},
		{`"other"`, 200},
		{`W/"other"`, 200},
		{strings.Trim(tag, `"`), 200},
		{strings.ToLower(tag) + "x", 200},
		{`"` + tag + `"`, 200},
		{",", 200},
		{"", 200},
	}
	for _, tt := range tests {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			res := request(h, method, tt.header)
			if res.StatusCode != tt.status {
				t.Errorf("%s If-None-Match: %s: %d, want %d", method, tt.header, res.StatusCode, tt.status)
			}
			if res.StatusCode == 304 {
				expectNotModified(t, res, tag)
			}
		}
	}
}

// expectNotModified holds a 304 to RFC 9110 §15.4.5: the headers that a cache
// needs to go on with, and no content.
func expectNotModified(t *testing.T, res *http.Response, tag string) {
	t.Helper()
	if res.Header.Get("ETag") != tag || res.Header.Get("Access-Control-Allow-Origin") != "*" ||
		res.Header.Get("Cache-Control") != "public, max-age=300, must-revalidate" {
		t.Errorf("304 with the headers %v", res.Header)
	}
	if text := body(t, res); text != "" || res.Header.Get("Content-Length") != "" {
		t.Errorf("304 with the body %q and Content-Length %q", text, res.Header.Get("Content-Length"))
	}
}

func TestCacheControlFollowsThePlan(t *testing.T) {
	tests := []struct {
		name   string
		change time.Time
		limit  time.Duration
		want   string
	}{
		{"limit", time.Time{}, time.Hour, "public, max-age=3600, must-revalidate"},
		{"change comes first", start.Add(90 * time.Second), time.Hour, "public, max-age=90, must-revalidate"},
		{"never longer than the change", start.Add(1999 * time.Millisecond), time.Hour, "public, max-age=1, must-revalidate"},
		{"change is over", start.Add(-time.Hour), time.Hour, "public, max-age=0, must-revalidate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := newHandler(t, tt.change, tt.limit)
			if got := request(h, http.MethodGet, "").Header.Get("Cache-Control"); got != tt.want {
				t.Errorf("Cache-Control: %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNoDocumentIsUnavailable(t *testing.T) {
	h, source := newHandler(t, time.Time{}, time.Hour)
	source.doc, source.err = nil, errors.New("the secret reason")
	res := request(h, http.MethodGet, "")
	if text := body(t, res); res.StatusCode != http.StatusServiceUnavailable || strings.Contains(text, "secret") {
		t.Errorf("%s with %q", res.Status, text)
	}
	if res.Header.Get("Cache-Control") != "" || res.Header.Get("ETag") != "" {
		t.Errorf("an error may be cached: %v", res.Header)
	}
	var told error
	h.Error = func(w http.ResponseWriter, _ *http.Request, err error) { told = err; w.WriteHeader(http.StatusTeapot) }
	if res := request(h, http.MethodGet, ""); res.StatusCode != http.StatusTeapot || !errors.Is(told, source.err) {
		t.Errorf("Error was told %v and %s was sent", told, res.Status)
	}
}

// discard is the cheapest ResponseWriter that there is.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkHandler measures what serving costs, and as "x-bare" how many times
// the cost of a handler that only writes the same bytes.
func BenchmarkHandler(b *testing.B) {
	h, source := newHandler(b, start.Add(time.Hour), 5*time.Minute)
	text := source.doc.Body()
	h.Source = fixedSource{source.doc}
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", jwks.ContentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.Write(text)
	})
	b.Run("direct", func(b *testing.B) { compare(b, h, bare, serveDirect(b)) })
	b.Run("http", func(b *testing.B) { compare(b, h, bare, serveHTTP(b)) })
}

type fixedSource struct{ doc *jwks.Document }

func (s fixedSource) Document(time.Time) (*jwks.Document, error) { return s.doc, nil }

// serveDirect calls a handler without a network.
func serveDirect(b *testing.B) func(http.Handler) func() {
	r := httptest.NewRequest(http.MethodGet, "/.well-known/jwks.json", nil)
	w := &discard{header: http.Header{}}
	return func(h http.Handler) func() {
		return func() {
			clear(w.header)
			h.ServeHTTP(w, r)
		}
	}
}

// serveHTTP calls a handler through a loopback connection that is kept open.
func serveHTTP(b *testing.B) func(http.Handler) func() {
	return func(h http.Handler) func() {
		server := httptest.NewServer(h)
		b.Cleanup(server.Close)
		return func() {
			res, err := server.Client().Get(server.URL)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
}

func compare(b *testing.B, h, bare http.Handler, serve func(http.Handler) func()) {
	ours, theirs := serve(h), serve(bare)
	var spent [2]time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for i, call := range []func(){ours, theirs} {
			began := time.Now()
			call()
			spent[i] += time.Since(began)
		}
	}
	b.ReportMetric(float64(spent[0])/float64(b.N), "ns/request")
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "x-bare")
}
