package tracing

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func never(*http.Request) bool { return false }

// TestFailedRequests: what the server is to blame for is an error of its span.
func TestFailedRequests(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	sdk := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	begin := (&Provider{sdk: sdk, tracer: sdk.Tracer("test")}).Requests("https://login.example.com", never)
	for status, want := range map[int]string{0: "aborted", 200: "", 304: "", 401: "", 429: "", 499: "", 500: "500", 503: "503"} {
		_, end := begin(httptest.NewRequest("GET", "/", nil), "id")
		end("/", status)
		span := recorder.Ended()[0]
		recorder.Reset()
		got, said := "", attribute.NewSet(span.Attributes()...)
		if kind, ok := said.Value("error.type"); ok {
			got = kind.AsString()
		}
		if got != want || (span.Status().Code == codes.Error) != (want != "") || span.Status().Description != "" {
			t.Errorf("%d: error type %q, status %v, want %q", status, got, span.Status(), want)
		}
		if said.HasValue("http.response.status_code") != (status != 0) {
			t.Errorf("%d: the attributes are %v", status, span.Attributes())
		}
		if scheme, _ := said.Value("url.scheme"); scheme.AsString() != "https" || said.HasValue("server.port") {
			t.Errorf("%d: the attributes are %v", status, span.Attributes())
		}
	}
}

// TestLinkToAStranger: of what a stranger says of its span no free text stays.
func TestLinkToAStranger(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	sdk := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	begin := (&Provider{sdk: sdk, tracer: sdk.Tracer("test")}).Requests("https://login.example.com", never)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	r.Header.Set("Tracestate", "kyoko=secret")
	if !senderOf(r).IsValid() || senderOf(r).TraceState().Len() != 1 {
		t.Fatal("the headers are not read")
	}
	_, end := begin(r, "id")
	end("/", http.StatusOK)
	links := recorder.Ended()[0].Links()
	if len(links) != 1 || links[0].SpanContext.TraceState().Len() != 0 || len(links[0].Attributes) != 0 {
		t.Errorf("the links are %+v", links)
	}
}

// BenchmarkRequest is what a trace adds to a request: the span, and one step within.
func BenchmarkRequest(b *testing.B) {
	for name, sampler := range map[string]sdktrace.Sampler{"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.NeverSample()} {
		b.Run(name, func(b *testing.B) {
			sdk := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithBatcher(tracetest.NewNoopExporter()))
			p := &Provider{sdk: sdk, tracer: sdk.Tracer("test"), failed: func(error) bool { return false }}
			begin, store := p.Requests("https://login.example.com", never), p.Sessions(sessionStub{})
			r := httptest.NewRequest("POST", "/", nil)
			b.ReportAllocs()
			for b.Loop() {
				ctx, end := begin(r, "id")
				if err := store.EndSession(ctx, ""); err != nil {
					b.Fatal(err)
				}
				end("/api/token/", http.StatusOK)
			}
		})
	}
}
