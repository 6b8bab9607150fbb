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
			Detail: "Not ready: the keys could not be read from the database for a while, and may have changed since; the log says why."}
	case errors.Is(err, keystore.ErrClock):
		return &problem.Problem{Status: http.StatusServiceUnavailable, Cause: cause,
			Detail: "Not ready: the clock of this machine is wrong."}
	}
	return cause
}
