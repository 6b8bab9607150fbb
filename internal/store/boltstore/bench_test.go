package boltstore

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"signet/issuer"
)

// benchSessions is how many sessions the measured store holds: enough for
// every refresh of a batch to touch a page of its own.
const benchSessions = 20_000

// BenchmarkSharedCommits compares session refreshes through the writer loop
// with the same refreshes through bbolt's Update, on one file, in turns so that
// both meet the same disk. It reports both rates per second, and their ratio.
func BenchmarkSharedCommits(b *testing.B) {
	for _, c := range []struct{ goroutines, loopOps, updateOps int }{
		{64, 16384, 1024},
		{1, 16, 16},
	} {
		b.Run(fmt.Sprintf("goroutines=%d", c.goroutines), func(b *testing.B) {
			s := benchStore(b)
			var loop, update rate
			for b.Loop() {
				loop.measure(b, c.loopOps, c.goroutines, func(n int) error {
					_, _, err := s.AdvanceSession(b.Context(), benchID(n), benchStep)
					return err
				})
				update.measure(b, c.updateOps, c.goroutines, func(n int) error {
					return s.db.Update(func(btx *bbolt.Tx) error { return benchAdvance(&tx{Tx: btx}, benchID(n)) })
				})
				if err := s.outside.begin(); err != nil { // Update went past the loop
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(loop.perSecond(), "loop/s")
			b.ReportMetric(update.perSecond(), "update/s")
			b.ReportMetric(loop.perSecond()/update.perSecond(), "ratio")
		})
	}
}

// rate counts operations and the time they took.
type rate struct {
	ops  int
	took time.Duration
}

func (r *rate) perSecond() float64 { return float64(r.ops) / r.took.Seconds() }

// measure runs op so many times, spread over the goroutines.
func (r *rate) measure(b *testing.B, ops, goroutines int, op func(n int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range goroutines {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(ops); n = next.Add(1) {
				if err := op(int(n)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.took += time.Since(start)
	r.ops += ops
}

var (
	benchNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	// benchStep presents the token that it leaves in force, so that every
	// refresh of every session advances.
	benchStep = issuer.Step{
		Presented: benchJTI, Next: benchJTI, KID: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		Now: benchNow, Expires: benchNow.Add(24 * time.Hour),
	}
)

const benchJTI = "0123456789abcdef0123456789abcdef"

// benchID is the ID of session n of the measured store, in no order.
func benchID(n int) string {
	n %= benchSessions
	return fmt.Sprintf("%016x%016x", uint64(n)*0x9E3779B97F4A7C15, n)
}

// benchAdvance is what AdvanceSession does inside the transaction.
func benchAdvance(t *tx, id string) error {
	session, err := loadSession(t, id)
	if err != nil {
		return err
	}
	if o := session.Advance(benchStep); o != issuer.Advanced {
		return fmt.Errorf("outcome %d", o)
	}
	return storeSession(t, session)
}

func benchStore(b *testing.B) *Store {
	s, err := Open(filepath.Join(b.TempDir(), "signet.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	var fill rate
	fill.measure(b, benchSessions, 512, func(n int) error {
		return s.CreateSession(context.Background(), issuer.Session{
			ID: benchID(n), Subject: benchID(n / 3), Client: "web", Created: benchNow, Rotated: benchNow,
			Expires: benchNow.Add(24 * time.Hour), Ends: benchNow.Add(720 * time.Hour), Current: benchJTI,
		})
	})
	return s
}
