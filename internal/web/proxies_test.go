package web_test

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"signet/internal/web"
	"signet/internal/web/clientaddr"
	"signet/internal/web/webtest"
)

// An operator who forgot proxies.trusted is told once, and one who did not is not.
func TestUnnamedProxyIsReportedOnce(t *testing.T) {
	e := webtest.New(t, nil, nil)
	for name, tt := range map[string]struct {
		trusted string
		header  string
		want    int
	}{
		"no proxy":        {"", "", 0},
		"not named":       {"", "X-Forwarded-For", 1},
		"not named, 7239": {"", "Forwarded", 1},
		"named":           {"192.0.2.0/24", "X-Forwarded-For", 0},
		"other header":    {"192.0.2.0/24", "Forwarded", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			opts := web.Options{URL: webtest.URL, Issuer: e.Issuer, Keys: e.Keys, Now: e.Clock.Now, Log: slog.New(slog.NewTextHandler(&log, nil))}
			if tt.trusted != "" {
				opts.Proxies.Trusted = []netip.Prefix{netip.MustParsePrefix(tt.trusted)}
			}
			handler := web.NewHandler(opts)
			for _, path := range []string{keySet, "/healthz", keySet} { // one ahead of the router, one behind it
				r := httptest.NewRequest("GET", path, nil) // from 192.0.2.1
				if tt.header == clientaddr.Forwarded {
					r.Header.Set(tt.header, "for=198.51.100.7")
				} else if tt.header != "" {
					r.Header.Set(tt.header, "198.51.100.7")
				}
				handler.ServeHTTP(httptest.NewRecorder(), r)
				if got := strings.Count(log.String(), "proxies.trusted"); got != tt.want {
					t.Errorf("%d warnings, want %d:\n%s", got, tt.want, &log)
				}
			}
		})
	}
}
