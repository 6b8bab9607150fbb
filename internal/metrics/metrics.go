// Package metrics is what Prometheus reads of a running issuer.
//
// Start at [Handler]. Names and units follow the conventions of Prometheus
// (https://prometheus.io/docs/practices/naming/). The package refuses labels whose
// values a stranger chooses: nobody's name, address or token becomes a series.
package metrics

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Users counts the accounts by the kind of their password hash: users.Directory.
type Users interface {
	HashKinds(ctx context.Context) (map[string]int, error)
}

// Handler answers scrapes. What cannot be read fails the scrape with 500.
func Handler(users Users) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		hashes{users: users})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Timeout: 10 * time.Second}))
	return mux
}

// hashes tells how many accounts still have a hash of another system.
type hashes struct{ users Users }

var usersDesc = prometheus.NewDesc("signet_users",
	"Accounts by scheme and cost of their password hash; none is an account without a password.", []string{"password_hash"}, nil)

// Describe implements prometheus.Collector.
func (hashes) Describe(ch chan<- *prometheus.Desc) { ch <- usersDesc }

// scrapeLimit bounds what one scrape may take of the store.
const scrapeLimit = 5 * time.Second

// Collect implements prometheus.Collector.
func (h hashes) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	kinds, err := h.users.HashKinds(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(usersDesc, err)
		return
	}
	for kind, n := range kinds {
		ch <- prometheus.MustNewConstMetric(usersDesc, prometheus.GaugeValue, float64(n), cmp.Or(kind, "none"))
	}
}
