package metrics

import (
	"cmp"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"signet/internal/web"
)

// seconds are the bounds for what a request, a commit or a hash takes.
var seconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// requests counts the answers of the public listener, and those to probes of the one for operators.
type requests struct {
	count    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	running  prometheus.Gauge
	counters cache[answered, prometheus.Counter]
	timers   cache[string, prometheus.Observer]
}

// answered is a kind of request: the sets of all three are closed.
type answered struct {
	route, method string
	status        int
}

func newRequests(r prometheus.Registerer) *requests {
	q := &requests{
		count: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "signet_http_requests_total",
			Help: "Requests that were answered, by route, method and status code; the route none is a path or method that there is not."},
			[]string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "signet_http_request_duration_seconds",
			Help: "Seconds from a request's header to the end of its answer, by route.", Buckets: seconds}, []string{"route"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: "signet_http_requests_in_flight",
			Help: "Requests that are being answered now."}),
	}
	r.MustRegister(q.count, q.duration, q.running)
	return q
}

// Served counts an answer of the public listener.
func (m *Metrics) Served(s web.Served) {
	q, route, method := m.requests, cmp.Or(s.Route, "none"), knownMethod(s.Method)
	q.counters.get(answered{route, method, s.Status}, func() prometheus.Counter {
		return q.count.WithLabelValues(route, method, strconv.Itoa(s.Status))
	}).Inc()
	q.timers.get(route, func() prometheus.Observer {
		return q.duration.WithLabelValues(route)
	}).Observe(s.Took.Seconds())
	if s.Version != "" && s.Method == http.MethodGet {
		m.fetches.note(s.Version, s.Status)
	}
}

// knownMethod keeps a stranger from choosing a label.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions:
		return method
	}
	return "other"
}

// InFlight counts the requests that the handler is answering.
func (m *Metrics) InFlight(next http.Handler) http.Handler {
	return promhttp.InstrumentHandlerInFlight(m.requests.running, next)
}

// cache finds what was made for a key, without a lock or an allocation. It is for few
// keys: each new one copies it.
type cache[K comparable, V any] struct {
	mu  sync.Mutex
	all atomic.Pointer[map[K]V]
}

func (c *cache[K, V]) get(key K, make func() V) V {
	if all := c.all.Load(); all != nil {
		if v, ok := (*all)[key]; ok {
			return v
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[K]V{}
	if all := c.all.Load(); all != nil {
		maps.Copy(next, *all)
	}
	v, ok := next[key]
	if !ok {
		v = make()
		next[key] = v
		c.all.Store(&next)
	}
	return v
}

// forget drops every key for which it is told to.
func (c *cache[K, V]) forget(drop func(K, V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if all := c.all.Load(); all != nil {
		next := maps.Clone(*all)
		maps.DeleteFunc(next, drop)
		c.all.Store(&next)
	}
}
