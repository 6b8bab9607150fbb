package users_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/store/boltstore"
	"signet/internal/store/storetest"
	"signet/users"
	"signet/users/passhash"
)

// cheap are parameters for tests: a hash takes some ten microseconds.
var cheap = users.Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64}

const password = "correct horse battery staple"

// noon is the instant at which tests begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fixture is a directory over a real store that can be made to fail.
type fixture struct {
	*users.Directory
	store *storetest.Faulty
	now   time.Time
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{store: storetest.NewFaulty(openStore(t)), now: noon}
	f.Directory = newDirectory(t, f.store, func() time.Time { return f.now })
	return f
}

func openStore(t testing.TB) *boltstore.Store {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "signet.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Check(); err != nil {
			t.Errorf("the database after the test: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func newDirectory(t testing.TB, store users.Store, now func() time.Time) *users.Directory {
	t.Helper()
	d, err := users.New(users.Options{Store: store, Params: cheap, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (f *fixture) create(t testing.TB, name string) users.User {
	t.Helper()
	u, err := f.Create(t.Context(), name, password, users.Profile{})
	if err != nil {
		t.Fatalf("Create(%q): %v", name, err)
	}
	return u
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error = %v, want %v", what, got, want)
	}
}

// TestMain also looks into the log of the whole suite: no password and no hash
// is written to it.
func TestMain(m *testing.M) {
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	code := m.Run()
	for _, secret := range []string{password, "$argon2id$"} {
		if bytes.Contains(log.Bytes(), []byte(secret)) {
			fmt.Fprintf(os.Stderr, "the log holds %q\n", secret)
			code = 1
		}
	}
	os.Exit(code)
}

func TestCreatedAccountIsStoredAsReturned(t *testing.T) {
	f := newFixture(t)
	f.now = noon.Add(678 * time.Millisecond)
	u := f.create(t, "Kyoko")
	want := users.User{ID: u.ID, Name: "kyoko", Hash: u.Hash, Created: noon, PasswordChanged: noon, Version: 1}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Errorf("created account (-want +got):\n%s", diff)
	}
	for how, get := range map[string]func() (users.User, error){
		"ByID":   func() (users.User, error) { return f.ByID(t.Context(), u.ID) },
		"ByName": func() (users.User, error) { return f.ByName(t.Context(), "KYOKO") },
		"Authenticate": func() (users.User, error) {
			return f.Authenticate(t.Context(), "kYOKO", password)
		},
	} {
		got, err := get()
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if diff := cmp.Diff(u, got); diff != "" {
			t.Errorf("%s (-created +got):\n%s", how, diff)
		}
	}
	if len(u.ID) < 26 || strings.Contains(u.ID, "kyoko") {
		t.Errorf("ID = %q, want 128 random bits", u.ID)
	}
}

func TestNameIsTakenInEverySpelling(t *testing.T) {
	f := newFixture(t)
	f.create(t, "émile")
	for _, name := range []string{"émile", "ÉMILE", "e\u0301mile", "ｅ\u0301ｍｉｌｅ", "E\u0301Mile"} {
		_, err := f.Create(t.Context(), name, password, users.Profile{})
		wantErr(t, fmt.Sprintf("Create(%+q)", name), err, users.ErrExists)
	}
	if all, err := f.List(t.Context(), "", 10); err != nil || len(all) != 1 {
		t.Errorf("%d accounts, error %v, want one", len(all), err)
	}
}

func TestOneOfManyCreationsWithOneNameSucceeds(t *testing.T) {
	f := newFixture(t)
	const callers = 16
	var wg sync.WaitGroup
	errs := make([]error, callers)
	for i := range callers {
		wg.Go(func() { _, errs[i] = f.Create(t.Context(), "kyoko", password, users.Profile{}) })
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		wantErr(t, "Create", err, users.ErrExists)
	}
	if made != 1 {
		t.Errorf("%d creations succeeded, want 1", made)
	}
}

func TestWhyALoginFailedIsNeverSaid(t *testing.T) {
	f := newFixture(t)
	f.create(t, "kyoko")
	f.create(t, "disabled")
	if _, err := f.Disable(t.Context(), "disabled"); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ what, name, password string }{
		{"wrong password", "kyoko", password + "."},
		{"password in other case", "kyoko", strings.ToUpper(password)},
		{"password with a space", "kyoko", password + " "},
		{"password cut", "kyoko", password[:len(password)-1]},
		{"empty password", "kyoko", ""},
		{"password too long", "kyoko", strings.Repeat("x", users.MaxPasswordBytes+1)},
		{"password not UTF-8", "kyoko", "\xff"},
		{"unknown user", "nobody", password},
		{"disabled user", "disabled", password},
		{"disabled user, wrong password", "disabled", "wrong"},
		{"empty name", "", password},
		{"name no account can have", "no body", password},
		{"name too long", strings.Repeat("n", users.MaxNameBytes+1), password},
	}
	for _, tt := range tests {
		_, err := f.Authenticate(t.Context(), tt.name, tt.password)
		wantErr(t, tt.what, err, users.ErrCredentials)
		if err != nil && err.Error() != users.ErrCredentials.Error() {
			t.Errorf("%s: the text %q differs from that of the other causes", tt.what, err)
		}
	}
	if _, err := f.Enable(t.Context(), "disabled"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(t.Context(), "disabled", password); err != nil {
		t.Errorf("login after the account was enabled again: %v", err)
	}
}

// The time of a login is the time of its hashes. Counting them does not depend
// on the machine.
func TestEveryLoginCostsOneHash(t *testing.T) {
	f := newFixture(t)
	u := f.create(t, "kyoko")
	f.create(t, "disabled")
	if _, err := f.Disable(t.Context(), "disabled"); err != nil {
		t.Fatal(err)
	}
	if err := f.store.CreateUser(t.Context(), users.User{ID: "no-password", Name: "no-password"}); err != nil {
		t.Fatal(err)
	}
	if kind, err := f.DecoyKind(t.Context(), "nobody"); err != nil || kind != users.HashKind(u.Hash) {
		t.Errorf("the hash that stands in for an unknown user is %s (%v), that of an account %s", kind, err, users.HashKind(u.Hash))
	}
	count := users.CountHashes(t, f.Directory)
	tests := []struct {
		what, name, password string
		hashes               int
	}{
		{"an account", "kyoko", password, 1},
		{"wrong password", "kyoko", "wrong", 1},
		{"unknown user", "nobody", password, 1},
		{"name no account can have", "no body", password, 1},
		{"empty name", "", password, 1},
		{"disabled user", "disabled", password, 1},
		{"disabled user, wrong password", "disabled", "wrong", 1},
		{"account without a password", "no-password", password, 1},
		// What no account can have as a password says nothing of any account.
		{"impossible password", "kyoko", "", 0},
		{"impossible password, unknown user", "nobody", "", 0},
	}
	for _, tt := range tests {
		before := count()
		_, err := f.Authenticate(t.Context(), tt.name, tt.password)
		if tt.what != "an account" {
			wantErr(t, tt.what, err, users.ErrCredentials)
		} else if err != nil {
			t.Fatal(err)
		}
		if got := count() - before; got != tt.hashes {
			t.Errorf("%s: %d hashes, want %d", tt.what, got, tt.hashes)
		}
	}
}

func TestPasswordLimits(t *testing.T) {
	f := newFixture(t)
	longest := strings.Repeat("long word", 113) + "longer!"
	for what, bad := range map[string]string{
		"empty": "", "1025 bytes": longest + "x", "1025 bytes in 1024 characters": longest[1:] + "é",
		"a short text, repeated": strings.Repeat("abc", 20), "not UTF-8": "pass\xffword",
	} {
		_, err := f.Create(t.Context(), "refused", bad, users.Profile{})
		wantErr(t, "Create, "+what, err, users.ErrPassword)
	}
	if _, err := f.ByName(t.Context(), "refused"); !errors.Is(err, users.ErrNotFound) {
		t.Errorf("ByName after refused passwords = %v, want %v", err, users.ErrNotFound)
	}
	u, err := f.Create(t.Context(), "kyoko", longest, users.Profile{})
	if err != nil {
		t.Fatalf("a password of 1024 bytes: %v", err)
	}
	_, err = f.SetPassword(t.Context(), "kyoko", longest+"x")
	wantErr(t, "SetPassword, 1025 bytes", err, users.ErrPassword)
	if got, err := f.Authenticate(t.Context(), "kyoko", longest); err != nil || got.ID != u.ID {
		t.Errorf("login with 1024 bytes: %v", err)
	}
}

func TestPasswordsAreNeverCutOrChanged(t *testing.T) {
	f := newFixture(t)
	stem := strings.Repeat("x", 1023)
	exact := []string{stem + "a", stem[:71] + "a", " both ends ", "Case", "é", "日本語パスワード"}
	others := []string{stem + "b", stem[:71] + "b", "both ends", "case", "e", "日本語パスワート"}
	for i, right := range exact {
		name := fmt.Sprintf("user%d", i)
		if _, err := f.Create(t.Context(), name, right, users.Profile{}); err != nil {
			t.Fatalf("Create with %.20q: %v", right, err)
		}
		if _, err := f.Authenticate(t.Context(), name, right); err != nil {
			t.Errorf("login with %.20q: %v", right, err)
		}
		_, err := f.Authenticate(t.Context(), name, others[i])
		wantErr(t, fmt.Sprintf("login with %.20q for %.20q", others[i], right), err, users.ErrCredentials)
	}
}

func TestHashFromElsewhereLogsInAndIsUpgraded(t *testing.T) {
	const imported = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	f := newFixture(t)
	if err := f.store.CreateUser(t.Context(), users.User{ID: "1", Name: "kyoko", Hash: imported, PasswordChanged: noon}); err != nil {
		t.Fatal(err)
	}
	_, err := f.Authenticate(t.Context(), "kyoko", "Password")
	wantErr(t, "wrong password", err, users.ErrCredentials)
	if u, _ := f.ByID(t.Context(), "1"); u.Hash != imported {
		t.Fatal("a failed login changed the hash")
	}
	f.now = noon.Add(time.Hour)
	u, err := f.Authenticate(t.Context(), "kyoko", "password")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := f.ByID(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stored, u); diff != "" {
		t.Errorf("returned account differs from the stored one (-stored +returned):\n%s", diff)
	}
	if !strings.HasPrefix(stored.Hash, "$argon2id$v=19$m=64,t=1,p=1$") || !stored.PasswordChanged.Equal(noon) {
		t.Errorf("hash %.30s, password changed %s; want new parameters and the old instant", stored.Hash, stored.PasswordChanged)
	}
	if _, err := f.Authenticate(t.Context(), "kyoko", "password"); err != nil {
		t.Errorf("login with the upgraded hash: %v", err)
	}
}

func TestChangedParametersUpgradeTheHashAtTheNextLogin(t *testing.T) {
	f := newFixture(t)
	u := f.create(t, "kyoko")
	stronger := users.Params{MemoryKiB: 128, Time: 2, Threads: 2, Queue: 1}
	if err := f.SetParams(stronger); err != nil {
		t.Fatal(err)
	}
	count := users.CountHashes(t, f.Directory)
	for login, want := range []int{2, 1} { // the upgrade costs a hash, once
		before := count()
		if _, err := f.Authenticate(t.Context(), "kyoko", password); err != nil {
			t.Fatal(err)
		}
		if got := count() - before; got != want {
			t.Errorf("login %d after the change: %d hashes, want %d", login, got, want)
		}
	}
	stored, err := f.ByID(t.Context(), u.ID)
	if err != nil || !strings.HasPrefix(stored.Hash, "$argon2id$v=19$m=128,t=2,p=2$") {
		t.Errorf("hash = %.30s, error %v, want the new parameters", stored.Hash, err)
	}
	if err := f.SetParams(users.Params{}); err == nil {
		t.Error("SetParams takes parameters that argon2 does not")
	}
	f.now = f.now.Add(time.Minute)
	if kind, err := f.DecoyKind(t.Context(), "nobody"); err != nil || kind != users.HashKind(stored.Hash) {
		t.Errorf("an unknown user costs %s (%v), an upgraded account %s", kind, err, users.HashKind(stored.Hash))
	}
}

func TestFailedUpgradeIsNoReasonToFailALogin(t *testing.T) {
	f := newFixture(t)
	u := f.create(t, "kyoko")
	if err := f.SetParams(users.Params{MemoryKiB: 128, Time: 1, Threads: 1, Queue: 1}); err != nil {
		t.Fatal(err)
	}
	f.store.FailNext("UpdateUser", storetest.NotApplied)
	got, err := f.Authenticate(t.Context(), "kyoko", password)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(u, got); diff != "" {
		t.Errorf("account (-stored +returned):\n%s", diff)
	}
}

func TestUnreadableStoredHashIsNotAWrongPassword(t *testing.T) {
	f := newFixture(t)
	if err := f.store.CreateUser(t.Context(), users.User{ID: "1", Name: "kyoko", Hash: "$argon2id$v=19$m=4194304,t=99,p=1$c29tZXNhbHQ$AAAA"}); err != nil {
		t.Fatal(err)
	}
	_, err := f.Authenticate(t.Context(), "kyoko", password)
	wantErr(t, "Authenticate", err, passhash.ErrCost)
	if err != nil && strings.Contains(err.Error(), "AAAA") {
		t.Errorf("the error %q holds the hash", err)
	}
}

func TestBusyDirectorySaysSoToEveryone(t *testing.T) {
	f := newFixture(t)
	f.create(t, "kyoko")
	users.Occupy(f.Directory)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"kyoko", "nobody"} {
		setQueue(t, f, 0)
		_, err := f.Authenticate(t.Context(), name, password)
		if busy := (*users.BusyError)(nil); !errors.As(err, &busy) {
			t.Errorf("%s: error = %v, want a *BusyError", name, err)
		}
		setQueue(t, f, 1)
		_, err = f.Authenticate(canceled, name, password)
		wantErr(t, name, err, context.Canceled)
	}
}

func setQueue(t *testing.T, f *fixture, queue int) {
	t.Helper()
	p := cheap
	p.Queue = queue
	if err := f.SetParams(p); err != nil {
		t.Fatal(err)
	}
}

func TestRecreatedNameGetsAnotherID(t *testing.T) {
	f := newFixture(t)
	first := f.create(t, "kyoko")
	removed, err := f.Remove(t.Context(), "KYOKO")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, removed); diff != "" {
		t.Errorf("removed account (-created +removed):\n%s", diff)
	}
	_, err = f.Authenticate(t.Context(), "kyoko", password)
	wantErr(t, "login after removal", err, users.ErrCredentials)
	second := f.create(t, "kyoko")
	if second.ID == first.ID {
		t.Error("the ID was given to another account")
	}
	_, err = f.ByID(t.Context(), first.ID)
	wantErr(t, "ByID of the removed account", err, users.ErrNotFound)
}

func TestChangesOfMissingAccountsAreNotFound(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"nobody", "", "no body"} {
		for what, change := range map[string]func() (users.User, error){
			"ByName":      func() (users.User, error) { return f.ByName(t.Context(), name) },
			"SetPassword": func() (users.User, error) { return f.SetPassword(t.Context(), name, password) },
			"Enable":      func() (users.User, error) { return f.Enable(t.Context(), name) },
			"Disable":     func() (users.User, error) { return f.Disable(t.Context(), name) },
			"Remove":      func() (users.User, error) { return f.Remove(t.Context(), name) },
		} {
			_, err := change()
			wantErr(t, fmt.Sprintf("%s(%q)", what, name), err, users.ErrNotFound)
		}
	}
	_, err := f.ByID(t.Context(), "nobody")
	wantErr(t, "ByID", err, users.ErrNotFound)
}

func TestSetPasswordReplacesTheOldOne(t *testing.T) {
	f := newFixture(t)
	f.create(t, "kyoko")
	f.now = noon.Add(time.Hour)
	u, err := f.SetPassword(t.Context(), "Kyoko", "another one")
	if err != nil {
		t.Fatal(err)
	}
	if !u.PasswordChanged.Equal(f.now) || !u.Created.Equal(noon) || u.Version != 2 {
		t.Errorf("changed %s, created %s, version %d", u.PasswordChanged, u.Created, u.Version)
	}
	_, err = f.Authenticate(t.Context(), "kyoko", password)
	wantErr(t, "login with the old password", err, users.ErrCredentials)
	if _, err := f.Authenticate(t.Context(), "kyoko", "another one"); err != nil {
		t.Errorf("login with the new password: %v", err)
	}
}

// Each new password begins another epoch, and so does each time the account is
// disabled: the sessions of the one before are over.
func TestEpochCountsWhatEndsSessions(t *testing.T) {
	f := newFixture(t)
	if u := f.create(t, "kyoko"); u.Epoch != 0 {
		t.Fatalf("a new account is in epoch %d", u.Epoch)
	}
	ctx := t.Context()
	for i, change := range []struct {
		do    func() (users.User, error)
		epoch uint64
	}{
		{func() (users.User, error) { return f.SetPassword(ctx, "kyoko", "another one") }, 1},
		{func() (users.User, error) { return f.SetPassword(ctx, "kyoko", "another one") }, 2},
		{func() (users.User, error) { return f.Disable(ctx, "kyoko") }, 3},
		{func() (users.User, error) { return f.Enable(ctx, "kyoko") }, 3},
		{func() (users.User, error) { return f.Authenticate(ctx, "kyoko", "another one") }, 3},
	} {
		if u, err := change.do(); err != nil || u.Epoch != change.epoch {
			t.Errorf("change %d: epoch %d, want %d: %v", i, u.Epoch, change.epoch, err)
		}
	}
}

// One keyboard sends é as one code point and another as two.
func TestPasswordIsTheSameInBothFormsOfUnicode(t *testing.T) {
	f := newFixture(t)
	if _, err := f.Create(t.Context(), "kyoko", "caf\u00e9 au lait", users.Profile{}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(t.Context(), "kyoko", "cafe\u0301 au lait"); err != nil {
		t.Errorf("login with the decomposed form: %v", err)
	}
}

func TestPasswordWithNULIsRefused(t *testing.T) {
	_, err := newFixture(t).Create(t.Context(), "kyoko", "a\x00b", users.Profile{})
	wantErr(t, "Create with a NUL", err, users.ErrPassword)
}

// meddler changes the account before each of the next so many updates.
type meddler struct {
	users.Store
	left int
}

func (m *meddler) UpdateUser(ctx context.Context, u users.User) error {
	if m.left > 0 {
		m.left--
		stored, err := m.Store.UserByID(ctx, u.ID)
		if err != nil {
			return err
		}
		if err := m.Store.UpdateUser(ctx, stored); err != nil {
			return err
		}
	}
	return m.Store.UpdateUser(ctx, u)
}

func TestUpdateIsTriedAgainAfterConflicts(t *testing.T) {
	for conflicts, want := range map[int]error{0: nil, 1: nil, 9: nil, 10: users.ErrConflict} {
		f := newFixture(t)
		f.create(t, "kyoko")
		d := newDirectory(t, &meddler{Store: f.store, left: conflicts}, nil)
		_, err := d.Disable(t.Context(), "kyoko")
		wantErr(t, fmt.Sprintf("Disable after %d conflicts", conflicts), err, want)
		stored, err := f.ByName(t.Context(), "kyoko")
		if err != nil || stored.Disabled != (want == nil) {
			t.Errorf("after %d conflicts: disabled = %v, error %v", conflicts, stored.Disabled, err)
		}
	}
}

// Each conflict is someone else's success, so ten callers cannot exhaust ten tries.
func TestNoUpdateIsLostUnderContention(t *testing.T) {
	f := newFixture(t)
	f.create(t, "kyoko")
	const callers = 10
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			change := func() (users.User, error) { return f.Disable(t.Context(), "kyoko") }
			if i%2 == 0 {
				change = func() (users.User, error) { return f.SetPassword(t.Context(), "kyoko", "another one") }
			}
			if _, err := change(); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	u, err := f.ByName(t.Context(), "kyoko")
	if err != nil {
		t.Fatal(err)
	}
	if u.Version != 1+callers || !u.Disabled {
		t.Errorf("version %d, disabled %v; want %d and true", u.Version, u.Disabled, 1+callers)
	}
	if _, err := f.Enable(t.Context(), "kyoko"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(t.Context(), "kyoko", "another one"); err != nil {
		t.Errorf("login with the password set under contention: %v", err)
	}
}

func TestStoreFailuresArePassedOn(t *testing.T) {
	calls := []struct {
		method string
		call   func(context.Context, *users.Directory) error
	}{
		{"CreateUser", func(ctx context.Context, d *users.Directory) error {
			_, err := d.Create(ctx, "noriko", password, users.Profile{})
			return err
		}},
		{"UserByName", func(ctx context.Context, d *users.Directory) error {
			_, err := d.Authenticate(ctx, "kyoko", password)
			return err
		}},
		{"UserByName", func(ctx context.Context, d *users.Directory) error {
			_, err := d.ByName(ctx, "kyoko")
			return err
		}},
		{"UserByID", func(ctx context.Context, d *users.Directory) error {
			_, err := d.ByID(ctx, "x")
			return err
		}},
		{"UpdateUser", func(ctx context.Context, d *users.Directory) error {
			_, err := d.SetPassword(ctx, "kyoko", password)
			return err
		}},
		{"UserByName", func(ctx context.Context, d *users.Directory) error {
			_, err := d.Disable(ctx, "kyoko")
			return err
		}},
		{"UpdateUser", func(ctx context.Context, d *users.Directory) error {
			_, err := d.Disable(ctx, "kyoko")
			return err
		}},
		{"UpdateUser", func(ctx context.Context, d *users.Directory) error {
			_, err := d.Enable(ctx, "kyoko")
			return err
		}},
		{"RemoveUser", func(ctx context.Context, d *users.Directory) error {
			_, err := d.Remove(ctx, "kyoko")
			return err
		}},
		{"Users", func(ctx context.Context, d *users.Directory) error {
			_, err := d.List(ctx, "", 10)
			return err
		}},
	}
	for _, c := range calls {
		for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedButFailed} {
			f := newFixture(t)
			f.create(t, "kyoko")
			f.store.FailNext(c.method, fault)
			err := c.call(t.Context(), f.Directory)
			wantErr(t, fmt.Sprintf("%s, fault %d", c.method, fault), err, storetest.ErrFault)
			if errors.Is(err, users.ErrCredentials) || errors.Is(err, users.ErrNotFound) {
				t.Errorf("%s: a failing store is reported as %v", c.method, err)
			}
		}
	}
}

func TestListGoesThroughAllNamesInPages(t *testing.T) {
	f := newFixture(t)
	want := []string{"alice", "bob", "kyoko", "émile", "日本"}
	for _, name := range []string{"日本", "kyoko", "Alice", "émile", "bob"} {
		f.create(t, name)
	}
	var got []string
	for after := ""; ; {
		page, err := f.List(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page {
			got = append(got, u.Name)
			after = u.Name
		}
		if len(page) < 2 {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	store := openStore(b)
	d, err := users.New(users.Options{Store: store, Params: users.Params{MemoryKiB: 19 * 1024, Time: 2, Threads: 1, Queue: 64}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := d.Create(b.Context(), "kyoko", password, users.Profile{}); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ what, name, password string }{
		{"account", "kyoko", password}, {"wrong", "kyoko", "wrong"}, {"unknown", "nobody", password},
	} {
		b.Run(c.what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Authenticate(b.Context(), c.name, c.password); (err == nil) != (c.what == "account") {
					b.Fatal(err)
				}
			}
		})
	}
}
