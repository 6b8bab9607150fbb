package pgstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Error codes that are told apart (PostgreSQL documentation, appendix A).
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	completionUnknown    = "40003" // CockroachDB: a commit that may have happened
	connectionException  = "08"    // the class
	readOnly             = "25006"
	noSuchStatement      = "26000" // a pooler gave the connection to another server process
	tooManyConnections   = "53300"
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03"
	lockNotAvailable     = "55P03"
	uniqueViolation      = "23505"
	undefinedTable       = "42P01"
	undefinedFunction    = "42883"
	duplicateTable       = "42P07"
	internalError        = "XX000"
)

// passing are the errors after which the server has undone everything, and which another
// try may not meet.
var passing = []string{
	serializationFailure, deadlockDetected, readOnly, noSuchStatement, tooManyConnections,
	adminShutdown, crashShutdown, cannotConnectNow,
}

// code is the error code of the server, empty if the error is another.
func code(err error) string {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return server.Code
	}
	return ""
}

// refusal is an answer that the database gave in good order: an error of a domain.
type refusal struct{ err error }

func (r refusal) Error() string { return r.err.Error() }
func (r refusal) Unwrap() error { return r.err }

// refuse returns an error that is the caller's answer, and not the database's fault.
func refuse(err error) error { return refusal{err} }

// unsure is an error after which nobody knows whether a change was made.
type unsure struct{ err error }

func (u unsure) Error() string { return "the change may or may not have been made: " + u.err.Error() }
func (u unsure) Unwrap() error { return u.err }

// connectError is a failure before there was a connection.
type connectError struct{ err error }

func (e connectError) Error() string { return e.err.Error() }
func (e connectError) Unwrap() error { return e.err }

// unsent reports whether err says that not a byte of a statement has left. pgx calls more
// than that safe to retry: a connection that broke while the answer was awaited is to it
// one that had been closed before.
func unsent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "write" && pgconn.SafeToRetry(err)
}

// lost reports whether the answer to a commit was lost: it was sent, and what came back
// does not say that it was undone. A server that shuts down may have committed.
func lost(err error) bool {
	if err == nil || errors.Is(err, errChanged) || errors.Is(err, ErrStorage) || unsent(err) {
		return false
	}
	if _, refused := errors.AsType[refusal](err); refused {
		return false
	}
	c := code(err)
	return c == "" || c == completionUnknown || c == adminShutdown || c == crashShutdown || strings.HasPrefix(c, connectionException)
}

// again reports whether err may not come again, and leaves no doubt that nothing was
// changed.
func again(err error) bool {
	_, uncertain := errors.AsType[unsure](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch c := code(err); {
	case uncertain, untrusted, errors.Is(err, errBusy), errors.Is(err, ErrStorage), errors.Is(err, context.DeadlineExceeded):
		return false
	case c == "":
		return true // of the connection
	default:
		return slices.Contains(passing, c) || strings.HasPrefix(c, connectionException)
	}
}
