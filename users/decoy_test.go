package users_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"signet/internal/store/storetest"
	"signet/users"
)

// keyed is another Directory over the accounts of f, as after a restart.
func (f *fixture) keyed(t *testing.T, key string) *users.Directory {
	t.Helper()
	d, err := users.New(users.Options{Store: f.store, Params: cheap, Now: func() time.Time { return f.now }, DecoyKey: []byte(key)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func decoyKind(t *testing.T, d *users.Directory, name string) string {
	t.Helper()
	kind, err := d.DecoyKind(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return kind
}

func unknown(i int) string { return fmt.Sprintf("unknown-%d", i) }

// importMany adds n accounts named prefix-0, prefix-1, …
func (f *fixture) importMany(t *testing.T, prefix string, n int, e users.Entry) {
	t.Helper()
	importMany(t, f.Directory, prefix, n, e)
}

func importMany(t *testing.T, d *users.Directory, prefix string, n int, e users.Entry) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		e := e
		e.Name = fmt.Sprintf("%s-%d", prefix, i)
		wg.Go(func() {
			if _, err := d.Import(t.Context(), e, users.ImportRules{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Bounds: with 4000 names a share lies within five standard deviations of a binomial
// distribution. The key is fixed, so the result is always the same.
func TestDecoysHaveTheSharesOfTheAccounts(t *testing.T) {
	const names = 4000
	f := newFixture(t)
	accounts := map[string]int{pbkdf2Hash("x", 10): 24, pbkdf2Hash("x", 20): 12, pbkdf2Hash("x", 30): 3, f.create(t, "own").Hash: 1}
	for hash, n := range accounts {
		if n > 1 {
			f.importMany(t, strings.ReplaceAll(users.HashKind(hash), " ", "-"), n, users.Entry{Hash: hash})
		}
	}
	f.importMany(t, "none", 10, users.Entry{}) // have no kind
	d, got := f.keyed(t, "a key"), map[string]int{}
	for i := range names {
		got[decoyKind(t, d, unknown(i))]++
	}
	for hash, n := range accounts {
		share := float64(n) / 40
		expected, bound := names*share, 5*math.Sqrt(names*share*(1-share))
		if kind := users.HashKind(hash); math.Abs(float64(got[kind])-expected) > bound {
			t.Errorf("%s: %d of %d names, want %.0f ± %.0f", kind, got[kind], names, expected, bound)
		}
	}
	if len(got) != len(accounts) {
		t.Errorf("kinds %v", got)
	}
}

// mixed is a fixture with two kinds of hashes in equal shares.
func mixed(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.importMany(t, "a", 8, users.Entry{Hash: pbkdf2Hash("x", 10)})
	f.importMany(t, "b", 8, users.Entry{Hash: pbkdf2Hash("x", 20)})
	return f
}

// Always the same kind, also after a restart: a name whose time changes is no account's.
func TestDecoyOfANameStays(t *testing.T) {
	f := mixed(t)
	one, again, other := f.keyed(t, "a key"), f.keyed(t, "a key"), f.keyed(t, "another key")
	random, random2 := f.keyed(t, ""), f.keyed(t, "")
	seen, differ, differRandom := map[string]bool{}, 0, 0
	const names = 200
	for i := range names {
		kind := decoyKind(t, one, unknown(i))
		seen[kind] = true
		for _, spelling := range []string{unknown(i), strings.ToUpper(unknown(i))} {
			for _, d := range []*users.Directory{one, again} {
				hash, err := d.HashKindFor(t.Context(), spelling)
				if err != nil || hash != kind {
					t.Errorf("%s: %s, then %s, error %v", spelling, kind, hash, err)
				}
			}
		}
		if decoyKind(t, other, unknown(i)) != kind {
			differ++
		}
		if decoyKind(t, random, unknown(i)) != decoyKind(t, random2, unknown(i)) {
			differRandom++
		}
	}
	// Half of the names are expected; 25 % is seven standard deviations away.
	if len(seen) != 2 || differ < names/4 || differRandom < names/4 {
		t.Errorf("kinds %v; another key differs for %d names of %d, two random ones for %d", seen, differ, names, differRandom)
	}
}

// The kinds follow the accounts, within ten seconds.
func TestDecoysFollowTheAccounts(t *testing.T) {
	f := newFixture(t)
	d := f.keyed(t, "a key")
	own := users.HashKind(f.create(t, "own").Hash)
	if _, err := f.Remove(t.Context(), "own"); err != nil {
		t.Fatal(err)
	}
	if got := decoyKind(t, d, "nobody"); got != own {
		t.Errorf("without accounts: %s, want the kind of new ones, %s", got, own)
	}
	f.importMany(t, "a", 3, users.Entry{Hash: oldHash})
	f.now = f.now.Add(11 * time.Second)
	if got, want := decoyKind(t, d, "nobody"), users.HashKind(oldHash); got != want {
		t.Errorf("after the import: %s, want %s", got, want)
	}
	for i := range 3 {
		if _, err := d.Authenticate(t.Context(), fmt.Sprintf("a-%d", i), password); err != nil {
			t.Fatal(err)
		}
	}
	f.now = f.now.Add(-time.Minute) // also by a clock that is set back
	if got := decoyKind(t, d, "nobody"); got != own {
		t.Errorf("after all logins: %s, want %s", got, own)
	}
}

// An account without a password stands for an unknown name, a disabled one for one that
// is not: which hash is computed says neither.
func TestEveryCauseGetsAHashOfTheSamePopulation(t *testing.T) {
	f := mixed(t)
	d := f.keyed(t, "a key")
	for i := range 40 {
		name := unknown(i)
		want := decoyKind(t, d, name)
		if _, err := d.Import(t.Context(), users.Entry{Name: name, Hash: "!"}, users.ImportRules{}); err != nil {
			t.Fatal(err)
		}
		wantKindFor(t, d, name, want)
		if _, err := d.Disable(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		wantKindFor(t, d, name, want)
	}
	for i := range 8 {
		name := fmt.Sprintf("b-%d", i)
		want := users.HashKind(pbkdf2Hash("x", 20))
		wantKindFor(t, d, name, want)
		if _, err := d.Disable(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		wantKindFor(t, d, name, want)
	}
}

func wantKindFor(t *testing.T, d *users.Directory, name, want string) {
	t.Helper()
	if got, err := d.HashKindFor(t.Context(), name); err != nil || got != want {
		t.Errorf("%s: a login costs %s, want %s; error %v", name, got, want, err)
	}
}

// A disabled account is not told from others by an upgrade of its hash either.
func TestDisabledAccountIsNotUpgraded(t *testing.T) {
	f := newFixture(t)
	u := f.imported(t, users.Entry{Name: "kyoko", Hash: oldHash, Disabled: true}, users.ImportRules{}, users.Created)
	count := users.CountHashes(t, f.Directory)
	_, err := f.Authenticate(t.Context(), "kyoko", password)
	wantErr(t, "Authenticate", err, users.ErrCredentials)
	if n := count(); n != 1 {
		t.Errorf("%d hashes, want 1", n)
	}
	wantStored(t, f, u)
}

// A login that cannot tell what an unknown name costs fails for every name alike.
func TestFailingCountOfKindsIsPassedOn(t *testing.T) {
	f := mixed(t)
	f.create(t, "kyoko")
	f.importMany(t, "none", 1, users.Entry{})
	for _, name := range []string{"kyoko", "nobody", "no body", "none-0", "a-0"} {
		for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedButFailed} {
			d := f.keyed(t, "a key")
			f.store.FailNext("HashKinds", fault)
			_, err := d.Authenticate(t.Context(), name, password)
			wantErr(t, name, err, storetest.ErrFault)
			if errors.Is(err, users.ErrCredentials) {
				t.Errorf("%s: a failing store is reported as %v", name, err)
			}
			if _, err := d.Authenticate(t.Context(), name, "wrong"); !errors.Is(err, users.ErrCredentials) {
				t.Errorf("%s: after the failure: %v", name, err)
			}
		}
	}
	f.store.FailNext("HashKinds", storetest.NotApplied)
	_, err := f.HashKinds(t.Context())
	wantErr(t, "HashKinds", err, storetest.ErrFault)
}

// A kind that this version does not take, as after a downgrade, is no crash.
func TestUnknownKindIsAnError(t *testing.T) {
	f := newFixture(t)
	d, err := users.New(users.Options{Store: kinds{f.store, map[string]int{"md5 i=1": 1}}, Params: cheap})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Authenticate(t.Context(), "nobody", password); err == nil || errors.Is(err, users.ErrCredentials) {
		t.Errorf("Authenticate: %v", err)
	}
}

// kinds is a store that counts otherwise.
type kinds struct {
	users.Store
	counts map[string]int
}

func (k kinds) HashKinds(context.Context) (map[string]int, error) { return maps.Clone(k.counts), nil }
