package main

import (
	"time"

	"signet/internal/metrics"
)

// committed counts commits of the database, where a server runs.
func (o *openOptions) committed() func(time.Duration, int, error) {
	if o.metrics == nil {
		return nil
	}
	return o.metrics.Committed
}

// hashed counts password hashes, where a server runs.
func (o *openOptions) hashed() func(time.Duration) {
	if o.metrics == nil {
		return nil
	}
	return o.metrics.Hashed
}

// watch lets scrapes read what the server is made of.
func (s *server) watch() {
	s.metrics.Watch(metrics.Sources{
		Users: s.domains.users, Keys: s.domains.keys, Tokens: s.domains.issuer,
		Consumers: s.fetched, Database: s.domains.store, Audit: s.domains.audit,
	})
	if s.certificates != nil {
		s.metrics.Certificate(s.certificates.Leaf)
	}
}
