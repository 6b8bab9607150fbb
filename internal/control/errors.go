package control

import (
	"cmp"
	"errors"
	"syscall"

	"signet/internal/audit"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

// Error is a refused or failed operation, as it is told at a terminal.
type Error struct {
	// Message says what is wrong, in a sentence.
	Message string `json:"message"`
	// Hint is what to type next; it may be empty.
	Hint string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// explain finds the hint for an error of the domains.
func explain(err error) *Error {
	if known, ok := err.(*Error); ok {
		return known
	}
	return &Error{Message: err.Error(), Hint: hint(err)}
}

func hint(err error) string {
	var pending *keystore.PendingError
	var busy *users.BusyError
	switch {
	case errors.As(err, &pending):
		return "signet keys rotate --alg " + pending.Alg + " --now  # lets the pending key sign at once; services that have not fetched it refuse its tokens until they do"
	case errors.Is(err, keystore.ErrTooSoon):
		return "signet keys rotate  # signs after keys.publish_ahead"
	case errors.Is(err, keystore.ErrNoKey), errors.Is(err, keystore.ErrRevoked):
		return "signet keys list  # shows the keys"
	case errors.Is(err, keystore.ErrAlgorithm):
		return "signet keys list  # shows the algorithms that have keys; others are added under keys.algorithms"
	case errors.Is(err, users.ErrExists):
		return "signet users passwd NAME  # gives an account another password"
	case errors.Is(err, users.ErrNotFound):
		return "signet users list  # shows the accounts"
	case errors.Is(err, oauth.ErrNoClient), errors.Is(err, oauth.ErrClientExists):
		return "signet clients list  # shows the clients"
	case errors.Is(err, errNoSession):
		return "signet sessions list  # shows the sessions"
	case errors.Is(err, audit.ErrUnwritten):
		return "make room on the disk of the audit log; the record is kept in memory until it can be written"
	case errors.As(err, &busy), errors.Is(err, users.ErrHasher):
		return "try again in a moment"
	case errors.Is(err, syscall.ENOSPC):
		return "df -h  # shows which disk is full; once there is room a running server goes on by itself"
	default:
		return cmp.Or(tokenHint(err), keyHint(err))
	}
}
