package issuer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"signet/users"
)

// Order is what an operator asks for in the place of a user.
type Order struct {
	// Audience are the services the access token is for, each one of those of the login;
	// empty means all of them.
	Audience []string
	// Lifetime is that of the access token, if it is shorter than the policy's; 0 is the
	// policy's.
	Lifetime time.Duration
	// Refresh asks for a refresh token. It gets what a login gets: Audience and Lifetime
	// are for the first access token alone.
	Refresh bool
}

// OpenSession begins a session for a user whom nobody has proven: the caller answers for
// that. Its tokens are those of a login and never more. Without a refresh token the
// session ends when its one access token does, since nobody could use it for longer.
// ErrInactive if the user is gone or disabled, ErrWider if the policy gives less.
func (i *Issuer) OpenSession(ctx context.Context, subject string, o Order) (Tokens, error) {
	u, err := i.activeUser(ctx, subject)
	if err != nil {
		return Tokens{}, err
	}
	p, now := i.policy.Load(), i.instant()
	narrowed, err := p.narrowed(o)
	if err != nil {
		return Tokens{}, err
	}
	s := newSession(u, FirstParty, now, p.SessionLifetime)
	if !o.Refresh {
		s.Ends = wholeSecond(now.Add(min(narrowed.AccessLifetime, p.SessionLifetime)))
	}
	s.Expires = p.expiry(now, s.Ends)
	tokens, err := i.mintOpened(narrowed, &s, u, now, o.Refresh)
	if err != nil {
		return Tokens{}, err
	}
	if err := i.store.CreateSession(ctx, s); err != nil {
		return Tokens{}, fmt.Errorf("store the session: %w", err)
	}
	i.log.InfoContext(ctx, "session begun by an operator", "sub", s.Subject, "sid", s.ID)
	return tokens, nil
}

// narrowed is the policy for the access token of an order.
func (p *Policy) narrowed(o Order) (*Policy, error) {
	narrowed := *p
	if len(o.Audience) > 0 {
		narrowed.Audience = nil
	}
	for _, service := range o.Audience {
		switch {
		case !slices.Contains(p.audience(), service):
			return nil, fmt.Errorf("%w: %.200q is not among the services of the login (%q)", ErrWider, service, []string(p.audience()))
		case !slices.Contains(narrowed.Audience, service):
			narrowed.Audience = append(narrowed.Audience, service)
		}
	}
	if o.Lifetime > 0 {
		narrowed.AccessLifetime = min(o.Lifetime, p.AccessLifetime)
	}
	return &narrowed, nil
}

func (i *Issuer) mintOpened(p *Policy, s *Session, u users.User, now time.Time, refresh bool) (tokens Tokens, err error) {
	if refresh {
		tokens, s.KID, err = i.mintPair(p, s, u, now)
		return tokens, err
	}
	tokens, s.KID, err = i.signAccess(p, p.accessClaims(s, u, newID(), now))
	return tokens, err
}

// Lifetimes are how long the tokens live that are made from now on.
func (i *Issuer) Lifetimes() (access, refresh time.Duration) {
	p := i.policy.Load()
	return p.AccessLifetime, p.RefreshLifetime
}
