package metrics

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var accountsDesc = described("signet_users",
	"Accounts by scheme and cost of their password hash; none is an account without a password.", "password_hash")

// accounts tells how many still have a hash of another system.
type accounts struct{ users Users }

// Describe implements prometheus.Collector.
func (accounts) Describe(ch chan<- *prometheus.Desc) { ch <- accountsDesc }

// Collect implements prometheus.Collector.
func (a accounts) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	kinds, err := a.users.HashKinds(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(accountsDesc, err)
		return
	}
	for kind, n := range kinds {
		ch <- reading(accountsDesc, float64(n), cmp.Or(kind, "none"))
	}
}

func newHashes(r prometheus.Registerer) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "signet_password_hash_duration_seconds",
		Help: "Seconds that computing a password hash took, without the wait for a core.", Buckets: seconds})
	r.MustRegister(h)
	return h
}

// Hashed counts a password hash that was computed.
func (m *Metrics) Hashed(took time.Duration) { m.hashes.Observe(took.Seconds()) }

var (
	hashRunning = described("signet_password_hash_running", "Password hashes that are being computed now.")
	hashSlots   = described("signet_password_hash_slots", "Password hashes that can be computed at once: one per core.")
	hashWaiting = described("signet_password_hash_queue_length", "Password hashes that wait for a core.")
	hashLimit   = described("signet_password_hash_queue_limit", "Password hashes that may wait; past that a login is busy (passwords.queue).")
)

// pool tells how busy the computing of hashes is.
type pool struct{ users Users }

// Describe implements prometheus.Collector.
func (pool) Describe(ch chan<- *prometheus.Desc) {
	ch <- hashRunning
	ch <- hashSlots
	ch <- hashWaiting
	ch <- hashLimit
}

// Collect implements prometheus.Collector.
func (p pool) Collect(ch chan<- prometheus.Metric) {
	now := p.users.Pool()
	ch <- reading(hashRunning, float64(now.Running))
	ch <- reading(hashSlots, float64(now.Slots))
	ch <- reading(hashWaiting, float64(now.Waiting))
	ch <- reading(hashLimit, float64(now.Queue))
}
