package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
)

// TestVerifyByURLOfAHostileServer: whatever the server answers, a terminal is given no orders
// and no flood.
func TestVerifyByURLOfAHostileServer(t *testing.T) {
	const orders = "\x1b]0;owned\a\x1b[2J\u009b2J\u202e"
	metadata := func(jwks func(base string) string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/.well-known/openid-configuration" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			base := "http://" + r.Host
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s"}`, base, jwks(base))
		})
	}
	raw := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			conn.(*net.TCPConn).Write([]byte(text))
		})
	}
	for name, handler := range map[string]http.Handler{
		"header":         raw("HTTP/1.1 200 OK\r\n" + orders + "\r\n\r\n"),
		"status":         raw("HTTP/1.1 2" + orders + " OK\r\n\r\n"),
		"length":         raw("HTTP/1.1 200 OK\r\nContent-Length: " + orders + "\r\n\r\n"),
		"encoding":       raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + orders + "\r\n\r\n"),
		"place":          metadata(func(base string) string { return base + "/\u009b2J\u202e" }),
		"long place":     metadata(func(base string) string { return base + "/" + strings.Repeat("x", 100<<10) }),
		"place, no URL":  metadata(func(string) string { return `\u001b[2J` }),
		"place, another": metadata(func(string) string { return "https://\u009b2J.example/" }),
		"metadata":       metadata(func(string) string { return "\x1b[2J" }),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			var out, errs bytes.Buffer
			term := &terminal{in: strings.NewReader("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AAAA"), out: &out, err: &errs}
			if code := run(t.Context(), term, []string{"token", "verify", "--url", server.URL}); code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			told := out.String() + errs.String()
			if !strings.Contains(told, "nothing is known of the token: ") || len(told) > 4000 ||
				strings.ContainsFunc(told, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
				t.Errorf("told as %.300q, %d bytes", told, len(told))
			}
		})
	}
}
