package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// Op is one operation: a name on the wire, and the types that go in and come out.
type Op[In, Out any] struct {
	name string
	do   func(*Operator, context.Context, In) (Out, error)
}

// The operations. An operation that is here is reachable; one that is not does
// not exist.
var (
	AddUser     = change("users add", (*Operator).addUser)
	ListUsers   = look("users list", (*Operator).listUsers)
	ShowUser    = look("users show", (*Operator).showUser)
	SetPassword = change("users passwd", (*Operator).setPassword)
	EnableUser  = change("users enable", (*Operator).enableUser)
	DisableUser = change("users disable", (*Operator).disableUser)
	RemoveUser  = change("users remove", (*Operator).removeUser)
	SetProfile  = change("users set", (*Operator).setProfile)
	ImportUsers = change("users import", (*Operator).importUsers)
	// ExportUsers changes nothing, but is to be found in the log: hashes leave.
	ExportUsers = change("users export", (*Operator).exportUsers)
	ListKeys    = look("keys list", (*Operator).listKeys)
	ShowKey     = look("keys show", (*Operator).showKey)
	// ListConsumers is known to a running server alone.
	ListConsumers = look("keys consumers", (*Operator).listConsumers)
	CountSessions = look("keys sessions", (*Operator).countSessions)
	ShowReach     = look("keys reach", (*Operator).reach)
	RotateKeys    = change("keys rotate", (*Operator).rotateKeys)
	RevokeKey     = change("keys revoke", (*Operator).revokeKey)
	GetKeySet     = look("jwks", (*Operator).keySet)
	ListSessions  = look("sessions list", (*Operator).listSessions)
	EndSessions   = change("sessions end", (*Operator).endSessions)
	AddClient     = change("clients add", (*Operator).addClient)
	ListClients   = look("clients list", (*Operator).listClients)
	ShowClient    = look("clients show", (*Operator).showClient)
	NewSecret     = change("clients secret", (*Operator).newSecret)
	RemoveClient  = change("clients remove", (*Operator).removeClient)
	JudgeToken    = look("token inspect", (*Operator).judgeToken)
)

// operation is an Op without its types.
type operation struct {
	do func(*Operator, context.Context, []byte) (out any, target string, err error)
	// changes says that it alters something, and is to be found in the log.
	changes bool
}

// operations is the table by name.
var operations = map[string]operation{}

// look defines an operation that changes nothing, change one that does.
func look[In, Out any](name string, do func(*Operator, context.Context, In) (Out, error)) Op[In, Out] {
	return define(name, do, false)
}

func change[In, Out any](name string, do func(*Operator, context.Context, In) (Out, error)) Op[In, Out] {
	return define(name, do, true)
}

func define[In, Out any](name string, do func(*Operator, context.Context, In) (Out, error), changes bool) Op[In, Out] {
	operations[name] = operation{changes: changes, do: func(o *Operator, ctx context.Context, request []byte) (any, string, error) {
		var in In
		if err := decode(request, &in); err != nil {
			return nil, "", fmt.Errorf("%s: the request cannot be read: %w", name, err)
		}
		target := ""
		if named, ok := any(in).(interface{ target() string }); ok {
			target = named.target()
		}
		out, err := do(o, ctx, in)
		if counted, ok := any(out).(interface{ target() string }); ok && err == nil {
			target = counted.target()
		}
		if only, ok := any(in).(interface{ dryRun() bool }); changes && !(ok && only.dryRun()) {
			err = o.record(ctx, commandEvent(name, target, out, err))
		}
		return out, target, err
	}}
	return Op[In, Out]{name: name, do: do}
}

// decode reads one request; none at all is one with nothing set.
func decode(request []byte, in any) error {
	if !utf8.Valid(request) { // encoding/json would put another text in its place
		return errors.New("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(request))
	dec.DisallowUnknownFields()
	if err := dec.Decode(in); err != nil && err != io.EOF {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("there is something after it")
	}
	return nil
}

// requestLimit bounds a request, in bytes; errRequest refuses a larger one.
const requestLimit = 1 << 20

var errRequest = &Error{Message: "the request is too large or broke off"}

// Door is where operations go: to a running server, or to an Operator here.
type Door interface {
	// call does the operation by name. An error of the operation is an *Error.
	call(ctx context.Context, name string, in any) ([]byte, error)
	// snapshot writes a copy of the database; see Backup.
	snapshot(ctx context.Context, in backupRequest, to io.Writer) (taken time.Time, err error)
}

// Do asks for the operation behind the door. An error that the operation itself
// reports is an *Error, with the same text whichever door it came through.
func (op Op[In, Out]) Do(ctx context.Context, door Door, in In) (Out, error) {
	var out Out
	answer, err := door.call(ctx, op.name, in)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("%s: the answer cannot be read: %w", op.name, err)
	}
	return out, nil
}

// Local is the door to an Operator in this process. Requests and answers take the
// same form as on the socket, so that both doors do the same.
func Local(o *Operator) Door { return local{o} }

type local struct{ operator *Operator }

func (l local) call(ctx context.Context, name string, in any) ([]byte, error) {
	request, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	if len(request) > requestLimit {
		return nil, errRequest
	}
	out, _, err := operations[name].do(l.operator, asSelf(ctx), request)
	if err != nil {
		return nil, explain(err)
	}
	return json.Marshal(out)
}
