// Package storetest says what "a store" means: Run holds the contracts of
// keystore, users, issuer and oauth against a backend, with real contention.
// Faulty makes a store fail, for the error paths of those who use one.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/audit"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

// Store is all that a backend implements.
type Store interface {
	keystore.Store
	users.Store
	issuer.Store
	oauth.Store
	audit.Marks
}

// Run tests the whole contract. open returns a new, empty store and cleans up
// by t.Cleanup; it is called once for each test.
func Run(t *testing.T, open func(t *testing.T) Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s Store)
	}{
		{"RingRoundTrip", testRingRoundTrip},
		{"RingConflict", testRingConflict},
		{"RingRace", testRingRace},

		{"UserRoundTrip", testUserRoundTrip},
		{"UserExists", testUserExists},
		{"UserNotFound", testUserNotFound},
		{"UserUpdate", testUserUpdate},
		{"UserRemove", testUserRemove},
		{"UserPages", testUserPages},
		{"UserCreateRace", testUserCreateRace},
		{"UserUpdateRace", testUserUpdateRace},
		{"UserID", testUserID},
		{"UserIDRace", testUserIDRace},
		{"HashKinds", testHashKinds},
		{"AuditMark", testAuditMark},

		{"SessionRoundTrip", testSessionRoundTrip},
		{"SessionExists", testSessionExists},
		{"SessionMissing", testSessionMissing},
		{"SessionOutcomes", testSessionOutcomes},
		{"SessionSuperseded", testSessionSuperseded},
		{"SessionAdvanceRace", testSessionAdvanceRace},
		{"SessionCreateRace", testSessionCreateRace},
		{"SessionEndRace", testSessionEndRace},
		{"SessionPages", testSessionPages},
		{"SessionPagesBySubject", testSessionPagesBySubject},
		{"SessionEndSubject", testSessionEndSubject},
		{"SessionEndSubjectRace", testSessionEndSubjectRace},
		{"Sweep", testSweep},
		{"SweepPages", testSweepPages},
		{"SweepRace", testSweepRace},

		{"ClientRoundTrip", testClientRoundTrip},
		{"ClientEmptyLists", testClientEmptyLists},
		{"ClientCopies", testClientCopies},
		{"ClientExists", testClientExists},
		{"ClientNotFound", testClientNotFound},
		{"ClientUpdate", testClientUpdate},
		{"ClientUpdateOrder", testClientUpdateOrder},
		{"ClientRemove", testClientRemove},
		{"ClientPages", testClientPages},
		{"ClientCreateRace", testClientCreateRace},
		{"ClientUpdateRace", testClientUpdateRace},
		{"ClientRemoveRace", testClientRemoveRace},

		{"AssertionOnce", testAssertionOnce},
		{"AssertionRace", testAssertionRace},
		{"AssertionSweep", testAssertionSweep},
		{"Cancelled", testCancelled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

// start is the instant the tests begin at: with milliseconds, which a store
// must keep.
var start = time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC)

// hex32 is an identifier of the form that users and sessions have.
func hex32(kind byte, n int) string { return fmt.Sprintf("%02x%030x", kind, n) }

// together runs fn n times at once and returns the errors in order.
func together(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-gate
			errs[i] = fn(i)
		})
	}
	close(gate)
	wg.Wait()
	return errs
}

// wantOne fails unless exactly one of errs is nil and the others are refusal.
func wantOne(t *testing.T, errs []error, refusal error) {
	t.Helper()
	won := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, refusal):
			t.Errorf("call %d: got %v, want nil or %v", i, err, refusal)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d calls succeeded, want 1", won, len(errs))
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// wantUTC fails for an instant in another zone: it would be shown so.
func wantUTC(t *testing.T, what string, instants ...time.Time) {
	t.Helper()
	for _, at := range instants {
		if at.Location() != time.UTC {
			t.Errorf("%s: %v is not in UTC", what, at)
		}
	}
}

// testCancelled: a context that has ended stops every method, and nothing is
// changed.
func testCancelled(t *testing.T, s Store) {
	user, session, client := sampleUser(1), sampleSession(1, 1), sampleClient(1)
	must(t, s.CreateUser(t.Context(), user))
	must(t, s.CreateSession(t.Context(), session))
	must(t, s.CreateClient(t.Context(), client))
	client.Version = 1
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	wantErr(t, "LoadRing", err2(s.LoadRing(ctx)), context.Canceled)
	wantErr(t, "ReplaceRing", s.ReplaceRing(ctx, sampleRing()), context.Canceled)
	wantErr(t, "CreateUser", s.CreateUser(ctx, sampleUser(2)), context.Canceled)
	wantErr(t, "UserByName", err2(s.UserByName(ctx, user.Name)), context.Canceled)
	wantErr(t, "UserByID", err2(s.UserByID(ctx, user.ID)), context.Canceled)
	wantErr(t, "UpdateUser", s.UpdateUser(ctx, user), context.Canceled)
	wantErr(t, "RemoveUser", s.RemoveUser(ctx, user.ID), context.Canceled)
	wantErr(t, "Users", err2(s.Users(ctx, "", 9)), context.Canceled)
	wantErr(t, "CreateSession", s.CreateSession(ctx, sampleSession(2, 1)), context.Canceled)
	wantErr(t, "Session", err2(s.Session(ctx, session.ID)), context.Canceled)
	_, _, err := s.AdvanceSession(ctx, session.ID, sampleStep(session, 1))
	wantErr(t, "AdvanceSession", err, context.Canceled)
	wantErr(t, "EndSession", s.EndSession(ctx, session.ID), context.Canceled)
	wantErr(t, "ListSessions", err2(s.ListSessions(ctx, "", "", 9)), context.Canceled)
	wantErr(t, "EndSubjectSessions", err2(s.EndSubjectSessions(ctx, session.Subject)), context.Canceled)
	_, _, err = s.SweepSessions(ctx, issuer.Sweep{All: true}, "", 9)
	wantErr(t, "SweepSessions", err, context.Canceled)
	wantErr(t, "CreateClient", s.CreateClient(ctx, sampleClient(2)), context.Canceled)
	wantErr(t, "Client", err2(s.Client(ctx, client.ID)), context.Canceled)
	wantErr(t, "UpdateClient", s.UpdateClient(ctx, client), context.Canceled)
	wantErr(t, "RemoveClient", s.RemoveClient(ctx, client.ID), context.Canceled)
	wantErr(t, "Clients", err2(s.Clients(ctx, "", 9)), context.Canceled)

	ring, err := s.LoadRing(t.Context())
	must(t, err)
	wantEqual(t, "ring", ring, keystore.Ring{})
	accounts, err := s.Users(t.Context(), "", 9)
	must(t, err)
	user.Version = 1
	wantEqual(t, "users", accounts, []users.User{user})
	sessions, err := s.ListSessions(t.Context(), "", "", 9)
	must(t, err)
	wantEqual(t, "sessions", sessions, []issuer.Session{session})
	clients, err := s.Clients(t.Context(), "", 9)
	must(t, err)
	wantEqual(t, "clients", clients, []oauth.Client{client})
}

func err2[T any](_ T, err error) error { return err }
