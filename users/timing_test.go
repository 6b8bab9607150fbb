package users_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"signet/users"
	"signet/users/passhash"
)

// Timing. What an observer of refused logins can measure is compared as two samples of
// a distribution: the same one, if a login tells nothing. The samples are taken in
// random order, so a machine that is slow for a while is slow for both.
const (
	samples = 100
	rounds  = 3
)

// costs are those of the two kinds of hashes that accounts have here: a few
// milliseconds, as long as hundreds of look-ups in the store, and times that can be
// told apart on every machine, also under the race detector.
type costs struct {
	memoryKiB  uint32 // of an argon2id hash, with one pass
	iterations int    // of a pbkdf2_sha256 hash, which takes twice as long
}

var realCosts = sync.OnceValue(func() costs {
	c := costs{memoryKiB: 4096, iterations: 4096}
	argon := func() { passhash.Argon2id(c.memoryKiB, 1, 1, password) }
	for fastest(argon) > 3*time.Millisecond && c.memoryKiB > 256 {
		c.memoryKiB /= 2
	}
	old := fastest(func() { pbkdf2Hash(password, c.iterations) })
	c.iterations = int(2 * float64(c.iterations) * float64(fastest(argon)) / float64(old))
	return c
})

// fastest is the shortest time of some that do takes.
func fastest(do func()) time.Duration {
	shortest := time.Duration(math.MaxInt64)
	for range 10 {
		start := time.Now()
		do()
		shortest = min(shortest, time.Since(start))
	}
	return shortest
}

// farthest is the bound of the two-sample Kolmogorov-Smirnov statistic D: two samples
// of one distribution exceed 1.95·√(2/n) once in a thousand comparisons, all rounds of
// one comparison once in 10⁹.
var farthest = 1.95 * math.Sqrt(2.0/samples)

// ks is the two-sample Kolmogorov-Smirnov statistic: the largest distance of the two
// empirical distribution functions.
func ks(a, b []time.Duration) float64 {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	largest := 0.0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		at := min(a[i], b[j])
		for i < len(a) && a[i] == at {
			i++
		}
		for j < len(b) && b[j] == at {
			j++
		}
		largest = max(largest, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return largest
}

func TestKolmogorovSmirnov(t *testing.T) {
	d := func(ms ...time.Duration) []time.Duration { return ms }
	tests := []struct {
		a, b []time.Duration
		want float64
	}{
		{d(1, 2, 3, 4), d(4, 3, 2, 1), 0},
		{d(1, 2), d(3, 4), 1},
		{d(1, 2, 3, 4), d(2, 3, 4, 5), 0.25},
		{d(1, 1, 1, 1), d(1, 1, 2, 2), 0.5},
		{d(1, 9), d(1, 1, 1, 9), 0.25},
	}
	for _, tt := range tests {
		if got, back := ks(tt.a, tt.b), ks(tt.b, tt.a); got != tt.want || back != tt.want {
			t.Errorf("ks(%v, %v) = %v and %v, want %v", tt.a, tt.b, got, back, tt.want)
		}
	}
}

// cause is a way to be refused.
type cause struct {
	what     string
	name     func(i int) string // of sample i of all rounds
	password string
}

// measure is the time that each refusal takes, interleaved.
func measure(t *testing.T, d *users.Directory, round int, causes []cause) [][]time.Duration {
	t.Helper()
	took := make([][]time.Duration, len(causes))
	order := make([]int, samples*len(causes))
	for i := range order {
		order[i] = i % len(causes)
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, c := range order {
		name := causes[c].name(round*samples + len(took[c]))
		start := time.Now()
		_, err := d.Authenticate(t.Context(), name, causes[c].password)
		took[c] = append(took[c], time.Since(start))
		if !errors.Is(err, users.ErrCredentials) {
			t.Fatalf("%s: %v", causes[c].what, err)
		}
	}
	return took
}

// wantSameTimes compares all causes with the first, which is an account's. It fails
// for those that differ in all rounds.
func wantSameTimes(t *testing.T, d *users.Directory, causes []cause) {
	t.Helper()
	suspects := causes[1:]
	for round := range rounds {
		took := measure(t, d, round, append(causes[:1:1], suspects...))
		var differ []cause
		for i, c := range suspects {
			distance := ks(took[0], took[i+1])
			t.Logf("round %d: %s (median %v), %s (median %v): D = %.3f, bound %.3f", round+1,
				causes[0].what, median(took[0]), c.what, median(took[i+1]), distance, farthest)
			if distance > farthest {
				differ = append(differ, c)
			}
		}
		if suspects = differ; len(suspects) == 0 {
			return
		}
	}
	for _, c := range suspects {
		t.Errorf("in %d rounds the time of a refusal tells %q from %q", rounds, c.what, causes[0].what)
	}
}

func median(took []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(took))[len(took)/2]
}

// called is always the same name.
func called(name string) func(int) string { return func(int) string { return name } }

// oneOf goes around n names of importMany for each prefix.
func oneOf(n int, prefixes ...string) func(int) string {
	return func(i int) string {
		return fmt.Sprintf("%s-%d", prefixes[i%len(prefixes)], i/len(prefixes)%n)
	}
}

// timedDirectory is one with real costs over the accounts of f. Its key is fixed: which
// unknown name gets which kind does not change from run to run.
func (f *fixture) timedDirectory(t *testing.T) *users.Directory {
	t.Helper()
	params := users.Params{MemoryKiB: realCosts().memoryKiB, Time: 1, Threads: 1, Queue: 1}
	d, err := users.New(users.Options{Store: f.store, Params: params, DecoyKey: []byte("a key")})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTimeOfARefusalTellsNoAccount(t *testing.T) {
	f := newFixture(t)
	d := f.timedDirectory(t)
	for _, name := range []string{"kyoko", "disabled"} {
		if _, err := d.Create(t.Context(), name, password, users.Profile{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Disable(t.Context(), "disabled"); err != nil {
		t.Fatal(err)
	}
	importMany(t, d, "none", 1, users.Entry{Hash: "!"})
	wantSameTimes(t, d, []cause{
		{"wrong password", called("kyoko"), "wrong"},
		{"unknown user", called("nobody"), password},
		{"name no account can have", called("no body"), password},
		{"disabled user", called("disabled"), password},
		{"disabled user, wrong password", called("disabled"), "wrong"},
		{"account without a password", called("none-0"), password},
	})
}

// While old hashes are left, accounts take several times. Names without an account take
// them as often.
func TestTimeOfARefusalTellsNoAccountAmongOldHashes(t *testing.T) {
	const each = 24
	f := newFixture(t)
	d := f.timedDirectory(t)
	own, err := d.Create(t.Context(), "own", password, users.Profile{})
	if err != nil {
		t.Fatal(err)
	}
	for kind, hash := range map[string]string{"new": own.Hash, "old": pbkdf2Hash(password, realCosts().iterations)} {
		importMany(t, d, kind, each, users.Entry{Hash: hash})
		importMany(t, d, "disabled-"+kind, each, users.Entry{Hash: hash, Disabled: true})
	}
	importMany(t, d, "none", 2*each, users.Entry{Hash: "!"})
	wantPower(t, d, each)
	wantSameTimes(t, d, []cause{
		{"wrong password", oneOf(each, "new", "old"), "wrong"},
		{"unknown users", unknown, password},
		{"disabled users", oneOf(each, "disabled-old", "disabled-new"), password},
		{"accounts without a password", oneOf(2*each, "none"), password},
	})
}

// wantPower shows that the two kinds take two times, and that the statistic sees it:
// it would see a decoy of one kind alone.
func wantPower(t *testing.T, d *users.Directory, each int) {
	t.Helper()
	for round := range 4 * rounds { // a busy machine hides it for a while
		took := measure(t, d, round, []cause{
			{"both kinds", oneOf(each, "new", "old"), "wrong"},
			{"new hashes", oneOf(each, "new"), "wrong"},
		})
		distance := ks(took[0], took[1])
		t.Logf("both kinds (median %v), new hashes (median %v): D = %.3f", median(took[0]), median(took[1]), distance)
		if distance > farthest {
			return
		}
	}
	t.Errorf("the two kinds of hashes are not told apart: the test would not see a fault")
}
