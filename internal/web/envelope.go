package web

import (
	"context"
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
	keySet http.Handler // ahead of next; see keyset.go
	errors problem.Renderer
	log    *slog.Logger
	https  bool
	// proxies are those whose word about a client's address is taken.
	proxies clientaddr.Proxies
	trace   Trace        // nil follows nothing
	served  func(Served) // may be nil
}

func (e *envelope) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := &answer{ResponseWriter: w, began: time.Now(), id: [1]string{requestID()}}
	answer.record.ID = answer.id[0] // never the stranger's: it must be unique in the log
	e.secure(w.Header(), answer.id[:])
	if len(r.TransferEncoding) > 0 {
		// It may have had a Content-Length too, which net/http hides: something in front may
		// take what follows for a part of it (RFC 9112 §6.1, §11.2).
		w.Header().Set("Connection", "close")
	}
	next := e.next
	if forKeySet(r) {
		next, answer.record.Route = e.keySet, pathJWKS
	} else {
		r = e.followed(answer, r)
	}
	defer e.finish(answer, r)
	next.ServeHTTP(answer, r)
}

// followed is the request with what its handler and whatever that calls may ask of it.
func (e *envelope) followed(answer *answer, r *http.Request) *http.Request {
	var ctx context.Context
	ctx, answer.end = e.traced(r, answer.record.ID)
	caller := event.Caller{Address: e.proxies.Client(r), RequestID: answer.record.ID}
	r = r.WithContext(event.WithCaller(problem.WithRecord(ctx, &answer.record), caller))
	r.Body = http.MaxBytesReader(answer.ResponseWriter, r.Body, problem.MaxBody)
	return r
}

// finish is deferred: it answers for a handler that panicked, and logs the request.
func (e *envelope) finish(answer *answer, r *http.Request) {
	fault := recover()
	switch {
	case fault == nil:
	case fault == http.ErrAbortHandler:
		answer.abandoned = true
	default:
		e.panicked(answer, r, fault)
	}
	took := time.Since(answer.began)
	e.note(r, answer, took)
	if answer.end != nil {
		answer.end(answer.record.Route, answer.sent())
	}
	e.tell(r, answer, took)
	if answer.abandoned {
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
}

// The headers that every response carries. Whoever sets one of them for a response puts
// another slice in its place; these are never written to.
var (
	noSniff       = []string{"nosniff"}
	noReferrer    = []string{"no-referrer"}
	loadNothing   = []string{"default-src 'none'; frame-ancestors 'none'"}
	alwaysSecured = []string{"max-age=31536000"} // RFC 6797 §6.1
)

// secure sets the headers that every response carries. The names are in their canonical
// form, so that they need not be looked at for each.
func (e *envelope) secure(header http.Header, id []string) {
	header["X-Request-Id"] = id
	header["X-Content-Type-Options"] = noSniff
	header["Referrer-Policy"] = noReferrer
	header["Content-Security-Policy"] = loadNothing
	if e.https {
		header["Strict-Transport-Security"] = alwaysSecured
	}
}

// panicked answers a request whose handler panicked, unless it had begun to.
func (e *envelope) panicked(answer *answer, r *http.Request, fault any) {
	err := fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
	if answer.status == 0 {
		answer.Header().Del("Content-Length") // of the answer that never was
		e.errors.Error(answer, answer.recorded(r), err)
		return
	}
	answer.abandoned = true
	answer.record.Cause = err
}

// note logs the request once. It names the route and not the path, query or
// headers: these may hold secrets.
func (e *envelope) note(r *http.Request, answer *answer, took time.Duration) {
	record := &answer.record
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

// answer remembers what was sent, and what is to be said of it: one allocation for all.
type answer struct {
	http.ResponseWriter
	record    problem.Record
	id        [1]string // as the value of a header
	began     time.Time
	status    int                            // 0 is the implicit 200, or nothing yet
	abandoned bool                           // the connection will be cut
	end       func(route string, status int) // nil if nothing follows the request
}

// recorded is the request with the record in its context.
func (a *answer) recorded(r *http.Request) *http.Request {
	return r.WithContext(problem.WithRecord(r.Context(), &a.record))
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
