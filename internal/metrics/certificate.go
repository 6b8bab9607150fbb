package metrics

import (
	"crypto/x509"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	certificateDesc = described("signet_tls_certificate_not_after_timestamp_seconds",
		"When the certificate that is served expires, in seconds since 1970; of several the first.")
	certificateLifeDesc = described("signet_tls_certificate_lifetime_seconds",
		"How long that certificate is valid in all.")
)

// Certificate reports when the certificate expires that is served, and how long it lives;
// nil is not reported.
func (m *Metrics) Certificate(leaf func() *x509.Certificate) { m.Register(certificate(leaf)) }

type certificate func() *x509.Certificate

// Describe implements prometheus.Collector.
func (certificate) Describe(ch chan<- *prometheus.Desc) {
	ch <- certificateDesc
	ch <- certificateLifeDesc
}

// Collect implements prometheus.Collector.
func (c certificate) Collect(ch chan<- prometheus.Metric) {
	if leaf := c(); leaf != nil {
		ch <- reading(certificateDesc, float64(leaf.NotAfter.Unix()))
		ch <- reading(certificateLifeDesc, leaf.NotAfter.Sub(leaf.NotBefore).Seconds())
	}
}
