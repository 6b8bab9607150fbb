package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var certificateDesc = described("signet_tls_certificate_not_after_timestamp_seconds",
	"When the certificate that is served expires, in seconds since 1970; of several the first.")

// Certificate reports when the certificate expires that is served; the zero time is not
// reported.
func (m *Metrics) Certificate(notAfter func() time.Time) { m.Register(certificate(notAfter)) }

type certificate func() time.Time

// Describe implements prometheus.Collector.
func (certificate) Describe(ch chan<- *prometheus.Desc) { ch <- certificateDesc }

// Collect implements prometheus.Collector.
func (c certificate) Collect(ch chan<- prometheus.Metric) {
	if at := c(); !at.IsZero() {
		ch <- reading(certificateDesc, float64(at.Unix()))
	}
}
