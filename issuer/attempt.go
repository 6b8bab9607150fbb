package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"signet/internal/throttle"
	"signet/users"
)

// Attempt is a try to log in.
type Attempt struct {
	// Client is who asks for the user: FirstParty, or a client_id.
	Client         string
	Name, Password string
	// From is the address of whoever tries; the zero Addr is an unknown one.
	From netip.Addr
}

// ThrottledError refuses an attempt unseen: too many before it have failed. It says
// nothing of whether the account exists; where it is missing while others from the same
// address get it, the account was proved from there (package throttle).
type ThrottledError struct {
	RetryAfter time.Duration
}

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many failed logins; try again in %v", e.RetryAfter)
}

// prove asks the throttle and then the users. What failed for another reason than the
// credentials is not counted.
func (i *Issuer) prove(ctx context.Context, a Attempt) (users.User, error) {
	done := func(throttle.Outcome) {}
	if i.limits != nil {
		name, err := users.Canonical(a.Name)
		if err != nil {
			name = "" // no account has it: only the address counts
		}
		var wait time.Duration
		if done, wait = i.limits.Begin(name, a.From); wait > 0 {
			i.seldom.Do(func() { i.log.InfoContext(ctx, "login throttled", "from", a.From) })
			return users.User{}, &ThrottledError{RetryAfter: wait}
		}
	}
	outcome := throttle.Void
	defer func() { done(outcome) }()
	u, err := i.users.Authenticate(ctx, a.Name, a.Password)
	switch {
	case errors.Is(err, users.ErrCredentials):
		outcome = throttle.Failed
		i.log.InfoContext(ctx, "login refused", "from", a.From) // nobody is named: people type passwords into the field for names
	case err == nil:
		outcome = throttle.Proved
	}
	return u, err
}
