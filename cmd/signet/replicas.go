package main

import (
	"errors"
	"fmt"
	"net/http"

	"signet/internal/web/problem"
	"signet/keystore"
)

// cannotSign says at /readyz which of its own troubles keeps a replica from signing. The
// cause is for the log.
func cannotSign(err error) error {
	cause := fmt.Errorf("cannot sign: %w", err)
	switch {
	case errors.Is(err, keystore.ErrStale):
		return &problem.Problem{Status: http.StatusServiceUnavailable, Cause: cause,
			Detail: "Not ready: the database does not answer, and the keys may have changed since they were read."}
	case errors.Is(err, keystore.ErrClock):
		return &problem.Problem{Status: http.StatusServiceUnavailable, Cause: cause,
			Detail: "Not ready: the clock of this machine is wrong."}
	}
	return cause
}
