package problem

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"signet/issuer"
	"signet/users"
)

var errStorage = errors.New("the disk is gone")

func TestFrom(t *testing.T) {
	rd := &Renderer{Unavailable: func(err error) bool { return errors.Is(err, errStorage) }}
	missing := func(claim string) error { return &issuer.MissingClaimError{Claim: claim} }
	for _, c := range []struct {
		err    error
		status int
		detail string
		code   string
	}{
		{users.ErrCredentials, 401, "No active account found with the given credentials", ""},
		{users.ErrName, 400, "This user name cannot be used.", ""},
		{users.ErrPassword, 400, "This password cannot be used.", ""},
		{users.ErrExists, 409, "A user with this name exists already.", ""},
		{users.ErrConflict, 409, "The user was changed in the meantime; try again.", ""},
		{users.ErrNotFound, 404, "No such user.", ""},
		{issuer.ErrInactive, 401, "No active account found for the given token.", ""},
		{issuer.ErrExpired, 401, "Token is expired", "token_not_valid"},
		{issuer.ErrWrongType, 401, "Token has wrong type", "token_not_valid"},
		{issuer.ErrNoSession, 401, "Token is blacklisted", "token_not_valid"},
		{issuer.ErrReused, 401, "Token is blacklisted", "token_not_valid"},
		{fmt.Errorf("%w: %w", issuer.ErrInvalid, issuer.ErrSignature), 401, "Token is invalid", "token_not_valid"},
		{missing("exp"), 401, "Token has no 'exp' claim", "token_not_valid"},
		{missing("token_type"), 401, "Token has no type", "token_not_valid"},
		{missing("jti"), 401, "Token has no id", "token_not_valid"},
		{missing("sub"), 401, "Token is invalid", "token_not_valid"},
		{&http.MaxBytesError{Limit: 1000}, 413, "The body is too large; at most 1000 bytes are taken.", ""},
		{&BodyError{&http.MaxBytesError{Limit: 1 << 10}}, 413, "The body is too large; at most 1 KiB are taken.", ""},
		{&BodyError{os.ErrDeadlineExceeded}, 408, "The body did not arrive in time; send it again.", ""},
		{&BodyError{errors.New("reset")}, 400, "The body ended early or its transfer coding is broken; send it again.", ""},
		{context.Canceled, 503, "The request could not be finished in time; try again.", ""},
		{errStorage, 503, "The storage does not answer; try again.", ""},
		{errors.Join(issuer.ErrNoSession, errStorage), 503, "The storage does not answer; try again.", ""},
		{errors.New("never heard of"), 500, "internal error", ""},
		{issuer.ErrSessionExists, 500, "internal error", ""},
	} {
		err := fmt.Errorf("wrapped: %w", c.err)
		got := rd.From(err)
		if got.Status != c.status || got.Detail != c.detail || got.Code != c.code {
			t.Errorf("%v: got %d %q %q", err, got.Status, got.Detail, got.Code)
		}
		if !errors.Is(got.Cause, err) {
			t.Errorf("%v: the cause is lost: %v", err, got.Cause)
		}
	}
}

func TestOwnProblem(t *testing.T) {
	rd := new(Renderer)
	if p := rd.From(New(418, "tea")); p.Status != 418 || p.Detail != "tea" || p.Cause != nil {
		t.Errorf("%+v", p)
	}
}

func TestWrite(t *testing.T) {
	for name, c := range map[string]struct {
		problem Problem
		body    string
		header  map[string]string
	}{
		"detail": {Problem{Status: 404, Detail: "<&> é\u2028"}, "{\"detail\":\"<&> é\\u2028\"}", nil},
		"code": {refused("no"), `{"detail":"no","code":"token_not_valid"}`,
			map[string]string{"WWW-Authenticate": `Bearer realm="api"`, "Cache-Control": "no-store"}},
		"fields": {*Invalid(Fields{{"z", []string{"1", "2"}}, {`a"`, []string{"3"}}}), `{"z":["1","2"],"a\"":["3"]}`, nil},
		"retry":  {unavailable("wait", 1), `{"detail":"wait","request_id":"id"}`, map[string]string{"Retry-After": "1"}},
		"header": {Problem{Status: 400, Header: http.Header{"Connection": {"close"}}}, `{"detail":""}`, map[string]string{"Connection": "close"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			record := &Record{ID: "id"}
			w := httptest.NewRecorder()
			new(Renderer).Write(w, r.WithContext(WithRecord(r.Context(), record)), c.problem)
			if w.Code != c.problem.Status || w.Body.String() != c.body || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
			}
			for name, value := range c.header {
				if w.Header().Get(name) != value {
					t.Errorf("%s: %q", name, w.Header().Get(name))
				}
			}
		})
	}
}

func TestOtherShape(t *testing.T) {
	rd := Renderer{Shape: func(h http.Header, p Problem) any {
		h.Set("WWW-Authenticate", "Basic")
		return map[string]string{"error": "invalid_client", "error_description": p.Detail}
	}}
	w := httptest.NewRecorder()
	rd.Error(w, httptest.NewRequest("GET", "/", nil), New(401, "who?"))
	if w.Body.String() != `{"error":"invalid_client","error_description":"who?"}` || w.Header().Get("WWW-Authenticate") != "Basic" {
		t.Errorf("%s %v", w.Body, w.Header())
	}
}

// The record has the shape for who answers outside of a dialect.
func TestShapeOfTheRecord(t *testing.T) {
	named := func(name string) Shape { return func(http.Header, Problem) any { return name } }
	for want, c := range map[string]struct{ own, record Shape }{
		`{"detail":"no"}`: {}, `"own"`: {own: named("own")}, `"record"`: {record: named("record")}, `"both"`: {own: named("both"), record: named("record")},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		w := httptest.NewRecorder()
		rd := Renderer{Shape: c.own}
		rd.Error(w, r.WithContext(WithRecord(r.Context(), &Record{Shape: c.record})), New(404, "no"))
		if w.Body.String() != want {
			t.Errorf("%s, want %s", w.Body, want)
		}
	}
}

func TestRetryAfterIsNeverZero(t *testing.T) {
	p := new(Renderer).From(&users.BusyError{RetryAfter: time.Millisecond})
	if p.RetryAfter < time.Second {
		t.Error(p.RetryAfter)
	}
}
