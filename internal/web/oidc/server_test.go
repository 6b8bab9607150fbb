package oidc_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"signet/internal/store/boltstore"
	"signet/internal/web"
	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/issuer/oauth"
)

const (
	tokenPath      = "/oauth2/token"
	revokePath     = "/oauth2/revoke"
	introspectPath = "/oauth2/introspect"
	formType       = "application/x-www-form-urlencoded"
)

// server is the whole public listener, with three clients: batch, which may have two
// scopes at two services; ledger, which is one of these and may exchange tokens; and
// stranger.
type server struct {
	*webtest.Env
	handler                 http.Handler
	log                     *logs
	batch, ledger, stranger credentials

	mu      sync.Mutex
	secrets []string // that must not be in the log
}

// credentials are what a client authenticates with.
type credentials struct{ id, secret string }

// basic is client_secret_basic (RFC 6749 §2.3.1).
func (c credentials) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.id)+":"+url.QueryEscape(c.secret)))
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

func (l *logs) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

// start signs with the first of the algorithms, ES256 if none is named.
func start(t testing.TB, algorithms ...string) *server {
	t.Helper()
	if len(algorithms) == 0 {
		algorithms = []string{"ES256"}
	}
	s := &server{log: new(logs)}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Env = webtest.NewWith(t, algorithms, log, func(p *issuer.Policy) { p.Audience = []string{"ledger"} })
	s.handler = web.NewHandler(web.Options{
		URL: webtest.URL, Issuer: s.Issuer, SimpleJWT: true, OAuth: s.OAuth, Clients: s.Clients, Keys: s.Keys, Log: log, Now: s.Clock.Now,
		MaxAge: func() time.Duration { return 5 * time.Minute },
		Unavailable: func(err error) bool {
			return errors.Is(err, boltstore.ErrStorage) || errors.Is(err, boltstore.ErrClosed)
		},
	})
	s.batch = s.register(t, oauth.Client{ID: "batch", Grants: []string{oauth.ClientCredentials},
		Scopes: []string{"invoices:read", "invoices:write"}, Audiences: []string{"https://billing.example", "ledger"}})
	s.ledger = s.register(t, oauth.Client{ID: "ledger", Grants: []string{oauth.ClientCredentials, oauth.TokenExchange}, Audiences: []string{"stock"}})
	s.stranger = s.register(t, oauth.Client{ID: "stranger", Grants: []string{oauth.ClientCredentials}, Audiences: []string{"stock"}})
	t.Cleanup(func() { s.wantNoSecretInTheLog(t) })
	return s
}

func (s *server) register(t testing.TB, c oauth.Client) credentials {
	t.Helper()
	secret := s.AddClient(t, c)
	s.hide(secret)
	return credentials{c.ID, secret}
}

// hide makes the test fail if one of these is in the log.
func (s *server) hide(secrets ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, secrets...)
}

// hideToken hides payload and signature: the header is the same for all.
func (s *server) hideToken(token string) {
	if parts := strings.Split(token, "."); len(parts) == 3 {
		s.hide(parts[1:]...)
	}
}

func (s *server) wantNoSecretInTheLog(t testing.TB) {
	t.Helper()
	text := s.log.String()
	for _, secret := range append(s.secrets, strings.TrimSpace(webtest.Password), "eyJhbGci") {
		if len(secret) > 2 && (strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret))) {
			t.Errorf("%.60q is in the log", secret)
		}
	}
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
}

// send sends a request; the header is name and value by turns, and a name with an
// empty value is left out.
func (s *server) send(t testing.TB, method, path string, body io.Reader, header ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, path, body)
	for i := 0; i < len(header); i += 2 {
		switch {
		case header[i+1] == "":
			r.Header.Del(header[i])
		case header[i] == "Host":
			r.Host = header[i+1]
		default:
			r.Header.Add(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	got := answer{w.Result(), w.Body.String()}
	if method == http.MethodPost && slices.Contains([]string{tokenPath, revokePath, introspectPath}, r.URL.Path) {
		s.wantForm(t, got)
	}
	return got
}

// post sends a form to an OAuth endpoint.
func (s *server) post(t testing.TB, path, form string, header ...string) answer {
	t.Helper()
	return s.send(t, http.MethodPost, path, strings.NewReader(form), append([]string{"Content-Type", formType}, header...)...)
}

// as posts a form for a client that authenticates by client_secret_basic.
func (s *server) as(t testing.TB, c credentials, path string, pairs ...string) answer {
	t.Helper()
	return s.post(t, path, form(pairs...), "Authorization", c.basic())
}

// form encodes names and values by turns, in their order.
func form(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(pairs[i]) + "=" + url.QueryEscape(pairs[i+1]))
	}
	return b.String()
}

// codes are those of RFC 6749 §5.2, §4.1.2.1, RFC 7009 §2.2.1 and RFC 8707 §2.
var codes = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	"invalid_scope", "invalid_target", "unsupported_token_type", "temporarily_unavailable", "server_error"}

// description has the characters that RFC 6749 §5.2 allows.
var description = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]+$`)

// wantForm holds what is true of every answer of an endpoint (RFC 6749 §5.1, §5.2).
func (s *server) wantForm(t testing.TB, got answer) {
	t.Helper()
	got.has(t, "Cache-Control", "no-store")
	got.has(t, "Pragma", "no-cache")
	got.has(t, "Content-Type", "application/json")
	var body struct {
		Error       *string `json:"error"`
		Description string  `json:"error_description"`
		RequestID   string  `json:"request_id"`
		Access      string  `json:"access_token"`
		Refresh     string  `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Errorf("%d %q is not JSON: %v", got.StatusCode, got.body, err)
	}
	s.hideToken(body.Access)
	s.hideToken(body.Refresh)
	challenge := ""
	if got.StatusCode == http.StatusUnauthorized {
		challenge = `Basic realm="clients"`
	}
	got.has(t, "WWW-Authenticate", challenge)
	if got.StatusCode == http.StatusOK {
		if body.Error != nil {
			t.Errorf("200 with an error: %s", got.body)
		}
		return
	}
	switch {
	case body.Error == nil || !slices.Contains(codes, *body.Error):
		t.Errorf("%d without a known error: %s", got.StatusCode, got.body)
	case !description.MatchString(body.Description):
		t.Errorf("error_description %q has other characters than RFC 6749 §5.2 allows", body.Description)
	case (*body.Error == "invalid_client") != (got.StatusCode == http.StatusUnauthorized):
		t.Errorf("%d with %s", got.StatusCode, *body.Error)
	case (body.RequestID != "") != (got.StatusCode >= 500):
		t.Errorf("%d with the request id %q", got.StatusCode, body.RequestID)
	}
	if body.Access != "" || body.Refresh != "" {
		t.Errorf("%d with a token", got.StatusCode)
	}
}

func (a answer) has(t testing.TB, name, value string) {
	t.Helper()
	if got := a.Header.Values(name); strings.Join(got, "|") != value {
		t.Errorf("%d %.100s: %s is %q, want %q", a.StatusCode, a.body, name, got, value)
	}
}

// says holds status and body.
func (a answer) says(t testing.TB, what string, status int, body string) {
	t.Helper()
	if a.StatusCode != status || a.body != body {
		t.Errorf("%s:\ngot  %d %s\nwant %d %s", what, a.StatusCode, a.body, status, body)
	}
}

// refuses holds status and error code.
func (a answer) refuses(t testing.TB, what string, status int, code string) {
	t.Helper()
	if a.StatusCode != status || !strings.HasPrefix(a.body, `{"error":"`+code+`",`) {
		t.Errorf("%s: got %d %s, want %d %s", what, a.StatusCode, a.body, status, code)
	}
}

// tokens is a successful answer of the token endpoint.
type tokens struct {
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	Type      string `json:"token_type"`
	ExpiresIn int    `json:"expires_in"`
	Scope     string `json:"scope"`
}

// gives holds 200 with an access token.
func (a answer) gives(t testing.TB, what string) tokens {
	t.Helper()
	var got tokens
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.StatusCode != http.StatusOK || got.Access == "" {
		t.Fatalf("%s: %d %s", what, a.StatusCode, a.body)
	}
	return got
}

// machine gets a token of batch's for ledger.
func (s *server) machine(t testing.TB) string {
	t.Helper()
	return s.as(t, s.batch, tokenPath, "grant_type", "client_credentials", "audience", "ledger").gives(t, "a machine's token").Access
}

// login begins a session of Alice's at /api/token/.
func (s *server) login(t testing.TB) (access, refresh string) {
	t.Helper()
	got := s.api(t, "", map[string]string{"username": webtest.Alice, "password": webtest.Password})
	if got.StatusCode != http.StatusOK {
		t.Fatalf("login: %d %s", got.StatusCode, got.body)
	}
	var pair struct{ Access, Refresh string }
	if err := json.Unmarshal([]byte(got.body), &pair); err != nil {
		t.Fatal(err)
	}
	s.hideToken(pair.Access)
	s.hideToken(pair.Refresh)
	return pair.Access, pair.Refresh
}

// api posts JSON to the first-party dialect.
func (s *server) api(t testing.TB, path string, body map[string]string) answer {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return s.send(t, http.MethodPost, "/api/token/"+path, bytes.NewReader(text), "Content-Type", "application/json")
}

// active asks the introspection endpoint.
func (s *server) active(t testing.TB, c credentials, token string) bool {
	t.Helper()
	got := s.as(t, c, introspectPath, "token", token)
	if got.StatusCode != http.StatusOK {
		t.Fatalf("introspection: %d %s", got.StatusCode, got.body)
	}
	if got.body == `{"active":false}` {
		return false
	}
	if !strings.HasPrefix(got.body, `{"active":true,`) {
		t.Errorf("introspection: %s", got.body)
	}
	return true
}
