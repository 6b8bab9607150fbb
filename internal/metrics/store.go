package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// commits counts what the database writes.
type commits struct {
	duration, shared prometheus.Histogram
	failures         prometheus.Counter
}

func newCommits(r prometheus.Registerer) *commits {
	c := &commits{
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "signet_store_commit_duration_seconds",
			Help: "Seconds that a commit of the database took until it was on the disk (fsync).", Buckets: seconds}),
		shared: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "signet_store_commit_requests",
			Help: "Requests that shared one commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 11)}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "signet_store_commit_failures_total",
			Help: "Commits that failed or could not begin; the requests in them were refused."}),
	}
	r.MustRegister(c.duration, c.shared, c.failures)
	return c
}

// Committed counts a commit of the database, shared by so many requests.
func (m *Metrics) Committed(took time.Duration, requests int, err error) {
	if err != nil {
		m.commits.failures.Inc()
		return
	}
	m.commits.duration.Observe(took.Seconds())
	m.commits.shared.Observe(float64(requests))
}

var (
	storeSize = described("signet_store_size_bytes", "Bytes of the database file.")
	storeFree = described("signet_store_free_bytes", "Bytes of the database file that new records can take before it grows.")
)

// database tells how large the file is.
type database struct{ from Database }

// Describe implements prometheus.Collector.
func (database) Describe(ch chan<- *prometheus.Desc) { ch <- storeSize; ch <- storeFree }

// Collect implements prometheus.Collector.
func (d database) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	size, free, err := d.from.Usage(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(storeSize, err)
		return
	}
	ch <- reading(storeSize, float64(size))
	ch <- reading(storeFree, float64(free))
}
