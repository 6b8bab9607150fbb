package issuer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"signet/users"
)

// Refresher is a Store that holds the accounts too, those of [Users], and reads one
// together with a session: where the database is another machine, what a request costs is
// its round trips. An Issuer whose Store is one makes a refresh in one of them.
//
// Every method is one atomic step, as those of Sessions are. users.ErrNotFound if there
// is no such account. ErrNoSession comes with the account.
type Refresher interface {
	// SessionWithUser is UserByID of subject and Session.
	SessionWithUser(ctx context.Context, id, subject string) (users.User, Session, error)
	// AdvanceWithUser is UserByID of subject and AdvanceSession, with that user's Epoch
	// as the Epoch of step. Nothing is done to the session, and the Outcome is 0, if the
	// user is disabled or has more than room ClaimBytes.
	AdvanceWithUser(ctx context.Context, id, subject string, step Step, room int) (users.User, Session, Outcome, error)
}

// RefreshLimit is how long a refresh may take over a Refresher. Its answer may be lost, or
// a store that was given up may advance the session afterwards; the retry must come before
// the reuse window closes, which began with the request.
const RefreshLimit = 5 * time.Second

// alive returns the user of a token, and the session that still honours it. ErrInactive
// and ErrNoSession if there is none.
func (i *Issuer) alive(ctx context.Context, p *Policy, c *Claims, now time.Time) (users.User, Session, error) {
	r, ok := i.store.(Refresher)
	if !ok {
		u, err := i.activeUser(ctx, c.Subject)
		if err != nil {
			return users.User{}, Session{}, err
		}
		s, err := i.store.Session(ctx, c.Session)
		return u, s, live(p, c, u, &s, err, now)
	}
	u, s, err := r.SessionWithUser(ctx, c.Session, c.Subject)
	if err := active(u, err); err != nil {
		return users.User{}, Session{}, err
	}
	return u, s, live(p, c, u, &s, err, now)
}

// active refuses the user whom a look-up has found with err. ErrNoSession says nothing of
// the user.
func active(u users.User, err error) error {
	switch {
	case errors.Is(err, users.ErrNotFound):
		return ErrInactive
	case err != nil && !errors.Is(err, ErrNoSession):
		return fmt.Errorf("look up the user: %w", err)
	case u.Disabled:
		return ErrDisabled
	}
	return nil
}

// refreshAtOnce is activeUser and advance in one round trip, after which the access token
// is made: it says what is read there.
//
// A token that cannot be made after the session has moved on would cost the client its
// session, as a lost answer does whose retry comes after the reuse window. What can fail
// is therefore found out before. The refresh token is signed first: a signer that has no
// key or does not answer changes nothing. Whether the access token fits MaxTokenBytes
// depends on the user, so that the store is told how much room there is; where it could
// be too little, it changes nothing and the slower way decides. What is left is a signer
// that fails within the moment of the round trip: a retry within the reuse window gets
// the answer.
func (i *Issuer) refreshAtOnce(ctx context.Context, r Refresher, p *Policy, c *Claims, now time.Time) (Tokens, error) {
	ctx, cancel := context.WithTimeout(ctx, RefreshLimit)
	defer cancel()
	if _, err := p.typ(p.audience(), TypJWT); err != nil {
		return Tokens{}, err
	}
	next, before := p.successor(c, now), knownFrom(c)
	refresh, kid, err := i.mint("", TypRefresh, p.refreshClaims(&next, before), p.MaxTokenBytes)
	if err != nil {
		return Tokens{}, err
	}
	u, stored, outcome, err := r.AdvanceWithUser(ctx, c.Session, c.Subject, p.step(c, &next, kid, now), p.room(&next, refresh, now))
	if err := active(u, err); err != nil {
		return Tokens{}, err
	}
	switch {
	case err != nil:
		return Tokens{}, err
	case outcome == 0:
		return i.advance(ctx, p, c, u, now)
	case outcome != Advanced && outcome != Repeated:
		return i.settled(ctx, p, c, u, &stored, outcome, Tokens{})
	}
	tokens, err := i.mintAccess(p, &next, u, now)
	if err != nil {
		return Tokens{}, err
	}
	tokens.Refresh, tokens.RefreshExpires = refresh, next.Expires
	if outcome == Advanced && p.userID(u) != p.userID(before) {
		if tokens.Refresh, _, err = i.mint("", TypRefresh, p.refreshClaims(&next, u), p.MaxTokenBytes); err != nil {
			return Tokens{}, err
		}
	}
	return i.settled(ctx, p, c, u, &stored, outcome, tokens)
}

// knownFrom is what a refresh token says of its user: all that its successor says,
// unless that has changed.
func knownFrom(c *Claims) users.User {
	return users.User{ID: c.Subject, Profile: users.Profile{UserID: c.UserID.Text}}
}

// successor is the session of a refresh token as it is when that has been replaced.
func (p *Policy) successor(c *Claims, now time.Time) Session {
	next := Session{
		ID: c.Session, Subject: c.Subject, Client: c.Client, Current: newID(),
		Rotated: now, Ends: time.Unix(c.SessionEnds, 0),
	}
	next.Expires = p.expiry(now, next.Ends)
	return next
}

// step is what the refresh token asks of its session.
func (p *Policy) step(c *Claims, next *Session, kid string, now time.Time) Step {
	return Step{Presented: c.ID, Next: next.Current, KID: kid, Now: now, Expires: next.Expires, Window: p.ReuseWindow}
}

// room is how many ClaimBytes tokens of s can take beside the rest of them. The header and
// the signature of the access token are as long as those of the refresh token, which was
// signed with the same key, or shorter. That itself may be made anew with another user_id.
func (p *Policy) room(s *Session, refresh string, now time.Time) int {
	rest := p.accessClaims(s, users.User{}, newID(), now).appendPayload(make([]byte, 0, payloadRoom))
	payload := strings.Split(refresh, ".")[1]
	most := base64.RawURLEncoding.DecodedLen(p.MaxTokenBytes - (len(refresh) - len(payload)))
	return most - max(len(rest)+len(`,"user_id":`)+len(","), base64.RawURLEncoding.DecodedLen(len(payload)))
}
