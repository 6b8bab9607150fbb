package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"signet/internal/store/boltstore"
	"signet/internal/web"
	"signet/internal/web/webtest"
	"signet/issuer"
)

// server is the whole of Signet's public listener over a real issuer.
type server struct {
	*webtest.Env
	*httptest.Server
	log *logs
}

// logs is everything that was logged, at debug level.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// settings is what a test changes before the server starts.
type settings struct {
	policy  func(*issuer.Policy)
	options func(*web.Options)
	http    func(*http.Server)
}

func start(t *testing.T, set settings) *server {
	t.Helper()
	s := &server{log: new(logs)}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Env = webtest.New(t, log, set.policy)
	opts := web.Options{
		URL: webtest.URL, Issuer: s.Issuer, SimpleJWT: true, Keys: s.Keys, Log: log, Now: s.Clock.Now,
		MaxAge: func() time.Duration { return 5 * time.Minute }, Ready: s.Store.CheckWritable,
		Unavailable: func(err error) bool {
			return errors.Is(err, boltstore.ErrStorage) || errors.Is(err, boltstore.ErrClosed)
		},
	}
	if set.options != nil {
		set.options(&opts)
	}
	s.Server = httptest.NewUnstartedServer(nil)
	s.Server.Config = web.HTTPServer(web.NewHandler(opts), log)
	if set.http != nil {
		set.http(s.Server.Config)
	}
	s.Server.Start()
	t.Cleanup(s.Server.Close)
	return s
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
}

func (s *server) do(t *testing.T, method, path, contentType string, body io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	if err != nil {
		t.Fatal(err)
	}
	return read(t, resp)
}

func read(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(text)}
}

func (s *server) get(t *testing.T, path string, header ...string) answer {
	t.Helper()
	return s.do(t, "GET", path, "", nil, header...)
}

const jsonType = "application/json"

var credentials = fmt.Sprintf(`{"username":%q,"password":%q}`, webtest.Alice, webtest.Password)

func (s *server) login(t *testing.T, header ...string) issuer.Tokens {
	t.Helper()
	got := s.do(t, "POST", "/api/token/", jsonType, strings.NewReader(credentials), header...)
	got.is(t, http.StatusOK)
	var tokens issuer.Tokens
	if err := json.Unmarshal([]byte(got.body), &tokens); err != nil || tokens.Access == "" || tokens.Refresh == "" {
		t.Fatalf("%v in %s", err, got.body)
	}
	return tokens
}

func (a answer) is(t *testing.T, status int) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("got %d %s, want %d", a.StatusCode, a.body, status)
	}
}

// says also holds that an error is JSON.
func (a answer) says(t *testing.T, status int, body string) {
	t.Helper()
	a.is(t, status)
	if a.body != body {
		t.Errorf("got  %s\nwant %s", a.body, body)
	}
	if a.Header.Get("Content-Type") != jsonType {
		t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
	}
}

func (a answer) has(t *testing.T, name, value string) {
	t.Helper()
	if got := a.Header.Get(name); got != value {
		t.Errorf("%s: got %q, want %q", name, got, value)
	}
}

func TestRoutes(t *testing.T) {
	s := start(t, settings{})
	s.get(t, "/healthz").says(t, 200, `{"status":"ok"}`)
	s.get(t, "/readyz").says(t, 200, `{"status":"ready"}`)
	s.get(t, "/").says(t, 200, `{"issuer":"https://issuer.test","jwks_uri":"https://issuer.test/.well-known/jwks.json",`+
		`"token":"https://issuer.test/api/token/","alive":"https://issuer.test/healthz","ready":"https://issuer.test/readyz"}`)
	for _, path := range []string{"/nothing", "/api/", "/api/token//", "//api/token/", "/api/token/../token/", "/healthz/"} {
		s.get(t, path).says(t, 404, `{"detail":"Not found. GET / lists what there is."}`)
	}
	wrong := s.do(t, "POST", "/healthz", "", nil)
	wrong.says(t, 405, `{"detail":"Method \"POST\" not allowed."}`)
	wrong.has(t, "Allow", "GET, HEAD, OPTIONS")
	options := s.do(t, "OPTIONS", "/healthz", "", nil)
	options.is(t, http.StatusNoContent)
	options.has(t, "Allow", "GET, HEAD, OPTIONS")
	wrong = s.do(t, "DELETE", "/.well-known/jwks.json", "", nil)
	wrong.is(t, 405)
	wrong.has(t, "Allow", "GET, HEAD, OPTIONS")
}

func TestDialectOff(t *testing.T) {
	s := start(t, settings{options: func(o *web.Options) { o.SimpleJWT = false }})
	s.do(t, "POST", "/api/token/", jsonType, strings.NewReader(credentials)).is(t, http.StatusNotFound)
	if got := s.get(t, "/"); strings.Contains(got.body, "api/token") {
		t.Errorf("the index leads to a route that is off: %s", got.body)
	}
}
