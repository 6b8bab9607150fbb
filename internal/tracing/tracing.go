// Package tracing follows requests through Signet and sends their spans to an
// OpenTelemetry collector (OTLP).
//
// Start at [Read]: the standard OTEL_ variables say whether there are traces and where
// they go, and [Settings.Start] makes the [Provider]. It hands out what is traced: the
// requests, the stores, the check of passwords. A nil Provider hands everything back
// as it was, so that a server without traces pays for none.
//
// The package refuses to let a stranger decide what is sampled, to delay a request for a
// collector, and to say of a request what the log does not say: no span holds a path, a
// query, a header, a client's address, a name, a sub or a token.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// flushFor is how long the last spans may take to be sent: a collector that hangs does
// not decide how long a restart takes.
const flushFor = 5 * time.Second

// Options are what the spans of a server say of it.
type Options struct {
	// Version is that of the program.
	Version string
	// Failed reports an error that is the storage's own fault; the span of such a step is
	// marked. What is refused in good order is no error of a span.
	Failed func(error) bool
	// Log hears of a collector that cannot be reached.
	Log *slog.Logger
}

// Provider makes spans. Nil makes none.
type Provider struct {
	sdk    *sdktrace.TracerProvider
	tracer trace.Tracer
	failed func(error) bool
	log    *slog.Logger
}

// Start makes the Provider of the settings, nil for nil. It connects to nobody yet.
func (s *Settings) Start(ctx context.Context, opts Options) (*Provider, error) {
	if s == nil {
		return nil, nil
	}
	about, err := aboutServer(ctx, opts.Version)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	exporter, err := s.exporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	watch := &watched{SpanExporter: exporter, log: opts.Log, redact: s.redact}
	// What the SDK says of itself beside errors may hold values of its variables.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { watch.note(0, err) }))
	sdk := sdktrace.NewTracerProvider(sdktrace.WithBatcher(watch), sdktrace.WithResource(about))
	opts.Log.Info("traces of requests are sent", "endpoint", s.endpoint, "protocol", s.protocol)
	return &Provider{sdk: sdk, tracer: sdk.Tracer("signet", trace.WithInstrumentationVersion(opts.Version)),
		failed: opts.Failed, log: opts.Log}, nil
}

// aboutServer is what all spans say; OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME
// have the last word.
func aboutServer(ctx context.Context, version string) (*resource.Resource, error) {
	return resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("signet"), semconv.ServiceVersion(version)),
		resource.WithFromEnv(),
	)
}

// Shutdown sends the spans that are left, until ctx ends and for a few seconds at most.
func (p *Provider) Shutdown(ctx context.Context) {
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, flushFor)
	defer cancel()
	if err := p.sdk.Shutdown(ctx); err != nil {
		p.log.Warn("the last traces were not sent", "error", err)
	}
}

// span starts a step within the request of ctx; end is deferred with its error. What no
// traced request asked for, such as housekeeping, has no span.
func (p *Provider) span(ctx context.Context, name string) (_ context.Context, end func(*error)) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(*error) {}
	}
	ctx, span := p.tracer.Start(ctx, name)
	return ctx, func(err *error) {
		if *err != nil && p.failed(*err) {
			fail(span, "storage")
		}
		span.End()
	}
}
