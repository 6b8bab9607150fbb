package issuer

import (
	"context"
	"errors"

	"signet/internal/event"
	"signet/users"
)

// recorded puts e on record, with how it ended, and returns the error to answer with:
// what cannot be recorded is not acknowledged.
func (i *Issuer) recorded(ctx context.Context, e event.Event, err error) error {
	e.Outcome, e.Cause = outcome(err), err
	if failed := i.events.Record(ctx, e); failed != nil {
		return failed
	}
	return err
}

// outcomes are those of errors; the first that an error wraps decides.
var outcomes = []struct {
	err     error
	outcome event.Outcome
}{
	{users.ErrCredentials, event.Refused},
	{ErrReused, event.Reused},
	{ErrExpired, event.Expired},
	{ErrRenewalOver, event.Expired},
	{ErrInactive, event.Inactive},
	{ErrNoSession, event.Ended},
	{ErrInvalid, event.Invalid},
	{ErrWrongType, event.Invalid},
	{ErrOtherClient, event.Invalid},
	{ErrAudience, event.Refused},
	{ErrTypes, event.Refused},
}

func outcome(err error) event.Outcome {
	if err == nil {
		return event.Done
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.outcome
		}
	}
	if _, ok := errors.AsType[*ThrottledError](err); ok {
		return event.Throttled
	}
	if _, ok := errors.AsType[*users.BusyError](err); ok {
		return event.Busy
	}
	if _, ok := errors.AsType[*MissingClaimError](err); ok {
		return event.Invalid
	}
	return event.Failed
}
