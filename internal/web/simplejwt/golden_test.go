package simplejwt

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"signet/internal/web/webtest"
	"signet/issuer"
)

// outside are recorded cases of what this package is not: a resource server, and
// the sliding tokens.
var outside = []string{"rs ", "sliding "}

// difference is a case in which we answer otherwise than what is recorded.
type difference struct {
	why    string
	status int
	body   string
}

// differences by case; a name with a mode in front counts for that mode alone.
// What is not written here is as recorded.
var differences = map[string]difference{
	"obtain bad json": {
		why:    "the text behind the dash is that of the parser",
		status: 400, body: `{"detail":"JSON parse error - invalid character 'n' looking for beginning of object key string (char 1)"}`},
	"obtain OPTIONS": {
		why: "Allow says it; there is no browsable API to describe", status: 204},
	"obtain no slash POST": {
		why:    "served: a redirect loses the body",
		status: 200, body: `{"refresh":"<JWT>","access":"<JWT>"}`},
	"refresh no jti": {
		why:    "a fault of the token is not one of the server",
		status: 401, body: `{"detail":"Token has no id","code":"token_not_valid"}`},
	"refresh deleted user": {
		why:    "as for a disabled user",
		status: 401, body: `{"detail":"No active account found for the given token."}`},
	"bl verify blacklisted": {
		why:    "a session that has ended has ended, whether refresh tokens rotate or not",
		status: 400, body: `{"non_field_errors":["Token is blacklisted"]}`},
}

// ours are the headers of an answer that differs.
func (d difference) header() map[string]string {
	h := map[string]string{"Allow": "POST, OPTIONS", "Vary": "Accept"}
	if d.body != "" {
		h["Content-Type"] = "application/json"
	}
	if d.status == http.StatusUnauthorized {
		h["WWW-Authenticate"] = `Bearer realm="api"`
	}
	return h
}

func TestRecordings(t *testing.T) {
	for mode, rotate := range map[string]bool{"full": true, "bl": false} {
		t.Run(mode, func(t *testing.T) {
			e := newEnv(t, func(p *issuer.Policy) { p.Rotate = rotate })
			replay(t, e, mode)
		})
	}
}

func replay(t *testing.T, e *env, mode string) {
	unseen := maps.Clone(cases)
	for _, want := range readRecording(t, "testdata/simplejwt-5.5.1-"+mode+".txt") {
		if hasPrefix(want.name, outside) {
			continue
		}
		drive, ok := cases[want.name]
		if !ok {
			t.Errorf("recorded case %q is not known", want.name)
			continue
		}
		delete(unseen, want.name)
		t.Run(want.name, func(t *testing.T) {
			compare(t, drive(t, e), expected(mode, want))
		})
	}
	for name := range unseen {
		t.Errorf("case %q is not in the recording", name)
	}
}

func hasPrefix(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func expected(mode string, want recorded) recorded {
	for _, key := range []string{want.name, mode + " " + want.name} {
		if d, ok := differences[key]; ok {
			want.status, want.body, want.header = d.status, d.body, d.header()
		}
	}
	return want
}

// aJWT matches a compact JWS.
var aJWT = regexp.MustCompile(`[\w-]+\.[\w-]+\.[\w-]+`)

func compare(t *testing.T, got *http.Response, want recorded) {
	t.Helper()
	raw, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	body := string(raw)
	if got.StatusCode == http.StatusOK {
		body = aJWT.ReplaceAllString(body, "<JWT>")
	}
	if got.StatusCode != want.status || body != want.body {
		t.Errorf("got %d %s\nwant %d %s", got.StatusCode, body, want.status, want.body)
	}
	for _, name := range []string{"Content-Type", "Allow", "Vary", "WWW-Authenticate", "Location"} {
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
	url string
}

func newEnv(t testing.TB, alter func(*issuer.Policy)) *env {
	t.Helper()
	e := &env{Env: webtest.New(t, nil, alter)}
	router := mux.NewRouter()
	(&Handler{Issuer: e.Issuer}).Mount(router)
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

const jsonType = "application/json"

func (e *env) do(t testing.TB, method, path, contentType, body string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// post sends one field.
func (e *env) post(t testing.TB, action, name, value string) *http.Response {
	t.Helper()
	return e.do(t, "POST", "/api/token/"+action+"/", jsonType, fmt.Sprintf(`{%q:%q}`, name, value))
}

func (e *env) refresh(t testing.TB, token string) *http.Response {
	t.Helper()
	return e.post(t, "refresh", "refresh", token)
}

// login begins a session of an account of its own.
func (e *env) login(t testing.TB) (tokens issuer.Tokens, name string) {
	t.Helper()
	name = fmt.Sprintf("user%d", time.Now().UnixNano())
	e.AddUser(t, name, "pw")
	return e.Env.Login(t, name, "pw"), name
}

// refreshWith refreshes with a token in which something was changed.
func refreshWith(changes map[string]any) func(*testing.T, *env) *http.Response {
	return func(t *testing.T, e *env) *http.Response {
		tokens, _ := e.login(t)
		return e.refresh(t, e.Resign(t, tokens.Refresh, changes))
	}
}

// send sends the same request each time.
func send(method, path, contentType, body string, header ...string) func(*testing.T, *env) *http.Response {
	return func(t *testing.T, e *env) *http.Response {
		return e.do(t, method, path, contentType, body, header...)
	}
}

var good = fmt.Sprintf(`{"username":%q,"password":%q}`, webtest.Alice, webtest.Password)

// cases send what the recorder sent.
var cases = map[string]func(*testing.T, *env) *http.Response{
	"obtain ok": send("POST", "/api/token/", jsonType, good),
	"obtain form-encoded": send("POST", "/api/token/", "application/x-www-form-urlencoded",
		url.Values{"username": {webtest.Alice}, "password": {webtest.Password}}.Encode()),
	"obtain multipart": func(t *testing.T, e *env) *http.Response {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		form.WriteField("username", webtest.Alice)
		form.WriteField("password", webtest.Password)
		form.Close()
		return e.do(t, "POST", "/api/token/", form.FormDataContentType(), body.String())
	},
	"obtain wrong pw": send("POST", "/api/token/", jsonType, `{"username":"alice","password":"wrong"}`),
	"obtain inactive": func(t *testing.T, e *env) *http.Response {
		_, name := e.login(t)
		e.Users.Disable(t.Context(), name)
		return e.do(t, "POST", "/api/token/", jsonType, fmt.Sprintf(`{"username":%q,"password":"pw"}`, name))
	},
	"obtain missing both":      send("POST", "/api/token/", jsonType, `{}`),
	"obtain blank":             send("POST", "/api/token/", jsonType, `{"username":"","password":""}`),
	"obtain null":              send("POST", "/api/token/", jsonType, `{"username":null,"password":null}`),
	"obtain number types":      send("POST", "/api/token/", jsonType, `{"username":1,"password":2}`),
	"obtain list/obj types":    send("POST", "/api/token/", jsonType, `{"username":["alice"],"password":{"a":1}}`),
	"obtain json array":        send("POST", "/api/token/", jsonType, `[1]`),
	"obtain bad json":          send("POST", "/api/token/", jsonType, `{nope`),
	"obtain unsupported media": send("POST", "/api/token/", "text/plain", `x`),
	"obtain GET":               send("GET", "/api/token/", "", ""),
	"obtain OPTIONS":           send("OPTIONS", "/api/token/", "", ""),
	"obtain no slash POST":     send("POST", "/api/token", jsonType, good),
	"obtain GET Accept xml":    send("GET", "/api/token/", "", "", "Accept", "application/xml"),
	"obtain with bad Authorization header": send("POST", "/api/token/", jsonType, good,
		"Authorization", "Bearer garbage"),

	"refresh with access": func(t *testing.T, e *env) *http.Response {
		tokens, _ := e.login(t)
		return e.refresh(t, tokens.Access)
	},
	"refresh garbage": send("POST", "/api/token/refresh/", jsonType, `{"refresh":"garbage"}`),
	"refresh missing": send("POST", "/api/token/refresh/", jsonType, `{}`),
	"refresh blank":   send("POST", "/api/token/refresh/", jsonType, `{"refresh":""}`),
	"refresh tampered": func(t *testing.T, e *env) *http.Response {
		tokens, _ := e.login(t)
		return e.refresh(t, tamper(tokens.Refresh))
	},
	"refresh ok":                  refreshWith(nil),
	"refresh again same token":    refreshAgain,
	"refresh expired":             refreshWith(map[string]any{"exp": 1000, "iat": 900, "nbf": 900}),
	"refresh no jti":              refreshWith(map[string]any{"jti": nil}),
	"refresh no exp":              refreshWith(map[string]any{"exp": nil}),
	"refresh no type":             refreshWith(map[string]any{"token_type": nil}),
	"refresh custom claim copied": refreshCustom,
	"refresh deleted user": func(t *testing.T, e *env) *http.Response {
		tokens, name := e.login(t)
		e.Users.Remove(t.Context(), name)
		return e.refresh(t, tokens.Refresh)
	},
	"refresh inactive": func(t *testing.T, e *env) *http.Response {
		tokens, name := e.login(t)
		e.Users.Disable(t.Context(), name)
		return e.refresh(t, tokens.Refresh)
	},
	"refresh blacklisted": func(t *testing.T, e *env) *http.Response {
		return e.refresh(t, blacklisted(t, e))
	},

	"verify access": func(t *testing.T, e *env) *http.Response {
		tokens, _ := e.login(t)
		return e.post(t, "verify", "token", tokens.Access)
	},
	"verify refresh": func(t *testing.T, e *env) *http.Response {
		tokens, _ := e.login(t)
		return e.post(t, "verify", "token", tokens.Refresh)
	},
	"verify bad": send("POST", "/api/token/verify/", jsonType, `{"token":"garbage"}`),
	"verify expired": func(t *testing.T, e *env) *http.Response {
		tokens, _ := e.login(t)
		return e.post(t, "verify", "token", e.Resign(t, tokens.Access, map[string]any{"exp": 1000, "iat": 900, "nbf": 900}))
	},
	"verify missing": send("POST", "/api/token/verify/", jsonType, `{}`),
	"verify blacklisted": func(t *testing.T, e *env) *http.Response {
		return e.post(t, "verify", "token", blacklisted(t, e))
	},

	"blacklist refresh": func(t *testing.T, e *env) *http.Response {
		tokens, _ := e.login(t)
		return e.post(t, "blacklist", "refresh", tokens.Refresh)
	},
	"blacklist again": func(t *testing.T, e *env) *http.Response {
		return e.post(t, "blacklist", "refresh", blacklisted(t, e))
	},
	"blacklist access": func(t *testing.T, e *env) *http.Response {
		tokens, _ := e.login(t)
		return e.post(t, "blacklist", "refresh", tokens.Access)
	},
	"blacklist missing": send("POST", "/api/token/blacklist/", jsonType, `{}`),
}

// tamper changes a bit in the middle of the signature.
func tamper(token string) string {
	b := []byte(token)
	at := len(b) - 20
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

func blacklisted(t *testing.T, e *env) string {
	tokens, _ := e.login(t)
	if err := e.Issuer.Logout(t.Context(), tokens.Refresh); err != nil {
		t.Fatal(err)
	}
	return tokens.Refresh
}

// refreshAgain is as recorded once the reuse window is over. Within it, unlike in
// the recording, a retry gets the same successor again.
func refreshAgain(t *testing.T, e *env) *http.Response {
	tokens, _ := e.login(t)
	first := refreshToken(t, e.refresh(t, tokens.Refresh))
	e.Clock.Step(e.Policy.ReuseWindow)
	again := refreshToken(t, e.refresh(t, tokens.Refresh))
	if first != again {
		t.Errorf("within the reuse window a retry gets another refresh token: %s, then %s", first, again)
	}
	e.Clock.Step(time.Second)
	return e.refresh(t, tokens.Refresh)
}

// refreshCustom answers as recorded; but the claim is not copied: claims are those
// that the user has now.
func refreshCustom(t *testing.T, e *env) *http.Response {
	tokens, _ := e.login(t)
	token := e.Resign(t, tokens.Refresh, map[string]any{"custom": "v"})
	resp := e.refresh(t, token)
	body, _ := io.ReadAll(resp.Body)
	for _, issued := range aJWT.FindAllString(string(body), -1) {
		if _, copied := webtest.Claims(t, issued)["custom"]; copied {
			t.Error("a claim was copied from the refresh token")
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

var refreshMember = regexp.MustCompile(`"refresh":"([^"]+)"`)

// refreshToken is the jti of an answer's refresh token; empty if it has none. The
// text of a token differs each time that it is signed.
func refreshToken(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	match := refreshMember.FindSubmatch(body)
	if match == nil {
		return ""
	}
	return fmt.Sprint(webtest.Claims(t, string(match[1]))["jti"])
}
