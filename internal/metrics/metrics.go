// Package metrics is what Prometheus reads of a running issuer.
//
// Start at [New]. What happens is counted as it does: [Metrics] is an event.Recorder, and
// hears of requests, commits and hashes by Served, Committed and Hashed. What can be
// asked for is read when it is scraped, from the [Sources]. docs/metrics.md lists all
// names; they follow the conventions of Prometheus
// (https://prometheus.io/docs/practices/naming/).
//
// The package refuses labels whose values a stranger chooses: nobody's name, address or
// token becomes a series, and no number of requests makes more of them.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"signet/internal/consumers"
	"signet/issuer"
	"signet/jwks"
	"signet/keystore"
	"signet/users"
)

// Users are the accounts and what computes their hashes: users.Directory.
type Users interface {
	// HashKinds counts the accounts by the kind of their password hash.
	HashKinds(ctx context.Context) (map[string]int, error)
	Pool() users.Pool
}

// Keys are the signing keys: keystore.Manager.
type Keys interface {
	Keys() []keystore.Info
	Schedule() keystore.Schedule
	Policy() keystore.Policy
	Document(now time.Time) (*jwks.Document, error)
	// Freshness is how old they are, where several servers share them.
	Freshness() (keystore.Freshness, bool)
}

// Tokens says what a key has signed: issuer.Issuer.
type Tokens interface {
	KeyUse(kid string) issuer.KeyUse
}

// Consumers are those who fetched the key set: consumers.Table.
type Consumers interface {
	List() []consumers.Consumer
}

// Database says how large its file is, and how much of that is free for new records.
type Database interface {
	Usage(ctx context.Context) (size, free int64, err error)
}

// Sources are what a scrape reads. None may be nil.
type Sources struct {
	Users     Users
	Keys      Keys
	Tokens    Tokens
	Consumers Consumers
	Database  Database
	Audit     Audit
}

// Metrics are those of one process: safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	events   *events
	requests *requests
	commits  *commits
	hashes   prometheus.Histogram
	fetches  *fetches
}

// New returns the metrics of a process, of a version of signet built by a version of Go.
func New(version, goVersion string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.Register(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "signet_build_info", Help: "1, labelled with the version of signet and of the Go that built it.",
			ConstLabels: prometheus.Labels{"version": version, "goversion": goVersion}}, func() float64 { return 1 }))
	m.events = newEvents(m.registry)
	m.requests = newRequests(m.registry)
	m.commits = newCommits(m.registry)
	m.hashes = newHashes(m.registry)
	m.fetches = newFetches()
	return m
}

// Register adds what another part of the program counts itself. It panics at a name that
// is taken.
func (m *Metrics) Register(more ...prometheus.Collector) { m.registry.MustRegister(more...) }

// Watch lets scrapes read the sources. It is called once.
func (m *Metrics) Watch(s Sources) {
	m.Register(accounts{s.Users}, pool{s.Users}, database{s.Database}, records{s.Audit}, signing{s.Keys, s.Tokens},
		keySet{keys: s.Keys, consumers: s.Consumers, fetches: m.fetches})
	if pool, ok := s.Database.(Connections); ok {
		m.Register(connections{pool})
	}
}

// A scrape is answered or given up within scrapeTimeout, of which the database may take
// readTimeout. What waits for a slow one is bounded.
const (
	scrapeTimeout = 8 * time.Second // Prometheus gives up after 10
	readTimeout   = 5 * time.Second
	maxScrapes    = 4
)

// Handler answers scrapes. What cannot be read is missing from the answer, logged, and
// counted as promhttp_metric_handler_errors_total: a database that fails must not take
// along the numbers which tell of it.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Timeout: scrapeTimeout, MaxRequestsInFlight: maxScrapes, ErrorHandling: promhttp.ContinueOnError,
		Registry: m.registry, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError),
	}))
	return mux
}

// described is a metric that is read at a scrape.
func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// reading is the value of a gauge.
func reading(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

// total is the value of a counter.
func total(desc *prometheus.Desc, value uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
}
