package web

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestLinesOfStrangers: what a connection causes before there is a request fills no log.
func TestLinesOfStrangers(t *testing.T) {
	for line, want := range map[string]string{
		"http: TLS handshake error from 192.0.2.1:1: EOF":                          "level=DEBUG",
		"http2: server connection error from 192.0.2.1:1: PROTOCOL_ERROR":          "level=DEBUG",
		"http2: panic serving 192.0.2.1:1: nil":                                    "level=WARN",
		"timeout waiting for PING response":                                        "level=DEBUG",
		"timeout waiting for SETTINGS frames from 192.0.2.1:1":                     "level=DEBUG",
		"http: panic serving 192.0.2.1:1: nil":                                     "level=WARN",
		"http: Accept error: accept: too many open files; retrying in 5ms":         "level=WARN",
		"http: panic serving x: http: TLS handshake error from 192.0.2.1:1: EOF\n": "level=WARN",
	} {
		var log bytes.Buffer
		HTTPServer(nil, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))).ErrorLog.Print(line)
		if got := log.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%q is logged as %q, want %s", line, got, want)
		}
	}
}
