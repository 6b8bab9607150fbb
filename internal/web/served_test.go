package web_test

import (
	"net/http/httptest"
	"testing"

	"signet/internal/web"
)

// TestServedIsToldOnce: of each request, with its route and status, also of what no route
// takes.
func TestServedIsToldOnce(t *testing.T) {
	var told []web.Served
	s, _ := watched(t, func(o *web.Options) { o.Served = func(s web.Served) { told = append(told, s) } })
	ask := func(method, path, etag string) (*httptest.ResponseRecorder, web.Served) {
		t.Helper()
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, nil)
		if told = nil; etag != "" {
			r.Header.Set("If-None-Match", etag)
		}
		s.Config.Handler.ServeHTTP(w, r)
		if len(told) != 1 {
			t.Fatalf("%s %s: told %d times", method, path, len(told))
		}
		return w, told[0]
	}
	set, first := ask("GET", keySet, "")
	version := set.Header().Get("ETag")
	if version == "" || first.Version != version {
		t.Errorf("version %q, want %q", first.Version, version)
	}
	for _, c := range []struct {
		method, path, etag string
		want               web.Served
	}{
		{"GET", keySet, version, web.Served{Route: keySet, Method: "GET", Status: 304, Version: version}},
		{"HEAD", keySet, "", web.Served{Route: keySet, Method: "HEAD", Status: 200, Version: version}},
		{"PUT", keySet, "", web.Served{Method: "PUT", Status: 405}},
		{"GET", "/wp-login.php", "", web.Served{Method: "GET", Status: 404}},
		{"GET", "/healthz", version, web.Served{Route: "/healthz", Method: "GET", Status: 200}},
		{"POST", "/api/token/", "", web.Served{Route: "/api/token/", Method: "POST", Status: 400}},
	} {
		resp, got := ask(c.method, c.path, c.etag)
		if got.Took <= 0 || resp.Code != c.want.Status {
			t.Errorf("%s %s: %d after %v", c.method, c.path, resp.Code, got.Took)
		}
		if got.Took = 0; got != c.want {
			t.Errorf("%s %s: told %+v, want %+v", c.method, c.path, got, c.want)
		}
	}
}
