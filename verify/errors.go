package verify

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Why a token or a request is refused. Every error of this package wraps one of
// them; that a token is refused for one reason does not say that it has no other
// fault, except that all from ErrIssuer to ErrScope are told of tokens with a
// good signature alone.
var (
	// ErrConfig: the Verifier lacks an issuer, an audience or keys, or allows
	// what cannot be allowed. Nothing is accepted.
	ErrConfig = errors.New("verifier is not configured")
	// ErrNoToken: the request has no Bearer credentials.
	ErrNoToken = errors.New("no bearer token")
	// ErrRequest: there are credentials, but not in the form of RFC 6750 §2.1.
	ErrRequest = errors.New("malformed authorization header")

	// ErrTooLong: the token is longer than MaxBytes.
	ErrTooLong = errors.New("token is too long")
	// ErrMalformed: not a compact JWS, or its JSON is not what it must be.
	ErrMalformed = errors.New("not a compact JWS")
	// ErrHeader: the header asks for an extension (RFC 7515 §4.1.11, RFC 7797 §6).
	ErrHeader = errors.New("header extension not understood")
	// ErrAlgorithm: the algorithm is not allowed.
	ErrAlgorithm = errors.New("algorithm not allowed")
	// ErrUnknownKey: the issuer publishes no key with this kid.
	ErrUnknownKey = errors.New("unknown key")
	// ErrKeyAlgorithm: the key is for another algorithm than the header says.
	ErrKeyAlgorithm = errors.New("algorithm is not the key's")
	// ErrSignature: the signature does not fit.
	ErrSignature = errors.New("signature does not verify")
	// ErrKeysUnavailable: the keys could not be had, so that nothing is known of
	// the token. Later may be better; see UnavailableError.
	ErrKeysUnavailable = errors.New("keys of the issuer are unavailable")

	// ErrIssuer: another issuer's token.
	ErrIssuer = errors.New("wrong issuer")
	// ErrAudience: a token for another service.
	ErrAudience = errors.New("wrong audience")
	// ErrExpired: the token's time is over.
	ErrExpired = errors.New("token has expired")
	// ErrNotYetValid: nbf or iat is in the future.
	ErrNotYetValid = errors.New("token is not valid yet")
	// ErrWrongType: not an access token (RFC 8725 §3.11).
	ErrWrongType = errors.New("wrong type of token")
	// ErrClaim: a claim is missing or of a wrong type.
	ErrClaim = errors.New("claim is missing or malformed")
	// ErrScope: a good token that does not reach far enough.
	ErrScope = errors.New("insufficient scope")
)

// UnavailableError is an ErrKeysUnavailable that knows when to try again.
type UnavailableError struct {
	RetryAfter time.Duration
	Cause      error // for the log; nil while a first attempt is under way
}

func (e *UnavailableError) Error() string {
	if e.Cause == nil {
		return ErrKeysUnavailable.Error()
	}
	return fmt.Sprintf("%v: %v", ErrKeysUnavailable, e.Cause)
}

// Is makes every UnavailableError an ErrKeysUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrKeysUnavailable }

func (e *UnavailableError) Unwrap() error { return e.Cause }

// ScopeError is an ErrScope that names what the resource asks for.
type ScopeError struct {
	Required []string
}

func (e *ScopeError) Error() string { return fmt.Sprintf("%v: needs %q", ErrScope, e.Required) }

// Is makes every ScopeError an ErrScope.
func (e *ScopeError) Is(target error) bool { return target == ErrScope }

// Status is the HTTP status that belongs to an error of this package.
func Status(err error) int {
	switch {
	case errors.Is(err, ErrKeysUnavailable):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrConfig):
		return http.StatusInternalServerError
	case errors.Is(err, ErrRequest):
		return http.StatusBadRequest
	case errors.Is(err, ErrScope):
		return http.StatusForbidden
	}
	return http.StatusUnauthorized
}
