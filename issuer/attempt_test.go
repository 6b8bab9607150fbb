package issuer_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"signet/internal/store/storetest"
	"signet/internal/throttle"
	"signet/issuer"
	"signet/users"
	"signet/users/passhash"
)

var (
	attacker = netip.MustParseAddr("192.0.2.66")
	owner    = netip.MustParseAddr("198.51.100.7")
)

// throttled is an issuer that lets three failures of a pair pass.
func throttled(t *testing.T, rules throttle.Rules) (*fixture, func(name, pw string, from netip.Addr) error) {
	f := newFixture(t)
	i := f.issuerWith(func(o *issuer.Options) { o.Throttle = throttle.New(rules, f.now) })
	return f, func(name, pw string, from netip.Addr) error {
		_, err := i.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: name, Password: pw, From: from})
		return err
	}
}

func wantWait(t *testing.T, what string, err error, want time.Duration) {
	t.Helper()
	var wait *issuer.ThrottledError
	if !errors.As(err, &wait) || wait.RetryAfter != want {
		t.Errorf("%s: error = %v, want a wait of %v", what, err, want)
	}
}

func TestGuessesAreThrottled(t *testing.T) {
	f, login := throttled(t, throttle.Rules{Pair: 3, MaxWait: time.Minute})
	for range 3 {
		wantErr(t, "a free guess", login("kyoko", "wrong", attacker), users.ErrCredentials)
	}
	wantWait(t, "during the wait", login("kyoko", "wrong", attacker), time.Second)
	wantWait(t, "the right password during the wait", login("kyoko", password, attacker), time.Second)
	wantWait(t, "another spelling", login("KYOKO", password, attacker), time.Second)
	if err := login("kyoko", password, owner); err != nil {
		t.Errorf("the owner elsewhere: %v", err)
	}
	f.move(time.Second)
	wantErr(t, "after the wait", login("kyoko", "wrong", attacker), users.ErrCredentials)
	wantWait(t, "a longer wait", login("kyoko", "wrong", attacker), 2*time.Second)
	f.move(2 * time.Second)
	if err := login("kyoko", password, attacker); err != nil {
		t.Errorf("the right password after the wait: %v", err)
	}
	wantErr(t, "counted anew", login("kyoko", "wrong", attacker), users.ErrCredentials)
}

// A name without an account waits like one with an account, and gets the same error.
func TestThrottleTellsNothingOfAccounts(t *testing.T) {
	_, login := throttled(t, throttle.Rules{Pair: 2, MaxWait: time.Minute})
	for _, name := range []string{"kyoko", "nobody"} {
		var got []string
		for range 5 {
			got = append(got, login(name, "wrong", attacker).Error())
		}
		if got[1] != users.ErrCredentials.Error() || got[2] != got[3] || got[3] != (&issuer.ThrottledError{RetryAfter: time.Second}).Error() || got[4] != got[3] {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Names that no account can have count for the address alone.
func TestImpossibleNamesCountForTheAddress(t *testing.T) {
	_, login := throttled(t, throttle.Rules{Pair: 100, Address: 3, MaxWait: time.Minute})
	for _, name := range []string{"no body", "", "\x00"} {
		wantErr(t, "a guess", login(name, "wrong", attacker), users.ErrCredentials)
	}
	wantWait(t, "the next", login("kyoko", password, attacker), time.Second)
	if err := login("kyoko", password, owner); err != nil {
		t.Errorf("elsewhere: %v", err)
	}
}

// What failed for our own reasons is nobody's guess.
func TestFailuresOfTheServerAreNotCounted(t *testing.T) {
	f, login := throttled(t, throttle.Rules{Pair: 1, MaxWait: time.Minute})
	for range 5 {
		f.store.FailNext("UserByName", storetest.NotApplied)
		wantErr(t, "the store fails", login("kyoko", password, owner), storetest.ErrFault)
	}
	i := f.issuerWith(func(o *issuer.Options) {
		o.Throttle, o.Users = throttle.New(throttle.Rules{Pair: 1, MaxWait: time.Minute}, f.now), panicking{}
	})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was lost")
			}
		}()
		i.Login(t.Context(), issuer.Attempt{Name: "kyoko", Password: password, From: owner})
	}()
	if err := login("kyoko", password, owner); err != nil {
		t.Errorf("the login at last: %v", err)
	}
}

// A hash that could not be computed says nothing of the password: it is no wrong one, and
// does not count as one.
func TestHasherThatFailsIsNotCounted(t *testing.T) {
	f := newFixture(t)
	directory, err := users.New(users.Options{Store: f.store, Params: users.Params{MemoryKiB: 64, Time: 1, Threads: 1}, Hasher: ended{}})
	must(t, err)
	i := f.issuerWith(func(o *issuer.Options) {
		o.Throttle, o.Users = throttle.New(throttle.Rules{Pair: 1, MaxWait: time.Minute}, f.now), directory
	})
	for range 5 {
		_, err := i.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password, From: owner})
		wantErr(t, "the hasher fails", err, users.ErrHasher)
	}
}

// ended is a users.Hasher whose process has ended.
type ended struct{ users.Hasher }

func (ended) Matches(*passhash.Hash, string) (bool, error) { return false, errors.New("it ended") }

// panicking is a directory with a defect.
type panicking struct{ issuer.Users }

func (panicking) Authenticate(context.Context, string, string) (users.User, error) {
	panic("a defect")
}

// While it waits, a name with an account takes as long as one without: neither is looked
// up. Two-sample Kolmogorov-Smirnov over a thousand each in random order: less than 0.2
// apart, of refusals that take microseconds; one look at the account is 0.5 and more.
func TestThrottledRefusalsTakeTheSameTime(t *testing.T) {
	f := newFixture(t)
	i := f.issuerWith(func(o *issuer.Options) {
		o.Throttle = throttle.New(throttle.Rules{Pair: 1, MaxWait: time.Hour}, f.now)
	})
	names := [2]string{"kyoko", "hideo"} // only the first is there
	try := func(name string) time.Duration {
		begun := time.Now()
		_, err := i.Login(t.Context(), issuer.Attempt{Name: name, Password: "wrong", From: attacker})
		took := time.Since(begun)
		if wait := (*issuer.ThrottledError)(nil); !errors.As(err, &wait) && !errors.Is(err, users.ErrCredentials) {
			t.Fatalf("%s: %v", name, err)
		}
		return took
	}
	try(names[0])
	try(names[1])
	const samples = 1000
	distance := 0.0
	for range 5 {
		var took [2][]time.Duration
		for range 2 * samples {
			n := rand.IntN(2)
			took[n] = append(took[n], try(names[n]))
		}
		if distance = farthest(took[0], took[1]); distance < 0.5 { // a look at the account is nearly 1; where memory lies is 0.2 at times
			return
		}
	}
	t.Errorf("the distributions are %.3f apart", distance)
}

// farthest is how far two distributions are apart where they differ most.
func farthest(a, b []time.Duration) (d float64) {
	slices.Sort(a)
	slices.Sort(b)
	for _, at := range slices.Concat(a, b) {
		below := func(s []time.Duration) float64 {
			n, _ := slices.BinarySearch(s, at+1)
			return float64(n) / float64(len(s))
		}
		d = max(d, math.Abs(below(a)-below(b)))
	}
	return d
}
