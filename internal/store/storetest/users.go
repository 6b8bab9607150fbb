package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"signet/users"
)

func sampleUser(n int) users.User {
	return users.User{
		ID: hex32('a', n), Name: fmt.Sprintf("user-%03d", n),
		Hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", Disabled: n%2 == 1,
		Created: start.Truncate(time.Second), PasswordChanged: start.Add(time.Hour).Truncate(time.Second),
	}
}

func testUserRoundTrip(t *testing.T, s Store) {
	odd := sampleUser(2)
	odd.Epoch = 5
	odd.Profile = users.Profile{UserID: "42", Email: "k@example.com", GivenName: "Käthe", FamilyName: "Müller", Staff: true,
		Superuser: true, Groups: []string{"a", "b"}, Permissions: []string{"orders.add_order"}, Claims: `{"tenant":"x"}`}
	odd.ID, odd.Name = "not hex32", "käthe\x00müller \xff"
	odd.Created = odd.Created.In(time.FixedZone("elsewhere", 3600))
	for _, want := range []users.User{sampleUser(1), odd} {
		want.Version = 77 // ignored: a new record is Version 1
		must(t, s.CreateUser(t.Context(), want))
		want.Version = 1
		byName, err := s.UserByName(t.Context(), want.Name)
		must(t, err)
		wantEqual(t, "by name", byName, want)
		byID, err := s.UserByID(t.Context(), want.ID)
		must(t, err)
		wantEqual(t, "by id", byID, want)
		wantUTC(t, want.Name, byID.Created, byID.PasswordChanged)
	}
}

func testUserExists(t *testing.T, s Store) {
	must(t, s.CreateUser(t.Context(), sampleUser(1)))
	sameName, sameID := sampleUser(2), sampleUser(3)
	sameName.Name, sameID.ID = sampleUser(1).Name, sampleUser(1).ID
	wantErr(t, "same name", s.CreateUser(t.Context(), sameName), users.ErrExists)
	wantErr(t, "same id", s.CreateUser(t.Context(), sameID), users.ErrExists)
	// Neither left a trace.
	wantErr(t, "id of the refused", err2(s.UserByID(t.Context(), sameName.ID)), users.ErrNotFound)
	wantErr(t, "name of the refused", err2(s.UserByName(t.Context(), sameID.Name)), users.ErrNotFound)
}

func testUserNotFound(t *testing.T, s Store) {
	u := sampleUser(1)
	for _, id := range []string{u.ID, ""} {
		u.ID = id
		wantErr(t, "UserByID", err2(s.UserByID(t.Context(), id)), users.ErrNotFound)
		wantErr(t, "UserByName", err2(s.UserByName(t.Context(), id)), users.ErrNotFound)
		wantErr(t, "UpdateUser", s.UpdateUser(t.Context(), u), users.ErrNotFound)
		wantErr(t, "RemoveUser", s.RemoveUser(t.Context(), id), users.ErrNotFound)
	}
	all, err := s.Users(t.Context(), "", 10)
	must(t, err)
	if len(all) != 0 {
		t.Errorf("an empty store lists %d users", len(all))
	}
}

func testUserUpdate(t *testing.T, s Store) {
	must(t, s.CreateUser(t.Context(), sampleUser(1)))
	u, err := s.UserByID(t.Context(), sampleUser(1).ID)
	must(t, err)
	u.Hash, u.Disabled, u.PasswordChanged = "$other", !u.Disabled, u.PasswordChanged.Add(time.Hour)
	must(t, s.UpdateUser(t.Context(), u))
	wantErr(t, "the version already replaced", s.UpdateUser(t.Context(), u), users.ErrConflict)
	u.Version = 2
	renamed := u
	renamed.Name = "somebody-else"
	wantErr(t, "another name", s.UpdateUser(t.Context(), renamed), users.ErrConflict)
	ahead := u
	ahead.Version = 3
	wantErr(t, "a version never stored", s.UpdateUser(t.Context(), ahead), users.ErrConflict)
	got, err := s.UserByName(t.Context(), u.Name)
	must(t, err)
	wantEqual(t, "user", got, u)
	wantErr(t, "the other name", err2(s.UserByName(t.Context(), renamed.Name)), users.ErrNotFound)
}

func testUserRemove(t *testing.T, s Store) {
	u, other := sampleUser(1), sampleUser(2)
	must(t, s.CreateUser(t.Context(), u))
	must(t, s.CreateUser(t.Context(), other))
	must(t, s.RemoveUser(t.Context(), u.ID))
	wantErr(t, "again", s.RemoveUser(t.Context(), u.ID), users.ErrNotFound)
	wantErr(t, "by name", err2(s.UserByName(t.Context(), u.Name)), users.ErrNotFound)
	wantErr(t, "by id", err2(s.UserByID(t.Context(), u.ID)), users.ErrNotFound)

	successor := sampleUser(3)
	successor.Name = u.Name
	must(t, s.CreateUser(t.Context(), successor))
	got, err := s.UserByName(t.Context(), u.Name)
	must(t, err)
	successor.Version = 1
	wantEqual(t, "the next with this name", got, successor)
	must(t, err2(s.UserByID(t.Context(), other.ID)))
}

func testUserPages(t *testing.T, s Store) {
	names := []string{"Z", "a", "a\x00", "a\x00b", "aa", "b", "z", "é", "\xff"}
	for i, name := range slices.Backward(names) {
		u := sampleUser(i)
		u.Name = name
		must(t, s.CreateUser(t.Context(), u))
	}
	for limit := 1; limit <= len(names)+1; limit++ {
		var got []string
		for after := ""; ; {
			page, err := s.Users(t.Context(), after, limit)
			must(t, err)
			for _, u := range page {
				after = u.Name
				got = append(got, u.Name)
			}
			if len(page) > limit {
				t.Fatalf("a page of %d with limit %d", len(page), limit)
			}
			if len(page) < limit {
				break
			}
		}
		wantEqual(t, fmt.Sprintf("names in pages of %d", limit), got, names)
	}
	page, err := s.Users(t.Context(), "aaa", 2) // not itself a name
	must(t, err)
	wantEqual(t, "first after aaa", page[0].Name, "b")
}

func testUserCreateRace(t *testing.T, s Store) {
	errs := together(64, func(i int) error {
		u := sampleUser(i)
		u.Name = "same"
		return s.CreateUser(t.Context(), u)
	})
	wantOne(t, errs, users.ErrExists)
	winner := slices.Index(errs, nil)
	got, err := s.UserByName(t.Context(), "same")
	must(t, err)
	wantEqual(t, "the account", got.ID, sampleUser(winner).ID)
	all, err := s.Users(t.Context(), "", 100)
	must(t, err)
	wantEqual(t, "how many", len(all), 1)
	for i := range 64 {
		if i != winner {
			wantErr(t, "a loser", err2(s.UserByID(t.Context(), sampleUser(i).ID)), users.ErrNotFound)
		}
	}
}

func testUserUpdateRace(t *testing.T, s Store) {
	must(t, s.CreateUser(t.Context(), sampleUser(1)))
	for round := range 20 {
		read, err := s.UserByID(t.Context(), sampleUser(1).ID)
		must(t, err)
		errs := together(16, func(i int) error {
			mine := read
			mine.Hash = fmt.Sprint("$", i)
			return s.UpdateUser(t.Context(), mine)
		})
		wantOne(t, errs, users.ErrConflict)
		got, err := s.UserByID(t.Context(), read.ID)
		must(t, err)
		read.Hash, read.Version = fmt.Sprint("$", slices.Index(errs, nil)), uint64(round+2)
		wantEqual(t, "the winner's record", got, read)
	}
}

func testUserID(t *testing.T, s Store) {
	a, b, plain := sampleUser(1), sampleUser(2), sampleUser(3)
	a.UserID, b.UserID = "1", "2"
	for _, u := range []users.User{a, b, plain} {
		must(t, s.CreateUser(t.Context(), u))
	}
	third := sampleUser(4)
	third.UserID = "1"
	wantErr(t, "a taken user_id", s.CreateUser(t.Context(), third), users.ErrUserID)
	wantErr(t, "the refused", err2(s.UserByName(t.Context(), third.Name)), users.ErrNotFound)
	third.Name = a.Name
	wantErr(t, "a taken name and user_id", s.CreateUser(t.Context(), third), users.ErrExists)

	wantUserID := func(what, userID, id string) {
		t.Helper()
		got, err := s.UserByUserID(t.Context(), userID)
		if id == "" {
			wantErr(t, what, err, users.ErrNotFound)
			return
		}
		must(t, err)
		wantEqual(t, what, got.ID, id)
	}
	wantUserID("of a", "1", a.ID)
	wantUserID("unknown", "3", "")
	wantUserID("none", "", "")

	b.Version, b.UserID = 1, "1"
	wantErr(t, "an update to a taken user_id", s.UpdateUser(t.Context(), b), users.ErrUserID)
	b.UserID = "3"
	must(t, s.UpdateUser(t.Context(), b))
	wantUserID("of b, changed", "3", b.ID)
	wantUserID("the one before", "2", "")
	b.Version, b.UserID = 2, ""
	must(t, s.UpdateUser(t.Context(), b))
	wantUserID("of b, taken away", "3", "")
	plain.Version, plain.UserID = 1, "3"
	must(t, s.UpdateUser(t.Context(), plain))
	wantUserID("given", "3", plain.ID)
	must(t, s.RemoveUser(t.Context(), a.ID))
	wantUserID("of a removed account", "1", "")
}

func testUserIDRace(t *testing.T, s Store) {
	errs := together(32, func(i int) error {
		u := sampleUser(i)
		u.UserID = "same"
		return s.CreateUser(t.Context(), u)
	})
	wantOne(t, errs, users.ErrUserID)
	got, err := s.UserByUserID(t.Context(), "same")
	must(t, err)
	wantEqual(t, "the account", got.ID, sampleUser(slices.Index(errs, nil)).ID)
}

func testHashKinds(t *testing.T, s Store) {
	const (
		argon  = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"
		django = "pbkdf2_sha256$1000$c2FsdHNhbHQ$lOcEBkGp2qkNVhoVZuGZUJyzBTOhmSEOEdbTsz9p+xw="
	)
	want := map[string]int{}
	check := func(what string) {
		t.Helper()
		got, err := s.HashKinds(t.Context())
		must(t, err)
		wantEqual(t, what, got, want)
	}
	check("no users")
	var all []users.User
	for i, hash := range []string{argon, argon, django, ""} {
		u := sampleUser(i)
		u.Hash = hash
		must(t, s.CreateUser(t.Context(), u))
		u.Version = 1
		all = append(all, u)
	}
	oldKind, newKind := users.HashKind(django), users.HashKind(argon)
	if oldKind == "" || newKind == "" {
		t.Fatal("the samples are no hashes")
	}
	want = map[string]int{newKind: 2, oldKind: 1, "": 1}
	check("four users")
	must(t, s.UpdateUser(t.Context(), all[0])) // the same hash
	check("an update of something else")
	all[2].Hash = argon
	must(t, s.UpdateUser(t.Context(), all[2]))
	want = map[string]int{newKind: 3, "": 1}
	check("an upgrade")
	wantErr(t, "conflict", s.UpdateUser(t.Context(), all[2]), users.ErrConflict)
	check("a refused update")
	must(t, s.RemoveUser(t.Context(), all[3].ID))
	want = map[string]int{newKind: 3}
	check("a removal")
	together(32, func(i int) error {
		u := sampleUser(10 + i)
		u.Hash = django
		return s.CreateUser(t.Context(), u)
	})
	want[oldKind] = 32
	check("creations at one moment")
}
