package problem

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"signet/issuer"
	"signet/users"
)

// retry is how long a client is told to stay away from a storage that fails.
const retry = 5 * time.Second

// known are the domain errors that are told as they are. Their order matters: the
// first that an error wraps decides.
var known = []struct {
	err     error
	problem Problem
}{
	{users.ErrCredentials, Problem{Status: http.StatusUnauthorized, Detail: "No active account found with the given credentials"}},
	{users.ErrName, Problem{Status: http.StatusBadRequest, Detail: "This user name cannot be used."}},
	{users.ErrPassword, Problem{Status: http.StatusBadRequest, Detail: "This password cannot be used."}},
	{users.ErrExists, Problem{Status: http.StatusConflict, Detail: "A user with this name exists already."}},
	{users.ErrHasher, unavailable("Passwords cannot be checked now; try again.", time.Second)},
	{users.ErrConflict, Problem{Status: http.StatusConflict, Detail: "The user was changed in the meantime; try again."}},
	{users.ErrNotFound, Problem{Status: http.StatusNotFound, Detail: "No such user."}},
	{issuer.ErrInactive, Problem{Status: http.StatusUnauthorized, Detail: "No active account found for the given token."}},
	{issuer.ErrExpired, refused("Token is expired")},
	{issuer.ErrWrongType, refused("Token has wrong type")},
	{issuer.ErrInvalid, refused("Token is invalid")},
	{issuer.ErrOtherClient, refused("Token is invalid")},
	{issuer.ErrNoSession, refused("Token is blacklisted")},
	{issuer.ErrReused, refused("Token is blacklisted")},
}

// refused is a token that is not honoured, in the words of simplejwt.
func refused(detail string) Problem {
	return Problem{Status: http.StatusUnauthorized, Detail: detail, Code: "token_not_valid"}
}

// From says what err means for the person outside.
func (rd *Renderer) From(err error) Problem {
	p := rd.translate(err)
	if p.Cause == nil {
		if _, own := err.(*Problem); !own {
			p.Cause = err
		}
	}
	return p
}

func (rd *Renderer) translate(err error) Problem {
	if rd.Unavailable != nil && rd.Unavailable(err) {
		return unavailable("The storage does not answer; try again.", retry)
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return *p
	}
	if p, ok := typed(err); ok {
		return p
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return k.problem
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return unavailable("The request could not be finished in time; try again.", time.Second)
	}
	return Problem{Status: http.StatusInternalServerError, Detail: "internal error"}
}

// typed are the errors that carry more than their name.
func typed(err error) (Problem, bool) {
	if busy, ok := errors.AsType[*users.BusyError](err); ok {
		return unavailable("Too many logins at once; try again.", max(busy.RetryAfter, time.Second)), true
	}
	if throttled, ok := errors.AsType[*issuer.ThrottledError](err); ok {
		return tooMany(throttled.RetryAfter), true
	}
	if long, ok := errors.AsType[*issuer.TooLongError](err); ok {
		return Problem{Status: http.StatusInternalServerError, Detail: long.Error()}, true
	}
	if missing, ok := errors.AsType[*issuer.MissingClaimError](err); ok {
		return refused(lacking(missing.Claim)), true
	}
	if body, ok := errors.AsType[*BodyError](err); ok {
		return body.problem(), true
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return (&BodyError{Err: large}).problem(), true
	}
	return Problem{}, false
}

func unavailable(detail string, after time.Duration) Problem {
	return Problem{Status: http.StatusServiceUnavailable, Detail: detail, RetryAfter: after}
}

// tooMany has the words of Django REST framework's throttling (RFC 6585 §4).
func tooMany(after time.Duration) Problem {
	seconds := max(1, int64((after+time.Second-1)/time.Second))
	unit := "seconds"
	if seconds == 1 {
		unit = "second"
	}
	return Problem{Status: http.StatusTooManyRequests, RetryAfter: time.Duration(seconds) * time.Second,
		Detail: "Request was throttled. Expected available in " + strconv.FormatInt(seconds, 10) + " " + unit + "."}
}

// lacking has the words of simplejwt for the claims that it asks for itself.
func lacking(claim string) string {
	switch claim {
	case "exp":
		return "Token has no 'exp' claim"
	case "token_type":
		return "Token has no type"
	case "jti":
		return "Token has no id"
	default:
		return "Token is invalid"
	}
}

// BodyError says that a request's body could not be read to its end.
type BodyError struct {
	Err error
}

func (e *BodyError) Error() string { return "read the body: " + e.Err.Error() }

func (e *BodyError) Unwrap() error { return e.Err }

// problem tells the three ways apart. What follows on the connection is not the
// next request, so it is closed.
func (e *BodyError) problem() Problem {
	p := Problem{Status: http.StatusBadRequest, Header: http.Header{"Connection": {"close"}},
		Detail: "The body ended early or its transfer coding is broken; send it again."}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](e.Err); ok {
		p.Status = http.StatusRequestEntityTooLarge
		p.Detail = "The body is too large; at most " + size(tooLarge.Limit) + " are taken."
	} else if slow, ok := errors.AsType[net.Error](e.Err); ok && slow.Timeout() {
		p.Status = http.StatusRequestTimeout
		p.Detail = "The body did not arrive in time; send it again."
	}
	return p
}

func size(bytes int64) string {
	if bytes >= 1024 && bytes%1024 == 0 {
		return strconv.FormatInt(bytes/1024, 10) + " KiB"
	}
	return strconv.FormatInt(bytes, 10) + " bytes"
}
