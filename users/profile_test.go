package users_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"signet/internal/store/storetest"
	"signet/users"
)

// entries are n different texts of a size.
func entries(n, size int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%0*d", size, i)
	}
	return list
}

// claimsOfSize is a JSON object of that many bytes.
func claimsOfSize(size int) string { return `{"t":"` + strings.Repeat("x", size-8) + `"}` }

func nested(depth int) string {
	return `{"t":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
}

func TestProfileLimits(t *testing.T) {
	x := strings.Repeat
	tests := []struct {
		what    string
		profile users.Profile
		text    string // of the refusal; empty if it is taken
	}{
		{"nothing", users.Profile{}, ""},
		{"user_id of 64 bytes", users.Profile{UserID: x("1", users.MaxUserIDBytes)}, ""},
		{"user_id of 65 bytes", users.Profile{UserID: x("1", users.MaxUserIDBytes+1)}, "its user_id is longer than 64 bytes"},
		{"user_id of 65 bytes in 64 characters", users.Profile{UserID: x("1", 63) + "é"}, "its user_id is longer than 64 bytes"},
		{"user_id not UTF-8", users.Profile{UserID: "\xff"}, "its user_id is not UTF-8"},
		{"user_id with a NUL", users.Profile{UserID: "1\x00"}, "its user_id holds a control character"},
		{"e-mail of 320 bytes", users.Profile{Email: x("e", users.MaxTextBytes)}, ""},
		{"e-mail of 321 bytes", users.Profile{Email: x("e", users.MaxTextBytes+1)}, "its email is longer than 320 bytes"},
		{"e-mail with a line break", users.Profile{Email: "a@b\r\nBcc: c"}, "its email holds a control character"},
		{"e-mail not UTF-8", users.Profile{Email: "a\xc3"}, "its email is not UTF-8"},
		{"given name of 320 bytes", users.Profile{GivenName: x("g", users.MaxTextBytes)}, ""},
		{"given name of 321 bytes", users.Profile{GivenName: x("g", users.MaxTextBytes+1)}, "its given name is longer than 320 bytes"},
		{"given name with an escape", users.Profile{GivenName: "\x1b[2J"}, "its given name holds a control character"},
		{"family name of 320 bytes", users.Profile{FamilyName: x("f", users.MaxTextBytes)}, ""},
		{"family name of 321 bytes", users.Profile{FamilyName: x("f", users.MaxTextBytes+1)}, "its family name is longer than 320 bytes"},
		{"family name with a C1 control", users.Profile{FamilyName: "a\u0085"}, "its family name holds a control character"},
		{"1000 groups", users.Profile{Groups: entries(users.MaxEntries, 8)}, ""},
		{"1001 groups", users.Profile{Groups: entries(users.MaxEntries+1, 8)}, "it has more than 1000 groups"},
		{"empty group", users.Profile{Groups: []string{"a", ""}}, "a group of it is empty"},
		{"group of 255 bytes", users.Profile{Groups: []string{x("g", users.MaxEntryBytes)}}, ""},
		{"user_id like a sub", users.Profile{UserID: rand.Text()}, "its user_id has the form of a sub of this issuer"},
		{"user_id like a ULID", users.Profile{UserID: "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, ""},
		{"space before the user_id", users.Profile{UserID: " 42"}, "its user_id begins or ends with a space"},
		{"wide space behind the user_id", users.Profile{UserID: "42\u3000"}, "its user_id begins or ends with a space"},
		{"group of 256 bytes", users.Profile{Groups: []string{x("g", users.MaxEntryBytes+1)}}, "its group is longer than 255 bytes"},
		{"group not UTF-8", users.Profile{Groups: []string{"\xff"}}, "its group is not UTF-8"},
		{"group with a tab", users.Profile{Groups: []string{"a\tb"}}, "its group holds a control character"},
		{"1000 permissions", users.Profile{Permissions: entries(users.MaxEntries, 8)}, ""},
		{"1001 permissions", users.Profile{Permissions: entries(users.MaxEntries+1, 8)}, "it has more than 1000 permissions"},
		{"empty permission", users.Profile{Permissions: []string{""}}, "a permission of it is empty"},
		{"permission of 256 bytes", users.Profile{Permissions: []string{x("p", users.MaxEntryBytes+1)}}, "its permission is longer than 255 bytes"},
		{"64 KiB together", users.Profile{Groups: entries(256, 128), Permissions: entries(256, 128)}, ""},
		{"a byte more", users.Profile{Groups: entries(256, 128), Permissions: append(entries(256, 128), "x")},
			"groups, permissions and claims have 65537 bytes together, more than 65536"},
		{"64 KiB with claims", users.Profile{Groups: entries(256, 255), Claims: claimsOfSize(257)},
			"groups, permissions and claims have 65537 bytes together, more than 65536"},
		{"claims of 4096 bytes", users.Profile{Claims: claimsOfSize(users.MaxClaimsBytes)}, ""},
		{"claims of 4097 bytes", users.Profile{Claims: claimsOfSize(users.MaxClaimsBytes + 1)}, "its claims have 4097 bytes, more than 4096"},
	}
	for _, tt := range tests {
		wantRefusal(t, tt.what, tt.profile.Check(), users.ErrProfile, tt.text)
	}
}

func TestProfileClaims(t *testing.T) {
	const noObject, twice, reserved = "its claims are not a JSON object", "a claim of it stands there twice", "is reserved"
	tests := []struct{ what, claims, text string }{
		{"one", `{"tenant":"acme"}`, ""},
		{"any value", ` {"a":[1,{"b":null}],"c":1.5e3,"d":true} `, ""},
		{"a reserved name further down", `{"a":{"sub":"1"}}`, ""},
		{"a name that holds a reserved one", `{"subject":"1","x_sub":"1"}`, ""},
		{"names that differ in case", `{"a":1,"A":2}`, ""},
		{"a number beyond float64", `{"a":[1e999]}`, "hold a number that is too large for most readers"},
		{"a number that loses digits", `{"a":9007199254740993}`, ""},
		{"control character in a name", `{"sub\u0000x":"1"}`, "holds a control character"},
		{"line end in a name", `{"a":1,"sub\n":"1"}`, "holds a control character"},
		{"nested 32 deep", nested(31), ""},
		{"nested 100 deep", nested(100), noObject},
		{"spaces", "  ", noObject},
		{"text", "tenant", noObject},
		{"a list", `["tenant"]`, noObject},
		{"null", "null", noObject},
		{"a string", `"x"`, noObject},
		{"cut", `{"a":1`, noObject},
		{"two objects", `{"a":1}{"b":2}`, noObject},
		{"a comma too many", `{"a":1,}`, noObject},
		{"a comment", `{"a":1/**/}`, noObject},
		{"NaN", `{"a":NaN}`, noObject},
		{"not UTF-8", "{\"a\":\"\xff\"}", noObject},
		{"twice", `{"a":1,"a":2}`, twice},
		{"twice, the same value", `{"a":1,"b":2,"a":1}`, twice},
		{"twice, with an escape", `{"a":1,"\u0061":2}`, twice},
		{"twice, further down", `{"a":{"b":1,"b":2}}`, twice},
		{"no name", `{"":1}`, `the claim "" is reserved`},
		{"reserved", `{"tenant":"x","sub":"1"}`, `the claim "sub" is reserved`},
		{"reserved, with an escape", `{"su\u0062":"1"}`, `the claim "sub" is reserved`},
		{"long s, which encoding/json reads as s", `{"ſub":"1"}`, reserved},
		{"Kelvin sign, which encoding/json reads as k", `{"to` + "\u212a" + `en_type":"refresh"}`, reserved},
	}
	for _, tt := range tests {
		p := users.Profile{Claims: tt.claims}
		wantRefusal(t, tt.what, p.Check(), users.ErrProfile, tt.text)
	}
}

func TestReservedClaimsAreRefused(t *testing.T) {
	for _, must := range []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "act", "may_act", "cnf", "scp", "authorization_details",
		"token_type", "user_id", "sid", "is_superuser", "acr", "amr", "auth_time"} {
		if !slices.Contains(users.ReservedClaims, must) {
			t.Errorf("%s is not reserved", must)
		}
	}
	for _, name := range users.ReservedClaims {
		for _, spelling := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
			p := users.Profile{Claims: fmt.Sprintf(`{"tenant":"acme",%q:"x"}`, spelling)}
			wantRefusal(t, spelling, p.Check(), users.ErrProfile, fmt.Sprintf("the claim %q is reserved", spelling))
		}
	}
}

// wantRefusal is for an error with a text, or for none if the text is empty.
func wantRefusal(t *testing.T, what string, got, want error, text string) {
	t.Helper()
	switch {
	case text == "" && got != nil:
		t.Errorf("%s: %v, want no error", what, got)
	case text != "" && (!errors.Is(got, want) || !strings.HasPrefix(got.Error(), want.Error()+": ") || !strings.HasSuffix(got.Error(), text)):
		t.Errorf("%s: %v, want %v: … %s", what, got, want, text)
	}
}

func TestProfilesAreStoredInOrder(t *testing.T) {
	f := newFixture(t)
	given := users.Profile{Groups: []string{"b", "a", "b", "é", "B"}, Permissions: []string{}, Claims: " {}\n"}
	want := users.Profile{Groups: []string{"B", "a", "b", "é"}}
	made, err := f.Create(t.Context(), "kyoko", password, given)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(given.Groups, []string{"b", "a", "b", "é", "B"}) {
		t.Errorf("the caller's list was changed to %q", given.Groups)
	}
	set, err := f.SetProfile(t.Context(), "kyoko", func(p *users.Profile) { *p = given })
	if err != nil {
		t.Fatal(err)
	}
	stored, err := f.ByName(t.Context(), "kyoko")
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]users.Profile{"Create": made.Profile, "SetProfile": set.Profile, "stored": stored.Profile} {
		if diff := cmp.Diff(want, got); diff != "" || !got.Equal(want) {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

// 1001 groups of which two are one are 1000.
func TestLimitsHoldForTheNormalProfile(t *testing.T) {
	f := newFixture(t)
	groups := entries(users.MaxEntries, 4)
	if _, err := f.Create(t.Context(), "kyoko", password, users.Profile{Groups: append(groups, groups[0])}); err != nil {
		t.Error(err)
	}
}

func TestProfilesThatDiffer(t *testing.T) {
	whole := func() users.Profile {
		return users.Profile{UserID: "1", Email: "e", GivenName: "g", FamilyName: "f", Staff: true, Superuser: true,
			Groups: []string{"a"}, Permissions: []string{"p"}, Claims: `{"a":1}`}
	}
	if !whole().Equal(whole()) {
		t.Error("a profile does not equal itself")
	}
	for i, alter := range []func(*users.Profile){
		func(p *users.Profile) { p.UserID = "2" }, func(p *users.Profile) { p.Email = "" },
		func(p *users.Profile) { p.GivenName = "h" }, func(p *users.Profile) { p.FamilyName = "h" },
		func(p *users.Profile) { p.Staff = false }, func(p *users.Profile) { p.Superuser = false },
		func(p *users.Profile) { p.Groups = nil }, func(p *users.Profile) { p.Permissions = []string{"p", "q"} },
		func(p *users.Profile) { p.Claims = `{"a":2}` },
	} {
		other := whole()
		if alter(&other); other.Equal(whole()) || whole().Equal(other) {
			t.Errorf("change %d is not seen", i)
		}
	}
}

func TestRefusedProfilesChangeNothing(t *testing.T) {
	f := newFixture(t)
	bad := users.Profile{UserID: "\xff"}
	_, err := f.Create(t.Context(), "kyoko", password, bad)
	wantErr(t, "Create", err, users.ErrProfile)
	_, err = f.ByName(t.Context(), "kyoko")
	wantErr(t, "ByName of the refused", err, users.ErrNotFound)

	before := f.create(t, "kyoko")
	_, err = f.SetProfile(t.Context(), "kyoko", func(p *users.Profile) { p.Email, p.Claims = "k@example.org", `{"sub":"1"}` })
	wantRefusal(t, "SetProfile", err, users.ErrProfile, `the claim "sub" is reserved`)
	wantStored(t, f, before)
}

func wantStored(t *testing.T, f *fixture, want users.User) {
	t.Helper()
	got, err := f.ByID(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored account (-want +got):\n%s", diff)
	}
}

// A profile is not what ends sessions, and not a password.
func TestSetProfileAltersTheProfileAlone(t *testing.T) {
	f := newFixture(t)
	want := f.create(t, "kyoko")
	f.now = f.now.Add(1e12)
	got, err := f.SetProfile(t.Context(), "KYOKO", func(p *users.Profile) { p.UserID, p.Staff = "7", true })
	if err != nil {
		t.Fatal(err)
	}
	want.UserID, want.Staff, want.Version = "7", true, 2
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("returned account (-want +got):\n%s", diff)
	}
	wantStored(t, f, want)
	_, err = f.SetProfile(t.Context(), "nobody", func(*users.Profile) {})
	wantErr(t, "of nobody", err, users.ErrNotFound)
	f.store.FailNext("UpdateUser", storetest.NotApplied)
	_, err = f.SetProfile(t.Context(), "kyoko", func(p *users.Profile) { p.Staff = false })
	wantErr(t, "a failing store", err, storetest.ErrFault)
}

func TestUserIDOfAnotherAccountIsRefused(t *testing.T) {
	f := newFixture(t)
	if _, err := f.Create(t.Context(), "kyoko", password, users.Profile{UserID: "7"}); err != nil {
		t.Fatal(err)
	}
	_, err := f.Create(t.Context(), "noriko", password, users.Profile{UserID: "7"})
	wantErr(t, "Create", err, users.ErrUserID)
	_, err = f.ByName(t.Context(), "noriko")
	wantErr(t, "ByName of the refused", err, users.ErrNotFound)

	other := f.create(t, "noriko")
	_, err = f.SetProfile(t.Context(), "noriko", func(p *users.Profile) { p.UserID = "7" })
	wantErr(t, "SetProfile", err, users.ErrUserID)
	wantStored(t, f, other)
	if _, err := f.Remove(t.Context(), "kyoko"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.SetProfile(t.Context(), "noriko", func(p *users.Profile) { p.UserID = "7" }); err != nil {
		t.Errorf("once it is free: %v", err)
	}
}

// rival gives the account a group before each of the next so many updates.
type rival struct {
	users.Store
	left int
}

func (r *rival) UpdateUser(ctx context.Context, u users.User) error {
	if r.left > 0 {
		r.left--
		stored, err := r.Store.UserByID(ctx, u.ID)
		stored.Groups = append(stored.Groups, fmt.Sprint("rival-", r.left))
		if err := errors.Join(err, r.Store.UpdateUser(ctx, stored)); err != nil {
			return err
		}
	}
	return r.Store.UpdateUser(ctx, u)
}

// The change is made to the profile as it is by then, so no other change is lost.
func TestSetProfileIsTriedAgainAfterConflicts(t *testing.T) {
	f := newFixture(t)
	f.create(t, "kyoko")
	d := newDirectory(t, &rival{Store: f.store, left: 2}, nil)
	calls := 0
	u, err := d.SetProfile(t.Context(), "kyoko", func(p *users.Profile) {
		calls++
		p.Groups = append(p.Groups, "mine")
	})
	if want := []string{"mine", "rival-0", "rival-1"}; err != nil || calls != 3 || !slices.Equal(u.Groups, want) {
		t.Errorf("groups %q after %d calls, error %v; want %q after 3", u.Groups, calls, err, want)
	}
	wantStored(t, f, u)

	d = newDirectory(t, &rival{Store: f.store, left: 10}, nil)
	_, err = d.SetProfile(t.Context(), "kyoko", func(p *users.Profile) { p.Staff = true })
	wantErr(t, "ten conflicts", err, users.ErrConflict)
	if u, err := f.ByName(t.Context(), "kyoko"); err != nil || u.Staff {
		t.Errorf("after ten conflicts: staff %v, error %v", u.Staff, err)
	}
}
