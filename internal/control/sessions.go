package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"signet/issuer"
	"signet/keystore"
)

// Session is what may be told of a session.
type Session struct {
	ID         string    `json:"id"`
	Subject    string    `json:"sub"`
	User       string    `json:"user,omitempty"` // empty if the account is gone
	Client     string    `json:"client_id"`
	Created    time.Time `json:"created"`
	Refreshed  time.Time `json:"refreshed"`
	Expires    time.Time `json:"expires"`
	Ends       time.Time `json:"ends"`
	Generation uint64    `json:"generation"`
	Expired    bool      `json:"expired"`
}

// SessionQuery asks for a page of sessions, of one user or of all.
type SessionQuery struct {
	User string `json:"user,omitempty"`
	Page
}

// SessionList is a page of sessions; Next is the place of the next page, empty
// at the end.
type SessionList struct {
	Sessions []Session `json:"sessions"`
	Next     string    `json:"next,omitempty"`
}

// SessionEnd says which sessions to end: exactly one of its fields is set.
type SessionEnd struct {
	ID   string `json:"id,omitempty"`
	User string `json:"user,omitempty"`
	All  bool   `json:"all,omitempty"`
}

// Ended says how many sessions were ended.
type Ended struct {
	Sessions int `json:"sessions_ended"`
}

func (o *Operator) listSessions(ctx context.Context, in SessionQuery) (SessionList, error) {
	subject := ""
	if in.User != "" {
		u, err := o.Users.ByName(ctx, in.User)
		if err != nil {
			return SessionList{}, err
		}
		subject = u.ID
	}
	found, err := o.Issuer.Sessions(ctx, subject, in.After, in.limit())
	list := SessionList{Sessions: make([]Session, 0, len(found))}
	for _, s := range found {
		list.Sessions = append(list.Sessions, Session{
			ID: s.ID, Subject: s.Subject, User: o.userName(ctx, s.Subject), Client: s.Client, Created: s.Created, Refreshed: s.Rotated,
			Expires: s.Expires, Ends: s.Ends, Generation: s.Generation, Expired: s.Expired(o.now()),
		})
	}
	if len(found) == in.limit() {
		list.Next = found[len(found)-1].ID
	}
	return list, err
}

func (o *Operator) userName(ctx context.Context, subject string) string {
	u, err := o.Users.ByID(ctx, subject)
	if err != nil {
		return ""
	}
	return u.Name
}

// errNoSession: the one session that was named is not there.
var errNoSession = errors.New("no such session, or it has ended")

// errWhichSessions: the request names no sessions, or names them twice.
var errWhichSessions = errors.New("name one session by its id, a user, or all")

func (o *Operator) endSessions(ctx context.Context, in SessionEnd) (Ended, error) {
	switch in {
	case SessionEnd{ID: in.ID}:
		if in.ID == "" {
			return Ended{}, errWhichSessions
		}
		if err := o.Issuer.EndSession(ctx, in.ID); err != nil {
			if errors.Is(err, issuer.ErrNoSession) {
				return Ended{}, fmt.Errorf("%.50q: %w", in.ID, errNoSession)
			}
			return Ended{}, err
		}
		return Ended{Sessions: 1}, nil
	case SessionEnd{User: in.User}:
		u, err := o.Users.ByName(ctx, in.User)
		if err != nil {
			return Ended{}, err
		}
		n, err := o.Issuer.EndSubject(ctx, u.ID)
		return Ended{Sessions: n}, err
	case SessionEnd{All: true}:
		n, err := o.Issuer.EndAll(ctx)
		return Ended{Sessions: n}, err
	default:
		return Ended{}, errWhichSessions
	}
}

// TokenText is a token to look at.
type TokenText struct {
	Token string `json:"token"`
}

// Verdict says whether the issuer honours a token now, and why not.
type Verdict struct {
	Valid  bool   `json:"valid"`
	Reason string `json:"reason,omitempty"`
}

// judgeToken never fails on a bad token: saying what is wrong with it is its use.
func (o *Operator) judgeToken(ctx context.Context, in TokenText) (Verdict, error) {
	_, err := o.examine(ctx, in.Token)
	switch {
	case err == nil:
		return Verdict{Valid: true}, nil
	case causeOf(err) != "":
		return Verdict{Reason: err.Error()}, nil
	default:
		return Verdict{}, err
	}
}

func noKey(kid string) error { return fmt.Errorf("%w: %.100q", keystore.ErrNoKey, kid) }
