package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"signet/internal/web"
	"signet/internal/web/webtest"
)

const app = "https://app.issuer.test"

// corsHeaders are what lets a page read an answer.
var corsHeaders = []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods",
	"Access-Control-Allow-Headers", "Access-Control-Expose-Headers", "Access-Control-Max-Age", "Access-Control-Allow-Private-Network"}

// cors holds the values of the headers above, in their order, and Vary.
func (a answer) cors(t *testing.T, values ...string) {
	t.Helper()
	for i, name := range corsHeaders {
		want := ""
		if i < len(values) {
			want = values[i]
		}
		if got := strings.Join(a.Header[name], " | "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func (a answer) variesWithOrigin(t *testing.T) {
	t.Helper()
	if !slices.Contains(strings.Split(strings.Join(a.Header["Vary"], ", "), ", "), "Origin") {
		t.Errorf("Vary: %q", a.Header["Vary"])
	}
}

func withOrigins(cookie bool, origins ...string) settings {
	return settings{options: func(o *web.Options) { o.Origins, o.RefreshCookie = origins, cookie }}
}

var loginPaths = []string{"/api/token", "/api/token/", "/api/token/refresh", "/api/token/refresh/",
	"/api/token/verify", "/api/token/verify/", "/api/token/blacklist", "/api/token/blacklist/"}

func (s *server) preflight(t *testing.T, path, origin, method, headers string) answer {
	t.Helper()
	header := []string{"Origin", origin, "Access-Control-Request-Method", method, "Access-Control-Request-Private-Network", "true"}
	if headers != "" {
		header = append(header, "Access-Control-Request-Headers", headers)
	}
	return s.do(t, "OPTIONS", path, "", nil, header...)
}

func TestListedOriginsMayReadTheLogin(t *testing.T) {
	for _, cookie := range []bool{false, true} {
		s := start(t, withOrigins(cookie, "https://first.test", app))
		credentials := ""
		if cookie {
			credentials = "true"
		}
		for _, path := range loginPaths {
			got := s.preflight(t, path, app, "POST", "content-type")
			got.is(t, http.StatusNoContent)
			got.cors(t, app, credentials, "POST", "content-type", "", "7200")
			got.variesWithOrigin(t)
			got = s.do(t, "POST", path, jsonType, strings.NewReader("{}"), "Origin", app, "Sec-Fetch-Site", "same-site")
			got.cors(t, app, credentials, "", "", "Retry-After")
			got.variesWithOrigin(t)
			if vary := strings.Join(got.Header["Vary"], ", "); !strings.Contains(vary, "Accept") {
				t.Errorf("Vary: %s", vary)
			}
		}
		s.preflight(t, "/api/token/", app, "POST", "authorization,content-type,x-csrftoken,x-requested-with").cors(t,
			app, credentials, "POST", "authorization,content-type,x-csrftoken,x-requested-with", "", "7200")
	}
}

// Errors are for the page as well, or it could not say what is wrong.
func TestListedOriginsMayReadErrors(t *testing.T) {
	s := start(t, withOrigins(true, app))
	for status, c := range map[int]struct{ contentType, body string }{
		400: {jsonType, "{"}, 401: {jsonType, `{"username":"alice","password":"no"}`}, 415: {"text/plain", "x"},
		413: {jsonType, strings.Repeat(" ", 65<<10)},
	} {
		got := s.do(t, "POST", "/api/token/", c.contentType, strings.NewReader(c.body), "Origin", app)
		got.is(t, status)
		got.cors(t, app, "true", "", "", "Retry-After")
	}
}

func TestOtherOriginsMayReadNothing(t *testing.T) {
	for _, cookie := range []bool{false, true} {
		s := start(t, withOrigins(cookie, app))
		for _, origin := range []string{"https://evil.test", "null", "*", "https://app.issuer.test.evil.test", "https://evilapp.issuer.test",
			"http://app.issuer.test", "https://app.issuer.test:8443", "https://app.issuer.test/", "https://issuer.test", "app.issuer.test", app + "," + app} {
			for _, path := range loginPaths {
				got := s.preflight(t, path, origin, "POST", "content-type")
				got.cors(t)
				got.variesWithOrigin(t)
				got = s.do(t, "POST", path, jsonType, strings.NewReader("{}"), "Origin", origin)
				got.cors(t)
				got.variesWithOrigin(t)
			}
		}
		s.preflight(t, "/api/token/", app, "DELETE", "").cors(t)
		s.preflight(t, "/api/token/", app, "POST", "content-type,x-other").cors(t)
		s.do(t, "POST", "/api/token/", jsonType, strings.NewReader("{}")).cors(t)
	}
}

func TestWithoutOriginsNoPageMayRead(t *testing.T) {
	for _, cookie := range []bool{false, true} {
		s := start(t, withOrigins(cookie))
		for _, path := range loginPaths {
			got := s.preflight(t, path, app, "POST", "content-type")
			got.is(t, http.StatusNoContent)
			got.has(t, "Allow", "POST, OPTIONS")
			got.cors(t)
			s.do(t, "POST", path, jsonType, strings.NewReader("{}"), "Origin", app).cors(t)
		}
	}
}

// The list is for the login. What any page may read stays so, without credentials.
func TestOriginsAreForTheLoginAlone(t *testing.T) {
	oauth := webtest.New(t, nil, nil)
	s := start(t, settings{options: func(o *web.Options) {
		o.Origins, o.RefreshCookie, o.OAuth, o.Clients = []string{app}, true, oauth.OAuth, oauth.Clients
	}})
	for _, path := range []string{"/", "/healthz", "/readyz", "/nothing", "/api/token/nothing", "/api/token/nothing/",
		"/oauth2/token", "/oauth2/revoke", "/oauth2/introspect"} {
		for _, method := range []string{"GET", "POST"} {
			s.do(t, method, path, "", nil, "Origin", app).cors(t)
			s.preflight(t, path, app, method, "").cors(t)
		}
	}
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/oauth-authorization-server"} {
		for _, origin := range []string{app, "https://evil.test"} {
			s.get(t, path, "Origin", origin).has(t, "Access-Control-Allow-Origin", "*")
			s.get(t, path, "Origin", origin).has(t, "Access-Control-Allow-Credentials", "")
			s.preflight(t, path, origin, "GET", "").has(t, "Access-Control-Allow-Credentials", "")
		}
	}
}

func TestOriginsChangeNoRoute(t *testing.T) {
	s := start(t, withOrigins(true, app))
	for _, path := range loginPaths {
		got := s.do(t, "OPTIONS", path, "", nil)
		got.is(t, http.StatusNoContent)
		got.has(t, "Allow", "POST, OPTIONS")
		got = s.do(t, "PUT", path, "", nil)
		got.says(t, 405, `{"detail":"Method \"PUT\" not allowed."}`)
		got.has(t, "Allow", "POST, OPTIONS")
		if !strings.Contains(s.log.String(), "route="+path+" ") {
			t.Errorf("%s is not in the log", path)
		}
	}
	s.get(t, "/api/token//").says(t, 404, `{"detail":"Not found. GET / lists what there is."}`)
}

// The older dialect sets no cookie, so pages have no use for credentials there.
func TestOlderDialectIsReadWithoutCredentials(t *testing.T) {
	older := webtest.New(t, nil, nil)
	for _, cookie := range []bool{false, true} {
		s := start(t, settings{options: func(o *web.Options) {
			o.Origins, o.RefreshCookie, o.DRFJWT = []string{app}, cookie, older.Issuer
		}})
		for _, path := range []string{"/api-token-auth/", "/api-token-refresh/", "/api-token-verify/", "/api-token-auth"} {
			s.preflight(t, path, app, "POST", "content-type").cors(t, app, "", "POST", "content-type", "", "7200")
			s.preflight(t, path, "https://evil.test", "POST", "content-type").cors(t)
			got := s.do(t, "POST", path, jsonType, strings.NewReader("{}"), "Origin", app)
			got.is(t, http.StatusBadRequest)
			got.cors(t, app, "", "", "", "Retry-After")
			got = s.do(t, "POST", path, jsonType, strings.NewReader("{}"), "Origin", "https://evil.test")
			got.is(t, http.StatusBadRequest)
			got.cors(t)
			if got.Header["Set-Cookie"] != nil {
				t.Errorf("Set-Cookie: %q", got.Header["Set-Cookie"])
			}
		}
	}
}
