package web_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"signet/internal/consumers"
	"signet/internal/web"
	"signet/internal/web/clientaddr"
	"signet/internal/web/webtest"
	"signet/jwks"
	"signet/keystore"
)

const keySet = "/.well-known/jwks.json"

// watched is a server that records who fetches its key set.
func watched(t *testing.T, set func(*web.Options)) (*server, *consumers.Table) {
	t.Helper()
	table := consumers.New()
	return start(t, settings{options: func(o *web.Options) {
		o.Consumers = table
		if set != nil {
			set(o)
		}
	}}), table
}

// only returns the one consumer in the table.
func only(t *testing.T, table *consumers.Table) consumers.Consumer {
	t.Helper()
	list := table.List()
	if len(list) != 1 {
		t.Fatalf("%d consumers, want 1: %+v", len(list), list)
	}
	return list[0]
}

// TestConsumerHasWhatItFetched: a consumer has the version that it got, or that it
// said it had, until it asks again.
func TestConsumerHasWhatItFetched(t *testing.T) {
	s, table := watched(t, nil)
	first := s.get(t, keySet, "User-Agent", "billing/1.0")
	first.is(t, 200)
	before := only(t, table)
	if before.ETag != first.Header.Get("ETag") || before.UserAgent != "billing/1.0" || before.Name != "" ||
		before.Address != netip.MustParseAddr("127.0.0.1") || !before.Last.Equal(s.Clock.Now()) || len(before.KIDs) != 1 {
		t.Errorf("after the first fetch: %+v", before)
	}
	_, err := s.Keys.Rotate(t.Context(), keystore.RotateRequest{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := only(t, table); got.ETag != before.ETag {
		t.Errorf("it has %s before it asked again", got.ETag)
	}
	s.Clock.Step(time.Minute)
	second := s.get(t, keySet, "User-Agent", "billing/1.0", "If-None-Match", before.ETag)
	second.is(t, 200)
	s.Clock.Step(time.Minute)
	s.get(t, keySet, "User-Agent", "billing/1.0", "If-None-Match", second.Header.Get("ETag")).is(t, 304)
	got := only(t, table)
	if got.ETag != second.Header.Get("ETag") || len(got.KIDs) != 2 || !got.Last.Equal(s.Clock.Now()) || got.KIDs[0] != before.KIDs[0] {
		t.Errorf("after the rotation: %+v", got)
	}
}

// TestNotEveryRequestIsAFetch: what leaves its sender without the document does not count.
func TestNotEveryRequestIsAFetch(t *testing.T) {
	s, table := watched(t, nil)
	s.do(t, "HEAD", keySet, "", nil).is(t, 200)
	s.do(t, "HEAD", keySet, "", nil, "If-None-Match", s.get(t, keySet+"?rs=asked").Header.Get("ETag")).is(t, 304)
	s.do(t, "OPTIONS", keySet, "", nil).is(t, 204)
	s.do(t, "POST", keySet, "", nil).is(t, 405)
	s.get(t, keySet, "If-None-Match", "*").is(t, 304)
	if got := only(t, table); got.Name != "asked" {
		t.Errorf("counted %+v", got)
	}
}

// TestNameOfAConsumer: ?rs=NAME joins the addresses and versions of a service, and
// what is no name leaves the consumer to its address and User-Agent.
func TestNameOfAConsumer(t *testing.T) {
	s, table := watched(t, nil)
	s.get(t, keySet+"?rs=billing", "User-Agent", "billing/1.0").is(t, 200)
	s.get(t, keySet+"?v=2&rs=billing", "User-Agent", "billing/1.1").is(t, 200)
	for _, query := range []string{"?rs=", "?rs=a+b", "?rs=%62", "?rs=a&rs=a", "?RS=a", "?rs=<x>", "?xrs=a", "?rs=" + strings.Repeat("a", 65)} {
		s.get(t, keySet+query, "User-Agent", "other").is(t, 200)
	}
	list := table.List()
	if len(list) != 2 || list[0].Name != "billing" || list[0].UserAgent != "billing/1.1" || list[1].Name != "" || list[1].UserAgent != "other" {
		t.Errorf("consumers %+v", list)
	}
}

// TestNameChangesNothingElse: caches and clients see the same answer.
func TestNameChangesNothingElse(t *testing.T) {
	s, _ := watched(t, nil)
	plain, named := s.get(t, keySet), s.get(t, keySet+"?rs=billing")
	for _, got := range []answer{plain, named} {
		got.Header.Del("X-Request-Id")
		got.Header.Del("Date")
	}
	if fmt.Sprint(plain.Header) != fmt.Sprint(named.Header) || plain.body != named.body {
		t.Errorf("plain %v %s\nnamed %v %s", plain.Header, plain.body, named.Header, named.body)
	}
	s.get(t, keySet+"?rs=billing", "If-None-Match", plain.Header.Get("ETag")).is(t, 304)
}

// TestConsumerBehindAProxy is who the trusted proxy says, and for a stranger who
// only says so, the stranger.
func TestConsumerBehindAProxy(t *testing.T) {
	for from, want := range map[string]string{"127.0.0.0/8": "192.0.2.7", "10.0.0.0/8": "127.0.0.1"} {
		s, table := watched(t, func(o *web.Options) {
			o.Proxies = clientaddr.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix(from)}}
		})
		s.get(t, keySet, "X-Forwarded-For", "203.0.113.9, 192.0.2.7").is(t, 200)
		if got := only(t, table).Address.String(); got != want {
			t.Errorf("with the proxies %s the consumer is %s, want %s", from, got, want)
		}
	}
}

// nowhere is a response that goes nowhere.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// BenchmarkKeySetIsFetched measures the handlers with and without the record in turns,
// and reports which part of the rate is left: of the whole public handler, and of
// the key set's alone.
func BenchmarkKeySetIsFetched(b *testing.B) {
	env := webtest.New(b, nil, nil)
	maxAge := func() time.Duration { return 5 * time.Minute }
	public := func(table *consumers.Table) http.Handler {
		return web.NewHandler(web.Options{URL: webtest.URL, Keys: env.Keys, MaxAge: maxAge, Consumers: table,
			Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	}
	table := consumers.New()
	bare := &jwks.Handler{Source: env.Keys, MaxAge: maxAge}
	heard := &jwks.Handler{Source: env.Keys, MaxAge: maxAge, Fetched: func(r *http.Request, doc *jwks.Document, at time.Time) {
		table.Note(consumers.Fetch{Name: consumers.NameIn(r.URL.RawQuery), Address: (&clientaddr.Proxies{}).Client(r),
			UserAgent: r.UserAgent(), ETag: doc.ETag(), KIDs: doc.KIDs(), At: at})
	}}
	b.Run("public", func(b *testing.B) { inTurns(b, public(nil), public(table)) })
	b.Run("jwks", func(b *testing.B) { inTurns(b, bare, heard) })
}

func inTurns(b *testing.B, without, with http.Handler) {
	var requests []*http.Request
	for i := range 100 {
		r := httptest.NewRequest("GET", keySet, nil)
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1234", i)
		r.Header.Set("User-Agent", "billing/1.0")
		requests = append(requests, r)
	}
	w := nowhere{http.Header{}}
	turn := func(h http.Handler, n int) time.Duration {
		began := time.Now()
		for i := range n {
			h.ServeHTTP(w, requests[i%len(requests)])
		}
		return time.Since(began)
	}
	const length = 200 // requests in a turn
	var rates []float64
	b.ResetTimer()
	for done := 0; done < b.N; done += 2 * length {
		a, z := turn(without, length), turn(with, length)
		rates = append(rates, float64(a)/float64(z))
	}
	slices.Sort(rates)
	b.ReportMetric(rates[len(rates)/2], "of-the-rate")
}
