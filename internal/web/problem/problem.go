// Package problem is the one place where an error becomes a response.
//
// Start at [Renderer]: From says what an error means for the person outside, Write
// sends it in the shape of a dialect. Handlers return errors, their own ones as a
// *[Problem], and hand them to Renderer.Error.
//
// The package refuses to tell a stranger what it does not know: such an error is
// "internal error" with a request id, and its cause goes to the [Record] of the
// request, which the server logs. No response of 400 and above is without a body.
package problem

import (
	"cmp"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// Problem is what the person outside is told.
type Problem struct {
	Status int
	// Detail is a sentence that a person can act on; Code is for programs.
	Detail, Code string
	// Fields, if there are any, take the place of Detail.
	Fields Fields
	// RetryAfter tells the client when to come again; zero says nothing.
	RetryAfter time.Duration
	// Header is added to the response.
	Header http.Header
	// RequestID finds the cause in the log. Write sets it where the fault is ours.
	RequestID string
	// Cause is for the log alone.
	Cause error
}

// New returns a Problem that is an error, for handlers to return.
func New(status int, detail string) *Problem { return &Problem{Status: status, Detail: detail} }

// Invalid returns the 400 that says what is wrong with which field.
func Invalid(fields Fields) *Problem { return &Problem{Status: http.StatusBadRequest, Fields: fields} }

func (p *Problem) Error() string { return cmp.Or(p.Detail, http.StatusText(p.Status)) }

func (p *Problem) Unwrap() error { return p.Cause }

// Renderer turns errors into responses. Its zero value works.
type Renderer struct {
	// Unavailable reports whether an error is a failure of the storage, which
	// may pass; nil means that none is.
	Unavailable func(error) bool
	// Shape is how the dialect writes a Problem; nil means the Record's, and if
	// that is nil too, Detail.
	Shape Shape
}

// Error answers r with what err means.
func (rd *Renderer) Error(w http.ResponseWriter, r *http.Request, err error) {
	rd.Write(w, r, rd.From(err))
}

// Write answers r with p.
func (rd *Renderer) Write(w http.ResponseWriter, r *http.Request, p Problem) {
	record := RecordOf(r.Context())
	if p.Status >= http.StatusInternalServerError {
		p.RequestID = record.ID
	}
	record.Cause = p.Cause
	if record.lost && p.Status >= http.StatusInternalServerError {
		slog.ErrorContext(r.Context(), "request failed", "status", p.Status, "error", p.Cause)
	}
	header := w.Header()
	maps.Copy(header, p.Header)
	header.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		seconds := (p.RetryAfter + time.Second - 1) / time.Second
		header.Set("Retry-After", strconv.FormatInt(int64(seconds), 10)) // RFC 9110 §10.2.3
	}
	WriteJSON(w, p.Status, rd.shape(record)(header, p))
}

func (rd *Renderer) shape(record *Record) Shape {
	switch {
	case rd.Shape != nil:
		return rd.Shape
	case record.Shape != nil:
		return record.Shape
	default:
		return Detail
	}
}
