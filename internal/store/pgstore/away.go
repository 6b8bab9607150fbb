package pgstore

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// notThere are the errors of a connection to a host or a socket at which nobody listens,
// or whose listener has gone.
var notThere = []error{
	syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
	syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN,
	syscall.ENOENT, // of a unix socket
	io.EOF, io.ErrUnexpectedEOF,
}

// Away reports whether an error of Open or Reach says that the database is not there, or
// not yet: it may be a moment later. One that has refused the connection is there. A host
// name that is not known counts as away: that of a container is known while it runs.
func Away(err error) bool {
	switch code(err) {
	case "":
	case cannotConnectNow, adminShutdown, crashShutdown:
		return true
	default:
		return false
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	if _, connecting := errors.AsType[connectError](err); !connecting || untrusted || errors.Is(err, context.Canceled) {
		return false
	}
	if _, unresolved := errors.AsType[*net.DNSError](err); unresolved {
		return true
	}
	if slow, ok := errors.AsType[net.Error](err); ok && slow.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	return slices.ContainsFunc(notThere, func(target error) bool { return errors.Is(err, target) })
}

// Reach connects to the database with this URL, and hangs up. Its errors are those of Open.
func Reach(ctx context.Context, url string) error {
	config, name, err := parse(url)
	if err != nil {
		return err
	}
	c, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return storageError("connect to", name, connectError{err})
	}
	return c.Close(context.WithoutCancel(ctx))
}
