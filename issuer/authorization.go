package issuer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"signet/internal/event"
)

// Authorization is what a grant has proven: that a client may have an access token,
// for whom and for what. However it was proven, one path turns it into a token.
type Authorization struct {
	// Client is the client_id, Subject the sub claim: of a user, or the client's own
	// id where it acts for itself (RFC 9068 §2.2).
	Client, Subject string
	// Audience are the services the token is for, Scope what it allows there.
	Audience, Scope []string
	// Grant is its grant_type, for the record.
	Grant string
	// Alg signs the token; empty means the first algorithm.
	Alg string
	// Session is that of the user's token that this one is made from, and Actor is who
	// acts for the user with it; both empty for a client of its own.
	Session string
	Actor   *Actor
	// NotAfter is when the token expires at the latest; zero is no limit.
	NotAfter time.Time
}

// Actor is the act claim (RFC 8693 §4.1): who acts for the subject. Those before it
// in the chain are for the record; only the outermost decides.
type Actor struct {
	Subject string `json:"sub"`
	Actor   *Actor `json:"act,omitempty"`
}

// Depth is how many actors the chain has.
func (a *Actor) Depth() int {
	depth := 0
	for ; a != nil; a = a.Actor {
		depth++
	}
	return depth
}

// Issue makes the access token of an authorization (RFC 9068), and says when it
// expires. ErrAudience if it is for the issuer itself, which takes no access tokens;
// ErrTypes if the policy gives its services tokens of different types; ErrInactive if
// the user is gone or disabled.
func (i *Issuer) Issue(ctx context.Context, a Authorization) (token string, expires time.Time, err error) {
	token, expires, err = i.issue(ctx, a)
	e := event.Event{Kind: event.Token, Grant: a.Grant, Subject: a.Subject, Session: a.Session, Client: a.Client}
	if err := i.recorded(ctx, e, err); err != nil {
		return "", time.Time{}, err
	}
	return token, expires, nil
}

func (i *Issuer) issue(ctx context.Context, a Authorization) (token string, expires time.Time, err error) {
	p, now := i.policy.Load(), i.instant()
	if slices.Contains(a.Audience, p.URL) || len(a.Audience) == 0 {
		return "", time.Time{}, fmt.Errorf("%w: an access token is for services", ErrAudience)
	}
	typ, err := p.typ(a.Audience, TypAccess)
	if err != nil {
		return "", time.Time{}, err
	}
	expires = wholeSecond(now.Add(p.AccessLifetime))
	if !a.NotAfter.IsZero() && a.NotAfter.Before(expires) {
		expires = wholeSecond(a.NotAfter)
	}
	claims := &Claims{
		Issuer: p.URL, Subject: a.Subject, Audience: a.Audience,
		Expires: expires.Unix(), IssuedAt: now.Unix(), NotBefore: now.Unix(),
		ID: newID(), Client: a.Client, Scope: strings.Join(a.Scope, " "), Kind: KindAccess,
		Session: a.Session, Actor: a.Actor,
	}
	if a.Session != "" {
		u, err := i.activeUser(ctx, a.Subject)
		if err != nil {
			return "", time.Time{}, err
		}
		claims.UserID, claims.Profile = p.userID(u), p.profile(u, a.Audience)
	}
	token, _, err = i.mint(a.Alg, typ, claims, p.MaxTokenBytes)
	return token, expires, err
}
