package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
)

// authoritiesLimit is more than the bundles of operating systems have, in bytes.
const authoritiesLimit = 4 << 20

// readAuthorities reads certificates in PEM; without a file, those of the system count.
func readAuthorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, authoritiesLimit))
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca: %s has no certificate in PEM", path)
	}
	return roots, nil
}
