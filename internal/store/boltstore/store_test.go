package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/users"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return openTest(t, newPath(t)) })
}

func TestContractThroughFaulty(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store {
		return storetest.NewFaulty(openTest(t, newPath(t)))
	})
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "signet.db") }

// openTest opens a store that is checked and closed when the test ends.
func openTest(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { checkClosed(t, s) })
	return s
}

// checkClosed closes the store, unless the test has done so, and checks the file.
func checkClosed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	again, err := Open(s.path, Options{})
	if err != nil {
		t.Error(err)
		return
	}
	if err := errors.Join(again.Check(), again.Close()); err != nil {
		t.Error(err)
	}
}

var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func testSession(n int) issuer.Session {
	return issuer.Session{
		ID: fmt.Sprintf("%032x", n), Subject: fmt.Sprintf("%032x", n%7), Client: "web",
		Created: testNow, Rotated: testNow, Expires: testNow.Add(time.Hour), Ends: testNow.Add(2 * time.Hour),
		Current: fmt.Sprintf("%032x", n+1), KID: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
	}
}

// testClient has instants with milliseconds: the store keeps them.
var testClient = oauth.Client{
	ID: "billing", Grants: []string{"client_credentials"}, Scopes: []string{"read"}, Audiences: []string{"ledger"},
	Secrets: []oauth.Secret{{Hash: []byte("hash"), Created: testNow.Add(time.Millisecond)}},
	Created: testNow.Add(999 * time.Millisecond),
}

// fill writes n sessions, a user and a client.
func fill(t testing.TB, s *Store, n int) {
	t.Helper()
	err := s.write(t.Context(), func(t *tx) error {
		for i := range n {
			session := testSession(i)
			if err := storeSession(t, session); err != nil {
				return err
			}
			if err := t.put(bucketBySubject, subjectKey(session.Subject, session.ID), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, s.CreateUser(t.Context(), users.User{ID: "1", Name: "kyoko"}), s.CreateClient(t.Context(), testClient)); err != nil {
		t.Fatal(err)
	}
}

func TestReopen(t *testing.T) {
	path := newPath(t)
	s := openTest(t, path)
	fill(t, s, 500)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, path)
	all, err := again.ListSessions(t.Context(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var want []issuer.Session
	for i := range 500 {
		want = append(want, testSession(i))
	}
	if d := cmp.Diff(want, all); d != "" {
		t.Errorf("sessions after reopening (-want +got):\n%s", d)
	}
	if u, err := again.UserByName(t.Context(), "kyoko"); err != nil || u.ID != "1" {
		t.Errorf("user after reopening: %v, %v", u, err)
	}
	client, err := again.Client(t.Context(), testClient.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantClient := testClient
	wantClient.Version = 1
	if d := cmp.Diff(wantClient, client); d != "" {
		t.Errorf("client after reopening (-want +got):\n%s", d)
	}
}

func TestFileMode(t *testing.T) {
	s := openTest(t, newPath(t))
	info, err := os.Stat(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %o, want 600", got)
	}
	entries, err := os.ReadDir(filepath.Dir(s.Path()))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want the database alone", entries, err)
	}
}

func TestSessionRecordSize(t *testing.T) {
	session := testSession(1)
	session.ID, session.Subject = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	session.Current, session.Previous = session.Subject, session.ID
	session.Generation, session.Client = 100_000, "mobile-app-client"
	b, err := encodeSession(session)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) >= 200 {
		t.Errorf("a session takes %d bytes, want less than 200", len(b))
	}
	t.Logf("a session takes %d bytes", len(b))
}

func TestAssertionIsRememberedAcrossARestart(t *testing.T) {
	path, expires := newPath(t), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := openTest(t, path)
	if err := errors.Join(s.UseAssertion(t.Context(), "billing", "one", expires), s.Close()); err != nil {
		t.Fatal(err)
	}
	err := openTest(t, path).UseAssertion(t.Context(), "billing", "one", expires)
	if !errors.Is(err, oauth.ErrReplayed) {
		t.Errorf("got %v, want %v", err, oauth.ErrReplayed)
	}
}
