package users_test

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"signet/internal/store/storetest"
	"signet/users"
	"signet/users/passhash"
)

// pbkdf2Hash is the hash of a password as Django stores it.
func pbkdf2Hash(password string, iterations int) string {
	key, err := pbkdf2.Key(sha256.New, password, []byte("salt"), iterations, sha256.Size)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("pbkdf2_sha256$%d$salt$%s", iterations, base64.StdEncoding.EncodeToString(key))
}

var (
	oldHash   = pbkdf2Hash(password, 10)
	otherHash = pbkdf2Hash("another one", 20)
)

// entry is an account of another system, with everything.
func entry() users.Entry {
	return users.Entry{
		Name: "kyoko", Hash: oldHash, Created: noon.AddDate(-3, 0, 0), PasswordChanged: noon.AddDate(-1, 0, 0),
		Profile: users.Profile{UserID: "42", Email: "k@example.org", GivenName: "Kyōko", FamilyName: "Tanaka", Staff: true,
			Groups: []string{"a", "b"}, Permissions: []string{"orders.add"}, Claims: `{"tenant":"acme"}`},
	}
}

func (f *fixture) imported(t *testing.T, e users.Entry, rules users.ImportRules, want users.Outcome) users.User {
	t.Helper()
	got, err := f.Import(t.Context(), e, rules)
	if err != nil || got.Outcome != want {
		t.Fatalf("Import of %q with %+v: %+v, error %v; want %q", e.Name, rules, got, err, want)
	}
	u, err := f.ByName(t.Context(), e.Name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestImportedAccountIsStoredAsItWas(t *testing.T) {
	f, e := newFixture(t), entry()
	e.Disabled, e.Created = true, e.Created.Add(678*time.Millisecond).In(time.FixedZone("", 3600))
	u := f.imported(t, e, users.ImportRules{}, users.Created)
	want := users.User{ID: u.ID, Name: "kyoko", Hash: oldHash, Profile: e.Profile, Disabled: true,
		Created: entry().Created, PasswordChanged: e.PasswordChanged, Version: 1}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Errorf("stored account (-want +got):\n%s", diff)
	}
	if len(u.ID) != 26 {
		t.Errorf("ID = %q, want 128 random bits", u.ID)
	}
	f.now = noon.Add(1500 * time.Millisecond)
	now := f.imported(t, users.Entry{Name: "noriko"}, users.ImportRules{}, users.Created)
	if then := noon.Add(time.Second); !now.Created.Equal(then) || !now.PasswordChanged.Equal(then) || now.ID == u.ID {
		t.Errorf("without instants: created %s, password changed %s, want %s", now.Created, now.PasswordChanged, then)
	}
}

// importCases are an account that was imported as entry says and has logged in since
// (epoch 0), the entry of a second import, and what becomes of it.
var importCases = []struct {
	what    string
	alter   func(*users.Entry)
	rules   users.ImportRules
	want    users.Outcome
	changed func(stored *users.User, e users.Entry) // what Updated does; nil is nothing
}{
	{"the same", func(*users.Entry) {}, users.ImportRules{}, users.Unchanged, nil},
	{"the same, update", func(*users.Entry) {}, users.ImportRules{Update: true}, users.Unchanged, nil},
	{"the same, passwords", func(*users.Entry) {}, users.ImportRules{Passwords: true}, users.Unchanged, nil},
	{"the same, both", func(*users.Entry) {}, users.ImportRules{Update: true, Passwords: true}, users.Unchanged, nil},
	{"groups in another order", func(e *users.Entry) { e.Groups = []string{"b", "a", "b"} }, users.ImportRules{Update: true}, users.Unchanged, nil},
	{"other instants", func(e *users.Entry) { e.Created, e.PasswordChanged = noon, noon }, users.ImportRules{Update: true, Passwords: true}, users.Unchanged, nil},

	{"another profile", func(e *users.Entry) { e.Staff = false }, users.ImportRules{}, users.Differs, nil},
	{"another profile, passwords", func(e *users.Entry) { e.Staff = false }, users.ImportRules{Passwords: true}, users.Differs, nil},
	{"another profile, update", func(e *users.Entry) { e.Staff, e.Email = false, "" }, users.ImportRules{Update: true}, users.Updated,
		func(u *users.User, e users.Entry) { u.Profile = e.Profile }},
	{"less, update", func(e *users.Entry) { e.Profile = users.Profile{} }, users.ImportRules{Update: true}, users.Updated,
		func(u *users.User, e users.Entry) { u.Profile = users.Profile{} }},

	{"disabled", func(e *users.Entry) { e.Disabled = true }, users.ImportRules{}, users.Differs, nil},
	{"disabled, passwords", func(e *users.Entry) { e.Disabled = true }, users.ImportRules{Passwords: true}, users.Differs, nil},
	{"disabled, update", func(e *users.Entry) { e.Disabled = true }, users.ImportRules{Update: true}, users.Updated,
		func(u *users.User, e users.Entry) { u.Disabled, u.Epoch = true, 1 }},

	// A password may have been changed here since, so it alone is no difference.
	{"another password", func(e *users.Entry) { e.Hash = otherHash }, users.ImportRules{}, users.Unchanged, nil},
	{"another password, update", func(e *users.Entry) { e.Hash = otherHash }, users.ImportRules{Update: true}, users.Unchanged, nil},
	{"another password, passwords", func(e *users.Entry) { e.Hash = otherHash }, users.ImportRules{Passwords: true}, users.Updated,
		func(u *users.User, e users.Entry) {
			u.Hash, u.PasswordChanged, u.Epoch = otherHash, e.PasswordChanged, 1
		}},
	{"another password of now", func(e *users.Entry) { e.Hash, e.PasswordChanged = otherHash, time.Time{} }, users.ImportRules{Passwords: true},
		users.Updated, func(u *users.User, e users.Entry) { u.Hash, u.PasswordChanged, u.Epoch = otherHash, noon, 1 }},
	{"no password", func(e *users.Entry) { e.Hash = "!" }, users.ImportRules{Passwords: true}, users.Updated,
		func(u *users.User, e users.Entry) { u.Hash, u.Epoch = "", 1 }},
	{"all others, passwords", func(e *users.Entry) { e.Hash, e.Staff, e.Disabled = otherHash, false, true }, users.ImportRules{Passwords: true},
		users.Updated, func(u *users.User, e users.Entry) { u.Hash, u.Epoch = otherHash, 1 }},
	{"all others, update", func(e *users.Entry) { e.Hash, e.Staff, e.Disabled = otherHash, false, true }, users.ImportRules{Update: true},
		users.Updated, func(u *users.User, e users.Entry) { u.Profile, u.Disabled, u.Epoch = e.Profile, true, 1 }},
	{"all others, both", func(e *users.Entry) { e.Hash, e.Staff, e.Disabled = otherHash, false, true }, users.ImportRules{Update: true, Passwords: true},
		users.Updated, func(u *users.User, e users.Entry) {
			u.Hash, u.Profile, u.Disabled, u.Epoch = otherHash, e.Profile, true, 1
		}},
}

func TestImportOverAnAccountThatIsThere(t *testing.T) {
	for _, tt := range importCases {
		t.Run(tt.what, func(t *testing.T) {
			f, e := newFixture(t), entry()
			want := f.imported(t, e, users.ImportRules{}, users.Created)
			tt.alter(&e)
			dry := tt.rules
			dry.DryRun = true
			f.imported(t, e, dry, tt.want)
			wantStored(t, f, want)
			if tt.changed != nil {
				tt.changed(&want, e)
				want.Version++
			}
			f.imported(t, e, tt.rules, tt.want)
			wantStored(t, f, want)
		})
	}
}

// An import that is done again, after a crash say, changes nothing more.
func TestImportIsIdempotent(t *testing.T) {
	for _, tt := range importCases {
		if tt.want != users.Updated {
			continue
		}
		f, e := newFixture(t), entry()
		f.imported(t, e, users.ImportRules{}, users.Created)
		tt.alter(&e)
		once := f.imported(t, e, tt.rules, users.Updated)
		again := users.Unchanged
		if tt.what == "all others, passwords" { // the rest is as different as before
			again = users.Differs
		}
		f.imported(t, e, tt.rules, again)
		wantStored(t, f, once)
	}
}

// keptParts are what each part of an account is.
var keptParts = map[users.Parts]func(to *users.User, from users.User){
	users.PartHash: func(to *users.User, from users.User) {
		to.Hash, to.PasswordChanged, to.Epoch = from.Hash, from.PasswordChanged, from.Epoch
	},
	users.PartDisabled:    func(to *users.User, from users.User) { to.Disabled = from.Disabled },
	users.PartUserID:      func(to *users.User, from users.User) { to.UserID = from.UserID },
	users.PartEmail:       func(to *users.User, from users.User) { to.Email = from.Email },
	users.PartGivenName:   func(to *users.User, from users.User) { to.GivenName = from.GivenName },
	users.PartFamilyName:  func(to *users.User, from users.User) { to.FamilyName = from.FamilyName },
	users.PartStaff:       func(to *users.User, from users.User) { to.Staff = from.Staff },
	users.PartSuperuser:   func(to *users.User, from users.User) { to.Superuser = from.Superuser },
	users.PartGroups:      func(to *users.User, from users.User) { to.Groups = from.Groups },
	users.PartPermissions: func(to *users.User, from users.User) { to.Permissions = from.Permissions },
	users.PartClaims:      func(to *users.User, from users.User) { to.Claims = from.Claims },
}

// An entry that says nothing takes all of an account away, but for what is absent.
func TestImportKeepsWhatIsAbsent(t *testing.T) {
	both := users.ImportRules{Update: true, Passwords: true}
	all := users.Parts(0)
	for part, keep := range keptParts {
		all |= part
		f, e := newFixture(t), entry()
		e.Disabled, e.Superuser = true, true
		before := f.imported(t, e, users.ImportRules{}, users.Created)
		want := before
		want.Profile, want.Disabled, want.Hash, want.PasswordChanged = users.Profile{}, false, "", noon
		want.Epoch, want.Version = 1, 2
		keep(&want, before)
		f.imported(t, users.Entry{Name: "kyoko", Absent: part}, both, users.Updated)
		wantStored(t, f, want)
	}
	if all != users.AllParts {
		t.Errorf("parts %b were tried, there are %b", all, users.AllParts)
	}
	f := newFixture(t)
	before := f.imported(t, entry(), users.ImportRules{}, users.Created)
	for _, rules := range []users.ImportRules{{}, both} {
		f.imported(t, users.Entry{Name: "kyoko", Absent: users.AllParts}, rules, users.Unchanged)
		wantStored(t, f, before)
	}
}

// What is absent is empty in a new account, also where the entry has it all the same.
func TestAbsentPartsOfANewAccount(t *testing.T) {
	f, e := newFixture(t), entry()
	e.Disabled, e.Absent, e.Hash = true, users.AllParts, "no hash at all"
	u := f.imported(t, e, users.ImportRules{}, users.Created)
	wantStored(t, f, users.User{ID: u.ID, Name: "kyoko", Created: e.Created, PasswordChanged: e.PasswordChanged, Version: 1})
	_, err := f.Import(t.Context(), users.Entry{Name: "noriko", Absent: users.AllParts + 1}, users.ImportRules{})
	wantRefusal(t, "another part", err, users.ErrProfile, "unknown parts of it are absent")
}

// The limit of a profile holds for what is kept and what is new together.
func TestImportBesideALargeProfile(t *testing.T) {
	f, e := newFixture(t), entry()
	e.Permissions = nil
	for i := range 250 {
		e.Permissions = append(e.Permissions, fmt.Sprintf("%0250d", i))
	}
	before := f.imported(t, e, users.ImportRules{}, users.Created)
	other := users.Entry{Name: "kyoko", Absent: users.PartPermissions, Profile: users.Profile{UserID: "42", Claims: `{"a":"` + strings.Repeat("a", 4000) + `"}`}}
	for _, dry := range []bool{true, false} {
		_, err := f.Import(t.Context(), other, users.ImportRules{Update: true, DryRun: dry})
		wantRefusal(t, "both", err, users.ErrProfile, "groups, permissions and claims have 66508 bytes together, more than 65536")
	}
	wantStored(t, f, before)
}

func TestImportTellsWhatItDid(t *testing.T) {
	both := users.ImportRules{Update: true, Passwords: true}
	for _, tt := range []struct {
		what          string
		before, after func(*users.Entry)
		want          users.Imported
	}{
		{"enabled", func(e *users.Entry) { e.Disabled = true }, func(*users.Entry) {}, users.Imported{Outcome: users.Updated, Enabled: true}},
		{"disabled", func(*users.Entry) {}, func(e *users.Entry) { e.Disabled = true }, users.Imported{Outcome: users.Updated, Disabled: true}},
		{"no password", func(*users.Entry) {}, func(e *users.Entry) { e.Hash = "!" }, users.Imported{Outcome: users.Updated, PasswordRemoved: true}},
		{"another password", func(*users.Entry) {}, func(e *users.Entry) { e.Hash = otherHash }, users.Imported{Outcome: users.Updated}},
		{"a first password", func(e *users.Entry) { e.Hash = "" }, func(*users.Entry) {}, users.Imported{Outcome: users.Updated}},
		{"disabled as before", func(e *users.Entry) { e.Disabled = true }, func(e *users.Entry) { e.Disabled = true }, users.Imported{Outcome: users.Unchanged}},
	} {
		f, before, after := newFixture(t), entry(), entry()
		tt.before(&before)
		tt.after(&after)
		after.Claims, after.Absent = "", users.PartClaims
		f.imported(t, before, users.ImportRules{}, users.Created)
		tt.want.Profile = before.Profile
		for _, both.DryRun = range []bool{true, false} {
			got, err := f.Import(t.Context(), after, both)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%s, dry run %t: error %v (-want +got):\n%s", tt.what, both.DryRun, err, diff)
			}
		}
	}
}

// Enabling ends no session: those of before ended when the account was disabled.
func TestImportThatEnables(t *testing.T) {
	f, e := newFixture(t), entry()
	e.Disabled = true
	want := f.imported(t, e, users.ImportRules{}, users.Created)
	e.Disabled, want.Disabled, want.Version = false, false, 2
	f.imported(t, e, users.ImportRules{Update: true}, users.Updated)
	wantStored(t, f, want)
	if _, err := f.Authenticate(t.Context(), "kyoko", password); err != nil {
		t.Error(err)
	}
}

// A disabled account stays in its epoch when it is imported as disabled again.
func TestImportOfADisabledAccountEndsNothingTwice(t *testing.T) {
	f, e := newFixture(t), entry()
	e.Disabled = true
	f.imported(t, e, users.ImportRules{}, users.Created)
	e.Staff = false
	if u := f.imported(t, e, users.ImportRules{Update: true}, users.Updated); u.Epoch != 0 || !u.Disabled {
		t.Errorf("epoch %d, disabled %v", u.Epoch, u.Disabled)
	}
}

// A login made the hash anew: an import without Passwords leaves it, one with it takes
// the old hash again and ends the sessions, since a hash does not tell its password.
func TestImportAfterALogin(t *testing.T) {
	f := newFixture(t)
	f.imported(t, entry(), users.ImportRules{}, users.Created)
	upgraded, err := f.Authenticate(t.Context(), "kyoko", password)
	if err != nil {
		t.Fatal(err)
	}
	f.imported(t, entry(), users.ImportRules{Update: true}, users.Unchanged)
	wantStored(t, f, upgraded)
	if u := f.imported(t, entry(), users.ImportRules{Passwords: true}, users.Updated); u.Hash != oldHash || u.Epoch != upgraded.Epoch+1 {
		t.Errorf("hash %.20s, epoch %d", u.Hash, u.Epoch)
	}
}

func TestDryRunOfANewAccountMakesNone(t *testing.T) {
	f, rules := newFixture(t), users.ImportRules{DryRun: true, Update: true, Passwords: true}
	for range 2 {
		got, err := f.Import(t.Context(), entry(), rules)
		if err != nil || got.Outcome != users.Created {
			t.Errorf("Import: %+v, error %v, want %q", got, err, users.Created)
		}
	}
	if all, err := f.List(t.Context(), "", 10); err != nil || len(all) != 0 {
		t.Errorf("%d accounts, error %v, want none", len(all), err)
	}
	if _, err := f.Import(t.Context(), users.Entry{Name: "kyoko", Hash: "md5$x$y"}, rules); !errors.Is(err, users.ErrHash) {
		t.Errorf("a bad hash: %v, want %v", err, users.ErrHash)
	}
}

const foreignSub, takenSub = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22222222222222222222222222"

// A dry run reports every clash that the import itself meets.
func TestImportClashes(t *testing.T) {
	both := users.ImportRules{Update: true, Passwords: true}
	tests := []struct {
		what  string
		alter func(*users.Entry)
		rules users.ImportRules
		want  error
	}{
		{"user_id of another, new name", func(e *users.Entry) { e.Name, e.UserID = "new", "7" }, both, users.ErrUserID},
		{"user_id of another, update", func(e *users.Entry) { e.UserID = "7" }, both, users.ErrExists},
		{"user_id of another, left alone", func(e *users.Entry) { e.UserID = "7" }, users.ImportRules{}, nil},
		{"user_id of another, password alone", func(e *users.Entry) { e.UserID, e.Hash = "7", otherHash }, users.ImportRules{Passwords: true}, users.ErrExists},
		{"another user_id, update", func(e *users.Entry) { e.UserID = "43" }, users.ImportRules{Update: true}, users.ErrExists},
		{"another user_id, both", func(e *users.Entry) { e.UserID, e.Hash = "43", otherHash }, both, users.ErrExists},
		{"another user_id, left alone", func(e *users.Entry) { e.UserID = "43" }, users.ImportRules{}, nil},
		{"no user_id", func(e *users.Entry) { e.UserID = "" }, both, nil},
		{"its own user_id", func(e *users.Entry) { e.Staff = false }, both, nil},
		{"sub of another, new name", func(e *users.Entry) { e.Name, e.UserID, e.ID = "new", "", takenSub }, both, users.ErrExists},
		{"sub and user_id of another", func(e *users.Entry) { e.Name, e.UserID, e.ID = "new", "7", takenSub }, both, users.ErrExists},
		{"another sub, same name", func(e *users.Entry) { e.ID = foreignSub }, both, users.ErrExists},
		{"another sub, same name, left alone", func(e *users.Entry) { e.ID = foreignSub }, users.ImportRules{}, users.ErrExists},
	}
	for _, tt := range tests {
		for _, tt.rules.DryRun = range []bool{true, false} {
			f, e := newFixture(t), entry()
			f.imported(t, users.Entry{Name: "other", ID: takenSub, Profile: users.Profile{UserID: "7"}}, users.ImportRules{}, users.Created)
			before := f.imported(t, e, users.ImportRules{}, users.Created)
			tt.alter(&e)
			done, err := f.Import(t.Context(), e, tt.rules)
			what := fmt.Sprintf("%s, dry run %v", tt.what, tt.rules.DryRun)
			wantErr(t, what, err, tt.want)
			if err != nil && (done.Outcome != "" || !strings.Contains(err.Error(), e.Name) && tt.rules.DryRun) {
				t.Errorf("%s: outcome %q with %v", what, done.Outcome, err)
			}
			if all, _ := f.List(t.Context(), "", 10); tt.want != nil && len(all) != 2 {
				t.Errorf("%s: %d accounts", what, len(all))
			}
			if tt.want != nil {
				wantStored(t, f, before)
			}
		}
	}
}

// sub is what services know a user by: an export that is imported keeps it.
func TestExportedAccountKeepsItsSub(t *testing.T) {
	from, to := newFixture(t), newFixture(t)
	u := from.create(t, "kyoko")
	e := users.Entry{ID: u.ID, Name: u.Name, Hash: u.Hash, Created: u.Created, PasswordChanged: u.PasswordChanged}
	to.imported(t, e, users.ImportRules{}, users.Created)
	u.Epoch = uint64(noon.Unix()) // a session of an account that had the sub here before stays over
	wantStored(t, to, u)
	to.imported(t, e, users.ImportRules{Update: true, Passwords: true}, users.Unchanged)
	if got, err := to.Authenticate(t.Context(), "kyoko", password); err != nil || got.ID != u.ID {
		t.Errorf("login: sub %q, error %v", got.ID, err)
	}
	// And an export without a sub, or of another name, is no way to a second account with it.
	e.Name = "noriko"
	_, err := to.Import(t.Context(), e, users.ImportRules{})
	wantErr(t, "the same sub under another name", err, users.ErrExists)
}

// A sub of another form could be one of a client, or of another issuer's users.
func TestForeignSubIsRefused(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{"1", "billing", foreignSub[:25], foreignSub + "A", strings.ToLower(foreignSub), foreignSub[:25] + "1",
		foreignSub[:25] + " ", foreignSub[:25] + "\x00", "018f2f5e-7c1e-7000-8000-000000000000"} {
		for _, dry := range []bool{true, false} {
			_, err := f.Import(t.Context(), users.Entry{ID: id, Name: "kyoko"}, users.ImportRules{DryRun: dry})
			wantRefusal(t, fmt.Sprintf("%q", id), err, users.ErrProfile, "its sub is not one of this issuer")
		}
	}
	if all, err := f.List(t.Context(), "", 10); err != nil || len(all) != 0 {
		t.Errorf("%d accounts, error %v", len(all), err)
	}
}

func TestImportRefusesHashes(t *testing.T) {
	const salt, key = "c29tZXNhbHQ", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	tests := []struct {
		what, hash string
		want       error
	}{
		{"a password", "hunter2hunter2", passhash.ErrScheme},
		{"plain MD5", "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99", passhash.ErrScheme},
		{"unsalted SHA-1", "5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", passhash.ErrScheme},
		{"argon2d", "$argon2d$v=19$m=256,t=2,p=1$" + salt + "$" + key, passhash.ErrScheme},
		{"SHA-512 crypt", "$6$rounds=5000$salt$hash", passhash.ErrScheme},
		{"cut", "pbkdf2_sha256$1000$salt", passhash.ErrShape},
		{"key not base64", "pbkdf2_sha256$1000$salt$***", passhash.ErrShape},
		{"short key", "$argon2id$v=19$m=256,t=2,p=1$" + salt + "$AAAA", passhash.ErrShape},
		{"too many iterations", strings.Replace(pbkdf2Hash("x", 10), "$10$", "$50000000$", 1), passhash.ErrCost},
		{"4 GiB", "$argon2id$v=19$m=4194304,t=2,p=1$" + salt + "$" + key, passhash.ErrCost},
		{"bcrypt 2^31", "$2b$31$" + strings.Repeat("a", 21) + "O" + strings.Repeat("a", 30) + "O", passhash.ErrCost},
		{"a space before", " " + oldHash, passhash.ErrScheme},
	}
	f := newFixture(t)
	for _, tt := range tests {
		for _, dry := range []bool{true, false} {
			_, err := f.Import(t.Context(), users.Entry{Name: "kyoko", Hash: tt.hash}, users.ImportRules{Passwords: true, DryRun: dry})
			wantErr(t, tt.what, err, users.ErrHash)
			wantErr(t, tt.what, err, tt.want)
			if err != nil && strings.Contains(err.Error(), tt.hash) {
				t.Errorf("%s: %q holds the hash", tt.what, err)
			}
		}
	}
	_, err := f.ByName(t.Context(), "kyoko")
	wantErr(t, "ByName of the refused", err, users.ErrNotFound)
}

// Django writes ! and a random text where a login by password shall not be.
func TestUnusableHashIsNoPassword(t *testing.T) {
	const unusable = "!Zb2WIRFZbeqLWEdMYN5Nr0aDTrnoBCnOTdUuBb0v"
	f := newFixture(t)
	for name, hash := range map[string]string{"none": "", "bang": "!", "django": unusable, "disabled-hash": "!" + oldHash} {
		u := f.imported(t, users.Entry{Name: name, Hash: hash}, users.ImportRules{}, users.Created)
		if u.Hash != "" || u.Disabled {
			t.Errorf("%s: hash %q, disabled %v", name, u.Hash, u.Disabled)
		}
		for _, attempt := range []string{hash, "!", password, unusable[1:]} {
			_, err := f.Authenticate(t.Context(), name, attempt)
			wantErr(t, name, err, users.ErrCredentials)
		}
		f.imported(t, users.Entry{Name: name, Hash: unusable + "x"}, users.ImportRules{Passwords: true}, users.Unchanged)
		if _, err := f.SetPassword(t.Context(), name, password); err != nil {
			t.Error(err)
		}
		if _, err := f.Authenticate(t.Context(), name, password); err != nil {
			t.Errorf("%s: login after SetPassword: %v", name, err)
		}
	}
}

func TestImportedNamesAreCanonical(t *testing.T) {
	f, e := newFixture(t), users.Entry{Name: "ＫYOKO.E\u0301", Hash: oldHash}
	if u := f.imported(t, e, users.ImportRules{}, users.Created); u.Name != "kyoko.é" {
		t.Errorf("name %q", u.Name)
	}
	e.Name = "Kyoko.é"
	f.imported(t, e, users.ImportRules{Update: true, Passwords: true}, users.Unchanged)
	for _, name := range []string{"", "ky oko", "\xff", strings.Repeat("n", 256)} {
		for _, dry := range []bool{true, false} {
			_, err := f.Import(t.Context(), users.Entry{Name: name}, users.ImportRules{DryRun: dry})
			wantErr(t, fmt.Sprintf("%.10q", name), err, users.ErrName)
		}
	}
	e.Profile.Groups = []string{""}
	_, err := f.Import(t.Context(), e, users.ImportRules{DryRun: true})
	wantRefusal(t, "profile", err, users.ErrProfile, "a group of it is empty")
	if all, err := f.List(t.Context(), "", 10); err != nil || len(all) != 1 {
		t.Errorf("%d accounts, error %v, want one", len(all), err)
	}
}

// A change that comes in between is not lost: the entry is merged into it.
func TestImportIsTriedAgainAfterConflicts(t *testing.T) {
	f, e := newFixture(t), entry()
	before := f.imported(t, e, users.ImportRules{}, users.Created)
	d := newDirectory(t, &rival{Store: f.store, left: 2}, nil)
	e.Hash = otherHash
	if done, err := d.Import(t.Context(), e, users.ImportRules{Passwords: true}); err != nil || done.Outcome != users.Updated {
		t.Fatal(done, err)
	}
	u, err := f.ByName(t.Context(), "kyoko")
	if err != nil || u.Hash != otherHash || u.Epoch != before.Epoch+1 || len(u.Groups) != 4 {
		t.Errorf("epoch %d, groups %q, error %v", u.Epoch, u.Groups, err)
	}
	d = newDirectory(t, &rival{Store: f.store, left: 10}, nil)
	e.Hash = oldHash
	done, err := d.Import(t.Context(), e, users.ImportRules{Passwords: true})
	wantErr(t, "ten conflicts", err, users.ErrConflict)
	if done.Outcome != "" {
		t.Errorf("outcome %q of a failed import", done.Outcome)
	}
}

func TestStoreFailuresOfAnImportArePassedOn(t *testing.T) {
	update := users.ImportRules{Update: true}
	dry := users.ImportRules{Update: true, DryRun: true}
	other := entry()
	other.GivenName = "K."
	fresh := users.Entry{Name: "noriko", ID: foreignSub, Profile: users.Profile{UserID: "8"}}
	for _, tt := range []struct {
		method string
		entry  users.Entry
		rules  users.ImportRules
	}{
		{"UserByName", other, update}, {"UpdateUser", other, update}, {"UserByUserID", other, dry},
		{"CreateUser", fresh, update}, {"UserByID", fresh, dry}, {"UserByUserID", fresh, dry},
	} {
		for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedButFailed} {
			f := newFixture(t)
			f.imported(t, entry(), users.ImportRules{}, users.Created)
			f.store.FailNext(tt.method, fault)
			done, err := f.Import(t.Context(), tt.entry, tt.rules)
			wantErr(t, fmt.Sprintf("%s, fault %d", tt.method, fault), err, storetest.ErrFault)
			if done.Outcome != "" {
				t.Errorf("%s: outcome %q", tt.method, done.Outcome)
			}
		}
	}
}

// otherWriter is a hash that another program made; see passhash/testdata.
type otherWriter struct{ Password, Encoded, Wrong string }

// oneOfEachScheme are cheap hashes by scheme.
func oneOfEachScheme(t *testing.T) map[string]otherWriter {
	t.Helper()
	found := map[string]otherWriter{}
	for _, file := range []string{"django-5.2.json", "others.json"} {
		text, err := os.ReadFile("passhash/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var all []otherWriter
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		for _, w := range all {
			scheme, cost, _ := strings.Cut(users.HashKind(w.Encoded), " ")
			if _, ok := found[scheme]; !ok && w.Wrong != "" && !defaultCosts[cost] {
				found[scheme] = w
			}
		}
	}
	return found
}

// defaultCosts are those with which Django hashes for real: too long for a test.
var defaultCosts = map[string]bool{"i=1000000": true, "m=102400,t=2,p=8": true, "c=12": true, "n=16384,r=8,p=5": true}

func TestEachImportedSchemeLogsInAndIsUpgraded(t *testing.T) {
	schemes := oneOfEachScheme(t)
	if len(schemes) != 7 {
		t.Fatalf("only hashes of %v", slices.Sorted(maps.Keys(schemes)))
	}
	f := newFixture(t)
	own := users.HashKind(f.create(t, "own").Hash)
	want := map[string]int{own: 1}
	for scheme, w := range schemes {
		f.imported(t, users.Entry{Name: scheme, Hash: w.Encoded}, users.ImportRules{}, users.Created)
		want[users.HashKind(w.Encoded)]++
	}
	wantKinds(t, f, want)
	for scheme, w := range schemes {
		_, err := f.Authenticate(t.Context(), scheme, w.Wrong)
		wantErr(t, scheme+", wrong password", err, users.ErrCredentials)
		wantKinds(t, f, want)
		u, err := f.Authenticate(t.Context(), scheme, w.Password)
		if err != nil || users.HashKind(u.Hash) != own {
			t.Errorf("%s: kind %s, error %v", scheme, users.HashKind(u.Hash), err)
		}
		wantStored(t, f, u)
		if kind := users.HashKind(w.Encoded); want[kind] == 1 {
			delete(want, kind)
		} else {
			want[kind]--
		}
		want[own]++
		wantKinds(t, f, want)
		if _, err := f.Authenticate(t.Context(), scheme, w.Password); err != nil {
			t.Errorf("%s: login after the upgrade: %v", scheme, err)
		}
		_, err = f.Authenticate(t.Context(), scheme, w.Wrong)
		wantErr(t, scheme+", wrong password after the upgrade", err, users.ErrCredentials)
	}
}

// bcryptHash is $2b$ of that password, in the least cost.
func bcryptHash(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// Plain bcrypt is met by any end past byte 72. A typing error there does not become the
// password: the old hash stays until the account has a new password.
func TestLoginPastTheEndOfBcryptIsNotUpgraded(t *testing.T) {
	f, long := newFixture(t), strings.Repeat("0123456789abcdef", 5)
	stored := f.imported(t, users.Entry{Name: "kyoko", Hash: bcryptHash(t, long[:72])}, users.ImportRules{}, users.Created)
	for _, typed := range []string{long + "typo", long, long[:73]} {
		u, err := f.Authenticate(t.Context(), "kyoko", typed)
		if err != nil || u.Hash != stored.Hash {
			t.Errorf("%d bytes: hash %.10s, error %v", len(typed), u.Hash, err)
		}
		wantStored(t, f, stored)
	}
	_, err := f.Authenticate(t.Context(), "kyoko", long[:71])
	wantErr(t, "71 bytes", err, users.ErrCredentials)
	if u, err := f.Authenticate(t.Context(), "kyoko", long[:72]); err != nil || !strings.HasPrefix(u.Hash, "$argon2id$") {
		t.Errorf("72 bytes: hash %.10s, error %v", u.Hash, err)
	}
	_, err = f.Authenticate(t.Context(), "kyoko", long)
	wantErr(t, "80 bytes after the upgrade", err, users.ErrCredentials)
}

func wantKinds(t *testing.T, f *fixture, want map[string]int) {
	t.Helper()
	got, err := f.HashKinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds of hashes (-want +got):\n%s", diff)
	}
}

func TestImportStopsWithItsContext(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Import(ctx, entry(), users.ImportRules{})
	wantErr(t, "Import", err, context.Canceled)
}
