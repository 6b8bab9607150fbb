package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporter takes the endpoint of the settings, and the rest of the variables itself.
func (s *Settings) exporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	if s.protocol == protocolGRPC {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(s.endpoint))
	}
	return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(s.endpoint))
}

// warnEvery is how often the log is told of a collector that does not answer.
const warnEvery = 10 * time.Minute

// maxReason is how much of a collector's own words is logged.
const maxReason = 300

// watched tells the log when spans begin to be lost, and when that is over.
type watched struct {
	sdktrace.SpanExporter
	log    *slog.Logger
	redact *strings.Replacer

	mu      sync.Mutex
	failing bool
	warned  time.Time
	lost    int // spans since then
}

// ExportSpans never fails: what went wrong is told here.
func (w *watched) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := w.SpanExporter.ExportSpans(ctx, spans)
	w.note(len(spans), err)
	return nil
}

func (w *watched) note(spans int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		if w.failing {
			w.log.Info("traces reach the collector again", "spans_lost", w.lost)
		}
		w.failing, w.lost = false, 0
		return
	}
	w.failing = true
	w.lost += spans
	if now := time.Now(); w.warned.IsZero() || now.Sub(w.warned) >= warnEvery {
		w.log.Warn("traces do not reach the collector; nothing else depends on them",
			"error", fmt.Sprintf("%.*s", maxReason, w.redact.Replace(err.Error())), "spans_lost", w.lost)
		w.warned, w.lost = now, 0
	}
}
