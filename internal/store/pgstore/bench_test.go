package pgstore

import (
	"fmt"
	"sync/atomic"
	"testing"

	"signet/internal/pgtest"
	"signet/issuer"
)

// BenchmarkRefresh is what a refresh asks of the database, by many at once on sessions of
// their own, with every commit on the disk.
func BenchmarkRefresh(b *testing.B) {
	s := openTest(b, pgtest.New(b, pgtest.Options{Durable: true}).Database(b))
	must(b, s.CreateUser(b.Context(), testUser(1)))
	var sessions atomic.Int64
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		session := testSession(int(sessions.Add(1)))
		session.Subject = testUser(1).ID
		must(b, s.CreateSession(b.Context(), session))
		for n := 0; pb.Next(); n++ {
			next := fmt.Sprintf("%032x", n)
			_, _, outcome, err := s.AdvanceWithUser(b.Context(), session.ID, session.Subject, issuer.Step{
				Presented: session.Current, Next: next, KID: session.KID, Now: testNow, Expires: session.Expires}, 1000)
			if err != nil || outcome != issuer.Advanced {
				b.Fatalf("outcome %d, %v", outcome, err)
			}
			session.Current = next
		}
	})
}
