package simplejwt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"signet/internal/web/problem"
	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/users"
)

const listed = "https://app.issuer.test"

// newCookieEnv is newEnv with the refresh tokens in cookies, behind a proxy that takes
// /auth away.
func newCookieEnv(t testing.TB, alter func(*issuer.Policy)) *env {
	t.Helper()
	e := &env{Env: webtest.New(t, nil, alter)}
	e.url = serveCookies(t, Handler{Issuer: e.Issuer, Cookie: NewCookie(webtest.URL+"/auth", []string{listed}, e.Clock.Now)})
	return e
}

func serveCookies(t testing.TB, h Handler) (url string) {
	t.Helper()
	router := mux.NewRouter()
	h.Mount(router)
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	return server.URL
}

// reply is a response that was read.
type reply struct {
	status int
	body   string
	cookie []string // every Set-Cookie
}

// ask posts JSON; an empty body is none.
func (e *env) ask(t testing.TB, path, body string, header ...string) reply {
	t.Helper()
	contentType := jsonType
	if body == "" {
		contentType = ""
	}
	resp := e.do(t, "POST", path, contentType, body, header...)
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, string(text), resp.Header["Set-Cookie"]}
}

// with asks with a cookie and without a body.
func (e *env) with(t testing.TB, action, token string) reply {
	t.Helper()
	return e.ask(t, "/api/token/"+action+"/", "", "Cookie", CookieName+"="+token)
}

// alive reports whether the session of a refresh token lives.
func (e *env) alive(t testing.TB, token string) bool {
	t.Helper()
	_, err := e.Issuer.Verify(t.Context(), token)
	return err == nil
}

var setCookie = regexp.MustCompile(`^__Secure-signet-refresh=([\w.-]+); Path=/auth/api/token/; Expires=([^;]+ GMT); Max-Age=(\d+); HttpOnly; Secure; SameSite=Strict$`)

const cleared = "__Secure-signet-refresh=; Path=/auth/api/token/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Secure; SameSite=Strict"

// kept is the refresh token that an answer puts into the cookie: whole, alone, and for as
// long as it lives.
func (e *env) kept(t testing.TB, got reply) string {
	t.Helper()
	if got.status != http.StatusOK || !regexp.MustCompile(`^{"access":"[\w.-]+"}$`).MatchString(got.body) {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if len(got.cookie) != 1 {
		t.Fatalf("cookies: %q", got.cookie)
	}
	match := setCookie.FindStringSubmatch(got.cookie[0])
	if match == nil {
		t.Fatalf("Set-Cookie: %s", got.cookie[0])
	}
	claims := webtest.Claims(t, match[1])
	exp, _ := strconv.ParseInt(fmt.Sprint(claims["exp"]), 10, 64)
	if expires, err := http.ParseTime(match[2]); err != nil || expires.Unix() != exp {
		t.Errorf("Expires %s, and the token's exp is %d", match[2], exp)
	}
	if want := strconv.FormatInt(exp-e.Clock.Now().Unix(), 10); match[3] != want {
		t.Errorf("Max-Age %s, want %s", match[3], want)
	}
	if claims["token_type"] != issuer.KindRefresh {
		t.Errorf("the cookie holds %v", claims["token_type"])
	}
	return match[1]
}

func TestCookieLivesAsLongAsItsToken(t *testing.T) {
	e := newCookieEnv(t, func(p *issuer.Policy) { p.SessionLifetime = 30 * time.Hour })
	for _, path := range []string{"/api/token", "/api/token/"} {
		e.kept(t, e.ask(t, path, good))
	}
	first := e.kept(t, e.ask(t, "/api/token/", good))
	e.Clock.Step(time.Hour)
	second := e.kept(t, e.with(t, "refresh", first))
	e.Clock.Step(5 * time.Second)
	again := e.kept(t, e.with(t, "refresh", first)) // within the reuse window
	if a, b := webtest.Claims(t, second), webtest.Claims(t, again); a["jti"] != b["jti"] || a["exp"] != b["exp"] {
		t.Errorf("a retry gets another token: %v, then %v", a, b)
	}
	e.Clock.Step(10 * time.Hour) // what is left is the session's end
	third := e.ask(t, "/api/token/refresh", "", "Cookie", "theme=dark; "+CookieName+"="+second+"; lang=en")
	e.kept(t, third)
	if !strings.Contains(third.cookie[0], "Max-Age=68395;") { // 30 h - 11 h - 5 s
		t.Errorf("Set-Cookie: %s", third.cookie)
	}
}

func TestCookieStaysWhereTokensDoNotRotate(t *testing.T) {
	e := newCookieEnv(t, func(p *issuer.Policy) { p.Rotate = false })
	token := e.kept(t, e.ask(t, "/api/token/", good))
	got := e.with(t, "refresh", token)
	if got.status != http.StatusOK || got.cookie != nil || strings.Contains(got.body, "refresh") {
		t.Errorf("%+v", got)
	}
}

// A script that is let in can send the cookie and read the answer.
func TestAnswerToACookieNeverHasARefreshToken(t *testing.T) {
	e := newCookieEnv(t, nil)
	other := e.kept(t, e.ask(t, "/api/token/", good))
	for _, path := range []string{"/api/token/", "/api/token/refresh/", "/api/token/verify/", "/api/token/blacklist/"} {
		for _, body := range []string{"", "{}", good, `{"refresh":null}`, `{"refresh":""}`, `{"refresh":"` + other + `"}`,
			`{"refresh":"garbage"}`, `{"token":"` + other + `"}`} {
			token := e.kept(t, e.ask(t, "/api/token/", good))
			got := e.ask(t, path, body, "Cookie", CookieName+"="+token)
			for _, found := range aJWT.FindAllString(got.body, -1) {
				if webtest.Claims(t, found)["token_type"] != issuer.KindAccess {
					t.Errorf("%s %s: %s", path, body, got.body)
				}
			}
		}
	}
}

// Apps have no use for cookies: what they send in the body is answered there.
func TestBodyIsAnsweredInTheBody(t *testing.T) {
	e := newCookieEnv(t, nil)
	token := e.kept(t, e.ask(t, "/api/token/", good))
	got := e.ask(t, "/api/token/refresh/", `{"refresh":"`+token+`"}`)
	if got.status != http.StatusOK || got.cookie != nil {
		t.Fatalf("%+v", got)
	}
	next := refreshMember.FindStringSubmatch(got.body)
	if next == nil {
		t.Fatalf("no refresh token in %s", got.body)
	}
	if got := e.ask(t, "/api/token/blacklist/", `{"refresh":"`+next[1]+`"}`); got.status != 200 || got.body != "{}" || got.cookie != nil {
		t.Errorf("%+v", got)
	}
	if got := e.ask(t, "/api/token/refresh/", `{"refresh":""}`); got.status != 400 || got.body != `{"refresh":["This field may not be blank."]}` {
		t.Errorf("%+v", got)
	}
}

func TestOneRefreshTokenAtATime(t *testing.T) {
	e := newCookieEnv(t, nil)
	token, other := e.kept(t, e.ask(t, "/api/token/", good)), e.kept(t, e.ask(t, "/api/token/", good))
	const none = `{"detail":"There is no refresh token, neither in the cookie nor in the body; log in.","code":"token_not_valid"}`
	const both = `{"refresh":["The refresh token is in the cookie already; send it in one place."]}`
	for _, action := range []string{"refresh", "blacklist"} {
		path := "/api/token/" + action + "/"
		for _, header := range [][]string{nil, {"Cookie", "theme=dark"}, {"Cookie", "__secure-signet-refresh=" + token}} {
			if got := e.ask(t, path, "", header...); got.status != 401 || got.body != none || got.cookie != nil {
				t.Errorf("%s %q: %+v", action, header, got)
			}
		}
		for _, body := range []string{`{"refresh":"` + other + `"}`, `{"refresh":"` + token + `"}`, `{"refresh":null}`} {
			if got := e.ask(t, path, body, "Cookie", CookieName+"="+token); got.status != 400 || got.body != both || got.cookie != nil {
				t.Errorf("%s %s: %+v", action, body, got)
			}
		}
	}
	if !e.alive(t, token) || !e.alive(t, other) {
		t.Error("a refused request ended a session")
	}
}

// Pages of sibling domains can set a cookie of any name for the common domain
// (RFC 6265bis §8.6); the prefix forbids them nothing. Were the issuer's own cleared,
// the other would stay, and count.
func TestTossedCookieBesideOursIsRefused(t *testing.T) {
	e := newCookieEnv(t, nil)
	e.AddUser(t, "mallory", "pw")
	ours, theirs := e.kept(t, e.ask(t, "/api/token/", good)), e.Env.Login(t, "mallory", "pw").Refresh
	const want = `{"detail":"There are two cookies __Secure-signet-refresh, one of them not from this issuer; remove the cookies of this site in the browser."}`
	for _, action := range []string{"refresh", "blacklist"} {
		for _, line := range []string{
			CookieName + "=" + ours + "; " + CookieName + "=" + theirs,
			CookieName + "=" + theirs + ";" + CookieName + "=" + ours,
			CookieName + "=" + ours + "; " + CookieName + "=" + ours,
			CookieName + "=" + ours + "; " + CookieName + "=",
			CookieName + "=" + ours + "; " + CookieName, // of a cookie without a name
			CookieName + "=" + ours + "; " + CookieName + ` ="quoted, and \broken"`,
		} {
			if got := e.ask(t, "/api/token/"+action+"/", "", "Cookie", line); got.status != 400 || got.body != want || got.cookie != nil {
				t.Errorf("%s %.40s: %+v", action, line, got)
			}
		}
	}
	if values := cookieValues([]string{CookieName + "=a", "x=y; " + CookieName + "=b"}); len(values) != 2 {
		t.Errorf("two header fields: %q", values)
	}
	if !e.alive(t, ours) || !e.alive(t, theirs) {
		t.Error("a refused request ended a session")
	}
}

// What cannot be told: a tossed cookie that comes alone is a session, another's.
func TestTossedCookieAloneIsItsSession(t *testing.T) {
	e := newCookieEnv(t, nil)
	e.AddUser(t, "mallory", "pw")
	theirs := e.Env.Login(t, "mallory", "pw").Refresh
	got := e.kept(t, e.with(t, "refresh", theirs))
	if a, b := webtest.Claims(t, theirs), webtest.Claims(t, got); a["sub"] != b["sub"] {
		t.Errorf("sub %v, then %v", a["sub"], b["sub"])
	}
}

// A browser takes a name behind such a space without the rules of the prefix
// (RFC 6265bis §4.1.3), from a page without TLS too.
func TestNameBehindAWiderSpaceIsAnother(t *testing.T) {
	e := newCookieEnv(t, nil)
	e.AddUser(t, "mallory", "pw")
	theirs := e.Env.Login(t, "mallory", "pw").Refresh
	for _, space := range []string{"\u0085", "\u00a0", "\u2000", "\u2028", "\u3000", "\v", "\f"} {
		if got := cookieValues([]string{space + CookieName + "=" + theirs, CookieName + space + "=" + theirs}); got != nil {
			t.Errorf("%q: %d values, want none", space, len(got))
		}
	}
	if got := e.ask(t, "/api/token/refresh/", "", "Cookie", "\u2000"+CookieName+"="+theirs); got.status != 401 || got.cookie != nil {
		t.Errorf("refresh: %+v, want 401", got)
	}
	ours := e.kept(t, e.ask(t, "/api/token/", good))
	e.kept(t, e.ask(t, "/api/token/refresh/", "", "Cookie", "\u2000"+CookieName+"="+theirs+"; "+CookieName+"="+ours))
}

func TestBrokenCookieIsRefusedAndCleared(t *testing.T) {
	e := newCookieEnv(t, nil)
	tokens := e.Env.Login(t, webtest.Alice, webtest.Password)
	for _, value := range []string{
		"", "garbage", "..", `"` + tokens.Refresh + `"`, tamper(tokens.Refresh), tokens.Access, tokens.Refresh + ",",
		"%0d%0aSet-Cookie:%20a=b", "<script>", strings.Repeat("a", 12<<10), strings.Repeat(".", 12<<10), tokens.Refresh + "=",
		e.Resign(t, tokens.Refresh, map[string]any{"exp": 1000, "iat": 900, "nbf": 900}),
	} {
		for _, action := range []string{"refresh", "blacklist"} {
			got := e.with(t, action, value)
			if got.status != 401 || !strings.HasSuffix(got.body, `"code":"token_not_valid"}`) {
				t.Errorf("%s %.40q: %d %s", action, value, got.status, got.body)
			}
			if len(got.cookie) != 1 || got.cookie[0] != cleared {
				t.Errorf("%s %.40q: %q", action, value, got.cookie)
			}
		}
	}
	if !e.alive(t, tokens.Refresh) {
		t.Error("a broken cookie ended the session")
	}
}

func TestRefusedRefreshClearsTheCookie(t *testing.T) {
	e := newCookieEnv(t, nil)
	stolen := e.kept(t, e.ask(t, "/api/token/", good))
	current := e.kept(t, e.with(t, "refresh", stolen))
	e.Clock.Step(e.Policy.ReuseWindow + time.Second)
	for _, token := range []string{stolen, current} {
		got := e.with(t, "refresh", token)
		if got.status != 401 || got.body != `{"detail":"Token is blacklisted","code":"token_not_valid"}` || len(got.cookie) != 1 || got.cookie[0] != cleared {
			t.Errorf("%+v", got)
		}
	}
}

func TestLogoutClearsTheCookie(t *testing.T) {
	e := newCookieEnv(t, nil)
	token := e.kept(t, e.ask(t, "/api/token/", good))
	for _, status := range []int{200, 401} {
		if got := e.with(t, "blacklist", token); got.status != status || len(got.cookie) != 1 || got.cookie[0] != cleared {
			t.Errorf("%+v", got)
		}
	}
	if e.alive(t, token) {
		t.Error("the session is alive")
	}
}

// stub answers with what it is given.
type stub struct {
	tokens issuer.Tokens
	err    error
}

func (s stub) Login(context.Context, issuer.Attempt) (issuer.Tokens, error) { return s.tokens, s.err }
func (s stub) Refresh(context.Context, string) (issuer.Tokens, error)       { return s.tokens, s.err }
func (s stub) Verify(context.Context, string) (*issuer.Claims, error)       { return nil, s.err }
func (s stub) Logout(context.Context, string) error                         { return s.err }
func (s stub) env(t *testing.T) *env {
	return &env{url: serveCookies(t, Handler{Issuer: s, Cookie: NewCookie(webtest.URL+"/auth", nil, nil),
		Errors: problem.Renderer{Unavailable: func(err error) bool { return errors.Is(err, errDisk) }}})}
}

var errDisk = errors.New("the disk is gone")

// The session may live: the cookie is tried again.
func TestFailureKeepsTheCookie(t *testing.T) {
	for status, err := range map[int]error{503: errDisk, 500: errors.New("never heard of"), 429: &issuer.ThrottledError{RetryAfter: time.Second}} {
		for _, action := range []string{"refresh", "blacklist"} {
			if got := (stub{err: err}).env(t).with(t, action, "a.b.c"); got.status != status || got.cookie != nil {
				t.Errorf("%s: %+v", action, got)
			}
		}
	}
	if got := (stub{err: users.ErrCredentials}).env(t).ask(t, "/api/token/", good); got.status != 401 || got.cookie != nil {
		t.Errorf("a refused login: %+v", got)
	}
}

func TestTokenTooLongForACookieIsAnError(t *testing.T) {
	for length, status := range map[int]int{4096 - len(CookieName): 200, 4097 - len(CookieName): 500} {
		e := stub{tokens: issuer.Tokens{Access: "a", Refresh: strings.Repeat("r", length), RefreshExpires: time.Now().Add(time.Hour)}}.env(t)
		for _, got := range []reply{e.ask(t, "/api/token/", good), e.with(t, "refresh", "a.b.c")} {
			if got.status != status || (len(got.cookie) == 1) != (status == 200) || strings.Contains(got.body, "rrr") {
				t.Errorf("%d: %d %s, %d cookies", length, got.status, got.body, len(got.cookie))
			}
		}
	}
}

func TestPostsOfOtherPagesAreRefused(t *testing.T) {
	e := newCookieEnv(t, nil)
	const want = `{"detail":"CSRF Failed: this was sent by a page whose origin is not one of the issuer's list of origins."}`
	token := e.kept(t, e.ask(t, "/api/token/", good))
	form := "username=mallory&password=pw&refresh=x&token=x"
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"},
		{"Sec-Fetch-Site", "cross-site", "Origin", "null"},
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site", "Origin", "https://other.issuer.test"},
		{"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "SAME-ORIGIN", "Origin", "https://evil.test"},
		{"Origin", "https://evil.test"}, // an old browser
		{"Origin", "null"},
		{"Origin", "https://app.issuer.test.evil.test"},
		{"Origin", "http://app.issuer.test"},
		{"Origin", "https://app.issuer.test:8443"},
	} {
		for _, action := range []string{"", "refresh/", "verify/", "blacklist/", "refresh"} {
			resp := e.do(t, "POST", "/api/token/"+action, "application/x-www-form-urlencoded", form,
				append(header, "Cookie", CookieName+"="+token)...)
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != 403 || string(body) != want || resp.Header.Get("Content-Type") != jsonType || resp.Header["Set-Cookie"] != nil {
				t.Errorf("%s %q: %d %s %v", action, header, resp.StatusCode, body, resp.Header)
			}
		}
	}
	if !e.alive(t, token) {
		t.Error("a refused request ended the session")
	}
	e.kept(t, e.with(t, "refresh", token)) // nothing was used up
}

func TestPostsOfListedPagesAndOfProgramsPass(t *testing.T) {
	e := newCookieEnv(t, nil)
	for _, header := range [][]string{
		nil, // no browser
		{"Sec-Fetch-Site", "same-site", "Origin", listed},
		{"Sec-Fetch-Site", "cross-site", "Origin", listed},
		{"Sec-Fetch-Site", "same-origin", "Origin", "https://issuer.test"},
		{"Sec-Fetch-Site", "none"},
		{"Origin", listed},
		{"Origin", "https://issuer.test"}, // the proxy in front has changed Host
	} {
		token := e.kept(t, e.ask(t, "/api/token/", good, header...))
		next := e.kept(t, e.ask(t, "/api/token/refresh/", "", append(header, "Cookie", CookieName+"="+token)...))
		if got := e.ask(t, "/api/token/blacklist/", "", append(header, "Cookie", CookieName+"="+next)...); got.status != 200 {
			t.Errorf("%q: %+v", header, got)
		}
	}
}

// Without cookies a browser adds nothing to a request, and simplejwt refuses none.
func TestBodyDeliveryKnowsNoCookieAndNoOrigin(t *testing.T) {
	e := newEnv(t, nil)
	tokens, _ := e.login(t)
	got := e.ask(t, "/api/token/", good, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test", "Cookie", CookieName+"="+tokens.Refresh)
	if got.status != 200 || got.cookie != nil || refreshMember.FindString(got.body) == "" {
		t.Errorf("%+v", got)
	}
	got = e.with(t, "refresh", tokens.Refresh)
	if got.status != 400 || got.body != `{"refresh":["This field is required."]}` {
		t.Errorf("%+v", got)
	}
}
