package issuer

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of the session store.
var (
	// ErrNoSession: the session was ended, swept, or never was.
	ErrNoSession = errors.New("the session has ended")
	// ErrSessionExists: the ID is taken.
	ErrSessionExists = errors.New("a session with this id exists already")
)

// ErrInactive: the token's user was removed or disabled.
var ErrInactive = errors.New("no active account for this token")

// ErrDisabled is ErrInactive of an account that is there.
var ErrDisabled = fmt.Errorf("%w: it is disabled", ErrInactive)

// ErrRenewalOver: the login is too long ago for its token to be renewed.
var ErrRenewalOver = errors.New("the token can no longer be renewed")

// ErrOtherClient: the refresh token was issued to another client (RFC 6749 §6).
var ErrOtherClient = errors.New("the token belongs to another client")

// ErrReplaced is ErrNoSession of a refresh token that a refresh has replaced, while its
// session goes on. To refresh with it is ErrReused.
var ErrReplaced error = replacedError{}

// ErrWider: an operator asked for a token that no login gives.
var ErrWider = errors.New("it would be more than a login gives")

// ErrTypes: one token cannot have the types that its services want.
var ErrTypes = errors.New("the services want tokens of different types")

// ErrReused: a refresh token was presented that had been replaced before; its
// session has been ended (RFC 9700 §4.14.2).
var ErrReused = errors.New("the refresh token was used before; its session has been ended")

// Errors of a presented token that may be told to whoever presents it.
var (
	// ErrExpired: the exp claim lies in the past (RFC 7519 §4.1.4).
	ErrExpired = errors.New("token is expired")
	// ErrWrongType: a token of another kind than the place takes (RFC 8725 §3.12).
	ErrWrongType = errors.New("token has the wrong type")
	// ErrInvalid: anything else. The errors below say what, for logs and tests.
	ErrInvalid = errors.New("token is invalid")
)

// Errors that stand behind ErrInvalid, beside those of internal/compactjws.
var (
	ErrAlgorithm    = errors.New("algorithm not allowed")
	ErrUnknownKey   = errors.New("no key with this kid")
	ErrKeyAlgorithm = errors.New("the key is for another algorithm")
	ErrSignature    = errors.New("signature does not verify")
	ErrClaim        = errors.New("claim has a wrong form")
	ErrIssuer       = errors.New("token of another issuer")
	ErrAudience     = errors.New("token for another audience")
	ErrNotYetValid  = errors.New("token is not valid yet")
	ErrUnsealed     = errors.New("the session did not make this token")
)

// MissingClaimError says which claim a token lacks.
type MissingClaimError struct {
	Claim string
}

func (e *MissingClaimError) Error() string { return "token has no " + e.Claim + " claim" }

// TooLongError refuses to make a token that is longer than tokens.max_bytes.
type TooLongError struct {
	Bytes, Limit int
	// Claims are those that take the most room, the longest first, each with
	// its length in bytes.
	Claims []string
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("the token would have %d bytes, more than tokens.max_bytes (%d); most of them are in %s",
		e.Bytes, e.Limit, strings.Join(e.Claims, ", "))
}

// invalid hides the reason from the person outside and keeps it for the log.
func invalid(reason error) error { return fmt.Errorf("%w: %w", ErrInvalid, reason) }
