package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"signet/configs"
	"signet/internal/tracing"
	"signet/internal/web/clientaddr"
)

// traceSettings reads the OTEL_ variables.
func (a *app) traceSettings() (*tracing.Settings, error) {
	settings, err := tracing.Read(a.env)
	if err != nil {
		return nil, hintedError{err, "OTEL_SDK_DISABLED=true signet serve  # goes without traces"}
	}
	return settings, nil
}

func startTraces(ctx context.Context, settings *tracing.Settings, log *slog.Logger) (*tracing.Provider, error) {
	return settings.Start(ctx, tracing.Options{Version: version, Failed: storageFailed, Log: log})
}

// shutdownTraces returns what sends the last spans: deferred, it runs when the database
// is closed already, and ends with the grace of requests, which begins when ctx ends.
func shutdownTraces(ctx context.Context, tracer *tracing.Provider) func() {
	grace, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(shutdownGrace, end) })
	return func() {
		defer end()
		tracer.Shutdown(grace)
	}
}

// believed reports whether the traceparent of a request is the word of a proxy.
func believed(cfg *configs.Config, proxies clientaddr.Proxies) func(*http.Request) bool {
	believes := cfg.Proxies.Traceparent
	return func(r *http.Request) bool { return believes && proxies.Wrote(r) }
}
