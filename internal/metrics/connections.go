package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pool is what a pool of connections to a database says of itself.
type Pool struct {
	// InUse and Idle are connections that are open, Limit is how many may be.
	InUse, Idle, Limit int
	// Waits counts the requests that found none free, Waited how long they waited in all.
	Waits  uint64
	Waited time.Duration
}

// Connections is a Database that is reached over connections.
type Connections interface{ Connections() Pool }

var (
	poolOpen   = described("signet_store_connections", "Connections to the database that are open: in use or idle.", "state")
	poolLimit  = described("signet_store_connections_limit", "Connections to the database that may be open (pool_max_conns).")
	poolWaits  = described("signet_store_connection_waits_total", "Requests that found no connection to the database free.")
	poolWaited = described("signet_store_connection_wait_seconds_total", "Seconds that they waited in all.")
)

// connections tells how busy they are.
type connections struct{ from Connections }

// Describe implements prometheus.Collector.
func (connections) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolOpen, poolLimit, poolWaits, poolWaited} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c connections) Collect(ch chan<- prometheus.Metric) {
	p := c.from.Connections()
	ch <- reading(poolOpen, float64(p.InUse), "in_use")
	ch <- reading(poolOpen, float64(p.Idle), "idle")
	ch <- reading(poolLimit, float64(p.Limit))
	ch <- total(poolWaits, p.Waits)
	ch <- prometheus.MustNewConstMetric(poolWaited, prometheus.CounterValue, p.Waited.Seconds())
}
