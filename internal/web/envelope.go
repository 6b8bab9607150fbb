package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"signet/internal/event"
	"signet/internal/web/clientaddr"
	"signet/internal/web/problem"
)

// envelope is what every request and response goes through, also those that the
// router has no route for: the router's own middleware does not see these.
type envelope struct {
	next   http.Handler
	errors problem.Renderer
	log    *slog.Logger
	https  bool
	// proxies are those whose word about a client's address is taken.
	proxies clientaddr.Proxies
	trace   Trace        // nil follows nothing
	served  func(Served) // may be nil
}

func (e *envelope) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	record := &problem.Record{ID: rand.Text()} // never the stranger's: it must be unique in the log
	e.secure(w.Header(), record.ID)
	if len(r.TransferEncoding) > 0 {
		// It may have had a Content-Length too, which net/http hides: something in front may
		// take what follows for a part of it (RFC 9112 §6.1, §11.2).
		w.Header().Set("Connection", "close")
	}
	ctx, end := e.traced(r, record.ID)
	caller := event.Caller{Address: e.proxies.Client(r), RequestID: record.ID}
	r = r.WithContext(event.WithCaller(problem.WithRecord(ctx, record), caller))
	r.Body = http.MaxBytesReader(w, r.Body, problem.MaxBody)
	answer := &answer{ResponseWriter: w, end: end}
	defer e.finish(answer, r, began)
	e.next.ServeHTTP(answer, r)
}

// finish is deferred: it answers for a handler that panicked, and logs the request.
func (e *envelope) finish(answer *answer, r *http.Request, began time.Time) {
	fault := recover()
	switch {
	case fault == nil:
	case fault == http.ErrAbortHandler:
		answer.abandoned = true
	default:
		e.panicked(answer, r, fault)
	}
	took := time.Since(began)
	e.note(r, answer, took)
	answer.end(problem.RecordOf(r.Context()).Route, answer.sent())
	e.tell(r, answer, took)
	if answer.abandoned {
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
}

// secure sets the headers that every response carries.
func (e *envelope) secure(header http.Header, id string) {
	header.Set("X-Request-Id", id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if e.https {
		header.Set("Strict-Transport-Security", "max-age=31536000") // RFC 6797 §6.1
	}
}

// panicked answers a request whose handler panicked, unless it had begun to.
func (e *envelope) panicked(answer *answer, r *http.Request, fault any) {
	err := fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
	if answer.status == 0 {
		answer.Header().Del("Content-Length") // of the answer that never was
		e.errors.Error(answer, r, err)
		return
	}
	answer.abandoned = true
	problem.RecordOf(r.Context()).Cause = err
}

// note logs the request once. It names the route and not the path, query or
// headers: these may hold secrets.
func (e *envelope) note(r *http.Request, answer *answer, took time.Duration) {
	record := problem.RecordOf(r.Context())
	level := slog.LevelDebug
	switch {
	case errors.Is(record.Cause, context.Canceled): // the client went away
	case answer.status >= http.StatusInternalServerError, answer.abandoned && record.Cause != nil:
		level = slog.LevelError
	case record.Route == pathJWKS:
		return // clients may fetch it for each token that they see
	}
	if !e.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{slog.String("request_id", record.ID), slog.String("method", fmt.Sprintf("%.20s", r.Method)),
		slog.String("route", record.Route), slog.Int("status", answer.status), slog.Duration("took", took)}
	if record.Cause != nil {
		attrs = append(attrs, slog.Any("error", record.Cause))
	}
	e.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// answer remembers what was sent.
type answer struct {
	http.ResponseWriter
	status    int  // 0 is the implicit 200, or nothing yet
	abandoned bool // the connection will be cut
	end       func(route string, status int)
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
