package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// exposition is what a scrape answers, by the text of each series.
type exposition struct {
	text   string
	series map[string]float64
	types  map[string]string // by metric
}

var seriesLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})?) (\S+)$`)

func scrape(t *testing.T, ops string) exposition {
	t.Helper()
	status, text := ask(t, http.MethodGet, "http://"+ops+"/metrics", nil)
	if status != http.StatusOK {
		t.Fatalf("scrape: %d %s", status, text)
	}
	e := exposition{text: text, series: map[string]float64{}, types: map[string]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if f := strings.Fields(line); f[0] == "#" {
			if f[1] == "TYPE" {
				e.types[f[2]] = f[3]
			}
			continue
		}
		m := seriesLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a sample: %s", line)
		}
		value, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		e.series[m[1]] = value
	}
	return e
}

// ask sends a request as a service would, and returns what it was told.
func ask(t *testing.T, method, address string, form url.Values, header ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// scraped is a server whose day has been eventful.
type scraped struct {
	*testing.T
	dir, base, ops string
	// secrets are what must not be in its metrics.
	secrets []string
}

func serveScraped(t *testing.T) *scraped {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	ops, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s := &scraped{T: t, dir: filepath.Join(t.TempDir(), "data"), base: "http://" + addr, ops: ops}
	serveBinary(t, s.dir, addr, "SIGNET_OPS_LISTEN="+ops, "SIGNET_REFRESH_REUSE_WINDOW=0s")
	return s
}

// post expects a status, and returns the fields of the answer.
func (s *scraped) post(want int, path string, form url.Values, header ...string) map[string]string {
	s.Helper()
	status, body := ask(s.T, http.MethodPost, s.base+path, form, header...)
	if status != want {
		s.Fatalf("POST %s: %d %s, want %d", path, status, body, want)
	}
	fields := map[string]string{}
	json.Unmarshal([]byte(body), &fields) // other answers have other fields
	for _, token := range []string{"access", "refresh"} {
		if fields[token] != "" {
			s.secrets = append(s.secrets, fields[token], fields[token][strings.LastIndex(fields[token], "."):])
		}
	}
	return fields
}

func (s *scraped) login(want int, name, password string) map[string]string {
	s.Helper()
	return s.post(want, "/api/token/", url.Values{"username": {name}, "password": {password}})
}

func (s *scraped) refresh(want int, token string) map[string]string {
	s.Helper()
	return s.post(want, "/api/token/refresh/", url.Values{"refresh": {token}})
}

// users logs in and out, well and badly.
func (s *scraped) users() {
	added := mustSignet(s.T, pw, "users", "add", "kyoko", "--password-stdin", "--data", s.dir)
	s.secrets = append(s.secrets, "kyoko", "mallory", pw, regexp.MustCompile(`[A-Z2-7]{26}`).FindString(added))
	first := s.login(200, "kyoko", pw)
	second := s.login(200, "kyoko", pw)
	s.login(401, "kyoko", "not the password")
	s.login(401, "mallory", pw)
	next := s.refresh(200, first["refresh"])
	s.refresh(401, first["refresh"]) // reused: this ends the session
	s.refresh(401, next["refresh"])
	s.refresh(401, "not.a.token")
	s.refresh(401, first["access"])
	s.post(200, "/api/token/blacklist/", url.Values{"refresh": {second["refresh"]}})
}

// services get tokens, the key set, and the keys of a rotation.
func (s *scraped) services() (before, after string) {
	out := mustSignet(s.T, "", "clients", "add", "billing", "--audience", "orders", "--data", s.dir)
	secret := strings.TrimSpace(out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:])
	s.secrets = append(s.secrets, "billing", secret, "scraper/9")
	grant := url.Values{"grant_type": {"client_credentials"}, "client_id": {"billing"}, "client_secret": {secret}}
	s.post(200, "/oauth2/token", grant)
	grant.Set("client_secret", "wrong")
	s.post(401, "/oauth2/token", grant)
	before = s.fetch(200, "")
	s.fetch(304, before)
	mustSignet(s.T, "", "keys", "rotate", "--alg", "ES256", "--data", s.dir)
	after = s.fetch(200, before)
	return before, after
}

// fetch gets the key set as one consumer, which holds the version etag.
func (s *scraped) fetch(want int, etag string) string {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.base+"/.well-known/jwks.json?rs=orders-1", nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("User-Agent", "scraper/9")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		s.Fatalf("key set: %d, want %d", resp.StatusCode, want)
	}
	return resp.Header.Get("ETag")
}

// strangers ask for what there is not.
func (s *scraped) strangers() {
	for _, c := range [][2]string{{"GET", "/wp-login.php"}, {"FROBNICATE", "/"}, {"PROPFIND", "/api/token/secret-path"}, {"DELETE", "/readyz"}} {
		if status, body := ask(s.T, c[0], s.base+c[1], nil, "User-Agent", "scraper/9"); status != 404 && status != 405 {
			s.Fatalf("%v: %d %s", c, status, body)
		}
	}
	s.secrets = append(s.secrets, "wp-login", "FROBNICATE", "secret-path", "127.0.0.1")
}

// TestMetrics is an eventful day of the real binary, and what its metrics say of it.
func TestMetrics(t *testing.T) {
	s := serveScraped(t)
	quiet := scrape(t, s.ops)
	s.users()
	before, after := s.services()
	s.strangers()
	now := scrape(t, s.ops)
	t.Run("values", func(t *testing.T) { expectDay(t, quiet, now, before, after) })
	t.Run("nobody is named", func(t *testing.T) {
		for _, secret := range s.secrets {
			if secret == "" || strings.Contains(now.text, secret) {
				t.Errorf("%q is in the metrics, or empty", secret)
			}
		}
	})
	t.Run("promtool check metrics", func(t *testing.T) {
		if out, err := promtool(t, now.text, "check", "metrics"); err != nil || out != "" {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("ready is a commit", func(t *testing.T) {
		const commits = "signet_store_commit_duration_seconds_count"
		err := waitFor(10*time.Second, func() error { // the last result holds for a second
			if status, body := ask(t, http.MethodGet, s.base+"/readyz", nil); status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			if then := scrape(t, s.ops); then.series[commits] <= now.series[commits] {
				return fmt.Errorf("%v commits before, and %v after", now.series[commits], then.series[commits])
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("documented", func(t *testing.T) { expectDocumented(t, now) })
	t.Run("alerts", func(t *testing.T) { expectAlerts(t, now) })
	t.Run("dashboard", func(t *testing.T) { expectDashboard(t, now) })
	t.Run("series", s.expectNoMoreSeries)
}

func expectDay(t *testing.T, quiet, now exposition, before, after string) {
	version := func(etag string) string { return strings.Trim(etag, `"`)[:8] }
	want := map[string]float64{
		`signet_logins_total{outcome="done"}`: 2, `signet_logins_total{outcome="refused"}`: 2,
		`signet_logins_total{outcome="throttled"}`: 0, `signet_logins_total{outcome="busy"}`: 0, `signet_logins_total{outcome="failed"}`: 0,
		`signet_refreshes_total{outcome="done"}`: 1, `signet_refreshes_total{outcome="reused"}`: 1,
		`signet_refreshes_total{outcome="ended"}`: 1, `signet_refreshes_total{outcome="invalid"}`: 2, `signet_refreshes_total{outcome="failed"}`: 0,
		`signet_logouts_total`: 1,
		`signet_client_tokens_total{grant="client_credentials",outcome="done"}`: 1, `signet_client_authentication_failures_total`: 1,
		`signet_http_requests_total{code="200",method="POST",route="/api/token/"}`:         2,
		`signet_http_requests_total{code="401",method="POST",route="/api/token/"}`:         2,
		`signet_http_requests_total{code="401",method="POST",route="/api/token/refresh/"}`: 4,
		`signet_http_request_duration_seconds_count{route="/api/token/refresh/"}`:          5,
		`signet_http_requests_total{code="404",method="GET",route="none"}`:                 1,
		`signet_http_requests_total{code="404",method="other",route="none"}`:               1,
		`signet_http_requests_total{code="405",method="other",route="none"}`:               2,
		`signet_http_requests_in_flight`:                                                   0,
		fmt.Sprintf(`signet_jwks_fetches_total{status="200",version=%q}`, version(before)): 1,
		fmt.Sprintf(`signet_jwks_fetches_total{status="304",version=%q}`, version(before)): 1,
		fmt.Sprintf(`signet_jwks_fetches_total{status="200",version=%q}`, version(after)):  1,
		fmt.Sprintf(`signet_jwks_fetches_total{status="304",version=%q}`, version(after)):  0,
		`signet_jwks_consumers{version="current"}`:                                         1, `signet_jwks_consumers{version="other"}`: 0,
		`signet_users{password_hash="argon2id m=8192,t=1,p=1"}`: 1,
		`signet_password_hash_duration_seconds_count`:           5, // one to make the account, four logins
		`signet_password_hash_queue_length`:                     0, `signet_password_hash_queue_limit`: 64,
		`signet_keys_schedule_stopped`: 0, `signet_keys_overdue_seconds`: 0, `signet_store_commit_failures_total`: 0,
		`signet_keys_rotate_every_seconds`: 90 * 86400, `signet_keys_publish_ahead_seconds`: 86400,
	}
	for series, value := range want {
		if got, ok := now.series[series]; !ok || got != value {
			t.Errorf("%s is %v (there: %v), want %v", series, got, ok, value)
		}
	}
	for _, series := range []string{`signet_logins_total{outcome="done"}`, `signet_refreshes_total{outcome="reused"}`, `signet_logouts_total`} {
		if got, ok := quiet.series[series]; !ok || got != 0 {
			t.Errorf("%s begins at %v (there: %v)", series, got, ok)
		}
	}
	// 2 logins, 3 refreshes, of which 2 were refused when their answer was signed, and 1
	// token for a client; the rotated key has not signed yet.
	expectSum(t, now, `^signet_tokens_issued_total\{alg="ES256",.*kind="access"\}`, 2, 6)
	expectSum(t, now, `^signet_tokens_issued_total\{alg="ES256",.*kind="refresh"\}`, 2, 5)
	expectSum(t, now, `^signet_tokens_issued_total\{alg="RS256",`, 2, 0)
	expectSum(t, now, `^signet_key_info\{alg="ES256",.*state="(active|pending)"\}`, 2, 2)
	if age := matching(now, `^signet_key_age_seconds\{`); len(age) != 3 || slices.Min(age) < 0 || slices.Max(age) > 600 {
		t.Errorf("ages %v", age)
	}
	if next := now.series["signet_keys_next_change_seconds"]; next < 86000 || next > 86400 {
		t.Errorf("next change in %v seconds, want a day: the pending key signs then", next)
	}
	if size, free := now.series["signet_store_size_bytes"], now.series["signet_store_free_bytes"]; size < 32768 || free < 0 || free >= size {
		t.Errorf("%v bytes, %v free", size, free)
	}
}

func matching(e exposition, pattern string) []float64 {
	re := regexp.MustCompile(pattern)
	var values []float64
	for series, value := range e.series {
		if re.MatchString(series) {
			values = append(values, value)
		}
	}
	return values
}

func expectSum(t *testing.T, e exposition, pattern string, series int, want float64) {
	t.Helper()
	values, sum := matching(e, pattern), 0.
	for _, v := range values {
		sum += v
	}
	if len(values) != series || sum != want {
		t.Errorf("%s: %v, want %d series with a sum of %v", pattern, values, series, want)
	}
}

// expectNoMoreSeries: whatever strangers send, once each kind of answer was given there
// are no more series.
func (s *scraped) expectNoMoreSeries(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string { return fmt.Sprintf("%x", random.Uint64()) }
	forged := func() string {
		return "eyJhbGciOiJFUzI1NiIsImtpZCI6Ii" + word() + "." + word() + "." + word()
	}
	send := func(i int) {
		switch agent := "agent/" + word(); i % 5 {
		case 0:
			ask(t, "GET", s.base+"/"+word(), nil, "User-Agent", agent)
		case 1:
			ask(t, strings.ToUpper("m"+word()), s.base+"/api/token/", nil, "User-Agent", agent)
		case 2:
			ask(t, "POST", s.base+"/api/token/refresh/", url.Values{"refresh": {forged()}})
		case 3:
			ask(t, "GET", s.base+"/.well-known/jwks.json?rs="+word(), nil, "If-None-Match", `"`+word()+`"`, "User-Agent", agent)
		case 4:
			ask(t, "POST", s.base+"/oauth2/token", url.Values{"grant_type": {word()}, "client_id": {word()}, "client_secret": {word()}})
		}
	}
	names := func(from, to int) { // until the throttle answers
		for i := from; i < to; i++ {
			ask(t, "POST", s.base+"/api/token/", url.Values{"username": {word()}, "password": {word()}})
		}
	}
	names(0, 60)
	for i := range 10 {
		send(i)
	}
	before := scrape(t, s.ops)
	for i := range 10_000 {
		send(i)
	}
	names(0, 10)
	after := scrape(t, s.ops)
	for series := range after.series {
		if _, ok := before.series[series]; !ok && !strings.HasPrefix(series, "go_") {
			t.Errorf("a new series: %s", series)
		}
	}
	const unmatched = `signet_http_requests_total{code="404",method="GET",route="none"}`
	if grown := after.series[unmatched] - before.series[unmatched]; grown != 2000 {
		t.Errorf("%v requests for what there is not were counted, want 2000", grown)
	}
}

// promtool runs Prometheus's own tool.
func promtool(t *testing.T, stdin string, args ...string) (output string, err error) {
	t.Helper()
	_, missing := exec.LookPath("promtool")
	needs(t, missing == nil, "promtool is there (apt-get install prometheus)")
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sorted keys, for messages that are the same each time.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
