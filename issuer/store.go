package issuer

import (
	"context"
	"time"
)

// Session is one login. It is one record, updated in place at each refresh,
// however often that happens.
type Session struct {
	// ID is the sid claim: 32 characters of lower-case hexadecimal, in order of time;
	// see newSessionID.
	ID string
	// Subject is the user's ID, the sub claim.
	Subject string
	// Client is the client_id the session belongs to.
	Client string
	// Created is when the user proved the password.
	Created time.Time
	// Rotated is when the current refresh token was made: its iat.
	Rotated time.Time
	// Expires is when the current refresh token ends if it is not used: its exp.
	Expires time.Time
	// Ends is when the session ends however often it is refreshed.
	Ends time.Time
	// Generation counts the refreshes.
	Generation uint64
	// Current and Previous are the jti of the refresh token in force and of the
	// one before it (32 hexadecimal characters each; Previous is empty before
	// the first refresh).
	Current, Previous string
	// KID names the key that signed the current refresh token.
	KID string
	// Epoch is the user's epoch when the session began; see users.User.
	Epoch uint64
}

// Sessions keeps the sessions. Every method is one atomic step, durable when it
// returns nil. A method that returns an error has changed nothing, except where the
// storage itself failed: then the change may or may not have been made. A store
// reads no clock: the instants are arguments, and it keeps them to the millisecond.
type Sessions interface {
	// CreateSession adds s; ErrSessionExists if the ID is taken.
	CreateSession(ctx context.Context, s Session) error
	// Session returns the session with this ID, or ErrNoSession. It may have expired.
	Session(ctx context.Context, id string) (Session, error)
	// AdvanceSession applies step to the session with this ID by Session.Advance
	// and stores the result, in one step: of many calls with the same presented
	// token at the same moment exactly one is Advanced, the others see what it
	// left. Advanced stores the session; Reused and Superseded delete it;
	// Repeated and Expired leave it as it is. It returns the session as Advance left it. ErrNoSession
	// if there is none.
	AdvanceSession(ctx context.Context, id string, step Step) (Session, Outcome, error)
	// EndSession deletes the session, or returns ErrNoSession.
	EndSession(ctx context.Context, id string) error
}

// SessionIndex reaches sessions other than by their ID. Of a deletion that failed
// it is not known how far it came. A limit is 1 or more.
type SessionIndex interface {
	// ListSessions returns up to limit sessions whose ID is greater than after,
	// in the order of IDs; only those of subject unless it is empty. Fewer than
	// limit means that there are no more. Expired ones are among them.
	ListSessions(ctx context.Context, subject, after string, limit int) ([]Session, error)
	// EndSubjectSessions deletes all sessions of a subject and says how many.
	EndSubjectSessions(ctx context.Context, subject string) (int, error)
	// SweepSessions looks at up to limit sessions whose ID is greater than
	// after, deletes those that sweep matches, and returns how many, with the
	// last ID it looked at; an empty last says that it reached the end. It may stop
	// before limit, so that what it deletes holds up no other writer for long. The
	// deletions are one atomic step, and each looks at the record again: a
	// session that was refreshed in between stays.
	SweepSessions(ctx context.Context, sweep Sweep, after string, limit int) (ended int, last string, err error)
}

// Store is what an Issuer needs of its storage.
type Store interface {
	Sessions
	SessionIndex
}

// Sweep says which sessions SweepSessions deletes: those that match any of its
// fields that are set.
type Sweep struct {
	// ExpiredAt matches sessions that have expired at this instant.
	ExpiredAt time.Time
	// KID matches sessions whose current refresh token this key signed.
	KID string
	// All matches every session.
	All bool
}

// Matches reports whether the sweep ends s.
func (w Sweep) Matches(s Session) bool {
	return w.All ||
		w.KID != "" && s.KID == w.KID ||
		!w.ExpiredAt.IsZero() && s.Expired(w.ExpiredAt)
}
