package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"

	"signet/internal/connlimit"
	"signet/internal/metrics"
	"signet/internal/web"
)

// opsServer is the listener for operators; nil is none.
type opsServer struct {
	listener net.Listener
	http     *http.Server
}

// listenOps takes the address; empty is no listener.
func listenOps(address string) (*opsServer, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, hintedError{fmt.Errorf("%s, where metrics are served, is in use by another program", address),
			`choose another address with --ops-listen 127.0.0.1:9091, or go without metrics with --ops-listen ""`}
	}
	if err != nil {
		return nil, fmt.Errorf("listen for operators on %s: %w", address, err)
	}
	return &opsServer{listener: l}, nil
}

// serves puts metrics behind the listener, and the probes of the public one: whoever asks
// there from an address that behind_proxy does not name is closed unread.
func (o *opsServer) serves(counts *metrics.Metrics, public http.Handler, log *slog.Logger) {
	if o != nil {
		mux := http.NewServeMux()
		mux.Handle("/", counts.Handler(log))
		for _, path := range web.Probes() {
			mux.Handle(path, public)
		}
		o.http = web.HTTPServer(mux, log)
		o.listener = connlimit.Bound(o.http, o.listener, opsConnections, log, "look for who opens them on "+o.listener.Addr().String())
	}
}

// Serve answers until Close.
func (o *opsServer) Serve() error {
	if o == nil {
		return nil
	}
	if err := o.http.Serve(o.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops at once: a scrape comes again.
func (o *opsServer) Close() error {
	switch {
	case o == nil:
		return nil
	case o.http == nil:
		return o.listener.Close()
	}
	return o.http.Close()
}
