package users_test

import (
	"errors"
	"testing"
	"time"

	"signet/users"
	"signet/users/passhash"
)

// failing is a Hasher that fails, for comparisons, for new hashes or for both.
type failing struct{ matches, hash error }

func (f failing) Matches(hash *passhash.Hash, password string) (bool, error) {
	return hash.Matches(password), f.matches
}

func (f failing) Argon2id(memoryKiB, time uint32, threads uint8, password string) (string, error) {
	return passhash.Argon2id(memoryKiB, time, threads, password), f.hash
}

// TestHasherThatFails: its error is none of the password, changes nothing, is not measured
// and leaves its slot; a login does not fail for a better hash.
func TestHasherThatFails(t *testing.T) {
	f := newFixture(t)
	f.create(t, "kyoko")
	ended := errors.New("it ended")
	var measured int
	with := func(h failing, p users.Params) *users.Directory {
		d, err := users.New(users.Options{Store: f.store, Params: p, Slots: 1, Hasher: h, Hashed: func(time.Duration) { measured++ }})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := with(failing{ended, ended}, cheap)
	for _, name := range []string{"kyoko", "nobody"} {
		_, err := d.Authenticate(t.Context(), name, password)
		wantErr(t, name, err, users.ErrHasher)
		wantErr(t, name+": its cause", err, ended)
		if errors.Is(err, users.ErrCredentials) {
			t.Errorf("%s: %v is a wrong password", name, err)
		}
	}
	_, err := d.Create(t.Context(), "akira", password, users.Profile{})
	wantErr(t, "Create", err, users.ErrHasher)
	_, err = f.ByName(t.Context(), "akira")
	wantErr(t, "the account", err, users.ErrNotFound)
	if pool := d.Pool(); measured != 0 || pool.Running != 0 {
		t.Errorf("%d measured, %+v", measured, pool)
	}

	costlier := cheap
	costlier.Time = 2
	d = with(failing{hash: ended}, costlier)
	if u, err := d.Authenticate(t.Context(), "kyoko", password); err != nil || u.Name != "kyoko" || measured != 1 {
		t.Errorf("a hash that cannot be made better: %v, %q, %d measured", err, u.Name, measured)
	}
	_, err = d.Authenticate(t.Context(), "kyoko", "wrong horse battery staple")
	wantErr(t, "a wrong password", err, users.ErrCredentials)
}
