package metrics

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// fetches counts the requests for the key set by the version that was served.
type fetches struct {
	count    *prometheus.CounterVec
	counters cache[fetch, prometheus.Counter]

	mu       sync.Mutex
	versions []string // the latest, in the order of their coming
}

// fetch is a version of the key set, and how it was answered.
type fetch struct {
	version string
	status  int
}

// maxVersions bounds the series: the versions before are forgotten.
const maxVersions = 8

func newFetches() *fetches {
	return &fetches{count: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "signet_jwks_fetches_total",
		Help: "Requests for the key set, by the beginning of the ETag that was served (the last 8) and status: 200, or 304 for who has it."},
		[]string{"version", "status"})}
}

// note counts a fetch of the version with this ETag.
func (f *fetches) note(etag string, status int) {
	f.counters.get(fetch{etag, status}, func() prometheus.Counter { return f.counter(etag, status) }).Inc()
}

// known shows a version before anybody has fetched it.
func (f *fetches) known(etag string) {
	for _, status := range []int{200, 304} {
		f.counters.get(fetch{etag, status}, func() prometheus.Counter { return f.counter(etag, status) })
	}
}

// counter finds the counter of a version, and forgets the oldest for a new one.
func (f *fetches) counter(etag string, status int) prometheus.Counter {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.versions, etag) {
		f.versions = append(f.versions, etag)
	}
	return f.count.WithLabelValues(short(etag), strconv.Itoa(status))
}

// tidy forgets the oldest versions past maxVersions.
func (f *fetches) tidy() {
	f.mu.Lock()
	old := f.versions[:max(0, len(f.versions)-maxVersions)]
	f.versions = slices.Clone(f.versions[len(old):])
	f.mu.Unlock()
	for _, etag := range old {
		f.counters.forget(func(key fetch, _ prometheus.Counter) bool { return key.version == etag })
		f.count.DeletePartialMatch(prometheus.Labels{"version": short(etag)})
	}
}

// short is what the label shows of an ETag: enough to tell a handful apart.
func short(etag string) string {
	text := strings.Trim(etag, `"`)
	return text[:min(len(text), 8)]
}

var consumersDesc = described("signet_jwks_consumers",
	"Consumers that fetched the key set within a day, by whether the version they fetched last is the current one. What they call themselves is not proved.", "version")

// keySet tells who has the current version of the key set.
type keySet struct {
	keys      Keys
	consumers Consumers
	fetches   *fetches
}

// recent is how far back a consumer counts as one that is there.
const recent = 24 * time.Hour

// Describe implements prometheus.Collector.
func (s keySet) Describe(ch chan<- *prometheus.Desc) {
	ch <- consumersDesc
	s.fetches.count.Describe(ch)
}

// Collect implements prometheus.Collector.
func (s keySet) Collect(ch chan<- prometheus.Metric) {
	now := s.keys.Schedule().Clock
	doc, err := s.keys.Document(now)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(consumersDesc, err)
		return
	}
	s.fetches.known(doc.ETag())
	s.fetches.tidy()
	s.fetches.count.Collect(ch)
	current, other := 0, 0
	for _, c := range s.consumers.List() {
		switch {
		case now.Sub(c.Last) > recent:
		case c.ETag == doc.ETag():
			current++
		default:
			other++
		}
	}
	ch <- reading(consumersDesc, float64(current), "current")
	ch <- reading(consumersDesc, float64(other), "other")
}
