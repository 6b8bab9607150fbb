package doctor

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"signet/internal/web"
	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/jwks"
	"signet/keystore"
)

// deployed is a real issuer behind a proxy that terminates TLS.
type deployed struct {
	*webtest.Env
	authority *authority
	front     *httptest.Server
	proxy     atomic.Value // http.Handler
	direct    http.Handler
	plain     *httptest.Server // port 80
}

func deploy(t *testing.T) *deployed {
	t.Helper()
	d := &deployed{authority: newAuthority(t)}
	d.front = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.proxy.Load().(http.HandlerFunc)(w, r)
	}))
	d.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.front.EnableHTTP2 = true
	address := "https://" + d.front.Listener.Addr().String()
	d.front.TLS = &tls.Config{Certificates: []tls.Certificate{d.authority.issue(t, leaf{})}}
	d.Env = webtest.New(t, nil, func(p *issuer.Policy) { p.URL = address })
	backend := httptest.NewServer(web.NewHandler(web.Options{
		URL: address, Issuer: d.Issuer, SimpleJWT: true, DRFJWT: d.Issuer, OAuth: d.OAuth, Clients: d.Clients,
		Keys: d.Keys, MaxAge: func() time.Duration { return d.Keys.Policy().JWKSMaxAge }, Now: d.Clock.Now,
	}))
	t.Cleanup(backend.Close)
	target, err := url.Parse(backend.URL)
	must(t, err)
	d.direct = d.through(target, nil)
	d.plain = httptest.NewServer(http.RedirectHandler(address, http.StatusMovedPermanently))
	t.Cleanup(d.plain.Close)
	d.behind(d.direct)
	d.front.StartTLS()
	t.Cleanup(d.front.Close)
	return d
}

// through is a proxy that alters answers.
func (d *deployed) through(target *url.URL, alter func(*http.Response) error) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: alter,
		ErrorLog:       log.New(io.Discard, "", 0),
	}
}

func (d *deployed) behind(h http.Handler) { d.proxy.Store(http.HandlerFunc(h.ServeHTTP)) }

// altering puts a proxy in front that alters every answer.
func (d *deployed) altering(alter func(*http.Response)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		recorded := httptest.NewRecorder()
		d.direct.ServeHTTP(recorded, r)
		answer := recorded.Result()
		answer.Request = r
		answer.Header.Del("Content-Length")
		alter(answer)
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
	}
}

func (d *deployed) outside() *Outside {
	return &Outside{
		URL: d.front.URL, Roots: d.authority.pool, Leeway: 30 * time.Second, plain: d.plain.URL,
		Deployment: &Deployment{KeySet: d.keySet, Keys: d.Keys.Keys(), MaxAge: 5 * time.Minute, SimpleJWT: true, DRFJWT: true},
	}
}

func (d *deployed) keySet(context.Context) ([]byte, error) {
	doc, err := d.Keys.Document(d.Clock.Now())
	if err != nil {
		return nil, err
	}
	return doc.Body(), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// finding is what a check should say: its texts contain these.
type finding struct {
	name   string
	result Result
	found  string
	advice string
}

// wantOnly checks that what was found is exactly this, and that all else is well.
func wantOnly(t *testing.T, checks []Check, want ...finding) {
	t.Helper()
	for _, c := range checks {
		i := slices.IndexFunc(want, func(f finding) bool {
			return f.name == c.Name && f.result == c.Result && strings.Contains(c.Found, f.found) && strings.Contains(c.Advice, f.advice)
		})
		if i < 0 && c.Result != OK {
			t.Errorf("not asked for: %+v", c)
		}
		if i >= 0 {
			want = slices.Delete(want, i, i+1)
		}
		if c.Found == "" || (c.Advice == "") != (c.Result == OK || c.Result == Skipped) {
			t.Errorf("a finding has advice, and nothing else has: %+v", c)
		}
	}
	for _, f := range want {
		t.Errorf("missing: %+v in\n%+v", f, checks)
	}
}

func names(checks []Check) (list []string) {
	for _, c := range checks {
		list = append(list, c.Name)
	}
	return list
}

func TestHealthyIssuer(t *testing.T) {
	d := deploy(t)
	checks := d.outside().Checks(t.Context())
	wantOnly(t, checks,
		finding{name: "certificate", result: OK, found: "89 days left, TLS 1.3, h2"}, finding{name: "key set", result: OK, found: "1 key of this issuer"},
		finding{name: "caching", result: OK, found: "max-age 5 minutes, ETag, 304"}, finding{name: "discovery", result: OK, found: "3 endpoints answer"},
		finding{name: "login", result: OK, found: "/api/token/, /api-token-auth/ answers"}, finding{name: "clock", result: OK, found: "that of this machine"},
		finding{name: "port 80", result: OK, found: "301"}, finding{name: "ready", result: OK, found: "sign and store"}, finding{name: "headers", result: OK, found: "arrive"})
	want := []string{"issuer url", "ready", "certificate", "port 80", "key set", "caching", "discovery", "login", "headers", "clock"}
	if got := names(checks); !slices.Equal(got, want) {
		t.Errorf("checks %v, want %v", got, want)
	}
	alone := d.outside()
	alone.Deployment = nil
	wantOnly(t, alone.Checks(t.Context()), finding{name: "key set", result: OK, found: "1 key, well formed"})
}

func onJWKS(alter func(*http.Response)) func(*http.Response) {
	return func(a *http.Response) {
		if a.Request.URL.Path == pathJWKS {
			alter(a)
		}
	}
}

func header(name, value string) func(*http.Response) {
	return func(a *http.Response) { a.Header.Set(name, value) }
}

func body(text string) func(*http.Response) {
	return func(a *http.Response) { a.Body = io.NopCloser(strings.NewReader(text)) }
}

// TestProxies: what proxies and CDNs do to an issuer.
func TestProxies(t *testing.T) {
	d := deploy(t)
	for _, c := range []struct {
		name  string
		alter func(*http.Response)
		want  []finding
	}{
		{"strips ETag", onJWKS(func(a *http.Response) { a.Header.Del("ETag") }), []finding{{"caching", Warn, "no ETag", "pass ETag"}}},
		{"answers 200 where 304 is due", onJWKS(func(a *http.Response) { a.StatusCode = 200 }), []finding{{"caching", Warn, "200 OK instead of 304", "If-None-Match"}}},
		{"lengthens max-age", onJWKS(header("Cache-Control", "max-age=86400")), []finding{{"caching", Fail, "for 24 hours; signet allows 5 minutes", "jwks_max_age"}}},
		{"lengthens max-age by a second", onJWKS(header("Cache-Control", "max-age=301")), []finding{{"caching", Fail, "signet allows", ""}}},
		{"lengthens s-maxage", onJWKS(header("Cache-Control", "max-age=60, s-maxage=86400")), []finding{{"caching", Fail, "for 24 hours", "jwks_max_age"}}},
		{"forbids to keep", onJWKS(header("Cache-Control", "no-store")), []finding{{"caching", Warn, "forbids", "Cache-Control"}}},
		{"strips Cache-Control", onJWKS(func(a *http.Response) { a.Header.Del("Cache-Control") }), []finding{{"caching", Warn, "no max-age", "Cache-Control"}}},
		{"says nonsense", onJWKS(header("Cache-Control", "max-age=-1")), []finding{{"caching", Warn, "no max-age", "Cache-Control"}}},
		{"caches", onJWKS(header("Age", "240")), []finding{{"caching", OK, "from a cache, 4 minutes old", ""}}},
		{"caches for too long", onJWKS(header("Age", "7200")), []finding{{"caching", Fail, "2 hours old", "empty the cache"}}},
		{"redirects the key set", onJWKS(func(a *http.Response) {
			a.StatusCode = 301
			a.Header.Set("Location", "https://elsewhere.test/keys")
		}), []finding{
			{"key set", Fail, `301 Moved Permanently to "https://elsewhere.test/`, "many clients follow no redirect"},
			{"caching", Skipped, "no key set", ""}, {"headers", Skipped, "no key set", ""}}},
		{"has a page of its own", func(a *http.Response) {
			a.StatusCode = 502
			body("<html>bad gateway</html>")(a)
		}, []finding{{"ready", Fail, "502", "log"}, {"key set", Fail, "502 Bad Gateway", "let the proxy"}, {"caching", Skipped, "", ""}, {"headers", Skipped, "", ""},
			{"discovery", Fail, "openid-configuration answers 502", ".well-known"}, {"discovery", Fail, "oauth-authorization-server answers 502", ".well-known"},
			{"login", Fail, "/api/token/ answers 502", "POST /api/token/"}, {"login", Fail, "/api-token-auth/ answers 502", "POST"}}},
		{"answers everything with a page", func(a *http.Response) {
			a.StatusCode = 200
			body("<html>welcome</html>")(a)
		}, []finding{{"key set", Fail, "not a JWK Set", "unchanged"}, {"caching", Warn, "200 OK instead of 304", ""},
			{"discovery", Fail, "openid-configuration is not a JSON object", ""}, {"discovery", Fail, "oauth-authorization-server is not a JSON object", ""},
			{"login", Fail, "/api/token/ answers 200", ""}, {"login", Fail, "/api-token-auth/ answers 200", ""}}},
		{"changes the type", onJWKS(header("Content-Type", "text/html; charset=utf-8")), []finding{{"key set", Warn, `"text/html; charset=utf-8"`, jwks.ContentType}}},
		{"says application/json", onJWKS(header("Content-Type", "application/json; charset=utf-8")), nil},
		{"strips CORS", onJWKS(func(a *http.Response) { a.Header.Del("Access-Control-Allow-Origin") }), []finding{{"headers", Warn, "instead of *", "pass the headers"}}},
		{"adds CORS again", onJWKS(func(a *http.Response) { a.Header.Add("Access-Control-Allow-Origin", "*") }), []finding{{"headers", Warn, `["*" "*"]`, "add none"}}},
		{"strips nosniff", onJWKS(func(a *http.Response) { a.Header.Del("X-Content-Type-Options") }), []finding{{"headers", Warn, "nosniff is missing", ""}}},
		{"strips HSTS", onJWKS(func(a *http.Response) { a.Header.Del("Strict-Transport-Security") }), []finding{{"headers", Warn, "Strict-Transport-Security", ""}}},
		{"ends HSTS", onJWKS(header("Strict-Transport-Security", "includeSubDomains; max-age=0")), []finding{{"headers", Warn, "max-age=0", ""}}},
		{"keeps /readyz inside", func(a *http.Response) {
			if a.Request.URL.Path == "/readyz" {
				a.StatusCode = 404
			}
		}, []finding{{"ready", Skipped, "not passed on", ""}}},
		{"keeps the login inside", func(a *http.Response) {
			if a.Request.URL.Path == "/api/token/" {
				a.StatusCode = 404
			}
		}, []finding{{"login", Fail, "dialects.simplejwt is on, and /api/token/ answers 404", "restart"}}},
		{"words the login anew", func(a *http.Response) {
			if a.Request.URL.Path == "/api/token/" {
				body(`{"error":"bad request"}`)(a)
			}
		}, []finding{{"login", Fail, "does not name the fields", "unchanged"}}},
		{"words OAuth anew", func(a *http.Response) {
			if a.Request.URL.Path == "/oauth2/token" {
				body(`{"message":"no"}`)(a)
			}
		}, []finding{{"discovery", Fail, "has no error code", "POST /oauth2/"}}},
		{"redirects OAuth", func(a *http.Response) {
			if a.Request.URL.Path == "/oauth2/revoke" {
				a.StatusCode = 308
				a.Header.Set("Location", "/x")
			}
		}, []finding{{"discovery", Fail, `308 Permanent Redirect to "/x" instead of 400 or 401`, ""}}},
		{"writes another issuer", rewriting("/.well-known/openid-configuration", `"issuer":"https`, `"issuer":"http`), []finding{{"discovery", Fail, `openid-configuration is of "http://`, "letter by letter"}}},
		{"writes another jwks_uri", rewriting("/.well-known/openid-configuration", "jwks.json", "other.json"), []finding{{"discovery", Fail, `other.json"`, "unchanged"}}},
		{"leads endpoints elsewhere", rewriting("/.well-known/oauth-authorization-server", d.front.URL+"/oauth2/token", "https://evil.test/oauth2/token"),
			[]finding{{"discovery", Fail, `"https://evil.test/oauth2/token", which is not below the issuer`, ""}}},
		{"leads endpoints elsewhere by a user name", rewriting("/.well-known/oauth-authorization-server", d.front.URL+"/oauth2/token", d.front.URL+"@evil.test/"),
			[]finding{{"discovery", Fail, `@evil.test/", which is not below the issuer`, ""}}},
		{"has a clock that is ahead", header("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)), []finding{{"clock", Fail, "59 minutes ahead of this one", "NTP"}}},
		{"has a clock that is behind", header("Date", time.Now().Add(-25*time.Second).UTC().Format(http.TimeFormat)), []finding{{"clock", Warn, "s behind this one", "NTP"}}},
		{"has no Date", func(a *http.Response) { a.Header["Date"] = nil }, []finding{{"clock", Skipped, "no Date", ""}}},
		{"compresses", compress, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.behind(d.altering(c.alter))
			wantOnly(t, d.outside().Checks(t.Context()), c.want...)
		})
	}
}

// compress is what nginx does: the entity tag becomes a weak one.
func compress(a *http.Response) {
	if a.StatusCode == http.StatusNotModified || !strings.Contains(a.Request.Header.Get("Accept-Encoding"), "gzip") {
		return
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.Copy(w, a.Body)
	w.Close()
	a.Body = io.NopCloser(&b)
	a.Header.Set("Content-Encoding", "gzip")
	if etag := a.Header.Get("ETag"); etag != "" {
		a.Header.Set("ETag", "W/"+etag)
	}
}

func rewriting(path, old, new string) func(*http.Response) {
	return func(a *http.Response) {
		if a.Request.URL.Path == path {
			text, _ := io.ReadAll(a.Body)
			body(strings.ReplaceAll(string(text), old, new))(a)
		}
	}
}

// TestPathOfTheIssuer: an issuer with a path has its RFC 8414 metadata in front of it.
func TestPathOfTheIssuer(t *testing.T) {
	v := &visit{Outside: &Outside{URL: "https://login.example.com/auth"}}
	want := []string{"https://login.example.com/auth/.well-known/openid-configuration", "https://login.example.com/.well-known/oauth-authorization-server/auth"}
	if got := v.metadataURLs(); !slices.Equal(got, want) {
		t.Errorf("metadata at %q, want %q", got, want)
	}
	v.client = &http.Client{Transport: canned{&answer{status: http.StatusNotFound}}}
	wantOnly(t, v.discovery(t.Context()), finding{"discovery", Fail, "/auth/.well-known/openid-configuration answers 404", "let the proxy pass"},
		finding{"discovery", Warn, "/.well-known/oauth-authorization-server/auth answers 404", "RFC 8414 §3.1"})
}

func TestKeySets(t *testing.T) {
	d := deploy(t)
	own, err := d.keySet(t.Context())
	must(t, err)
	other, err := webtest.New(t, nil, nil).Keys.Document(time.Now())
	must(t, err)
	active := d.Keys.Keys()[0].KID
	_, err = d.Keys.Rotate(t.Context(), keystore.RotateRequest{Now: true}, false)
	must(t, err)
	rotated, err := d.keySet(t.Context())
	must(t, err)
	signing := d.Keys.Keys()[1].KID
	revoke := func(t *testing.T) {
		_, err := d.Keys.Revoke(t.Context(), active, false)
		must(t, err)
	}
	private := strings.Replace(string(rotated), `"kty":"EC"`, `"kty":"EC","d":"AAAA"`, 1)
	for _, c := range []struct {
		name   string
		before func(*testing.T)
		set    string
		want   []finding
	}{
		{name: "that of the issuer", set: string(rotated)},
		{name: "of another issuer", set: string(other.Body()), want: []finding{{"key set", Fail, "those of another deployment: none of 1 key", "leads to another signet"}}},
		{name: "from before a rotation", set: string(own), want: []finding{{"key set", Fail, "lacks " + signing + ", which signs", "empty the cache"}}},
		{name: "with a private member", set: private, want: []finding{{"key set", Fail, `PRIVATE members are published, of kid ["` + active + `"]`, "signet keys revoke"},
			{"key set", Warn, "private half is published", ""}, {"key set", Fail, "lacks", ""}}[:2]},
		{name: "without keys", set: `{"keys":[]}`, want: []finding{{"key set", Fail, "no key that verifies", "signet keys rotate"}}},
		{name: "with escapes", set: "{\"keys\":[{\"kty\":\"\x1b[31m\"}]}", want: []finding{{"key set", Fail, "not a JWK Set", ""}}},
		{name: "with an escaped escape", set: `{"keys":[{"kty":"\u001b[31m","kid":"\u001b[2J"}]}`,
			want: []finding{{"key set", Warn, `kty "\x1b[31m"`, ""}, {"key set", Fail, "no key that verifies", ""}}},
		{name: "from before a revocation", before: revoke, set: string(rotated), want: []finding{{"key set", Fail, "still has the revoked " + active, "now"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				c.before(t)
			}
			d.behind(d.altering(onJWKS(body(c.set))))
			checks := d.outside().Checks(t.Context())
			if c.name == "with a private member" { // and so it lacks a usable key
				checks = slices.DeleteFunc(checks, func(c Check) bool { return strings.Contains(c.Found, "stale") })
			}
			wantOnly(t, checks, c.want...)
		})
	}
}

// TestStaleButSound: the set lacks a key that does not sign yet.
func TestStaleButSound(t *testing.T) {
	d := deploy(t)
	own, err := d.keySet(t.Context())
	must(t, err)
	_, err = d.Keys.Rotate(t.Context(), keystore.RotateRequest{}, false)
	must(t, err)
	d.behind(d.altering(onJWKS(func(a *http.Response) {
		body(string(own))(a)
		a.Header.Set("Age", "30")
	})))
	wantOnly(t, d.outside().Checks(t.Context()), finding{"key set", Warn, "a cache says it is 30s old): it lacks 1 and still has 0", "jwks_max_age"})
}

// TestKeysChangeWhileLooking: a rotation between the two looks is no finding.
func TestKeysChangeWhileLooking(t *testing.T) {
	d := deploy(t)
	o := d.outside()
	rotated := false
	o.Deployment.KeySet = func(ctx context.Context) ([]byte, error) {
		if !rotated {
			rotated = true
			if _, err := d.Keys.Rotate(ctx, keystore.RotateRequest{}, false); err != nil {
				return nil, err
			}
		}
		return d.keySet(ctx)
	}
	wantOnly(t, o.Checks(t.Context()), finding{name: "key set", result: OK, found: "of this issuer"}, finding{name: "caching", result: OK})
	o.Deployment.KeySet = func(context.Context) ([]byte, error) { return nil, errors.New("the door is shut") }
	wantOnly(t, o.Checks(t.Context()), finding{"key set", Fail, "the door is shut", "signet jwks"})
}

// TestNoAnswer: what is unreachable is one finding, and the rest is skipped.
func TestNoAnswer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { silent.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, closed.Close())
	garbage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			fmt.Fprint(conn, "\x1b[2Jboo\r\n\r\n")
			conn.Close()
		}
	}))
	t.Cleanup(garbage.Close)
	large := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.Copy(w, zeros{}) // until the client has enough
	}))
	t.Cleanup(large.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, c := range []struct{ name, url, found, advice string }{
		{"nothing listens", "http://" + closed.Addr().String(), "connection refused", "start signet serve"},
		{"silence", "http://" + silent.Addr().String(), "no answer within", "firewall"},
		{"no HTTP", garbage.URL, `\x1b[2Jboo`, "does not answer as a web server"},
		{"an endless answer", large.URL, "more than 262144 bytes", "look at"},
		{"no TLS", strings.Replace(plain.URL, "http", "https", 1), "server gave HTTP response to HTTPS client", "terminates TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			checks := (&Outside{URL: c.url}).Checks(t.Context())
			if first := checks[0]; first.Name != "issuer url" || first.Result != Fail || !strings.Contains(first.Found, c.found) || !strings.Contains(first.Advice, c.advice) {
				t.Errorf("%+v", first)
			}
			for _, rest := range checks[1:] {
				if rest.Result != Skipped {
					t.Errorf("%+v", rest)
				}
			}
			if len(checks) != 10 {
				t.Errorf("%d checks", len(checks))
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestPortEighty(t *testing.T) {
	d := deploy(t)
	for _, c := range []struct {
		name string
		h    http.Handler
		want []finding
	}{
		{"serves", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }), []finding{{"port 80", Warn, "serves the key set without TLS", "close port 80"}}},
		{"leads elsewhere", http.RedirectHandler("http://other.test/", http.StatusFound), []finding{{"port 80", Warn, `302 Found to "http://other.test/"`, "redirect to https"}}},
		{"refuses", http.NotFoundHandler(), []finding{{"port 80", OK, "404", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.plain.Config.Handler = c.h
			wantOnly(t, d.outside().Checks(t.Context()), c.want...)
		})
	}
	for address, want := range map[string]string{
		"https://a.test": "http://a.test", "https://a.test:443/x": "http://a.test/x", "https://a.test:8443": "", "http://a.test": "",
	} {
		if got := (&visit{Outside: &Outside{URL: address}}).plainURL(); got != want {
			t.Errorf("port 80 of %s is %q, want %q", address, got, want)
		}
	}
}

func TestOffset(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		date           time.Duration
		asked, settled time.Duration
		want           time.Duration
	}{
		{0, 0, 0, 0},
		{0, 900 * time.Millisecond, 990 * time.Millisecond, 0}, // cut off
		{0, 2 * time.Second, 2 * time.Second, -time.Second},
		{5 * time.Second, 0, 0, 5 * time.Second},
		{5 * time.Second, 0, 4 * time.Second, time.Second}, // written at the end of the request
		{0, time.Second, 5 * time.Second, 0},
	} {
		if got := offset(start.Add(c.date), start.Add(c.asked), start.Add(c.settled)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://login.example.com": "https://login.example.com", "https://login.example.com/": "https://login.example.com",
		"http://127.0.0.1:8080": "http://127.0.0.1:8080", "https://a.test/auth/": "https://a.test/auth",
	} {
		if got, err := ParseURL(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "absolute", "login.example.com": "absolute", "ftp://a.test": "absolute", "https://": "absolute", "https:a.test": "absolute",
		"https://hunter2:hunter2@a.test": "password", "https://hunter2:hunter2@a b": "absolute", "https://a.test?hunter2": "query", "https://a.test#x": "query",
	} {
		_, err := ParseURL(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzAnswer: whatever an issuer answers, every check ends, and nothing that a terminal
// would obey is printed.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"keys":[{"kty":"RSA","d":"x","kid":"\u001b"}]}`, "max-age=60", `"tag"`, "1", "text/html", "https://a.test/\x1b")
	f.Add(301, `{"username":["x"],"password":["y"],"error":"x","issuer":"https://login.test"}`, "no-store", "", "-1", "", "")
	f.Fuzz(func(t *testing.T, status int, text, caching, etag, age, contentType, location string) {
		a := &answer{url: "https://login.test/x", status: status, body: []byte(text), header: http.Header{
			"Cache-Control": {caching}, "Etag": {etag}, "Age": {age}, "Content-Type": {contentType}, "Location": {location}, "Strict-Transport-Security": {caching}, "Date": {age},
		}}
		client := &http.Client{Transport: canned{a}}
		v := &visit{Outside: &Outside{URL: "https://login.test", Deployment: &Deployment{
			KeySet:    func(context.Context) ([]byte, error) { return []byte(`{"keys":[]}`), nil },
			SimpleJWT: true,
		}}, client: client, set: a}
		for _, s := range v.steps() {
			for _, c := range s.check(t.Context()) {
				if strings.ContainsFunc(c.Found+c.Advice, func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
					t.Errorf("%s prints a control character: %q", c.Name, c.Found)
				}
			}
		}
	})
}

// canned answers every request alike.
type canned struct{ *answer }

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, Header: c.header.Clone(), Body: io.NopCloser(bytes.NewReader(c.body)), Request: r}, nil
}

// TestAnotherServerMayHaveAnswered: a clock that is wrong is perhaps not that of this server.
func TestAnotherServerMayHaveAnswered(t *testing.T) {
	d := deploy(t)
	d.behind(d.altering(func(a *http.Response) {
		a.Header.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	}))
	for _, shared := range []bool{false, true} {
		o := d.outside()
		o.Deployment.Shared = shared
		clock := ""
		for _, c := range o.Checks(t.Context()) {
			if c.Name == "clock" && c.Result == Fail {
				clock = c.Found + c.Advice
			}
		}
		if !strings.Contains(clock, "ahead of this one") || strings.Contains(clock, orAnother) != shared || strings.Contains(clock, elsewhere) != shared {
			t.Errorf("shared %v: %q", shared, clock)
		}
	}
}
