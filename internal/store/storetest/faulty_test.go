package storetest_test

import (
	"errors"
	"path/filepath"
	"testing"

	"signet/internal/store/boltstore"
	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/users"
)

func TestFaulty(t *testing.T) {
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "signet.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	faulty := storetest.NewFaulty(store)
	ctx, user := t.Context(), users.User{ID: "1", Name: "kyoko"}

	faulty.FailNext("CreateUser", storetest.NotApplied)
	faulty.FailNext("CreateUser", storetest.AppliedButFailed)
	if err := faulty.CreateUser(ctx, user); !errors.Is(err, storetest.ErrFault) {
		t.Errorf("not applied: got %v, want %v", err, storetest.ErrFault)
	}
	if _, err := faulty.UserByID(ctx, "1"); !errors.Is(err, users.ErrNotFound) {
		t.Errorf("after not applied: got %v, want %v", err, users.ErrNotFound)
	}
	if err := faulty.CreateUser(ctx, user); !errors.Is(err, storetest.ErrFault) {
		t.Errorf("applied but failed: got %v, want %v", err, storetest.ErrFault)
	}
	if _, err := faulty.UserByID(ctx, "1"); err != nil {
		t.Errorf("after applied but failed: %v", err)
	}
	if err := faulty.CreateUser(ctx, user); !errors.Is(err, users.ErrExists) {
		t.Errorf("without a fault: got %v, want %v", err, users.ErrExists)
	}

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(faulty.CreateSession(ctx, issuer.Session{ID: "s", Subject: "1"}))
	faulty.FailNext("SweepSessions", storetest.AppliedButFailed)
	if n, last, err := faulty.SweepSessions(ctx, issuer.Sweep{All: true}, "", 1); n != 0 || last != "" || !errors.Is(err, storetest.ErrFault) {
		t.Errorf("got %d, %q, %v, want no result and %v", n, last, err, storetest.ErrFault)
	}
	if _, err := faulty.Session(ctx, "s"); !errors.Is(err, issuer.ErrNoSession) {
		t.Errorf("after the sweep: got %v, want %v", err, issuer.ErrNoSession)
	}

	client := oauth.Client{ID: "billing", Version: 1}
	must(faulty.CreateClient(ctx, client))
	for _, c := range []struct {
		method string
		call   func() error
	}{
		{"CreateClient", func() error { return faulty.CreateClient(ctx, oauth.Client{ID: "other"}) }},
		{"Client", func() error { _, err := faulty.Client(ctx, client.ID); return err }},
		{"UpdateClient", func() error { return faulty.UpdateClient(ctx, client) }},
		{"RemoveClient", func() error { return faulty.RemoveClient(ctx, client.ID) }},
		{"Clients", func() error { _, err := faulty.Clients(ctx, "", 9); return err }},
	} {
		faulty.FailNext(c.method, storetest.NotApplied)
		if err := c.call(); !errors.Is(err, storetest.ErrFault) {
			t.Errorf("%s: got %v, want %v", c.method, err, storetest.ErrFault)
		}
	}
	all, err := faulty.Clients(ctx, "", 9)
	if err != nil || len(all) != 1 || all[0].Version != 1 {
		t.Errorf("after the faults: got %v, %v, want the first client as it was", all, err)
	}
	faulty.FailNext("RemoveClient", storetest.AppliedButFailed)
	if err := faulty.RemoveClient(ctx, client.ID); !errors.Is(err, storetest.ErrFault) {
		t.Errorf("applied but failed: got %v, want %v", err, storetest.ErrFault)
	}
	if _, err := faulty.Client(ctx, client.ID); !errors.Is(err, oauth.ErrNoClient) {
		t.Errorf("after the removal: got %v, want %v", err, oauth.ErrNoClient)
	}
}
