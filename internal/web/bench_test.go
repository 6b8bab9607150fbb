package web_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"signet/internal/consumers"
	"signet/internal/metrics"
	"signet/internal/web"
	"signet/internal/web/webtest"
	"signet/issuer/oauth"
)

// sink is what net/http gives to a handler, without a connection behind it.
type sink struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return s.body.Write(b) }

// whole is the handler of the public listener, as serve wires it, over a real database.
type whole struct {
	*webtest.Env
	handler http.Handler
	sink    sink
}

func newWhole(t testing.TB) *whole {
	log := slog.New(slog.NewTextHandler(io.Discard, nil)) // at info level, as by default
	env := webtest.New(t, log, nil)
	return &whole{Env: env, handler: web.NewHandler(web.Options{
		URL: webtest.URL, Issuer: env.Issuer, SimpleJWT: true, OAuth: env.OAuth, Clients: env.Clients,
		Keys: env.Keys, MaxAge: func() time.Duration { return 5 * time.Minute }, Consumers: consumers.New(),
		Served: metrics.New("test", "go").Served, Now: env.Clock.Now, Log: log,
	})}
}

// prepared is a request as net/http reads it, whose body is given with each answer.
func prepared(t testing.TB, method, path string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, webtest.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "192.0.2.1:4711"
	r.Header.Set("User-Agent", "billing/1.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// answer serves the request, which must succeed.
func (h *whole) answer(t testing.TB, r *http.Request, body string) []byte {
	h.sink.header, h.sink.status = http.Header{}, http.StatusOK
	h.sink.body.Reset()
	r.Body = io.NopCloser(strings.NewReader(body))
	h.handler.ServeHTTP(&h.sink, r)
	if h.sink.status != http.StatusOK {
		t.Fatalf("%s: %d %s", r.URL.Path, h.sink.status, &h.sink.body)
	}
	return h.sink.body.Bytes()
}

func BenchmarkKeySet(b *testing.B) {
	h := newWhole(b)
	r := prepared(b, "GET", keySet)
	b.ReportAllocs()
	for b.Loop() {
		h.answer(b, r, "")
	}
}

func BenchmarkMachineToken(b *testing.B) {
	h := newWhole(b)
	secret := h.AddClient(b, oauth.Client{ID: "billing", Grants: []string{oauth.ClientCredentials},
		Audiences: []string{"orders"}, Scopes: []string{"orders:read"}})
	r := prepared(b, "POST", "/oauth2/token", "Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("billing", secret)
	b.ReportAllocs()
	for b.Loop() {
		h.answer(b, r, "grant_type=client_credentials")
	}
}

// BenchmarkRefreshRequest is one session's: each waits for a commit of its own.
func BenchmarkRefreshRequest(b *testing.B) {
	h := newWhole(b)
	refresh := h.Login(b, webtest.Alice, webtest.Password).Refresh
	r := prepared(b, "POST", "/api/token/refresh/", "Content-Type", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		var pair struct{ Refresh string }
		if err := json.Unmarshal(h.answer(b, r, `{"refresh":"`+refresh+`"}`), &pair); err != nil {
			b.Fatal(err)
		}
		refresh = pair.Refresh
	}
}

// BenchmarkRefreshLoad is that of 32 clients with a session each, which share commits.
func BenchmarkRefreshLoad(b *testing.B) {
	h := newWhole(b)
	const clients = 32
	first := make(chan string, clients)
	for range clients {
		first <- h.Login(b, webtest.Alice, webtest.Password).Refresh
	}
	b.SetParallelism(clients / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		own := &whole{Env: h.Env, handler: h.handler}
		r := prepared(b, "POST", "/api/token/refresh/", "Content-Type", "application/json")
		for refresh := <-first; pb.Next(); {
			var pair struct{ Refresh string }
			if err := json.Unmarshal(own.answer(b, r, `{"refresh":"`+refresh+`"}`), &pair); err != nil {
				b.Error(err)
				return
			}
			refresh = pair.Refresh
		}
	})
}

// TestKeySetAllocations: what a request for the key set allocates here, the header and the
// request of the test itself included. A service may ask for each token that it sees.
func TestKeySetAllocations(t *testing.T) {
	h := newWhole(t)
	r := prepared(t, "GET", keySet)
	const most = 10
	if n := testing.AllocsPerRun(1000, func() { h.answer(t, r, "") }); n > most {
		t.Errorf("%v allocations, want %d at most", n, most)
	}
}

// TestHeadersAreNotShared: what is added to the header of one answer is not in the next.
func TestHeadersAreNotShared(t *testing.T) {
	h := newWhole(t)
	for _, path := range []string{keySet, "/healthz"} {
		r := prepared(t, "GET", path)
		h.answer(t, r, "")
		for name, values := range h.sink.header {
			h.sink.header[name] = append(values, "added")
			h.sink.header.Add(name, "added")
		}
		h.answer(t, r, "")
		for name, values := range h.sink.header {
			if len(values) != 1 || values[0] == "added" {
				t.Errorf("%s: %s: %q", path, name, values)
			}
		}
	}
}
