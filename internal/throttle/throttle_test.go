package throttle_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signet/internal/throttle"
)

var defaults = throttle.Rules{Pair: 5, Address: 50, Account: 50, MaxWait: 15 * time.Minute}

// clock is set by hand.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_800_000_000, c.Load()) }
func (c *clock) advance(d time.Duration) { c.Add(int64(d)) }

func newLimiter(r throttle.Rules) (*throttle.Limiter, *clock) {
	c := new(clock)
	return throttle.New(r, c.now), c
}

// host is one of 2^32 addresses, each its own network.
func host(i int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(i))))
}

// fail tries a wrong password and returns the wait if that was refused.
func fail(l *throttle.Limiter, name string, from netip.Addr) time.Duration {
	return end(l, name, from, throttle.Failed)
}

func end(l *throttle.Limiter, name string, from netip.Addr, o throttle.Outcome) time.Duration {
	done, wait := l.Begin(name, from)
	if wait == 0 {
		done(o)
	}
	return wait
}

// exhaust makes a key wait for the longest time.
func exhaust(t *testing.T, l *throttle.Limiter, c *clock, name string, from func(i int) netip.Addr) {
	t.Helper()
	for i := range 10_000 {
		wait := fail(l, name, from(i))
		if wait == 15*time.Minute {
			return
		}
		c.advance(wait)
	}
	t.Fatal("no wait became the longest")
}

func always(a netip.Addr) func(int) netip.Addr { return func(int) netip.Addr { return a } }

// waits are those that a guesser meets who comes back as soon as allowed.
func waits(l *throttle.Limiter, c *clock, tries int, try func() time.Duration) (got []time.Duration) {
	for range tries {
		wait := try()
		if wait > 0 {
			c.advance(wait - 1)
			if try() != 1 {
				return append(got, -1) // passed early, or the refused try lengthened the wait
			}
			c.advance(1)
			try()
		}
		got = append(got, wait)
	}
	return got
}

func TestWaitsDouble(t *testing.T) {
	second := time.Second
	want := func(free int, to ...time.Duration) []time.Duration {
		return append(make([]time.Duration, free), to...)
	}
	doubling := []time.Duration{second, 2 * second, 4 * second, 8 * second, 16 * second, 32 * second, 64 * second,
		128 * second, 256 * second, 512 * second, 900 * second, 900 * second}
	other := 0
	tests := []struct {
		what  string
		rules throttle.Rules
		try   func(l *throttle.Limiter) time.Duration
		want  []time.Duration
	}{
		{"pair", defaults, func(l *throttle.Limiter) time.Duration { return fail(l, "kyoko", host(1)) }, want(5, doubling...)},
		{"address", defaults, func(l *throttle.Limiter) time.Duration { other++; return fail(l, fmt.Sprint(other), host(1)) }, want(50, doubling...)},
		{"address, no name", defaults, func(l *throttle.Limiter) time.Duration { return fail(l, "", host(1)) }, want(50, doubling...)},
		{"account", defaults, func(l *throttle.Limiter) time.Duration { other++; return fail(l, "kyoko", host(other)) }, want(50, doubling...)},
		{"unknown address", defaults, func(l *throttle.Limiter) time.Duration { return fail(l, "kyoko", netip.Addr{}) }, want(5, doubling...)},
		{"pair alone", throttle.Rules{Pair: 1, MaxWait: 3 * second},
			func(l *throttle.Limiter) time.Duration { return fail(l, "kyoko", host(1)) }, want(1, second, 2*second, 3*second, 3*second)},
		{"all off", throttle.Rules{MaxWait: time.Hour}, func(l *throttle.Limiter) time.Duration { return fail(l, "kyoko", host(1)) }, want(200)},
		{"below zero is off", throttle.Rules{Pair: -1, Address: -1, Account: -1}, func(l *throttle.Limiter) time.Duration { return fail(l, "kyoko", host(1)) }, want(200)},
		{"no MaxWait is a second", throttle.Rules{Pair: 2}, func(l *throttle.Limiter) time.Duration { return fail(l, "kyoko", host(1)) }, want(2, second, second, second)},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			l, c := newLimiter(test.rules)
			got := waits(l, c, len(test.want), func() time.Duration { return test.try(l) })
			if !slices.Equal(got, test.want) {
				t.Errorf("waits %v, want %v", got, test.want)
			}
		})
	}
}

func TestWhatIsOneAddress(t *testing.T) {
	tests := []struct {
		what, a, b string
		same       bool
	}{
		{"IPv6 of one /64", "2001:db8::1", "2001:db8::ffff:2", true},
		{"IPv6 of two /64", "2001:db8::1", "2001:db8:0:1::1", false},
		{"IPv4-mapped", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"two IPv4-mapped", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"zones", "fe80::1%eth0", "fe80::1%eth1", true},
		{"a zone and none", "fe80::1%eth0", "fe80::1", true},
		{"IPv4", "192.0.2.1", "192.0.2.2", false},
		{"unknown and loopback", "", "::1", false},
		{"unknown and unspecified", "", "0.0.0.0", false},
		{"IPv4 and IPv6 of zero", "0.0.0.0", "::", false},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			a, _ := netip.ParseAddr(test.a)
			b := netip.MustParseAddr(test.b)
			l, _ := newLimiter(throttle.Rules{Pair: 1, MaxWait: time.Minute})
			fail(l, "kyoko", a)
			if same := fail(l, "kyoko", b) > 0; same != test.same {
				t.Errorf("one address: %t, want %t", same, test.same)
			}
		})
	}
}

// TestParallelTriesAreChargedBeforeTheyEnd: no guess slips through while the first
// ones are being checked.
func TestParallelTriesAreChargedBeforeTheyEnd(t *testing.T) {
	tests := []struct {
		what string
		name func(i int) string
		from func(i int) netip.Addr
		free int64
	}{
		{"pair", func(int) string { return "kyoko" }, always(host(1)), 5},
		{"address", func(i int) string { return fmt.Sprint(i) }, always(host(1)), 50},
		{"account", func(int) string { return "kyoko" }, host, 50},
		{"crossing", func(i int) string { return fmt.Sprint(i % 2) }, func(i int) netip.Addr { return host(i / 2 % 2) }, 20},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			l, _ := newLimiter(defaults)
			var passed atomic.Int64
			var wg sync.WaitGroup
			for i := range 1000 {
				wg.Go(func() {
					done, wait := l.Begin(test.name(i), test.from(i))
					if wait == 0 {
						passed.Add(1)
						defer done(throttle.Failed)
					}
				})
			}
			wg.Wait()
			if got := passed.Load(); got != test.free {
				t.Errorf("%d of 1000 parallel tries passed, want %d", got, test.free)
			}
		})
	}
}

// TestGuessesPerDay holds the numbers of the package comment.
func TestGuessesPerDay(t *testing.T) {
	tests := []struct {
		what        string
		from        func(i int) netip.Addr
		first, then int
	}{
		{"one address", always(host(1)), 109, 96},
		{"a million addresses", func(i int) netip.Addr { return host(i % 1_000_000) }, 154, 96},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			l, c := newLimiter(defaults)
			count := 0
			for day, want := range []int{test.first, test.then, test.then} {
				got := 0
				for until := time.Duration(day+1) * 24 * time.Hour; time.Duration(c.Load()) < until; count++ {
					wait := fail(l, "kyoko", test.from(count))
					if wait == 0 {
						got++
					}
					c.advance(wait)
				}
				if got != want {
					t.Errorf("day %d: %d guesses, want %d", day+1, got, want)
				}
			}
		})
	}
}

func TestQuietForgetsOneFailureForEachMaxWait(t *testing.T) {
	l, c := newLimiter(defaults)
	exhaust(t, l, c, "kyoko", always(host(1)))
	c.advance(15 * time.Minute) // the wait itself forgets nothing
	if wait := fail(l, "kyoko", host(1)); wait != 0 {
		t.Fatalf("after the wait: refused for %s", wait)
	}
	c.advance(15*time.Minute + 12*15*time.Minute) // 15 failures, 12 forgotten
	for i, want := range []time.Duration{0, 0, time.Second} {
		if wait := fail(l, "kyoko", host(1)); wait != want {
			t.Errorf("try %d after three hours: wait %s, want %s", i, wait, want)
		}
	}
	c.advance(24 * time.Hour)
	for i := range 5 {
		if wait := fail(l, "kyoko", host(1)); wait != 0 {
			t.Errorf("try %d after a day: refused for %s", i, wait)
		}
	}
	if wait := fail(l, "kyoko", host(1)); wait != time.Second {
		t.Errorf("try 6 after a day: wait %s, want 1s", wait)
	}
}

func TestProvedClearsThePairAndTheAccount(t *testing.T) {
	l, _ := newLimiter(defaults)
	for i := range 49 {
		fail(l, "kyoko", host(i/4))
	}
	if wait := end(l, "kyoko", host(100), throttle.Proved); wait != 0 {
		t.Fatal("the owner was refused:", wait)
	}
	for i := range 50 {
		if wait := fail(l, "kyoko", host(200+i)); wait != 0 {
			t.Fatalf("try %d after a success elsewhere: refused for %s", i, wait)
		}
	}
	if wait := fail(l, "kyoko", host(300)); wait != time.Second {
		t.Errorf("wait %s, want 1s", wait)
	}

	for range 4 {
		fail(l, "kyoko", host(100))
	}
	end(l, "kyoko", host(100), throttle.Proved)
	for i := range 5 {
		if wait := fail(l, "kyoko", host(100)); wait != 0 {
			t.Fatalf("try %d after a success here: refused for %s", i, wait)
		}
	}
	if wait := fail(l, "kyoko", host(100)); wait != time.Second {
		t.Errorf("wait %s, want 1s", wait)
	}
}

// TestOneGoodAccountBuysNoTries: logging in between does not reset what an address
// has failed at other accounts, whether its own account is named or not.
func TestOneGoodAccountBuysNoTries(t *testing.T) {
	for _, own := range []string{"mallory", ""} {
		l, _ := newLimiter(defaults)
		passed := 0
		for i := range 1000 {
			if fail(l, fmt.Sprint("victim", i), host(1)) == 0 {
				passed++
			}
			end(l, own, host(1), throttle.Proved)
		}
		if passed != 50 {
			t.Errorf("%d guesses passed with logins of %q between them, want 50", passed, own)
		}
	}
}

// TestParallelLoginsBuyNoTries: logins that overlap where the address's count is at its
// ceiling take back no more than they added.
func TestParallelLoginsBuyNoTries(t *testing.T) {
	for _, outcome := range []throttle.Outcome{throttle.Proved, throttle.Void} {
		l, c := newLimiter(defaults)
		own := []string{"mallory", "mary", "max", "moe"}
		for _, name := range own {
			end(l, name, host(1), throttle.Proved)
		}
		exhaust(t, l, c, "", always(host(1)))
		var open []func(throttle.Outcome)
		for i := range 20 {
			c.advance(1)
			done, wait := l.Begin(own[i%4], host(1))
			if wait != 0 {
				t.Fatalf("login %d of a known account: refused for %s", i, wait)
			}
			open = append(open, done)
		}
		for _, done := range open {
			done(outcome)
		}
		if wait := fail(l, "victim", host(1)); wait.Round(time.Second) != 15*time.Minute {
			t.Errorf("outcome %d: a guess after it waits %s, want 15m", outcome, wait)
		}
	}
}

func TestVoidTakesTheChargeBack(t *testing.T) {
	l, c := newLimiter(defaults)
	for i := range 1000 {
		if wait := end(l, "kyoko", host(1), throttle.Void); wait != 0 {
			t.Fatalf("try %d of a busy server counted: wait %s", i, wait)
		}
	}
	exhaust(t, l, c, "kyoko", always(host(1)))
	c.advance(15 * time.Minute)
	for i := range 3 {
		if wait := end(l, "kyoko", host(1), throttle.Void); wait != 0 {
			t.Fatalf("void try %d after the wait: refused for %s", i, wait)
		}
	}
	// With another's charge on top only the count can be taken back.
	void, _ := l.Begin("else", host(2))
	for range 4 {
		fail(l, "else", host(2))
	}
	void(throttle.Void)
	void(throttle.Void) // no second time
	if wait := fail(l, "else", host(2)); wait != 0 {
		t.Fatal("the fifth failure was refused:", wait)
	}
	if wait := fail(l, "else", host(2)); wait != time.Second {
		t.Errorf("after five failures: wait %s, want 1s", wait)
	}
}

// TestRefusedTriesCountNowhere: the counter that refuses does not charge the others.
func TestRefusedTriesCountNowhere(t *testing.T) {
	l, c := newLimiter(defaults)
	exhaust(t, l, c, "kyoko", always(host(1)))
	for range 1000 {
		if fail(l, "kyoko", host(1)) == 0 {
			t.Fatal("passed")
		}
	}
	for i := range 50 - 15 {
		if wait := fail(l, fmt.Sprint(i), host(1)); wait != 0 {
			t.Fatalf("other account %d from the address: refused for %s", i, wait)
		}
		if wait := fail(l, "kyoko", host(2+i)); wait != 0 {
			t.Fatalf("other address %d for the account: refused for %s", i, wait)
		}
	}
}

// TestOwnerGetsInDuringADistributedGuess: from an address where the account was
// proved lately only the failures of the two of them count.
func TestOwnerGetsInDuringADistributedGuess(t *testing.T) {
	l, c := newLimiter(defaults)
	home := host(-1)
	end(l, "kyoko", home, throttle.Proved)
	exhaust(t, l, c, "kyoko", host)
	for i := range 30 { // and the attacker goes on
		if wait := end(l, "kyoko", home, throttle.Proved); wait != 0 {
			t.Fatalf("login %d: the owner was refused for %s", i, wait)
		}
		if fail(l, "kyoko", host(20_000+i)) == 0 {
			t.Fatalf("login %d of the owner let the attacker in", i)
		}
	}
	for range 5 {
		fail(l, "kyoko", home)
	}
	if wait := fail(l, "kyoko", home); wait != time.Second {
		t.Errorf("five failures at home: wait %s, want 1s", wait)
	}
	if fail(l, "kyoko", host(-2)) == 0 || fail(l, "kyoko", netip.Addr{}) == 0 {
		t.Error("an address at which nobody logged in is exempt")
	}
}

// TestNeighboursDoNotLockEachOtherOut: behind one NAT a stuffer exhausts the address,
// and who logged in from it before still can.
func TestNeighboursDoNotLockEachOtherOut(t *testing.T) {
	l, _ := newLimiter(defaults)
	nat := host(1)
	end(l, "kyoko", nat, throttle.Proved)
	for i := range 60 {
		fail(l, fmt.Sprint(i), nat)
	}
	if wait := fail(l, "newcomer", nat); wait == 0 {
		t.Error("the address is not exhausted")
	}
	if wait := end(l, "kyoko", nat, throttle.Proved); wait != 0 {
		t.Errorf("kyoko is refused for %s", wait)
	}
}

func TestKnownAddresses(t *testing.T) {
	tests := []struct {
		what  string
		rules throttle.Rules
		home  netip.Addr
		then  func(l *throttle.Limiter, c *clock)
		known bool
	}{
		{"lately", defaults, host(-1), func(*throttle.Limiter, *clock) {}, true},
		{"29 days ago", defaults, host(-1), func(_ *throttle.Limiter, c *clock) { c.advance(29 * 24 * time.Hour) }, true},
		{"31 days ago", defaults, host(-1), func(_ *throttle.Limiter, c *clock) { c.advance(31 * 24 * time.Hour) }, false},
		{"three others since", defaults, host(-1), proveElsewhere("kyoko", 3), true},
		{"four others since", defaults, host(-1), proveElsewhere("kyoko", 4), false},
		{"10,000 of another account", defaults, host(-1), proveElsewhere("mallory", 10_000), true},
		{"the clock went back", defaults, host(-1), func(_ *throttle.Limiter, c *clock) { c.advance(-time.Hour) }, true},
		{"all unknown addresses", defaults, netip.Addr{}, func(*throttle.Limiter, *clock) {}, false},
		{"nothing would limit the pair", throttle.Rules{Address: 50, Account: 50, MaxWait: 15 * time.Minute}, host(-1),
			func(*throttle.Limiter, *clock) {}, false},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			l, c := newLimiter(test.rules)
			c.advance(100 * 24 * time.Hour)
			end(l, "kyoko", test.home, throttle.Proved)
			test.then(l, c)
			exhaust(t, l, c, "kyoko", host)
			if known := fail(l, "kyoko", test.home) == 0; known != test.known {
				t.Errorf("exempt: %t, want %t", known, test.known)
			}
		})
	}
}

func proveElsewhere(name string, n int) func(*throttle.Limiter, *clock) {
	return func(l *throttle.Limiter, c *clock) {
		for i := range n {
			c.advance(time.Second)
			end(l, name, host(1<<24+i), throttle.Proved)
		}
	}
}

// TestClockThatGoesBack: no wait is longer than MaxWait, counted from the first try
// that sees the new time, and nothing panics at the ends of time.
func TestClockThatGoesBack(t *testing.T) {
	for _, back := range []time.Duration{time.Second, time.Hour, 100 * 365 * 24 * time.Hour} {
		l, c := newLimiter(defaults)
		exhaust(t, l, c, "kyoko", always(host(1)))
		c.advance(-back)
		if wait := fail(l, "kyoko", host(1)); wait <= 0 || wait > 15*time.Minute {
			t.Errorf("%s back: wait %s", back, wait)
		}
		c.advance(15 * time.Minute)
		if wait := fail(l, "kyoko", host(1)); wait != 0 {
			t.Errorf("%s back: still refused for %s after MaxWait", back, wait)
		}
	}
	var now time.Time
	l := throttle.New(throttle.Rules{Pair: 1, Address: 1, Account: 1, MaxWait: 1 << 62}, func() time.Time { return now })
	for _, year := range []int{2026, 1, 292_000_000, -292_000_000, 2026, 1970} {
		now = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		fail(l, "kyoko", host(1))
		if wait := fail(l, "kyoko", host(1)); wait <= 0 {
			t.Errorf("year %d: wait %s after a failure", year, wait)
		}
	}
}

func TestNewRulesHoldForWhatIsCounted(t *testing.T) {
	l, _ := newLimiter(defaults)
	for range 4 {
		fail(l, "kyoko", host(1))
	}
	tighter := defaults
	tighter.Pair, tighter.MaxWait = 2, 3*time.Second
	l.SetRules(tighter)
	if wait := fail(l, "kyoko", host(1)); wait != 3*time.Second {
		t.Errorf("under tighter rules: wait %s, want 3s", wait)
	}
	l.SetRules(throttle.Rules{})
	if wait := fail(l, "kyoko", host(1)); wait != 0 {
		t.Errorf("with all rules off: wait %s", wait)
	}
	l.SetRules(defaults)
	if wait := fail(l, "kyoko", host(1)); wait != 0 {
		t.Errorf("under the first rules again: wait %s", wait)
	}
}

// TestMillionsOfKeysStayWithin64MiB, and what is under attack is still counted after
// a flood of fresh names from fresh addresses.
func TestMillionsOfKeysStayWithin64MiB(t *testing.T) {
	before := heap()
	l, c := newLimiter(defaults)
	if idle := heap() - before; idle > 1<<20 {
		t.Errorf("an idle Limiter has %d KiB", idle>>10)
	}
	exhaust(t, l, c, "kyoko", always(host(-1)))
	exhaust(t, l, c, "pierre", func(i int) netip.Addr { return host(1<<31 + i) })
	exhaust(t, l, c, "", always(host(-2)))
	for i := range 1_000_000 {
		if wait := fail(l, fmt.Sprint("n", i), host(i)); wait != 0 {
			t.Fatalf("fresh key %d: refused for %s", i, wait)
		}
	}
	for i := range 100_000 {
		end(l, fmt.Sprint("owner", i), host(1<<30+i), throttle.Proved)
	}
	used := heap() - before
	t.Logf("heap after 1,000,000 names from 1,000,000 addresses and 100,000 logins: %.1f MiB", float64(used)/(1<<20))
	if used > 64<<20 {
		t.Errorf("heap has grown by %d MiB", used>>20)
	}
	still := func(what, name string, from netip.Addr) {
		fail(l, name, from) // its wait may be over
		if wait := fail(l, name, from); wait < 8*time.Minute {
			t.Errorf("after the flood the %s under attack waits for %s", what, wait)
		}
	}
	still("pair", "kyoko", host(-1))
	still("account", "pierre", host(-3))
	still("address", "someone", host(-2))
	runtime.KeepAlive(l)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkTry(b *testing.B) {
	name := func(i int) string { return string(binary.BigEndian.AppendUint32([]byte("user"), uint32(i))) }
	b.Run("failed, fresh keys", func(b *testing.B) {
		l := throttle.New(defaults, nil)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			fail(l, name(i), host(i))
		}
	})
	b.Run("proved, known", func(b *testing.B) {
		l := throttle.New(defaults, nil)
		b.ReportAllocs()
		for b.Loop() {
			end(l, "kyoko", host(1), throttle.Proved)
		}
	})
	b.Run("refused", func(b *testing.B) {
		l := throttle.New(defaults, nil)
		b.ReportAllocs()
		for b.Loop() {
			fail(l, "kyoko", host(1))
		}
	})
	b.Run("failed, parallel", func(b *testing.B) {
		l := throttle.New(defaults, nil)
		var i atomic.Int64
		b.ReportAllocs()
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				n := int(i.Add(1))
				fail(l, name(n), host(n))
			}
		})
	})
}

// TestOneSiteIsNotThousandsOfAddresses: whoever has a /48 of IPv6 has 65,536 networks,
// and still not that many free tries.
func TestOneSiteIsNotThousandsOfAddresses(t *testing.T) {
	l, c := newLimiter(defaults)
	tryAll := func(third byte) (passed int) {
		for i := range 2000 {
			from := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, third, byte(i >> 8), byte(i)})
			if fail(l, fmt.Sprintf("user%d", i), from) == 0 {
				passed++
			}
		}
		return passed
	}
	if got := tryAll(1); got != 16*defaults.Address {
		t.Errorf("%d tries passed from one /48, want %d", got, 16*defaults.Address)
	}
	if wait := fail(l, "kyoko", netip.MustParseAddr("2001:db8:2::1")); wait != 0 {
		t.Errorf("the next /48 waits %v", wait)
	}
	if got := tryAll(1); got != 0 {
		t.Errorf("%d more passed at once", got)
	}
	c.advance(24 * time.Hour)
	if got := tryAll(1); got < 90 || got > 110 {
		t.Errorf("%d passed a day later, want some 96", got)
	}
	// An owner who was proved there is held by none of this.
	home := netip.MustParseAddr("2001:db8:1:ffff::1")
	c.advance(30 * 24 * time.Hour)
	end(l, "kyoko", home, throttle.Proved)
	tryAll(1)
	if wait := fail(l, "kyoko", home); wait != 0 {
		t.Errorf("the owner waits %v", wait)
	}
}
