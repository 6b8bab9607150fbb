package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"signet/internal/audit"
	"signet/internal/event"
)

// ShowAudit tells where the audit log is, where its file begins and which record is its last.
var ShowAudit = look("audit", (*Operator).showAudit)

// AuditLog is where the audit log stands.
type AuditLog struct {
	Path string     `json:"path"`
	Mark audit.Mark `json:"mark"`
}

func (o *Operator) showAudit(context.Context, struct{}) (AuditLog, error) {
	if o.Audit == nil {
		return AuditLog{}, errors.New("there is no audit log")
	}
	path, err := filepath.Abs(o.Audit.Path())
	return AuditLog{Path: path, Mark: o.Audit.Mark()}, err
}

// commandEvent is what is recorded of a command that gave out, or err.
func commandEvent(name, target string, out any, err error) event.Event {
	e := event.Event{Kind: event.Command, Outcome: event.Done, Action: name, Target: target, Cause: err}
	if err != nil {
		e.Outcome = event.Refused
	} else if known, ok := out.(interface{ tell(*event.Event) }); ok {
		known.tell(&e)
	}
	return e
}

// record puts a change that was asked for on record, also one that was refused. It
// returns the error of the command. An operator is not stopped by an audit log that cannot
// be written, but told.
func (o *Operator) record(ctx context.Context, e event.Event) error {
	if o.Audit == nil {
		return e.Cause
	}
	failed := o.Audit.Record(ctx, e)
	switch {
	case failed == nil:
		return e.Cause
	case e.Cause != nil:
		return errors.Join(e.Cause, failed)
	}
	return fmt.Errorf("%w: %w", errUnrecorded, failed)
}

// errUnrecorded: nothing else was wrong.
var errUnrecorded = errors.New("it was done, but is not on record yet")

// asOperator says that things are done for the user with this id.
func asOperator(ctx context.Context, uid int) context.Context {
	return event.WithCaller(ctx, event.Caller{Operator: strconv.Itoa(uid)})
}

// asSelf says that things are done for the user of this process.
func asSelf(ctx context.Context) context.Context { return asOperator(ctx, os.Geteuid()) }
