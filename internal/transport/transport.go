// Package transport is how connections reach the public listener: which certificate
// answers a TLS handshake, and who may connect where something in front of the
// listener terminates TLS.
//
// Start at [Files], a certificate and its key in two PEM files that are read again
// when they change, and at [ACME], certificates of a CA by RFC 8555. [Admit] is for a
// plain listener behind a proxy.
//
// The package refuses to let a pair that does not work replace one that does, and to
// do work that a stranger chooses: a handshake reads no file and asks no CA.
package transport

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// config is what RFC 9325 asks of a server: TLS 1.2 or 1.3, with the cipher suites and
// groups that Go chooses.
func config(get func(*tls.ClientHelloInfo) (*tls.Certificate, error), protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     append([]string{"h2", "http/1.1"}, protocols...),
		GetCertificate: get,
	}
}

// endsSoon says whether a certificate that is renewed in time has been so by now: 14 days
// before its end, or in the last quarter of a short life.
func endsSoon(leaf *x509.Certificate, now time.Time) bool {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	return leaf.NotAfter.Sub(now) < min(14*24*time.Hour, life/4)
}

// stamp writes an instant for the log.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
