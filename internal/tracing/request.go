package tracing

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Begin starts the span of a request whose id in the log is given. end is called once,
// with the route that matched, if one did, and the status of the answer, or 0 if it was
// cut off.
type Begin = func(r *http.Request, id string) (ctx context.Context, end func(route string, status int))

// Requests returns what traces the requests of the listener behind the issuer's URL; nil
// if there are no traces. A request's own traceparent (W3C Trace Context) is its parent if
// believed says so. Any other is a link: it would let strangers choose what is sampled,
// and put their spans into traces of others.
func (p *Provider) Requests(issuer string, believed func(*http.Request) bool) Begin {
	if p == nil {
		return nil
	}
	return (&requests{tracer: p.tracer, believed: believed, server: serverOf(issuer)}).begin
}

type requests struct {
	tracer   trace.Tracer
	believed func(*http.Request) bool
	server   []attribute.KeyValue
}

// serverOf is what the configuration says of the server; the Host of a request is the
// client's word.
func serverOf(issuer string) []attribute.KeyValue {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	server := []attribute.KeyValue{semconv.URLScheme(u.Scheme), semconv.ServerAddress(u.Hostname())}
	if port, err := strconv.Atoi(u.Port()); err == nil {
		server = append(server, semconv.ServerPort(port))
	}
	return server
}

func (q *requests) begin(r *http.Request, id string) (context.Context, func(string, int)) {
	name, method := methodOf(r)
	ctx, opts := r.Context(), []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(q.server...),
		trace.WithAttributes(method, attribute.String("request_id", id)),
	}
	if sender := senderOf(r); sender.IsValid() {
		if q.believed(r) {
			ctx = trace.ContextWithRemoteSpanContext(ctx, sender)
		} else {
			opts = append(opts, trace.WithLinks(trace.Link{SpanContext: sender.WithTraceState(trace.TraceState{})}))
		}
	}
	ctx, span := q.tracer.Start(ctx, name, opts...)
	return ctx, func(route string, status int) { finish(span, name, route, status) }
}

func finish(span trace.Span, method, route string, status int) {
	if route != "" {
		span.SetName(method + " " + route)
		span.SetAttributes(semconv.HTTPRoute(route))
	}
	if status != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	switch {
	case status == 0:
		fail(span, "aborted")
	case status >= http.StatusInternalServerError:
		fail(span, strconv.Itoa(status))
	}
	span.End()
}

// fail marks a span. The error itself stays in the log: its text may hold a name.
func fail(span trace.Span, kind string) {
	span.SetStatus(codes.Error, "")
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
}

// senderOf is the span that sent the request, as it says. One of several traceparent
// headers is none (W3C Trace Context §3.2).
func senderOf(r *http.Request) trace.SpanContext {
	if len(r.Header.Values("Traceparent")) != 1 {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
	return trace.SpanContextFromContext(ctx)
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace}

// methodOf is the name of a span without a route, and the attribute: a stranger's own
// words are neither.
func methodOf(r *http.Request) (string, attribute.KeyValue) {
	if slices.Contains(methods, r.Method) {
		return r.Method, semconv.HTTPRequestMethodKey.String(r.Method)
	}
	return "HTTP", semconv.HTTPRequestMethodOther
}
