package drfjwt

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/users"
)

// outside are recorded cases of what this package is not: a resource server.
const outside = "rs "

// difference is a case in which we answer otherwise than what is recorded.
type difference struct {
	why    string
	status int
	body   string
}

// differences by case; a name with a mode in front counts for that mode alone.
// What is not written here is as recorded.
var differences = map[string]difference{
	"none refresh": {
		why:    "the original can be told to renew nothing: then its tokens have no orig_iat; ours have one always",
		status: 200, body: `{"token":"<JWT>"}`},
}

func TestRecordings(t *testing.T) {
	unused := maps.Clone(differences)
	for _, mode := range []string{"none", "refresh"} {
		t.Run(mode, func(t *testing.T) { replay(t, newEnv(t, nil), mode, unused) })
	}
	for name := range unused {
		t.Errorf("difference %q is in no recording", name)
	}
}

func replay(t *testing.T, e *env, mode string, unused map[string]difference) {
	unseen := maps.Clone(cases)
	for _, want := range readRecording(t, "testdata/drf-jwt-jpadilla-"+mode+".txt") {
		if strings.HasPrefix(want.name, outside) {
			continue
		}
		drive, ok := cases[want.name]
		if !ok {
			t.Errorf("recorded case %q is not known", want.name)
			continue
		}
		delete(unseen, want.name)
		for _, key := range []string{want.name, mode + " " + want.name} {
			if d, ok := differences[key]; ok {
				want.status, want.body = d.status, d.body
				delete(unused, key)
			}
		}
		t.Run(want.name, func(t *testing.T) { compare(t, drive(t, e), want) })
	}
	for name := range unseen {
		t.Errorf("case %q is not in the recording", name)
	}
}

// aJWT matches a compact JWS.
var aJWT = regexp.MustCompile(`[\w-]+\.[\w-]+\.[\w-]+`)

func compare(t *testing.T, got answered, want recorded) {
	t.Helper()
	body := got.body
	if got.StatusCode == http.StatusOK {
		body = aJWT.ReplaceAllString(body, "<JWT>")
	}
	if got.StatusCode != want.status || body != want.body {
		t.Errorf("got %d %s\nwant %d %s", got.StatusCode, body, want.status, want.body)
	}
	for _, name := range []string{"Content-Type", "Allow", "WWW-Authenticate", "Location"} {
		if value := got.Header.Get(name); value != want.header[name] {
			t.Errorf("%s: got %q, want %q", name, value, want.header[name])
		}
	}
	if got.Header.Get("Cache-Control") != "no-store" {
		t.Error("the answer may be cached")
	}
}

// env is a server of the dialect alone.
type env struct {
	*webtest.Env
	router *mux.Router
}

func newEnv(t testing.TB, alter func(*issuer.Policy)) *env {
	t.Helper()
	return serve(webtest.New(t, nil, func(p *issuer.Policy) {
		p.RenewLifetime = 7 * 24 * time.Hour
		if alter != nil {
			alter(p)
		}
	}))
}

func serve(w *webtest.Env) *env {
	e := &env{Env: w, router: mux.NewRouter()}
	(&Handler{Issuer: e.Issuer}).Mount(e.router)
	return e
}

// answered is a response that was read to its end.
type answered struct {
	*http.Response
	body string
}

const jsonType = "application/json"

// post sends a JSON body through a real server.
func (e *env) post(t testing.TB, path, body string) answered {
	t.Helper()
	return e.send(t, http.MethodPost, path, jsonType, body)
}

func (e *env) send(t testing.TB, method, path, contentType, body string) answered {
	t.Helper()
	server := httptest.NewServer(e.router)
	defer server.Close()
	req, err := http.NewRequestWithContext(context.Background(), method, server.URL+path, strings.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return answered{resp, string(text)}
}

func (e *env) obtain(t testing.TB, name, password string) answered {
	t.Helper()
	return e.post(t, "/api-token-auth/", fmt.Sprintf(`{"username":%q,"password":%q}`, name, password))
}

func (e *env) refresh(t testing.TB, token string) answered {
	t.Helper()
	return e.post(t, "/api-token-refresh/", fmt.Sprintf(`{"token":%q}`, token))
}

func (e *env) verify(t testing.TB, token string) answered {
	t.Helper()
	return e.post(t, "/api-token-verify/", fmt.Sprintf(`{"token":%q}`, token))
}

// token is that of an answer.
func (a answered) token(t testing.TB) string {
	t.Helper()
	token := aJWT.FindString(a.body)
	if a.StatusCode != http.StatusOK || a.body != `{"token":"`+token+`"}` {
		t.Fatalf("got %d %s, want a token", a.StatusCode, a.body)
	}
	return token
}

// refuses fails the test unless the answer is the 400 with this text.
func (a answered) refuses(t testing.TB, what, text string) {
	t.Helper()
	if want := nonField(text); a.StatusCode != http.StatusBadRequest || a.body != want {
		t.Errorf("%s: got %d %s, want 400 %s", what, a.StatusCode, a.body, want)
	}
}

func nonField(text string) string { return `{"non_field_errors":["` + text + `"]}` }

// login begins a session of an account of its own.
func (e *env) login(t testing.TB) (token, name string) {
	t.Helper()
	name = fmt.Sprintf("user%d", time.Now().UnixNano())
	e.AddUser(t, name, "pw")
	return e.obtain(t, name, "pw").token(t), name
}

// with sends a token in which something was changed, with the issuer's own signature.
func with(send func(*env, testing.TB, string) answered, changes map[string]any) func(*testing.T, *env) answered {
	return func(t *testing.T, e *env) answered {
		token, _ := e.login(t)
		return send(e, t, e.Resign(t, token, changes))
	}
}

// after sends a token after something happened to its user.
func after(send func(*env, testing.TB, string) answered, happens func(*users.Directory, context.Context, string) (users.User, error)) func(*testing.T, *env) answered {
	return func(t *testing.T, e *env) answered {
		token, name := e.login(t)
		_, err := happens(e.Users, t.Context(), name)
		must(t, err)
		return send(e, t, token)
	}
}

var expired = map[string]any{"exp": 1000, "iat": 900, "nbf": 900}

// cases send what the recorder sent.
var cases = map[string]func(*testing.T, *env) answered{
	"obtain ok":    func(t *testing.T, e *env) answered { return e.obtain(t, webtest.Alice, webtest.Password) },
	"obtain wrong": func(t *testing.T, e *env) answered { return e.obtain(t, webtest.Alice, "wrong") },
	"obtain inactive": func(t *testing.T, e *env) answered {
		_, name := e.login(t)
		_, err := e.Users.Disable(t.Context(), name)
		must(t, err)
		return e.obtain(t, name, "pw")
	},
	"obtain missing": func(t *testing.T, e *env) answered { return e.post(t, "/api-token-auth/", `{}`) },
	"obtain blank":   func(t *testing.T, e *env) answered { return e.obtain(t, "", "") },

	"refresh":                  with((*env).refresh, nil),
	"refresh bad":              func(t *testing.T, e *env) answered { return e.refresh(t, "garbage") },
	"refresh missing":          func(t *testing.T, e *env) answered { return e.post(t, "/api-token-refresh/", `{}`) },
	"refresh orig_iat too old": with((*env).refresh, map[string]any{"orig_iat": 1000}),
	"refresh no orig_iat":      with((*env).refresh, map[string]any{"orig_iat": nil}),
	"refresh expired":          with((*env).refresh, expired),

	"verify ok":      with((*env).verify, nil),
	"verify expired": with((*env).verify, expired),
	"verify bad sig": func(t *testing.T, e *env) answered {
		token, _ := e.login(t)
		return e.verify(t, tamper(token))
	},
	"verify no username":  with((*env).verify, map[string]any{"sub": nil}),
	"verify unknown user": after((*env).verify, (*users.Directory).Remove),
	"verify inactive":     after((*env).verify, (*users.Directory).Disable),
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tamper changes a character in the middle of the signature for another one.
func tamper(token string) string {
	at := len(token) - 40
	other := "A"
	if token[at:at+1] == other {
		other = "B"
	}
	return token[:at] + other + token[at+1:]
}
