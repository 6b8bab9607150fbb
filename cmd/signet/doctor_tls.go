package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"signet/configs"
	"signet/internal/doctor"
)

// certificateFiles reads the files as the next start would, and compares them with what a
// running server shows: it keeps a pair that works over one that does not.
func certificateFiles(ctx context.Context, cfg *configs.Config, running bool) []doctor.Check {
	const name = "certificate files"
	if cfg.TLS.Cert == "" {
		return []doctor.Check{doctor.Skip(name, "tls.cert is not set")}
	}
	pair, err := openPair(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return []doctor.Check{doctor.Failed(name, "the next start refuses them: "+err.Error(), hintOf(err))}
	}
	good := "the next start takes them, until " + clock(pair.NotAfter())
	if !running {
		return []doctor.Check{doctor.Passed(name, good)}
	}
	served, err := shownAt(ctx, cfg.Listen)
	if err != nil {
		return []doctor.Check{doctor.Passed(name, good+"; what is served was not compared: "+err.Error())}
	}
	if !served.Equal(pair.Leaf()) {
		return []doctor.Check{doctor.Warned(name, "the server shows another certificate than the files have, until "+clock(served.NotAfter),
			"wait some seconds and look again; if it stays so, the server's log says why")}
	}
	return []doctor.Check{doctor.Passed(name, good+", and they are what is served")}
}

// shownAt is the certificate that the listener of this machine shows. It is compared and
// not trusted, so that nothing needs to verify it.
func shownAt(ctx context.Context, listen string) (*x509.Certificate, error) {
	address, err := reachable(listen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// reachable is an address that leads to what listens on one.
func reachable(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", errors.New("listen has no port of its own")
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}
