package tracing

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// broken is an exporter that fails while err is set.
type broken struct {
	sdktrace.SpanExporter
	err error
}

func (b *broken) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return b.err }

// TestWatched: of a collector that fails for long the log says so every ten minutes, and
// once when it is back.
func TestWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := &broken{}
		w := &watched{SpanExporter: b, log: slog.New(slog.NewTextHandler(&log, nil)), redact: strings.NewReplacer("s3cr3t", "[hidden]")}
		spans := tracetest.SpanStubs{{Name: "a"}, {Name: "b"}}.Snapshots()
		expect := func(what, want string) {
			t.Helper()
			if err := w.ExportSpans(t.Context(), spans); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if got := log.String(); want == "" && got != "" || !strings.Contains(got, want) || strings.Count(got, "\n") > 1 {
				t.Errorf("%s: the log is %q, want %q", what, got, want)
			}
			log.Reset()
		}
		expect("works", "")
		b.err = errors.New("s3cr3t: " + strings.Repeat("x", 1000))
		expect("fails", `error="[hidden]: `+strings.Repeat("x", maxReason-len("[hidden]: "))+`" spans_lost=2`)
		expect("fails again", "")
		time.Sleep(warnEvery - time.Second)
		expect("fails for long", "")
		time.Sleep(time.Second)
		expect("fails for ten minutes", "spans_lost=6")
		expect("fails after that", "")
		b.err = nil
		expect("is back", `msg="traces reach the collector again" spans_lost=2`)
		expect("goes on", "")
	})
}
