package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"signet/internal/audit"
	"signet/internal/consumers"
	"signet/internal/event"
	"signet/internal/metrics"
	"signet/internal/web"
	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/jwks"
	"signet/keystore"
	"signet/users"
)

// fake is an issuer as scrapes see it.
type fake struct {
	kinds    map[string]int
	keys     []keystore.Info
	policy   keystore.Policy
	schedule keystore.Schedule
	fetched  []consumers.Consumer
	broken   error // of the database
	shared   bool  // with other servers
	read     keystore.Freshness
}

func (f *fake) Freshness() (keystore.Freshness, bool) { return f.read, f.shared }

func (f *fake) HashKinds(context.Context) (map[string]int, error) { return f.kinds, f.broken }
func (f *fake) Usage(context.Context) (int64, int64, error)       { return 1000, 10, f.broken }
func (f *fake) Pool() users.Pool {
	return users.Pool{Running: 2, Slots: 2, Waiting: 3, Queue: 64}
}
func (f *fake) Stats() audit.Stats {
	return audit.Stats{Records: 9, Failures: 2, Unrecorded: 1, Failing: f.broken != nil}
}
func (f *fake) Keys() []keystore.Info       { return f.keys }
func (f *fake) Schedule() keystore.Schedule { return f.schedule }
func (f *fake) Policy() keystore.Policy     { return f.policy }
func (f *fake) List() []consumers.Consumer  { return f.fetched }
func (f *fake) KeyUse(string) issuer.KeyUse { return issuer.KeyUse{AccessTokens: 5, RefreshTokens: 4} }
func (f *fake) Document(time.Time) (*jwks.Document, error) {
	return jwks.NewDocument(nil, time.Time{})
}

func watch(f *fake) (*metrics.Metrics, http.Handler) {
	m := metrics.New("1.2.3", "go1.26")
	m.Watch(metrics.Sources{Users: f, Keys: f, Tokens: f, Consumers: f, Database: f, Audit: f})
	return m, m.Handler(slog.New(slog.DiscardHandler))
}

func ask(h http.Handler, method, path string) (status int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, ours(w.Body.String())
}

// ours leaves out what the Go runtime and the process say.
func ours(body string) string {
	var kept strings.Builder
	for line := range strings.Lines(body) {
		if strings.Contains(line, "signet_") || strings.HasPrefix(line, "promhttp_") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// expect scrapes, and checks that whole lines are there, and others are not.
func expect(t *testing.T, h http.Handler, lines, absent []string) {
	t.Helper()
	status, body := ask(h, "GET", "/metrics")
	for _, want := range lines {
		if status != 200 || !strings.Contains("\n"+body, "\n"+want+"\n") {
			t.Errorf("%d, and no %s in\n%s", status, want, body)
		}
	}
	for _, text := range absent {
		if strings.Contains(body, text) {
			t.Errorf("%s in\n%s", text, body)
		}
	}
}

func TestWhatIsRead(t *testing.T) {
	_, h := watch(&fake{kinds: map[string]int{"argon2id m=19456,t=2,p=1": 7, "pbkdf2_sha256 i=1000000": 3, "": 1}})
	expect(t, h, []string{
		`signet_users{password_hash="argon2id m=19456,t=2,p=1"} 7`,
		`signet_users{password_hash="pbkdf2_sha256 i=1000000"} 3`,
		`signet_users{password_hash="none"} 1`,
		"# TYPE signet_users gauge",
		"signet_password_hash_running 2", "signet_password_hash_slots 2",
		"signet_password_hash_queue_length 3", "signet_password_hash_queue_limit 64",
		"signet_audit_records_total 9", "signet_audit_failures_total 2", "signet_audit_unrecorded_total 1", "signet_audit_failing 0",
		"# TYPE signet_audit_records_total counter", "# TYPE signet_audit_failing gauge",
		"signet_store_size_bytes 1000", "signet_store_free_bytes 10",
		`signet_build_info{goversion="go1.26",version="1.2.3"} 1`,
	}, nil)
}

// A database that fails must not look like one without users, and must not take along the
// numbers that tell of it.
func TestFailingDatabaseIsMissingAndCounted(t *testing.T) {
	m, h := watch(&fake{kinds: map[string]int{"argon2id": 7}, broken: errors.New("the disk is gone")})
	m.Committed(0, 3, errors.New("the disk is gone"))
	ask(h, "GET", "/metrics")
	expect(t, h, []string{"signet_store_commit_failures_total 1", "signet_audit_failing 1", `promhttp_metric_handler_errors_total{cause="gathering"} 1`},
		[]string{"signet_users{", "signet_store_size_bytes ", "signet_store_free_bytes "})
}

func TestNothingElseIsServed(t *testing.T) {
	_, h := watch(&fake{})
	for _, request := range [][2]string{{"GET", "/"}, {"GET", "/debug/pprof/"}, {"GET", "/api/token/"}} {
		if status, _ := ask(h, request[0], request[1]); status != 404 {
			t.Errorf("%v: %d, want 404", request, status)
		}
	}
	if status, _ := ask(h, "POST", "/metrics"); status != 405 {
		t.Errorf("POST: %d, want 405", status)
	}
}

func TestEventsAreCounted(t *testing.T) {
	m, h := watch(&fake{})
	gone := fmt.Errorf("wait for a core: %w", context.Canceled)
	for _, e := range []event.Event{
		{Kind: event.Login, Outcome: event.Done}, {Kind: event.Login, Outcome: event.Done},
		{Kind: event.Login, Outcome: event.Failed}, {Kind: event.Login, Outcome: event.Failed, Cause: gone},
		{Kind: event.Login, Outcome: "unheard of"},
		{Kind: event.Refresh, Outcome: event.Reused},
		{Kind: event.Token, Outcome: event.Done, Grant: "client_credentials"},
		{Kind: event.Token, Outcome: event.Inactive, Grant: "urn:ietf:params:oauth:grant-type:token-exchange"},
		{Kind: event.Token, Outcome: event.Done, Grant: "a stranger's"},
		{Kind: event.Logout, Outcome: event.Done},
		{Kind: event.ClientAuthentication, Outcome: event.Refused}, {Kind: event.ClientAuthentication, Outcome: event.Failed},
		{Kind: event.Key, Outcome: event.Done}, {Kind: event.Command, Outcome: event.Done}, {Kind: event.Server, Outcome: event.Done},
	} {
		if err := m.Record(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
	expect(t, h, []string{
		`signet_logins_total{outcome="done"} 2`, `signet_logins_total{outcome="failed"} 1`, `signet_logins_total{outcome="canceled"} 1`,
		`signet_logins_total{outcome="other"} 1`, `signet_logins_total{outcome="refused"} 0`, `signet_logins_total{outcome="busy"} 0`,
		`signet_refreshes_total{outcome="reused"} 1`, `signet_refreshes_total{outcome="done"} 0`,
		`signet_client_tokens_total{grant="client_credentials",outcome="done"} 1`,
		`signet_client_tokens_total{grant="token_exchange",outcome="inactive"} 1`,
		`signet_client_tokens_total{grant="other",outcome="done"} 1`,
		"signet_logouts_total 1", "signet_client_authentication_failures_total 1",
	}, []string{"stranger", "unheard"})
}

// TestCountingAllocatesNothing: a login, a refresh and a fetch of the key set are counted
// for next to nothing.
func TestCountingAllocatesNothing(t *testing.T) {
	m, _ := watch(&fake{})
	served := web.Served{Route: "/.well-known/jwks.json", Method: "GET", Status: 200, Version: `"YgKaXscTYgKaXscT"`}
	for what, count := range map[string]func(){
		"a login":   func() { m.Record(context.Background(), event.Event{Kind: event.Login, Outcome: event.Refused}) },
		"a request": func() { m.Served(served) },
		"a commit":  func() { m.Committed(time.Millisecond, 1, nil) },
	} {
		if n := testing.AllocsPerRun(100, count); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// schedule is that of one key, which has signed since start.
func schedule(now time.Time, keys ...keystore.Info) *fake {
	return &fake{keys: keys, schedule: keystore.Schedule{Now: now, Clock: now},
		policy: keystore.Policy{Algorithms: []string{"ES256"}, RotateEvery: 90 * day, PublishAhead: day}}
}

// TestAgeOfSharedKeys: it is there where servers share them, and 0 is not the same as none.
func TestAgeOfSharedKeys(t *testing.T) {
	_, alone := watch(&fake{})
	expect(t, alone, nil, []string{"signet_keys_read_age_seconds"})
	_, shared := watch(&fake{shared: true, read: keystore.Freshness{Age: 16500 * time.Millisecond}})
	expect(t, shared, []string{"# TYPE signet_keys_read_age_seconds gauge", "signet_keys_read_age_seconds 16.5"}, nil)
}

func TestKeysAndTheirPlan(t *testing.T) {
	active := keystore.Info{KID: "k1", Alg: "ES256", State: keystore.Active, Created: start, SignsFrom: start, PrivateHalf: true}
	ending, pending := active, keystore.Info{KID: "k2", Alg: "ES256", State: keystore.Pending, Created: start.Add(89 * day), SignsFrom: start.Add(90 * day), PrivateHalf: true}
	ending.SignsUntil, ending.PublishedUntil = start.Add(90*day), start.Add(91*day)
	retired := ending
	retired.State = keystore.Retired
	future := active
	future.Created = start.Add(365 * day)
	off := schedule(start.Add(10*day), active)
	off.policy.RotateEvery = 0
	stopped := schedule(start.Add(100*day), active)
	stopped.schedule.Stopped = start
	for what, c := range map[string]struct {
		from *fake
		want []string
		not  string
	}{
		"a successor is planned": {schedule(start.Add(9*day), active), []string{
			`signet_key_info{alg="ES256",kid="k1",state="active"} 1`, `signet_key_age_seconds{alg="ES256",kid="k1"} 777600`,
			`signet_tokens_issued_total{alg="ES256",kid="k1",kind="access"} 5`, `signet_tokens_issued_total{alg="ES256",kid="k1",kind="refresh"} 4`,
			"# TYPE signet_tokens_issued_total counter",
			"signet_keys_next_change_seconds 6.912e+06", "signet_keys_overdue_seconds 0", "signet_keys_schedule_stopped 0",
			"signet_keys_rotate_every_seconds 7.776e+06", "signet_keys_publish_ahead_seconds 86400",
		}, ""},
		"a turn is planned": {schedule(start.Add(90*day-time.Hour), ending, pending), []string{
			"signet_keys_next_change_seconds 3600", "signet_keys_overdue_seconds 0"}, ""},
		"a successor is late": {schedule(start.Add(89*day+time.Hour), active), []string{
			"signet_keys_overdue_seconds 3600"}, "signet_keys_next_change_seconds "},
		"a private half outlives its turn": {schedule(start.Add(90*day+time.Minute), retired, pending), []string{"signet_keys_overdue_seconds 60"}, ""},
		"nothing is planned":               {off, []string{"signet_keys_overdue_seconds 0", "signet_keys_rotate_every_seconds 0"}, "signet_keys_next_change_seconds "},
		"the clock was set back":           {schedule(start, future), []string{`signet_key_age_seconds{alg="ES256",kid="k1"} 0`}, "-"},
		"the schedule is stopped":          {stopped, []string{"signet_keys_schedule_stopped 1"}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			_, h := watch(c.from)
			status, body := ask(h, "GET", "/metrics")
			for _, want := range c.want {
				if status != 200 || !strings.Contains(body, want+"\n") {
					t.Errorf("no %s in\n%s", want, body)
				}
			}
			for line := range strings.Lines(body) {
				if c.not != "" && strings.HasPrefix(line, "signet_key") && strings.Contains(line, c.not) {
					t.Errorf("%q is in %s", c.not, line)
				}
			}
		})
	}
}

// TestVersionsAreBounded: the last ones stay, and the current one is there before it is
// fetched.
func TestVersionsAreBounded(t *testing.T) {
	doc, err := jwks.NewDocument(nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{fetched: []consumers.Consumer{{ETag: doc.ETag(), Last: start}, {ETag: doc.ETag(), Last: start.Add(-25 * time.Hour)}, {ETag: "other", Last: start}, {ETag: "older", Last: start}},
		schedule: keystore.Schedule{Now: start, Clock: start}}
	m, h := watch(f)
	current := strings.Trim(doc.ETag(), `"`)[:8]
	for i := range 100 {
		m.Served(web.Served{Route: "/.well-known/jwks.json", Method: "GET", Status: 200, Version: fmt.Sprintf(`"%08d"`, i)})
	}
	expect(t, h, []string{
		fmt.Sprintf(`signet_jwks_fetches_total{status="200",version=%q} 0`, current), fmt.Sprintf(`signet_jwks_fetches_total{status="304",version=%q} 0`, current),
		`signet_jwks_consumers{version="current"} 1`, `signet_jwks_consumers{version="other"} 2`,
	}, []string{`version="00000001"`})
	m.Served(web.Served{Route: "/.well-known/jwks.json", Method: "GET", Status: 200, Version: doc.ETag()})
	m.Served(web.Served{Route: "/.well-known/jwks.json", Method: "GET", Status: 304, Version: doc.ETag()})
	m.Served(web.Served{Route: "/.well-known/jwks.json", Method: "HEAD", Status: 200, Version: doc.ETag()}) // its sender holds no document
	expect(t, h, []string{fmt.Sprintf(`signet_jwks_fetches_total{status="200",version=%q} 1`, current), fmt.Sprintf(`signet_jwks_fetches_total{status="304",version=%q} 1`, current)}, nil)
	_, body := ask(h, "GET", "/metrics")
	if n := strings.Count(body, "\nsignet_jwks_fetches_total{"); n != 7+2 { // seven with 200 alone, and the current one
		t.Errorf("%d series:\n%s", n, body)
	}
}

// TestStrangersChooseNoLabel: whatever is sent, the series stay as they are, and so does
// what is kept of them.
func TestStrangersChooseNoLabel(t *testing.T) {
	m, h := watch(&fake{})
	var methods []string
	for i := range 10_000 {
		methods = append(methods, fmt.Sprintf("METHOD%d", i))
	}
	next := -1
	kept := testing.AllocsPerRun(len(methods)-1, func() { next++; m.Served(web.Served{Method: methods[next], Status: 404}) })
	if kept != 0 {
		t.Errorf("%v allocations for each strange method", kept)
	}
	expect(t, h, []string{`signet_http_requests_total{code="404",method="other",route="none"} 10000`}, []string{"METHOD"})
}

// Others add what they count themselves.
func TestRegister(t *testing.T) {
	m, h := watch(&fake{})
	m.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "signet_more", Help: "More."}, func() float64 { return 7 }))
	expect(t, h, []string{"signet_more 7"}, nil)
}

// BenchmarkKeySetIsCounted measures the public handler with and without counting in turns,
// and reports which part of the rate is left.
func BenchmarkKeySetIsCounted(b *testing.B) {
	env := webtest.New(b, nil, nil)
	m := metrics.New("1", "go")
	public := func(served func(web.Served)) http.Handler {
		return web.NewHandler(web.Options{URL: webtest.URL, Keys: env.Keys, MaxAge: func() time.Duration { return 5 * time.Minute },
			Consumers: consumers.New(), Served: served, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	}
	bare, counted := public(nil), m.InFlight(public(m.Served))
	r := httptest.NewRequest("GET", "/.well-known/jwks.json", nil)
	turn := func(h http.Handler) time.Duration {
		began := time.Now()
		for range 200 {
			h.ServeHTTP(nowhere{http.Header{}}, r)
		}
		return time.Since(began)
	}
	var rates []float64
	for b.Loop() {
		without, with := turn(bare), turn(counted)
		rates = append(rates, float64(without)/float64(with))
	}
	slices.Sort(rates)
	b.ReportMetric(rates[len(rates)/2], "of-the-rate")
}

// nowhere is a response that goes nowhere.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}
