// Package event is what the issuer says of its own doings to those who count or record
// them: a login, a refresh, a key that began to sign, an operator's command.
//
// Start at [Event] and [Recorder]. The packages that do things declare a Recorder among
// their options and tell it what they did before they answer; package audit writes the
// events down, package metrics counts them. The package refuses to carry what must not
// be written anywhere: there is no field for a token, a password, a key, or the name that
// somebody typed.
package event

import (
	"context"
	"errors"
)

// Kind says what was done or asked for.
type Kind string

// The kinds of events.
const (
	Login   Kind = "login"
	Refresh Kind = "refresh" // of a session, in any dialect
	Logout  Kind = "logout"
	// Token is an access token for an OAuth client: client credentials or an exchange.
	Token Kind = "token"
	// ClientAuthentication is a client that did not prove who it is.
	ClientAuthentication Kind = "client_authentication"
	// Key is a step in a signing key's life.
	Key Kind = "key"
	// Command is a change that an operator asked for.
	Command Kind = "command"
	// Server is a start, a stop or a reload.
	Server Kind = "server"
)

// Outcome says how it ended. Their set is closed: it labels metrics.
type Outcome string

// The outcomes.
const (
	Done      Outcome = "done"
	Refused   Outcome = "refused"   // wrong credentials, or more than is allowed
	Throttled Outcome = "throttled" // too many failures before
	Busy      Outcome = "busy"      // no core was free
	Invalid   Outcome = "invalid"   // not a token of this issuer, or none for this place
	Expired   Outcome = "expired"
	Inactive  Outcome = "inactive" // the account is disabled or gone
	Ended     Outcome = "ended"    // the session has ended
	// Reused is a refresh token that had been replaced: its session was ended as stolen.
	Reused Outcome = "reused"
	Failed Outcome = "failed" // through no fault of the asker
)

// Event is one thing that was done, or asked for and not done. Empty fields are
// unknown, or do not apply.
type Event struct {
	Kind    Kind
	Outcome Outcome
	// Subject is the user's sub, Session the sid, Client the client_id.
	Subject, Session, Client string
	// Action is what a Command, Key or Server event did, Target what to.
	Action, Target string
	// Alg is of a Key event, whose Target is the kid.
	Alg string
	// Grant is that of a Token event.
	Grant string
	// Cause is why it failed or was refused; it holds no secret.
	Cause error
}

// Recorder hears of events.
type Recorder interface {
	// Record is told of an event before anybody is answered. Its error takes the
	// place of the answer: what is not on record is not acknowledged.
	Record(ctx context.Context, e Event) error
	// Ready reports why Record would fail now. What grants something is not begun then.
	Ready() error
}

// All is one recorder in the place of several; nil ones are left out. After one that fails
// the others are told that the event has. All of none takes everything and fails never.
func All(recorders ...Recorder) Recorder {
	all := several{}
	for _, r := range recorders {
		if r != nil {
			all = append(all, r)
		}
	}
	return all
}

type several []Recorder

func (s several) Record(ctx context.Context, e Event) error {
	var failed error
	for _, r := range s {
		if err := r.Record(ctx, e); err != nil {
			failed = errors.Join(failed, err)
			e.Outcome, e.Cause = Failed, err
		}
	}
	return failed
}

func (s several) Ready() error {
	var failed error
	for _, r := range s {
		failed = errors.Join(failed, r.Ready())
	}
	return failed
}
