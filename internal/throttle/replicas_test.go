package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"signet/internal/throttle"
)

// table is an Exchange in memory. A batch can be read lag after it was stored.
type table struct {
	sync.Mutex
	clock *clock
	lag   time.Duration
	rows  []row
	// fail may make a call fail: before it does anything, or after.
	fail func(replica int64) (before, after error)
	// repeats: what was seen is returned again.
	repeats bool
}

type row struct {
	batch    throttle.Batch
	made, at time.Duration
}

func (x *table) Exchange(ctx context.Context, out throttle.Batch, seen map[int64]int64) ([]throttle.Batch, error) {
	x.Lock()
	defer x.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	before, after := error(nil), error(nil)
	if x.fail != nil {
		before, after = x.fail(out.Replica)
	}
	if before != nil {
		return nil, before
	}
	now := time.Duration(x.clock.Load())
	if out.Number > 0 && !x.has(out) {
		x.rows = append(x.rows, row{out, now - out.Age, now})
	}
	var theirs []throttle.Batch
	for _, r := range x.rows {
		b := r.batch
		if b.Replica == out.Replica || b.Number <= seen[b.Replica] && !x.repeats || now < r.at+x.lag || now-r.made > throttle.Kept {
			continue
		}
		b.Age = now - r.made
		if theirs = append(theirs, b); len(theirs) == throttle.MaxBatches {
			break
		}
	}
	return theirs, after
}

func (x *table) has(b throttle.Batch) bool {
	return slices.ContainsFunc(x.rows, func(r row) bool { return r.batch.Replica == b.Replica && r.batch.Number == b.Number })
}

func (x *table) Sweep(context.Context) error {
	x.Lock()
	defer x.Unlock()
	now := time.Duration(x.clock.Load())
	x.rows = slices.DeleteFunc(x.rows, func(r row) bool { return now-r.made > throttle.Kept })
	return nil
}

// replicas are limiters over one table, that stand in a row of phases.
type replicas struct {
	t     testing.TB
	table *table
	clock *clock
	all   []*throttle.Limiter
	next  []time.Duration // when each exchanges
}

func newReplicas(t testing.TB, r throttle.Rules, n int) *replicas {
	c := new(clock)
	rs := &replicas{t: t, table: &table{clock: c}, clock: c}
	for i := range n {
		rs.all = append(rs.all, throttle.NewShared(r, c.now, []byte("shared")))
		rs.next = append(rs.next, (time.Duration(i) * throttle.Interval / time.Duration(n)).Truncate(time.Millisecond))
		c.advance(time.Hour) // each has a clock of its own
	}
	rs.advance(0)
	rs.meet()
	return rs
}

// meet lets all exchange until they have heard each other.
func (rs *replicas) meet() { rs.advance(3 * throttle.Interval) }

// advance is the clock's, with the exchanges that are due. In a long time only the
// first and the last are made: nothing happens between.
func (rs *replicas) advance(d time.Duration) {
	now := time.Duration(rs.clock.Load())
	end := now + d
	if d > 20*throttle.Interval {
		rs.advance(5 * throttle.Interval)
		now = end - 5*throttle.Interval
		rs.clock.Store(int64(now))
	}
	for {
		i := 0
		for j := range rs.next {
			if rs.next[j] < now {
				rs.next[j] += (now - rs.next[j] + throttle.Interval - 1) / throttle.Interval * throttle.Interval
			}
			if rs.next[j] < rs.next[i] {
				i = j
			}
		}
		if rs.next[i] > end {
			rs.clock.Store(int64(end))
			return
		}
		now = rs.next[i]
		rs.clock.Store(int64(now))
		rs.next[i] += throttle.Interval
		if err := rs.all[i].Round(rs.t.Context(), rs.table); err != nil && !errors.Is(err, errTable) {
			rs.t.Fatal(err)
		}
	}
}

var errTable = errors.New("the table failed")

// TestFailuresAtOneReplicaHoldAtAll: who tries at one replica after the other waits as
// if there were one, also where answers are lost and batches come twice.
func TestFailuresAtOneReplicaHoldAtAll(t *testing.T) {
	subnet := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 6: byte(i >> 8), 7: byte(i)})
	}
	counters := []struct {
		what  string
		name  string
		from  func(i int) netip.Addr
		rules throttle.Rules
	}{
		{"pair", "kyoko", always(host(1)), throttle.Rules{Pair: 5, MaxWait: 15 * time.Minute}},
		{"address", "", always(host(1)), throttle.Rules{Address: 5, MaxWait: 15 * time.Minute}},
		{"account", "kyoko", host, throttle.Rules{Account: 5, MaxWait: 15 * time.Minute}},
		{"site", "", subnet, throttle.Rules{Address: 1, MaxWait: 15 * time.Minute}},
	}
	tables := []struct {
		what string
		make func(*table)
	}{
		{"that works", func(*table) {}},
		{"that does nothing every second time", func(x *table) { lossy(x, []int{1}) }},
		{"that loses every second answer", func(x *table) { lossy(x, []int{2}) }},
		{"that returns all again", func(x *table) { x.repeats = true }},
	}
	for _, counter := range counters {
		for _, table := range tables {
			t.Run(counter.what+", a table "+table.what, func(t *testing.T) {
				rs := newReplicas(t, counter.rules, 3)
				table.make(rs.table)
				one, c := newLimiter(counter.rules)
				passed := 0
				for i := range 60 {
					from := counter.from(passed)
					wait, want := fail(rs.all[i%3], counter.name, from), fail(one, counter.name, from)
					if wait != want {
						t.Fatalf("try %d: wait %s, want %s", i, wait, want)
					}
					if wait == 0 {
						passed++
					}
					rest := max(wait, 7*time.Second) // the others have heard
					rs.advance(rest)
					c.advance(rest)
				}
				if passed == 60 {
					t.Error("nothing was refused")
				}
			})
		}
	}
}

// told is how many batches have more in them than that their replica is there.
func (x *table) told() (n int) {
	for _, r := range x.rows {
		if len(r.batch.Body) > 3 {
			n++
		}
	}
	return n
}

// TestWhatWasHeardIsNotToldAgain: one failure is one batch, however long replicas talk.
func TestWhatWasHeardIsNotToldAgain(t *testing.T) {
	rs := newReplicas(t, defaults, 3)
	fail(rs.all[0], "kyoko", host(1))
	for range 60 {
		rs.advance(time.Second)
	}
	if n := rs.table.told(); n != 1 {
		t.Errorf("one failure was told %d times", n)
	}
	if n := len(rs.table.rows); n > 3*8 {
		t.Errorf("three idle replicas stored %d batches in a minute", n)
	}
	end(rs.all[1], "kyoko", host(1), throttle.Proved)
	rs.meet()
	if n := rs.table.told(); n != 2 {
		t.Errorf("a failure and a proof were told %d times", n)
	}
	rs.advance(2 * throttle.Kept)
	if n := rs.table.told(); n != 0 {
		t.Errorf("%d old batches were not swept", n)
	}
}

// fail is n failures at a replica, each when it is allowed, that all have heard of.
func (rs *replicas) fail(at *throttle.Limiter, n int, name string, from func(int) netip.Addr) {
	rs.t.Helper()
	for i := range n {
		for wait := fail(at, name, from(i)); wait > 0; wait = fail(at, name, from(i)) {
			rs.advance(wait)
		}
		rs.meet()
	}
}

func TestProofAtOneReplicaHoldsAtAll(t *testing.T) {
	rs := newReplicas(t, defaults, 3)
	a, b, c := rs.all[0], rs.all[1], rs.all[2]
	home := host(-1)
	rs.fail(a, 4, "kyoko", always(home))
	rs.fail(a, 45, "kyoko", host)
	if wait := end(b, "kyoko", home, throttle.Proved); wait != 0 {
		t.Fatal("the owner was refused:", wait)
	}
	rs.meet()
	for i := range 49 {
		if wait := fail(c, "kyoko", host(200+i)); wait != 0 {
			t.Fatalf("try %d after a success elsewhere: refused for %s", i, wait)
		}
		rs.meet()
	}
	rs.fail(a, 5, "kyoko", host)
	if fail(b, "kyoko", host(301)) == 0 {
		t.Fatal("the account is not exhausted")
	}
	for i := range 5 {
		if wait := fail(a, "kyoko", home); wait != 0 {
			t.Fatalf("try %d from where the account was proved: refused for %s", i, wait)
		}
		rs.meet()
	}
	rs.fail(a, 3, "kyoko", always(home))
	if fail(c, "kyoko", home) == 0 {
		t.Error("failures at the address where the account was proved count nowhere")
	}
}

// TestOrderOfAProofAndFailures: a failure counts if it came after the proof, whichever
// was heard of first.
func TestOrderOfAProofAndFailures(t *testing.T) {
	rules := throttle.Rules{Pair: 9, MaxWait: time.Hour}
	one := func(l *throttle.Limiter, o throttle.Outcome) { end(l, "kyoko", host(1), o) }
	const failed, proved = throttle.Failed, throttle.Proved
	tests := []struct {
		what  string
		steps func(rs *replicas)
		left  [3]int // free tries at each
	}{
		{"two failures, then the proof elsewhere", func(rs *replicas) {
			one(rs.all[0], failed)
			rs.advance(4 * time.Second)
			one(rs.all[0], failed)
			rs.clock.advance(time.Millisecond)
			one(rs.all[1], proved)
		}, [3]int{9, 9, 9}},
		{"the proof, then two failures elsewhere", func(rs *replicas) {
			one(rs.all[1], proved)
			rs.clock.advance(time.Millisecond)
			one(rs.all[0], failed)
			rs.advance(4 * time.Second)
			one(rs.all[0], failed)
		}, [3]int{7, 7, 7}},
		// Those of one batch are not told apart where it was made.
		{"the proof between two failures elsewhere", func(rs *replicas) {
			one(rs.all[0], failed)
			rs.clock.advance(time.Millisecond)
			one(rs.all[1], proved)
			rs.clock.advance(time.Millisecond)
			one(rs.all[0], failed)
		}, [3]int{7, 8, 8}},
	}
	for _, test := range tests {
		for at, l := range []string{"where it failed", "where it was proved", "elsewhere"} {
			t.Run(test.what+", "+l, func(t *testing.T) {
				rs := newReplicas(t, rules, 3)
				test.steps(rs)
				rs.meet()
				rs.meet()
				left := -2 // a wait of one second and one of two are over when all have met
				for fail(rs.all[at], "kyoko", host(1)) == 0 {
					left++
					rs.meet()
				}
				if left != test.left[at] {
					t.Errorf("%d tries were free, want %d", left, test.left[at])
				}
			})
		}
	}
}

// TestReplicaThatWasCutOff counts alone meanwhile, and tells and hears afterwards what
// happened.
func TestReplicaThatWasCutOff(t *testing.T) {
	rs := newReplicas(t, throttle.Rules{Pair: 6, MaxWait: time.Hour}, 2)
	cut := rs.table.rows[0].batch.Replica
	rs.table.fail = func(replica int64) (before, after error) {
		if replica == cut {
			return errTable, nil
		}
		return nil, nil
	}
	for range 120 {
		rs.advance(time.Second)
	}
	for i, name := range []string{"kyoko", "pierre"} {
		passed := 0
		for fail(rs.all[i], name, host(1)) == 0 {
			passed++
		}
		if passed != 6 {
			t.Errorf("%d tries passed at a replica that is alone, want 6", passed)
		}
	}
	for wait := time.Second; wait < time.Minute; wait *= 2 {
		rs.advance(wait)
		fail(rs.all[0], "kyoko", host(1))
		fail(rs.all[1], "pierre", host(1))
	}
	rs.table.fail = nil
	rs.meet()
	if wait := fail(rs.all[1], "kyoko", host(1)); wait == 0 {
		t.Error("what was failed at the replica meanwhile was not told")
	}
	if wait := fail(rs.all[0], "pierre", host(1)); wait == 0 {
		t.Error("what was failed elsewhere meanwhile was not heard")
	}
	late := throttle.NewShared(throttle.Rules{Pair: 6, MaxWait: time.Hour}, rs.clock.now, []byte("shared"))
	if err := late.Round(t.Context(), rs.table); err != nil {
		t.Fatal(err)
	}
	if wait := fail(late, "kyoko", host(1)); wait == 0 {
		t.Error("a replica that starts does not hear of what was failed before")
	}
	other := throttle.NewShared(throttle.Rules{Pair: 6, MaxWait: time.Hour}, rs.clock.now, []byte("another key"))
	if err := other.Round(t.Context(), rs.table); err != nil {
		t.Fatal(err)
	}
	if wait := fail(other, "kyoko", host(1)); wait != 0 {
		t.Error("the keys of counters do not depend on the secret")
	}
}

// TestFloodOfNamesIsToldInBatches of a bounded size, the counters under attack first.
func TestFloodOfNamesIsToldInBatches(t *testing.T) {
	rs := newReplicas(t, throttle.Rules{Pair: 5, MaxWait: time.Hour}, 2)
	a, b := rs.all[0], rs.all[1]
	for i := range 20_000 {
		fail(a, fmt.Sprint("name", i), host(i))
	}
	for range 3 {
		fail(a, "kyoko", host(-1))
	}
	for i := range 20_000 {
		end(a, fmt.Sprint("owner", i), host(1<<30+i), throttle.Proved)
	}
	stored := len(rs.table.rows)
	if err := a.Round(t.Context(), rs.table); err != nil {
		t.Fatal(err)
	}
	if err := b.Round(t.Context(), rs.table); err != nil {
		t.Fatal(err)
	}
	if wait := fail(b, "kyoko", host(-1)); wait != 0 {
		t.Errorf("after three failures elsewhere: refused for %s", wait)
	}
	if wait := fail(b, "kyoko", host(-1)); wait == 0 {
		t.Error("the counter with the most failures was not told in the first batch")
	}
	rs.advance(15 * time.Second)
	largest, bytes := 0, 0
	for _, r := range rs.table.rows[stored:] {
		largest = max(largest, len(r.batch.Body))
		bytes += len(r.batch.Body)
	}
	t.Logf("20,000 failures and 20,000 proofs: %d bytes in %d batches, the largest has %d", bytes, len(rs.table.rows)-stored, largest)
	if largest > throttle.MaxBody || bytes > 16384*16+1024*32 {
		t.Errorf("%d bytes in all, %d in the largest", bytes, largest)
	}
}
