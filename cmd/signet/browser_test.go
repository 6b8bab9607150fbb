package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// A browser takes *.localhost for this machine, and every name below one for a site of
// its own: login and app share the site shop.localhost, evil is another one.
const (
	loginHost   = "login.shop.localhost"
	appHost     = "app.shop.localhost"     // listed
	siblingHost = "sibling.shop.localhost" // of the same site, and not listed
	evilHost    = "evil.localhost"
)

const refreshCookie = "__Secure-signet-refresh"

// shop is an issuer, and pages of any origin.
type shop struct {
	issuer string
	port   string // of the pages
}

// page is the address of an empty page.
func (s *shop) page(host string) string { return "http://" + host + ":" + s.port }

func newShop(t *testing.T, delivery string) *shop {
	t.Helper()
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<!doctype html><title>page</title>")
	}))
	t.Cleanup(pages.Close)
	at, err := url.Parse(pages.URL)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{issuer: "http://" + strings.Replace(addr, "127.0.0.1", loginHost, 1), port: at.Port()}
	dir := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command(binary, "serve", "--data", dir, "--listen", addr, "--issuer", s.issuer,
		"--delivery", delivery, "--origins", s.page(appHost))
	cmd.Env = testEnv()
	launch(t, addr, cmd)
	for _, name := range []string{"kyoko", "mallory"} {
		mustSignet(t, "correct horse battery staple", "users", "add", name, "--password-stdin", "--data", dir)
	}
	return s
}

// newBrowser starts a browser with a profile of its own.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	needs(t, err == nil, "chromium is on PATH")
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun}
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage"} {
		opts = append(opts, chromedp.Flag(flag, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		limited, done := context.WithTimeout(ctx, 20*time.Second)
		defer done()
		if err := chromedp.Cancel(limited); err != nil {
			t.Errorf("close the browser: %v", err)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}

// tab is a tab with cookies of its own.
type tab struct {
	*shop
	t   *testing.T
	ctx context.Context
}

func newTab(t *testing.T, browser context.Context, s *shop) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	limited, done := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(done)
	return &tab{shop: s, t: t, ctx: limited}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(address string) { b.t.Helper(); b.do(chromedp.Navigate(address)) }

// evaluate runs a script in the page, and waits for its promise.
func evaluate[T any](b *tab, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return v
}

// fetched is what a script learns of an answer; Status 0 is nothing.
type fetched struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}

// post lets a script of the page post a form; more goes into the options of fetch.
func (b *tab) post(action, form, more string) fetched {
	b.t.Helper()
	return evaluate[fetched](b, fmt.Sprintf(`fetch(%q, {method: "POST", credentials: "include", body: %q || null,
		headers: {"Content-Type": "application/x-www-form-urlencoded"}, %s})
		.then(async r => ({status: r.status, body: await r.text()}), e => ({status: 0, body: String(e)}))`,
		b.issuer+"/api/token/"+action, form, more))
}

// submit posts a form by leaving the page, and returns what is shown then.
func (b *tab) submit(action string, fields map[string]string) fetched {
	b.t.Helper()
	script := fmt.Sprintf(`const f = document.createElement("form"); f.method = "post"; f.action = %q; document.body.append(f);`,
		b.issuer+"/api/token/"+action)
	for name, value := range fields {
		script += fmt.Sprintf(`{const i = document.createElement("input"); i.name = %q; i.value = %q; f.append(i)};`, name, value)
	}
	run := func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Evaluate[bool](script+`f.submit(); true`)(ctx, t)
		return chromedp.Void{}, err
	}
	resp, err := chromedp.RunResponse(b.ctx, run)
	if err != nil {
		b.t.Fatal(err)
	}
	return fetched{int(resp.Status), evaluate[string](b, "document.documentElement.textContent")}
}

// cookies are those that the browser would send to the issuer's refresh, whatever
// scripts may see of them.
func (b *tab) cookies() []*network.Cookie {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (network.GetCookiesResult, error) {
		return cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{URLs: []string{b.issuer + "/api/token/refresh/"}})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return got.Cookies
}

// token is the value of the only cookie.
func (b *tab) token() string {
	b.t.Helper()
	got := b.cookies()
	if len(got) != 1 || got[0].Name != refreshCookie || got[0].Value == "" {
		b.t.Fatalf("cookies: %+v", got)
	}
	return got[0].Value
}

const (
	kyoko   = "username=kyoko&password=correct horse battery staple"
	mallory = "username=mallory&password=correct horse battery staple"
)

// login opens the listed page and logs in there.
func (b *tab) login() {
	b.t.Helper()
	b.open(b.page(appHost))
	b.gives(b.post("", kyoko, ""))
}

// gives holds that a script got an access token, and nothing else.
func (b *tab) gives(got fetched) {
	b.t.Helper()
	if got.Status != 200 || !strings.HasPrefix(got.Body, `{"access":"eyJ`) || strings.Count(got.Body, `"`) != 4 {
		b.t.Fatalf("%+v", got)
	}
}

func (b *tab) says(got fetched, status int, text string) {
	b.t.Helper()
	if got.Status != status || !strings.Contains(got.Body, text) {
		b.t.Errorf("got %+v, want %d %s", got, status, text)
	}
}

// unharmed holds that the browser has this token still, and that it has not been used.
func (b *tab) unharmed(token string) {
	b.t.Helper()
	if got := b.token(); got != token {
		b.t.Error("the browser has another refresh token")
	}
	b.open(b.page(appHost))
	b.gives(b.post("refresh/", "", ""))
	if b.token() == token {
		b.t.Error("a refresh did not replace the refresh token")
	}
}

const crossSite = "CSRF Failed: this was sent by a page whose origin is not one of the issuer's list of origins."

// TestBrowser holds delivery: cookie against what a real browser does with it.
func TestBrowser(t *testing.T) {
	browser := newBrowser(t)
	s := newShop(t, "cookie")
	for name, run := range map[string]func(*tab){
		"a session of a listed page":             sessionOfAPage,
		"scripts never see the refresh token":    cookieIsHidden,
		"a sibling that is not listed":           sibling,
		"forms of another site":                  func(b *tab) { forms(b, evilHost) },
		"forms of a sibling":                     func(b *tab) { forms(b, siblingHost) },
		"login as another":                       loginAsAnother,
		"a cookie that a sibling sets beside it": tossedCookie,
		"a page of another site":                 otherSite,
	} {
		t.Run(name, func(t *testing.T) { run(newTab(t, browser, s)) })
	}
	snippets := snippetsOf(t)
	t.Run("documented, with the cookie", func(t *testing.T) { cookieSnippet(newTab(t, browser, s), snippets[0]) })
	t.Run("documented, with localStorage", func(t *testing.T) {
		storageSnippet(newTab(t, browser, newShop(t, "body")), snippets[1])
	})
}

// snippetsOf are the front ends of docs/browser-storage.md.
func snippetsOf(t *testing.T) (scripts []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/browser-storage.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```js\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		scripts = append(scripts, block[1])
	}
	if len(scripts) != 2 {
		t.Fatalf("the document has %d scripts", len(scripts))
	}
	return scripts
}

// start opens the listed page with a script of the document.
func (b *tab) start(script string) {
	b.t.Helper()
	b.open(b.page(appHost))
	evaluate[bool](b, strings.ReplaceAll(script, "https://login.example.com", b.issuer)+";true")
}

func cookieSnippet(b *tab, script string) {
	b.start(script)
	evaluate[bool](b, `login("kyoko", "correct horse battery staple").then(() => true)`)
	first := b.token()
	b.start(script) // a new page
	if b.token() != first {
		b.t.Error("the page lost its cookie")
	}
	// A service that refuses the first token makes it refresh, once for both calls.
	got := evaluate[string](b, `(async () => {
		const used = [], real = fetch
		window.fetch = (url, options) => url !== "/service" ? real(url, options) :
			(used.push(options.headers.Authorization), Promise.resolve({ status: used.length < 3 ? 401 : 200 }))
		const answers = await Promise.all([call("/service"), call("/service")])
		return [...answers.map(a => a.status), used.length, used[0], used[2] === used[3], used[2].startsWith("Bearer eyJ")].join(" ")
	})()`)
	if got != "200 200 4 Bearer null true true" {
		b.t.Errorf("two calls: %s", got)
	}
	evaluate[bool](b, `logout().then(() => true)`)
	if got := b.cookies(); len(got) != 0 {
		b.t.Errorf("after logout: %+v", got)
	}
	if got := evaluate[string](b, `refresh().then(() => "refreshed", e => e.message)`); !strings.HasPrefix(got, "401 ") {
		b.t.Errorf("after logout: %s", got)
	}
}

func storageSnippet(b *tab, script string) {
	b.start(script)
	stored := func(when string) string {
		got := evaluate[string](b, `Object.keys(localStorage).sort() + " " + localStorage.getItem("refresh")`)
		if !strings.HasPrefix(got, "access,refresh eyJ") {
			b.t.Fatalf("%s: %s", when, got)
		}
		return got
	}
	evaluate[bool](b, `login("kyoko", "correct horse battery staple").then(() => true)`)
	first := stored("after login")
	b.start(script)
	evaluate[bool](b, `refresh().then(() => true)`)
	if stored("after a refresh") == first {
		b.t.Error("a refresh did not replace the refresh token")
	}
	if got := b.cookies(); len(got) != 0 {
		b.t.Errorf("cookies: %+v", got)
	}
	if got := evaluate[int](b, `logout().then(() => localStorage.length)`); got != 0 {
		b.t.Errorf("%d tokens are left after logout", got)
	}
}

func sessionOfAPage(b *tab) {
	b.login()
	first := b.token()
	b.gives(b.post("refresh/", "", ""))
	second := b.token()
	if first == second {
		b.t.Error("a refresh did not replace the refresh token")
	}
	b.do(chromedp.Reload())
	b.gives(b.post("refresh", "", ""))
	b.open("about:blank")
	b.open(b.page(appHost) + "/elsewhere")
	b.gives(b.post("refresh/", "", ""))
	b.says(b.post("blacklist/", "", ""), 200, "{}")
	if got := b.cookies(); len(got) != 0 {
		b.t.Errorf("after logout: %+v", got)
	}
	b.says(b.post("refresh/", "", ""), 401, "There is no refresh token")
	b.says(b.post("refresh/", "refresh="+second, ""), 401, "Token is blacklisted")
}

func cookieIsHidden(b *tab) {
	b.login()
	cookie := b.cookies()[0]
	if !cookie.HTTPOnly || !cookie.Secure || cookie.SameSite != network.CookieSameSiteStrict || cookie.Path != "/api/token/" ||
		cookie.Domain != loginHost || cookie.Session {
		b.t.Errorf("%+v", cookie)
	}
	if left := time.Until(time.Unix(int64(cookie.Expires), 0)); left < 23*time.Hour || left > 25*time.Hour {
		b.t.Errorf("it expires in %v", left)
	}
	for _, address := range []string{b.page(appHost), b.issuer + "/api/token/refresh/", b.issuer + "/"} {
		b.open(address)
		if got := evaluate[string](b, "document.cookie"); got != "" {
			b.t.Errorf("a script of %s reads %q", address, got)
		}
	}
	b.open(b.page(appHost))
	evaluate[bool](b, `cookieStore.getAll().then(all => { if (all.length) throw new Error("cookieStore has it"); return true })`)
}

// sibling: its requests carry the cookie, since the site is the same.
func sibling(b *tab) {
	b.login()
	token := b.token()
	b.open(b.page(siblingHost))
	for _, action := range []string{"refresh/", "blacklist/"} {
		b.says(b.post(action, "", ""), 0, "TypeError")
		b.says(b.post(action, "", `mode: "no-cors"`), 0, "") // sent, and refused
		b.says(b.post(action, "", `mode: "cors", headers: {"Content-Type": "application/json"}`), 0, "TypeError")
	}
	b.unharmed(token)
}

func forms(b *tab, host string) {
	b.login()
	token := b.token()
	for _, action := range []string{"refresh/", "blacklist/"} {
		b.open(b.page(host))
		b.says(b.submit(action, nil), 403, crossSite)
	}
	b.unharmed(token)
}

func loginAsAnother(b *tab) {
	b.login()
	token := b.token()
	for _, host := range []string{evilHost, siblingHost} {
		b.open(b.page(host))
		b.says(b.submit("", map[string]string{"username": "mallory", "password": "correct horse battery staple"}), 403, crossSite)
		b.open(b.page(host))
		b.says(b.post("", mallory, ""), 0, "TypeError")
	}
	b.unharmed(token)
}

// tossedCookie: neither the prefix nor SameSite keeps a sibling from it. It ends no
// session, and nobody goes on in another one unawares.
func tossedCookie(b *tab) {
	b.login()
	token := b.token()
	b.open(b.page(siblingHost))
	evaluate[string](b, fmt.Sprintf(`document.cookie = "%s=a.b.c; Domain=shop.localhost; Path=/api/token/; Secure; SameSite=Strict"`, refreshCookie))
	if got := b.cookies(); len(got) != 2 {
		b.t.Fatalf("cookies: %+v", got)
	}
	b.open(b.page(appHost))
	for _, action := range []string{"refresh/", "blacklist/"} {
		b.says(b.post(action, "", ""), 400, "There are two cookies "+refreshCookie)
	}
	b.open(b.page(siblingHost))
	evaluate[string](b, fmt.Sprintf(`document.cookie = "%s=; Domain=shop.localhost; Path=/api/token/; Secure; Max-Age=0"`, refreshCookie))
	b.unharmed(token)
}

// otherSite: what a page there is told to fetch goes without the cookie, and comes back
// to nobody.
func otherSite(b *tab) {
	b.login()
	token := b.token()
	b.open(b.page(evilHost))
	for _, action := range []string{"refresh/", "blacklist/"} {
		b.says(b.post(action, "", ""), 0, "TypeError")
	}
	b.unharmed(token)
}
