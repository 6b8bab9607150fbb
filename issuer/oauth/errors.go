package oauth

import "errors"

// Errors of the registry and its store.
var (
	// ErrClientExists: the client_id is taken.
	ErrClientExists = errors.New("a client with this id exists already")
	// ErrNoClient: no such client.
	ErrNoClient = errors.New("no such client")
	// ErrClientConflict: the record was changed by someone else in between.
	ErrClientConflict = errors.New("the client was changed in the meantime")
	// ErrClientGone: a client that a token rests on was removed since.
	ErrClientGone = errors.New("the client of the token was removed")
	// ErrReplayed: the client assertion was used before.
	ErrReplayed = errors.New("the client assertion was used before")
	// ErrRegistration: the client cannot be registered so.
	ErrRegistration = errors.New("this client cannot be registered")
)

// Code is an error code of RFC 6749 §5.2 or RFC 8707 §2.
type Code string

// The codes in use.
const (
	InvalidRequest       Code = "invalid_request"
	InvalidClient        Code = "invalid_client"
	InvalidGrant         Code = "invalid_grant"
	UnauthorizedClient   Code = "unauthorized_client"
	UnsupportedGrantType Code = "unsupported_grant_type"
	InvalidScope         Code = "invalid_scope"
	InvalidTarget        Code = "invalid_target"
	UnsupportedTokenType Code = "unsupported_token_type" // RFC 7009 §2.2.1
)

// Error refuses a request of a client.
type Error struct {
	Code Code
	// Description is a sentence for the client's developer, in the characters of
	// RFC 6749 §5.2.
	Description string
	// Cause is for the log; may be nil.
	Cause error
}

// Error is for the log: it has the cause in it.
func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.Description
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

func refuse(code Code, description string) *Error {
	return &Error{Code: code, Description: description}
}
