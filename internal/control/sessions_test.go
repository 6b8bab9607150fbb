package control

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"signet/issuer"
	"signet/keystore"
	"signet/users"
)

// endings are the changes of an account that end its sessions, and why their
// tokens are refused then.
var endings = map[string]struct {
	change func(ctx context.Context, door Door) (ChangedUser, error)
	token  error
}{
	"passwd": {func(ctx context.Context, door Door) (ChangedUser, error) {
		return SetPassword.Do(ctx, door, NewPassword{"kyoko", "another password"})
	}, issuer.ErrNoSession},
	"disable": {func(ctx context.Context, door Door) (ChangedUser, error) {
		return DisableUser.Do(ctx, door, UserName{"kyoko"})
	}, issuer.ErrInactive},
	"remove": {func(ctx context.Context, door Door) (ChangedUser, error) {
		return RemoveUser.Do(ctx, door, UserName{"kyoko"})
	}, issuer.ErrInactive},
}

// TestAccountChangesEndItsSessions, and those of no other account.
func TestAccountChangesEndItsSessions(t *testing.T) {
	for name, e := range endings {
		t.Run(name, func(t *testing.T) {
			throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
				f.create(t, "kyoko", "mori")
				tokens, other := f.login(t, "kyoko"), f.login(t, "mori")
				f.login(t, "kyoko")
				changed, err := e.change(t.Context(), door)
				must(t, err)
				if changed.SessionsEnded != 2 || changed.User.Name != "kyoko" {
					t.Errorf("%+v, want two sessions of kyoko ended", changed)
				}
				if _, err := f.Issuer.Refresh(t.Context(), tokens.Refresh); !errors.Is(err, e.token) {
					t.Errorf("Refresh after it: %v, want %v", err, e.token)
				}
				if _, err := f.Issuer.Verify(t.Context(), tokens.Access); !errors.Is(err, e.token) {
					t.Errorf("Verify after it: %v, want %v", err, e.token)
				}
				if _, err := f.Issuer.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password}); !errors.Is(err, users.ErrCredentials) {
					t.Errorf("Login after it: %v, want %v", err, users.ErrCredentials)
				}
				if _, err := f.Issuer.Refresh(t.Context(), other.Refresh); err != nil {
					t.Errorf("the session of another account: %v", err)
				}
			})
		})
	}
	if len(endings) == 0 {
		t.Error("nothing was tried")
	}
}

// TestRefusedChangesEndNoSession: what is refused leaves the sessions alone.
func TestRefusedChangesEndNoSession(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		f.create(t, "kyoko")
		tokens := f.login(t, "kyoko")
		_, err := SetPassword.Do(t.Context(), door, NewPassword{"kyoko", ""})
		wantRefused(t, err, Error{"this password cannot be used: it is empty", ""})
		_, err = EndSessions.Do(t.Context(), door, SessionEnd{User: "kyoko", All: true})
		wantRefused(t, err, Error{errWhichSessions.Error(), ""})
		_, err = EnableUser.Do(t.Context(), door, UserName{"kyoko"})
		must(t, err)
		if _, err := f.Issuer.Refresh(t.Context(), tokens.Refresh); err != nil {
			t.Errorf("Refresh: %v", err)
		}
	})
}

// TestSessionsEndAlthoughTheAskerHasGone: the command is interrupted, or its
// connection breaks, right after the change was stored.
func TestSessionsEndAlthoughTheAskerHasGone(t *testing.T) {
	revoke := func(f *fixture) func(context.Context, Door) error {
		kid := f.kid(t, "ES256", keystore.Active)
		return func(ctx context.Context, door Door) error {
			_, err := RevokeKey.Do(ctx, door, Revocation{KID: kid})
			return err
		}
	}
	changes := map[string]func(f *fixture) func(context.Context, Door) error{"revoke": revoke}
	for name, e := range endings {
		changes[name] = func(*fixture) func(context.Context, Door) error {
			return func(ctx context.Context, door Door) error {
				_, err := e.change(ctx, door)
				return err
			}
		}
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.create(t, "kyoko")
			f.login(t, "kyoko")
			do := change(f)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			f.store.after = func(context.Context) { interrupt() }
			if err := do(ctx, Local(f.Operator)); err != nil {
				t.Errorf("interrupted after the change: %v", err)
			}
			if left := f.sessions(t, ""); len(left) != 0 {
				t.Errorf("sessions %v are left", left)
			}
		})
	}
}

// TestRevokeEndsTheSessionsOfTheKey, and only those: before and after it there
// are sessions that rest on other keys.
func TestRevokeEndsTheSessionsOfTheKey(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		f.create(t, "kyoko")
		older := f.login(t, "kyoko")
		moved := f.login(t, "kyoko")
		_, err := RotateKeys.Do(t.Context(), door, Rotation{Alg: "ES256", Now: true})
		must(t, err)
		leaked := f.kid(t, "ES256", keystore.Active)
		stolen := f.login(t, "kyoko")
		moved, err = f.Issuer.Refresh(t.Context(), moved.Refresh) // rests on the new key now
		must(t, err)

		dry, err := RevokeKey.Do(t.Context(), door, Revocation{KID: leaked, DryRun: true})
		must(t, err)
		if dry.SessionsEnded != 0 || len(f.sessions(t, "")) != 3 {
			t.Errorf("the dry run ended sessions: %+v", dry)
		}
		revoked, err := RevokeKey.Do(t.Context(), door, Revocation{KID: leaked})
		must(t, err)
		if revoked.SessionsEnded != 2 {
			t.Errorf("%d sessions ended, want the two that rest on the key", revoked.SessionsEnded)
		}
		for name, token := range map[string]string{"new": stolen.Refresh, "refreshed": moved.Refresh} {
			if _, err := f.Issuer.Refresh(t.Context(), token); !errors.Is(err, issuer.ErrUnknownKey) {
				t.Errorf("Refresh of the %s session: %v, want %v", name, err, issuer.ErrUnknownKey)
			}
		}
		if _, err := f.Issuer.Refresh(t.Context(), older.Refresh); err != nil {
			t.Errorf("a session that rests on another key: %v", err)
		}
		after := f.login(t, "kyoko")
		if _, err := f.Issuer.Refresh(t.Context(), after.Refresh); err != nil {
			t.Errorf("a session that began after it: %v", err)
		}
	})
}

// TestDryRunsChangeNothing compares what is stored and what is published.
func TestDryRunsChangeNothing(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		f.create(t, "kyoko")
		tokens := f.login(t, "kyoko")
		state := func() string {
			set, err := GetKeySet.Do(t.Context(), door, struct{}{})
			must(t, err)
			list, err := ListKeys.Do(t.Context(), door, struct{}{})
			must(t, err)
			return encode(t, set) + encode(t, list) + encode(t, f.ring(t)) + encode(t, f.sessions(t, ""))
		}
		before := state()
		tried := 0
		for _, request := range []Rotation{{}, {Alg: "ES384"}, {In: time.Hour}, {Now: true}} {
			request.DryRun = true
			out, err := RotateKeys.Do(t.Context(), door, request)
			must(t, err)
			if want := 2; !out.DryRun || request.Alg == "" && len(out.Takeovers) != want {
				t.Errorf("the plan of %+v is %+v", request, out)
			}
			tried++
		}
		for _, k := range f.Keys.Keys() {
			out, err := RevokeKey.Do(t.Context(), door, Revocation{KID: k.KID, DryRun: true})
			must(t, err)
			if !out.DryRun || out.Old.State != keystore.Revoked || out.New.State != keystore.Active {
				t.Errorf("the plan for %s is %+v", k.KID, out)
			}
			tried++
		}
		if tried != 6 {
			t.Errorf("%d dry runs were tried", tried)
		}
		if after := state(); after != before {
			t.Errorf("a dry run changed\n%s\nto\n%s", before, after)
		}
		if _, err := f.Issuer.Verify(t.Context(), tokens.Access); err != nil {
			t.Errorf("Verify after the dry runs: %v", err)
		}
	})
}

// TestRefusedOperationsLeaveTheRing: a refused change stores nothing.
func TestRefusedOperationsLeaveTheRing(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		_, err := RotateKeys.Do(t.Context(), door, Rotation{Alg: "ES384"})
		must(t, err)
		before := f.ring(t).Version
		// ES256 could be rotated, ES384 cannot: neither is.
		_, err = RotateKeys.Do(t.Context(), door, Rotation{})
		if e := refused(t, err); !strings.HasPrefix(e.Message, "ES384: a rotation is under way: ") {
			t.Errorf("refused with %+v", *e)
		}
		_, err = RevokeKey.Do(t.Context(), door, Revocation{KID: "none"})
		wantRefused(t, err, Error{`no such key: "none"`, hintKeys})
		if after := f.ring(t).Version; after != before {
			t.Errorf("the ring went from version %d to %d", before, after)
		}
	})
}

// TestEndOne ends the session that was named and no other.
func TestEndOne(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		loggedIn(nil)(t, f)
		before := f.sessions(t, "")
		ended, err := EndSessions.Do(t.Context(), door, SessionEnd{ID: before[0]})
		must(t, err)
		if after := f.sessions(t, ""); ended.Sessions != 1 || !slices.Equal(after, before[1:]) {
			t.Errorf("%d ended; sessions %v were %v", ended.Sessions, after, before)
		}
		_, err = EndSessions.Do(t.Context(), door, SessionEnd{ID: before[0]})
		wantRefused(t, err, Error{`"` + before[0] + `": no such session, or it has ended`, hintSessions})
	})
}
