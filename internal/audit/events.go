package audit

import (
	"context"
	"time"

	"signet/internal/event"
)

// maxText bounds a text of a record that is not of a fixed length, in bytes.
const maxText = 512

// written reports whether events of this kind and outcome are for the file, and whether
// a stranger can cause any number of them. What is not in the file is in the metrics.
func written(e event.Event) (forFile, strangers bool) {
	switch e.Kind {
	case event.Login:
		return e.Outcome != event.Busy, e.Outcome != event.Done
	case event.Refresh:
		return e.Outcome == event.Reused, false // each ends its session
	case event.ClientAuthentication:
		return true, true
	case event.Token:
		return false, false
	}
	return true, false
}

// admit says whether an event that strangers cause is to be written, and counts what is
// not.
func (l *Log) admit(e event.Event, now time.Time) bool {
	if l.strangers.admit(e, now) {
		return true
	}
	l.leaveOut(1)
	return false
}

// leaveOut counts events that are not written down; the next record says how many.
func (l *Log) leaveOut(n uint64) {
	l.pending.Add(n)
	l.unrecorded.Add(n)
}

// recordOf is the record of an event. The cause of a refusal is told of commands and of
// what the server does alone: elsewhere it may repeat what a stranger sent.
func recordOf(ctx context.Context, e event.Event, now time.Time) Record {
	caller := event.CallerOf(ctx)
	r := Record{
		Time: now.UTC().Truncate(time.Millisecond), Event: string(e.Kind), Outcome: string(e.Outcome),
		Action: e.Action, Target: short(e.Target), Alg: e.Alg,
		Subject: e.Subject, Session: e.Session, Client: e.Client,
		RequestID: caller.RequestID, OperatorUID: caller.Operator,
	}
	if caller.Address.IsValid() {
		r.Address = caller.Address.String()
	}
	if e.Cause != nil && (e.Kind == event.Command || e.Kind == event.Server) {
		r.Error = short(e.Cause.Error())
	}
	return r
}

func short(text string) string {
	if len(text) > maxText {
		return text[:maxText] + "…"
	}
	return text
}
