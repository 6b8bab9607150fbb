package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"signet/internal/web"
	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/jwks"
	"signet/users"
)

// failing is an issuer whose every answer is err.
type failing struct {
	err   error
	panic bool
}

func (f failing) fail() error {
	if f.panic {
		panic(f.err)
	}
	return f.err
}

func (f failing) Login(context.Context, issuer.Attempt) (issuer.Tokens, error) {
	return issuer.Tokens{}, f.fail()
}
func (f failing) Refresh(context.Context, string) (issuer.Tokens, error) {
	return issuer.Tokens{}, f.fail()
}
func (f failing) Verify(context.Context, string) (*issuer.Claims, error) { return nil, f.fail() }
func (f failing) Logout(context.Context, string) error                   { return f.fail() }

func startFailing(t *testing.T, f failing) *server {
	t.Helper()
	return start(t, settings{options: func(o *web.Options) { o.Issuer = f }})
}

func TestUnknownError(t *testing.T) {
	for name, f := range map[string]failing{
		"error": {err: errors.New("secret cause")},
		"panic": {err: errors.New("secret cause"), panic: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := startFailing(t, f)
			for path, body := range map[string]string{
				"": credentials, "refresh/": `{"refresh":"x"}`, "verify/": `{"token":"x"}`, "blacklist/": `{"refresh":"x"}`,
			} {
				got := s.do(t, "POST", "/api/token/"+path, jsonType, strings.NewReader(body))
				id := got.Header.Get("X-Request-Id")
				got.says(t, 500, `{"detail":"internal error","request_id":"`+id+`"}`)
				if line := s.line(id); !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "secret cause") {
					t.Errorf("the log does not say why: %s", line)
				}
			}
			s.get(t, "/healthz").is(t, http.StatusOK)
		})
	}
}

// line is what was logged of the request; an error if that was more than one line.
func (s *server) line(id string) string {
	var found []string
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, id) {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		return fmt.Sprintf("%d lines for %s", len(found), id)
	}
	return found[0]
}

func TestErrorsThatPass(t *testing.T) {
	long := &issuer.TooLongError{Bytes: 5000, Limit: 4096, Claims: []string{"groups (3000 bytes)"}}
	for name, c := range map[string]struct {
		err    error
		status int
		detail string
		retry  string
	}{
		"busy":     {&users.BusyError{RetryAfter: 1500 * time.Millisecond}, 503, "Too many logins at once; try again.", "2"},
		"hasher":   {fmt.Errorf("%w: it ended", users.ErrHasher), 503, "Passwords cannot be checked now; try again.", "1"},
		"too long": {fmt.Errorf("login: %w", long), 500, long.Error(), ""},
		"deadline": {fmt.Errorf("wait: %w", context.DeadlineExceeded), 503, "The request could not be finished in time; try again.", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := startFailing(t, failing{err: c.err}).do(t, "POST", "/api/token/", jsonType, strings.NewReader(credentials))
			got.says(t, c.status, fmt.Sprintf(`{"detail":%q,"request_id":%q}`, c.detail, got.Header.Get("X-Request-Id")))
			got.has(t, "Retry-After", c.retry)
			got.has(t, "Cache-Control", "no-store")
		})
	}
}

func TestStorageFailure(t *testing.T) {
	s := start(t, settings{})
	tokens := s.login(t)
	s.Store.Close()
	for path, body := range map[string]string{
		"": credentials, "refresh/": `{"refresh":"` + tokens.Refresh + `"}`,
		"verify/": `{"token":"` + tokens.Access + `"}`, "blacklist/": `{"refresh":"` + tokens.Refresh + `"}`,
	} {
		got := s.do(t, "POST", "/api/token/"+path, jsonType, strings.NewReader(body))
		id := got.Header.Get("X-Request-Id")
		got.says(t, 503, `{"detail":"The storage does not answer; try again.","request_id":"`+id+`"}`)
		got.has(t, "Retry-After", "5")
		if line := s.line(id); !strings.Contains(line, "the database is closed") {
			t.Errorf("the log does not say why: %s", line)
		}
	}
	s.get(t, "/.well-known/jwks.json").is(t, http.StatusOK) // needs no storage
	s.get(t, "/healthz").is(t, http.StatusOK)
	got := s.get(t, "/readyz")
	got.says(t, 503, `{"detail":"Not ready: tokens cannot be signed and stored now.","request_id":"`+got.Header.Get("X-Request-Id")+`"}`)
}

// A probe of readiness may cost a write, and strangers may send it.
func TestReadyIsAskedOnceASecond(t *testing.T) {
	var asked atomic.Int64
	s := start(t, settings{options: func(o *web.Options) {
		o.Ready = func(ctx context.Context) error {
			asked.Add(1)
			if _, limited := ctx.Deadline(); !limited {
				t.Error("no time-out")
			}
			return nil
		}
	}})
	began := time.Now()
	for range 50 {
		s.get(t, "/readyz").is(t, http.StatusOK)
	}
	if most := int64(time.Since(began)/time.Second) + 1; asked.Load() > most {
		t.Errorf("asked %d times, at most %d are due", asked.Load(), most)
	}
}

type noDocument struct{}

func (noDocument) Document(time.Time) (*jwks.Document, error) { return nil, errors.New("no keys yet") }

func TestNoKeySet(t *testing.T) {
	s := start(t, settings{options: func(o *web.Options) { o.Keys = noDocument{} }})
	got := s.get(t, "/.well-known/jwks.json")
	got.is(t, http.StatusServiceUnavailable)
	got.has(t, "Cache-Control", "no-store")
	if line := s.line(got.Header.Get("X-Request-Id")); !strings.Contains(line, "no keys yet") {
		t.Errorf("the log does not say why: %s", line)
	}
}

func TestNoSecretInTheLog(t *testing.T) {
	s := start(t, settings{})
	tokens := s.login(t)
	post := func(path, body string) answer {
		return s.do(t, "POST", path, jsonType, strings.NewReader(body))
	}
	post("/api/token/", `{"username":"alice","password":"wrong-secret"}`).is(t, 401)
	post("/api/token/", `{"wrong-secret":"alice","wrong-secret":"x"}`).is(t, 400)
	post("/api/token/", `{"username":"alice","password":"wrong-secret`).is(t, 400)
	post("/api/token/refresh/", `{"refresh":"`+tokens.Access+`"}`).is(t, 401)
	post("/api/token/refresh/", `{"refresh":"`+tokens.Refresh+`x"}`).is(t, 401)
	post("/api/token/verify/", `{"token":"`+tokens.Access+`"}`).is(t, 200)
	s.get(t, "/api/token/"+tokens.Access).is(t, 404)
	s.get(t, "/?password="+url.QueryEscape(webtest.Password), "Authorization", "Bearer "+tokens.Access).is(t, 200)
	post("/api/token/refresh/", `{"refresh":"`+tokens.Refresh+`"}`).is(t, 200)
	s.Clock.Step(time.Minute)
	post("/api/token/refresh/", `{"refresh":"`+tokens.Refresh+`"}`).is(t, 401) // reuse

	text := s.log.String()
	if strings.Count(text, "msg=request") != 11 {
		t.Fatalf("not every request was logged:\n%s", text)
	}
	secrets := []string{"wrong-secret", strings.TrimSpace(webtest.Password), url.QueryEscape(webtest.Password)}
	for _, token := range []string{tokens.Access, tokens.Refresh} {
		secrets = append(secrets, strings.Split(token, ".")[1:]...) // payload, signature
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log:\n%s", secret, text)
		}
	}
}

// One session, whatever happens at the same moment: no 5xx, and no two chains.
func TestParallelRefreshes(t *testing.T) {
	s := start(t, settings{})
	tokens := s.login(t)
	answers := make(chan answer)
	for range 8 {
		go func() {
			answers <- s.do(t, "POST", "/api/token/refresh/", jsonType, strings.NewReader(`{"refresh":"`+tokens.Refresh+`"}`))
		}()
	}
	chains := map[any]bool{}
	for range 8 {
		got := <-answers
		if got.StatusCode != http.StatusOK {
			t.Errorf("%d %s", got.StatusCode, got.body)
			continue
		}
		_, refresh, _ := strings.Cut(got.body, `"refresh":"`)
		chains[webtest.Claims(t, strings.TrimSuffix(refresh, `"}`))["jti"]] = true
	}
	if len(chains) != 1 {
		t.Errorf("%d chains", len(chains))
	}
}
