package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

// ErrFault is the failure that Faulty reports.
var ErrFault = errors.New("storetest: the storage failed")

// Fault is a way in which a call fails.
type Fault int

const (
	// NotApplied: the call fails and has changed nothing.
	NotApplied Fault = iota + 1
	// AppliedButFailed: the call does its work and reports a failure all the
	// same, as when an answer is lost.
	AppliedButFailed
)

// Faulty is a Store whose methods fail on demand, with ErrFault.
type Faulty struct {
	store Store

	mu   sync.Mutex
	next map[string][]Fault
}

var _ Store = (*Faulty)(nil)

// NewFaulty returns a Faulty over store that does not fail yet.
func NewFaulty(store Store) *Faulty {
	f := &Faulty{store: store, next: map[string][]Fault{}}
	for _, m := range []string{
		"LoadRing", "ReplaceRing",
		"CreateUser", "UserByName", "UserByID", "UserByUserID", "HashKinds", "UpdateUser", "RemoveUser", "Users",
		"CreateSession", "Session", "AdvanceSession", "EndSession",
		"ListSessions", "EndSubjectSessions", "SweepSessions",
		"CreateClient", "Client", "UpdateClient", "RemoveClient", "Clients",
		"UseAssertion", "SweepAssertions",
		"AuditMark", "SetAuditMark",
	} {
		f.next[m] = nil
	}
	return f
}

// FailNext makes the next call of the method fail; called again, the one after
// it too. It panics if there is no such method.
func (f *Faulty) FailNext(method string, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	faults, ok := f.next[method]
	if !ok {
		panic(fmt.Sprintf("storetest: a store has no method %q", method))
	}
	f.next[method] = append(faults, fault)
}

// call runs do unless the method's next fault forbids it, and reports the fault.
func (f *Faulty) call(method string, do func() error) error {
	f.mu.Lock()
	var fault Fault
	if faults := f.next[method]; len(faults) > 0 {
		fault, f.next[method] = faults[0], faults[1:]
	}
	f.mu.Unlock()
	if fault == NotApplied {
		return fmt.Errorf("%s: %w", method, ErrFault)
	}
	err := do()
	if fault == AppliedButFailed {
		return fmt.Errorf("%s: %w", method, ErrFault)
	}
	return err
}

// query is call for methods with a result; a failure has none.
func query[T any](f *Faulty, method string, do func() (T, error)) (result T, err error) {
	err = f.call(method, func() (err error) {
		result, err = do()
		return err
	})
	if errors.Is(err, ErrFault) {
		var none T
		return none, err
	}
	return result, err
}

// The methods of the contracts.

func (f *Faulty) LoadRing(ctx context.Context) (keystore.Ring, error) {
	return query(f, "LoadRing", func() (keystore.Ring, error) { return f.store.LoadRing(ctx) })
}

func (f *Faulty) ReplaceRing(ctx context.Context, r keystore.Ring) error {
	return f.call("ReplaceRing", func() error { return f.store.ReplaceRing(ctx, r) })
}

func (f *Faulty) CreateUser(ctx context.Context, u users.User) error {
	return f.call("CreateUser", func() error { return f.store.CreateUser(ctx, u) })
}

func (f *Faulty) UserByName(ctx context.Context, name string) (users.User, error) {
	return query(f, "UserByName", func() (users.User, error) { return f.store.UserByName(ctx, name) })
}

func (f *Faulty) UserByID(ctx context.Context, id string) (users.User, error) {
	return query(f, "UserByID", func() (users.User, error) { return f.store.UserByID(ctx, id) })
}

func (f *Faulty) UserByUserID(ctx context.Context, userID string) (users.User, error) {
	return query(f, "UserByUserID", func() (users.User, error) { return f.store.UserByUserID(ctx, userID) })
}

func (f *Faulty) HashKinds(ctx context.Context) (map[string]int, error) {
	return query(f, "HashKinds", func() (map[string]int, error) { return f.store.HashKinds(ctx) })
}

func (f *Faulty) UpdateUser(ctx context.Context, u users.User) error {
	return f.call("UpdateUser", func() error { return f.store.UpdateUser(ctx, u) })
}

func (f *Faulty) RemoveUser(ctx context.Context, id string) error {
	return f.call("RemoveUser", func() error { return f.store.RemoveUser(ctx, id) })
}

func (f *Faulty) Users(ctx context.Context, after string, limit int) ([]users.User, error) {
	return query(f, "Users", func() ([]users.User, error) { return f.store.Users(ctx, after, limit) })
}

func (f *Faulty) CreateSession(ctx context.Context, s issuer.Session) error {
	return f.call("CreateSession", func() error { return f.store.CreateSession(ctx, s) })
}

func (f *Faulty) Session(ctx context.Context, id string) (issuer.Session, error) {
	return query(f, "Session", func() (issuer.Session, error) { return f.store.Session(ctx, id) })
}

func (f *Faulty) AdvanceSession(ctx context.Context, id string, step issuer.Step) (issuer.Session, issuer.Outcome, error) {
	var outcome issuer.Outcome
	s, err := query(f, "AdvanceSession", func() (s issuer.Session, err error) {
		s, outcome, err = f.store.AdvanceSession(ctx, id, step)
		return s, err
	})
	if err != nil {
		outcome = 0
	}
	return s, outcome, err
}

func (f *Faulty) EndSession(ctx context.Context, id string) error {
	return f.call("EndSession", func() error { return f.store.EndSession(ctx, id) })
}

func (f *Faulty) ListSessions(ctx context.Context, subject, after string, limit int) ([]issuer.Session, error) {
	return query(f, "ListSessions", func() ([]issuer.Session, error) {
		return f.store.ListSessions(ctx, subject, after, limit)
	})
}

func (f *Faulty) EndSubjectSessions(ctx context.Context, subject string) (int, error) {
	return query(f, "EndSubjectSessions", func() (int, error) { return f.store.EndSubjectSessions(ctx, subject) })
}

func (f *Faulty) SweepSessions(ctx context.Context, sweep issuer.Sweep, after string, limit int) (int, string, error) {
	var last string
	ended, err := query(f, "SweepSessions", func() (ended int, err error) {
		ended, last, err = f.store.SweepSessions(ctx, sweep, after, limit)
		return ended, err
	})
	if err != nil {
		last = ""
	}
	return ended, last, err
}

func (f *Faulty) CreateClient(ctx context.Context, c oauth.Client) error {
	return f.call("CreateClient", func() error { return f.store.CreateClient(ctx, c) })
}

func (f *Faulty) Client(ctx context.Context, id string) (oauth.Client, error) {
	return query(f, "Client", func() (oauth.Client, error) { return f.store.Client(ctx, id) })
}

func (f *Faulty) UpdateClient(ctx context.Context, c oauth.Client) error {
	return f.call("UpdateClient", func() error { return f.store.UpdateClient(ctx, c) })
}

func (f *Faulty) RemoveClient(ctx context.Context, id string) error {
	return f.call("RemoveClient", func() error { return f.store.RemoveClient(ctx, id) })
}

func (f *Faulty) Clients(ctx context.Context, after string, limit int) ([]oauth.Client, error) {
	return query(f, "Clients", func() ([]oauth.Client, error) { return f.store.Clients(ctx, after, limit) })
}

func (f *Faulty) UseAssertion(ctx context.Context, client, jti string, expires time.Time) error {
	return f.call("UseAssertion", func() error { return f.store.UseAssertion(ctx, client, jti, expires) })
}

func (f *Faulty) SweepAssertions(ctx context.Context, now time.Time, limit int) (int, error) {
	return query(f, "SweepAssertions", func() (int, error) { return f.store.SweepAssertions(ctx, now, limit) })
}

// Sessions returns f for an issuer.Issuer: an issuer.Refresher if the store below is one.
func (f *Faulty) Sessions() issuer.Store {
	if r, ok := f.store.(issuer.Refresher); ok {
		return faultyRefresher{f, r}
	}
	return f
}

// faultyRefresher fails where the two steps that it joins would.
type faultyRefresher struct {
	*Faulty
	r issuer.Refresher
}

func (f faultyRefresher) SessionWithUser(ctx context.Context, id, subject string) (u users.User, s issuer.Session, err error) {
	err = f.call("UserByID", func() error {
		return f.call("Session", func() (err error) {
			u, s, err = f.r.SessionWithUser(ctx, id, subject)
			return err
		})
	})
	if errors.Is(err, ErrFault) {
		return users.User{}, issuer.Session{}, err
	}
	return u, s, err
}

func (f faultyRefresher) AdvanceWithUser(ctx context.Context, id, subject string, step issuer.Step, room int) (u users.User, s issuer.Session, outcome issuer.Outcome, err error) {
	err = f.call("UserByID", func() error {
		return f.call("AdvanceSession", func() (err error) {
			u, s, outcome, err = f.r.AdvanceWithUser(ctx, id, subject, step, room)
			return err
		})
	})
	if errors.Is(err, ErrFault) {
		return users.User{}, issuer.Session{}, 0, err
	}
	return u, s, outcome, err
}
