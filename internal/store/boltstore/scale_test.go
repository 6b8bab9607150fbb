package boltstore

import (
	"cmp"
	"context"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"signet/internal/store/record"
	"signet/issuer"
	"signet/users"
)

// How large the measured files are. Without these variables they are small, so that every
// benchmark runs in seconds.
//
//	SIGNET_BENCH_SESSIONS  how many sessions, of as many users
//	SIGNET_BENCH_FILE      where the file is kept for the next run; it is made if missing
//	SIGNET_BENCH_IDS       "random": sessions as an older Signet named them
func benchSize() int {
	n, err := strconv.Atoi(os.Getenv("SIGNET_BENCH_SESSIONS"))
	if err != nil || n < 1 {
		return 50_000
	}
	return n
}

// scale describes a store of n sessions that began one after another in the days before
// benchNow, each of a user of its own in no order.
type scale struct {
	n    int
	life time.Duration // from benchNow on; a day if zero
}

// began is when session i did: all within 30 days.
func (c scale) began(i int) time.Time {
	step := 30 * 24 * time.Hour / time.Duration(c.n)
	return benchNow.Add(-time.Duration(c.n-i) * step)
}

func (c scale) sessionID(i int) string {
	random := rand.New(rand.NewPCG(uint64(i), uint64(c.n)))
	if os.Getenv("SIGNET_BENCH_IDS") == "random" {
		return fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
	}
	return fmt.Sprintf("%012x%04x%016x", c.began(i).UnixMilli(), uint16(random.Uint32()), random.Uint64())
}

// userID is the ID of user i, in the order of i, so that a file is made quickly.
func (c scale) userID(i int) string {
	random := rand.New(rand.NewPCG(uint64(i), 2))
	b := binary.BigEndian.AppendUint64(nil, uint64(i)*(^uint64(0)/uint64(c.n)))
	b = binary.BigEndian.AppendUint64(b, random.Uint64())
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
}

func (c scale) user(i int) users.User {
	return users.User{
		ID: c.userID(i), Name: fmt.Sprintf("user-%08d", i), Created: benchNow, PasswordChanged: benchNow, Version: 1,
		Hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
	}
}

// scatter is a prime: session i belongs to user i*scatter modulo n.
const scatter = 2654435761

// sessionOf is the inverse.
func (c scale) sessionOf(user int) int {
	n := big.NewInt(int64(c.n))
	inverse := new(big.Int).ModInverse(big.NewInt(scatter), n)
	return int(inverse.Mul(inverse, big.NewInt(int64(user))).Mod(inverse, n).Int64())
}

func (c scale) session(i int) issuer.Session {
	began, ends := c.began(i), benchNow.Add(cmp.Or(c.life, 24*time.Hour))
	return issuer.Session{
		ID: c.sessionID(i), Subject: c.userID(int(uint64(i) * scatter % uint64(c.n))), Client: issuer.FirstParty,
		Created: began, Rotated: began, Expires: ends, Ends: ends,
		Current: benchJTI, KID: benchStep.KID,
	}
}

// bulk runs do for each number below n, many in one transaction that is not synced.
func bulk(b testing.TB, s *Store, n int, do func(t *tx, i int) error) {
	b.Helper()
	s.db.NoSync = true
	defer func() { s.db.NoSync = false }()
	step := max(1000, n/50)
	for from := 0; from < n; from += step {
		err := s.db.Update(func(btx *bbolt.Tx) error {
			t := &tx{Tx: btx}
			for i := from; i < min(n, from+step); i++ {
				if err := do(t, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := s.db.Sync(); err != nil {
		b.Fatal(err)
	}
	if err := s.outside.begin(); err != nil { // bbolt's Update went past the loop
		b.Fatal(err)
	}
}

// fillUsers and fillSessions write what CreateUser and CreateSession would.
func (c scale) fillUsers(b *testing.B, s *Store) {
	bulk(b, s, c.n, func(t *tx, i int) error {
		u := c.user(i)
		value, err := record.EncodeUser(u)
		if err != nil {
			return err
		}
		t.Bucket(bucketUsers).FillPercent, t.Bucket(bucketNames).FillPercent = 0.7, 0.7
		if err := t.put(bucketUsers, []byte(u.ID), value); err != nil {
			return err
		}
		return t.put(bucketNames, []byte(u.Name), []byte(u.ID))
	})
	bulk(b, s, 1, func(t *tx, _ int) error { return countHash(t, users.HashKind(c.user(0).Hash), int64(c.n)) })
}

// fillSessions leaves few free pages, as many small transactions would.
func (c scale) fillSessions(b *testing.B, s *Store) {
	bulk(b, s, c.n, func(t *tx, i int) error { return storeSession(t, c.session(i)) })
	bulk(b, s, c.n, func(t *tx, user int) error {
		t.Bucket(bucketBySubject).FillPercent = 0.7 // where keys in no order come to
		return t.put(bucketBySubject, subjectKey(c.userID(user), c.sessionID(c.sessionOf(user))), nil)
	})
}

func openBench(b *testing.B, path string) *Store {
	b.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func emptyBench(b *testing.B) *Store { return openBench(b, filepath.Join(b.TempDir(), "signet.db")) }

// large makes the file of benchSize, or takes the one that is kept.
func large(b *testing.B) (path string, c scale) {
	b.Helper()
	c = scale{n: benchSize()}
	path = os.Getenv("SIGNET_BENCH_FILE")
	if path == "" {
		path = filepath.Join(b.TempDir(), "signet.db")
	}
	if _, err := os.Stat(path); err == nil {
		return path, c
	}
	s, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	c.fillUsers(b, s)
	c.fillSessions(b, s)
	size, free, err := s.Usage(b.Context())
	b.Logf("made %s in %v: %d MiB, %d MiB free, error %v", path, time.Since(start).Round(time.Millisecond), size>>20, free>>20, err)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return path, c
}

// BenchmarkScaleOpen: how long a start takes on a large file, with the first sessions read.
func BenchmarkScaleOpen(b *testing.B) {
	path, c := large(b)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		s, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Session(b.Context(), c.sessionID(c.n/2)); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(milli(median(took)), "ms/open")
}

// BenchmarkScaleBytes: how many bytes of pages a session takes: new, after each was
// refreshed once, after ten times as many refreshes in no order, and those that are left
// when four of five have ended.
func BenchmarkScaleBytes(b *testing.B) {
	for b.Loop() {
		s, c := emptyBench(b), scale{n: benchSize()}
		bulk(b, s, c.n, c.create)
		b.ReportMetric(sessionBytes(b, s), "B/new")
		bulk(b, s, c.n, c.refresh)
		b.ReportMetric(sessionBytes(b, s), "B/refreshed")
		if c.n <= 200_000 {
			bulk(b, s, 10*c.n, func(t *tx, _ int) error { return c.refresh(t, rand.IntN(c.n)) })
			b.ReportMetric(sessionBytes(b, s), "B/refreshed-10x")
		}
		bulk(b, s, c.n, func(t *tx, i int) error {
			if i%5 == 0 {
				return nil
			}
			return deleteSession(t, c.session(i*7%c.n))
		})
		b.ReportMetric(sessionBytes(b, s), "B/thinned")
	}
}

// create and refresh are what a login and a refresh do inside the transaction.
func (c scale) create(t *tx, i int) error {
	session := c.session(i)
	return cmp.Or(storeSession(t, session), t.put(bucketBySubject, subjectKey(session.Subject, session.ID), nil))
}

func (c scale) refresh(t *tx, i int) error { return benchAdvance(t, c.sessionID(i)) }

// TestBytesOfASession: under 400 on the disk with its index, before and after refreshes.
func TestBytesOfASession(t *testing.T) {
	s, c := openTest(t, newPath(t)), scale{n: 20_000}
	bulk(t, s, c.n, c.create)
	fresh := sessionBytes(t, s)
	bulk(t, s, c.n, c.refresh)
	if later := sessionBytes(t, s); fresh >= 400 || later != fresh {
		t.Errorf("a session takes %.0f bytes, and %.0f after its refresh; want less than 400, and no change", fresh, later)
	}
}

// sessionBytes is what the pages of sessions and of their index take, for each session.
func sessionBytes(b testing.TB, s *Store) float64 {
	b.Helper()
	var bytes, sessions int
	err := s.view(b.Context(), func(t *tx) error {
		for _, name := range [][]byte{bucketSessions, bucketBySubject} {
			stats := t.Bucket(name).Stats()
			bytes += stats.LeafAlloc + stats.BranchAlloc
			sessions = stats.KeyN
			b.Logf("%s: %d keys, %.1f B each in leaves, %.0f%% in use", name, stats.KeyN,
				float64(stats.LeafAlloc)/float64(stats.KeyN), 100*float64(stats.LeafInuse)/float64(stats.LeafAlloc))
		}
		return nil
	})
	if err != nil || sessions == 0 {
		b.Fatalf("%d sessions, error %v", sessions, err)
	}
	return float64(bytes) / float64(sessions)
}

const (
	activeSessions = 2_000 // what is in use at a time
	refreshers     = 64    // at once
	sliceOps       = 500
)

// BenchmarkScaleRefresh compares refreshes in a large store with those in one that has
// only the sessions in use, slice by slice: of the newest sessions, and of any.
func BenchmarkScaleRefresh(b *testing.B) {
	path, c := large(b)
	s, alone := openBench(b, path), emptyBench(b)
	few := scale{n: activeSessions}
	few.fillSessions(b, alone)
	for _, choice := range []struct {
		name string
		pick func() string
	}{
		{"newest", func() string { return c.sessionID(c.n - 1 - rand.IntN(min(c.n, activeSessions))) }},
		{"any", func() string { return c.sessionID(rand.IntN(c.n)) }},
	} {
		b.Run(choice.name, func(b *testing.B) {
			before := anonymous(b)
			var p pair
			for b.Loop() {
				p.compare(b, s, choice.pick, alone, few.any)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(p.rates), "refreshes/s")
			b.ReportMetric(median(p.ratios), "of-empty")
			b.ReportMetric(float64(anonymous(b)-before)/(1<<20), "MiB-grown")
		})
	}
}

// any is the ID of a session in no order.
func (c scale) any() string { return c.sessionID(rand.IntN(c.n)) }

// pair is how fast one store refreshes sessions, and that as a part of what another does
// in the same moments.
type pair struct{ rates, ratios []float64 }

func (p *pair) compare(b *testing.B, s *Store, of func() string, alone *Store, ofAlone func() string) {
	var here, there rate
	for range 8 { // slices so short that both meet the same load
		there.measure(b, sliceOps, refreshers, renewal(b, alone, ofAlone))
		here.measure(b, sliceOps, refreshers, renewal(b, s, of))
	}
	p.rates = append(p.rates, here.perSecond())
	p.ratios = append(p.ratios, here.perSecond()/there.perSecond())
}

func renewal(b *testing.B, s *Store, pick func() string) func(int) error {
	return func(int) error {
		_, o, err := s.AdvanceSession(b.Context(), pick(), benchStep)
		if err == nil && o != issuer.Advanced {
			err = fmt.Errorf("outcome %d", o)
		}
		return err
	}
}

// BenchmarkScaleSweep sweeps expired sessions, a million at most, while one session is
// refreshed in a row, and compares its waits with those before and after. Then it
// compares refreshes with those in a store that has no pages to reuse.
func BenchmarkScaleSweep(b *testing.B) {
	few := scale{n: activeSessions, life: 999 * time.Hour}
	alone := emptyBench(b)
	few.fillSessions(b, alone)
	for b.Loop() {
		s, c := emptyBench(b), scale{n: min(benchSize(), 1_000_000), life: time.Hour}
		c.fillSessions(b, s)
		few.fillSessions(b, s)
		quiet := waits(b, s, few.any, 300, nil)
		var steps []time.Duration
		swept := make(chan struct{})
		go func() {
			defer close(swept)
			steps = sweepScale(b, s, c.n)
		}()
		during := waits(b, s, few.any, 0, swept)
		var p pair
		p.compare(b, s, few.any, alone, few.any)
		size, free, err := s.Usage(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("swept %d in %d steps: %d MiB, %d MiB free", c.n, len(steps), size>>20, free>>20)
		b.Logf("waits before: median %v, 99%% %v, longest %v", median(quiet), quantile(quiet, 0.99), slices.Max(quiet))
		b.Logf("waits during: median %v, 99%% %v, longest %v", median(during), quantile(during, 0.99), slices.Max(during))
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(milli(median(steps)), "ms-step")
		b.ReportMetric(milli(median(during)), "ms-wait")
		b.ReportMetric(milli(quantile(during, 0.99)), "ms-wait-p99")
		b.ReportMetric(milli(slices.Max(during)), "ms-wait-longest")
		b.ReportMetric(p.ratios[0], "of-empty-after")
	}
}

// sweepScale sweeps want sessions to the end and returns how long each step took.
func sweepScale(b *testing.B, s *Store, want int) (took []time.Duration) {
	ended := 0
	for after := ""; ; {
		start := time.Now()
		n, last, err := s.SweepSessions(context.Background(), issuer.Sweep{ExpiredAt: benchNow.Add(time.Hour)}, after, 500)
		if err != nil {
			b.Error(err)
			return took
		}
		ended, after, took = ended+n, last, append(took, time.Since(start))
		if last == "" {
			break
		}
	}
	if ended != want {
		b.Errorf("swept %d, want %d", ended, want)
	}
	return took
}

// waits refreshes one session after another, n in all or until stop, and returns how long
// each took.
func waits(b *testing.B, s *Store, pick func() string, n int, stop <-chan struct{}) (took []time.Duration) {
	b.Helper()
	refresh := renewal(b, s, pick)
	for stop != nil || len(took) < n {
		select {
		case <-stop:
			return took
		default:
		}
		start := time.Now()
		if err := refresh(0); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	return took
}

// anonymous is the memory of the process beyond the page cache, in bytes; 0 where the
// system does not say.
func anonymous(b *testing.B) int64 {
	b.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, line, _ := strings.Cut(string(text), "RssAnon:")
	var kib int64
	if _, err := fmt.Sscan(line, &kib); err != nil {
		b.Fatal(err)
	}
	return kib << 10
}

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median[T float64 | time.Duration](values []T) T { return quantile(values, 0.5) }

func quantile[T float64 | time.Duration](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// BenchmarkInspect: what the look at the pages costs a start.
func BenchmarkInspect(b *testing.B) {
	path, _ := large(b)
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := inspect(file, pagesAtOpen); err != nil {
			b.Fatal(err)
		}
	}
}
