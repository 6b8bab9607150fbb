package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"signet/internal/web"
	"signet/internal/web/webtest"
)

func TestSecurityHeaders(t *testing.T) {
	s := start(t, settings{})
	for _, got := range []answer{
		s.get(t, "/"), s.get(t, "/nothing"), s.get(t, "/api/token/"), s.get(t, "/.well-known/jwks.json"),
		s.do(t, "POST", "/api/token/", jsonType, strings.NewReader(credentials)),
		s.do(t, "PUT", "/healthz", "", nil), s.do(t, "OPTIONS", "/", "", nil),
	} {
		got.has(t, "X-Content-Type-Options", "nosniff")
		got.has(t, "Referrer-Policy", "no-referrer")
		got.has(t, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		got.has(t, "Strict-Transport-Security", "max-age=31536000")
		got.has(t, "Location", "")
	}
	plain := start(t, settings{options: func(o *web.Options) { o.URL = "http://127.0.0.1:8080" }})
	plain.get(t, "/").has(t, "Strict-Transport-Security", "") // RFC 6797 §7.2
}

func TestRequestIDs(t *testing.T) {
	s := start(t, settings{})
	seen := map[string]bool{}
	for range 20 {
		id := s.get(t, "/nothing", "X-Request-Id", "mine").Header.Get("X-Request-Id")
		if len(id) < 20 || seen[id] {
			t.Fatalf("request id %q", id)
		}
		seen[id] = true
		if !strings.Contains(s.log.String(), "request_id="+id) {
			t.Errorf("%s is not in the log", id)
		}
	}
}

func TestKeySet(t *testing.T) {
	s := start(t, settings{})
	const path = "/.well-known/jwks.json"
	got := s.get(t, path)
	got.is(t, http.StatusOK)
	got.has(t, "Content-Type", "application/jwk-set+json")
	got.has(t, "Access-Control-Allow-Origin", "*")
	got.has(t, "Cache-Control", "public, max-age=300, must-revalidate")
	tag := got.Header.Get("ETag")
	unchanged := s.get(t, path, "If-None-Match", tag)
	unchanged.is(t, http.StatusNotModified)
	unchanged.has(t, "ETag", tag)
	head := s.do(t, "HEAD", path, "", nil)
	head.is(t, http.StatusOK)
	head.has(t, "ETag", tag)
	if head.body != "" || head.ContentLength != int64(len(got.body)) {
		t.Errorf("HEAD: %d bytes announced, %q", head.ContentLength, head.body)
	}
	preflight := s.do(t, "OPTIONS", path, "", nil, "Origin", "https://app.test", "Access-Control-Request-Method", "GET")
	preflight.is(t, http.StatusNoContent)
	preflight.has(t, "Access-Control-Allow-Origin", "*")
	preflight.has(t, "Access-Control-Allow-Methods", "GET, HEAD")
	if strings.Contains(s.log.String(), "msg=request") {
		t.Errorf("requests for the key set are logged:\n%s", s.log)
	}
}

// Tokens are those of the configured issuer, and verify with the published keys,
// whatever a request says of itself.
func TestNoRequestDecidesTheIssuer(t *testing.T) {
	s := start(t, settings{})
	for _, header := range [][]string{
		nil,
		{"Host", "evil.test"},
		{"X-Forwarded-Host", "evil.test", "X-Forwarded-Proto", "http", "X-Forwarded-For", "10.0.0.1"},
		{"Forwarded", "host=evil.test;proto=http"},
		{"X-Original-URL", "/nothing", "X-Rewrite-URL", "/nothing", "X-HTTP-Method-Override", "DELETE"},
		{"Origin", "https://evil.test", "Referer", "https://evil.test/"},
	} {
		tokens := s.login(t, header...)
		set, err := jwk.ParseString(s.get(t, "/.well-known/jwks.json", header...).body)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.ParseString(tokens.Access, jwt.WithKeySet(set), jwt.WithIssuer(webtest.URL),
			jwt.WithAudience(webtest.URL+"/api"), jwt.WithClock(jwt.ClockFunc(s.Clock.Now)), jwt.WithAcceptableSkew(time.Second))
		if err != nil {
			t.Fatalf("%v: %v", header, err)
		}
		if sub := token.Subject(); sub == "" || sub == webtest.Alice {
			t.Errorf("sub %q", sub)
		}
		if index := s.get(t, "/", header...); strings.Contains(index.body, "evil") {
			t.Errorf("%v: %s", header, index.body)
		}
	}
}
