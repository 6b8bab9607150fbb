package transfer_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"signet/internal/pgtest"
	"signet/internal/store/boltstore"
	"signet/internal/store/pgstore"
	"signet/internal/store/transfer"
	"signet/issuer"
	"signet/users"
)

const many = 100_000

// large is a source with many accounts and as many sessions.
func large(b *testing.B) *boltstore.Store {
	b.Helper()
	path := filepath.Join(b.TempDir(), "signet.db")
	store, err := boltstore.OpenTarget(path, "test", false, boltstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < many; {
		var u, s transfer.Page
		for range 10_000 {
			id := fmt.Sprintf("%026X", (i*7919)%many)
			u.Users = append(u.Users, users.User{ID: id, Name: fmt.Sprintf("user%08d", i), Version: 1, Created: start, PasswordChanged: start,
				Hash: "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
			s.Sessions = append(s.Sessions, issuer.Session{ID: fmt.Sprintf("%032x", i), Subject: id, Client: "first-party", Created: start, Rotated: start,
				Expires: start.Add(time.Hour), Ends: start.Add(time.Hour), Current: fmt.Sprintf("%032x", many+i), Previous: fmt.Sprintf("%032x", 2*many+i), KID: "qVz5MamCJzK5Kk4d7giIz1qRI2varGMs7EsD6WoqtTM"})
			i++
		}
		if err := errors.Join(store.Put(b.Context(), u, transfer.Place{}), store.Put(b.Context(), s, transfer.Place{})); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(store.Finish(b.Context()), store.Close()); err != nil {
		b.Fatal(err)
	}
	whole, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { whole.Close() })
	return whole
}

// BenchmarkCopy copies 100,000 accounts and as many sessions into a PostgreSQL that syncs,
// and back, and says how many a second each takes, with and without the comparison.
func BenchmarkCopy(b *testing.B) {
	from, cluster := large(b), pgtest.New(b, pgtest.Options{Durable: true})
	for b.Loop() {
		url := cluster.Database(b)
		target, err := pgstore.OpenTarget(b.Context(), url, "bolt:source", false, postgresOptions)
		if err != nil {
			b.Fatal(err)
		}
		timed(b, "in", from, target)
		if err := target.Close(); err != nil {
			b.Fatal(err)
		}
		source, err := pgstore.Open(b.Context(), url, postgresOptions)
		if err != nil {
			b.Fatal(err)
		}
		back, err := boltstore.OpenTarget(filepath.Join(b.TempDir(), "signet.db"), "postgres", false, boltstore.Options{})
		if err != nil {
			b.Fatal(err)
		}
		timed(b, "back", source, back)
		if err := errors.Join(source.Close(), back.Close()); err != nil {
			b.Fatal(err)
		}
	}
}

// timed copies, and reports the rate of each kind.
func timed(b *testing.B, way string, from transfer.Reader, to transfer.Target) {
	b.Helper()
	began := map[string]time.Time{}
	var last string
	report := func(now string) {
		if last != "" && now != last {
			b.ReportMetric(many/time.Since(began[last]).Seconds(), last)
		}
		if now != last {
			began[now], last = time.Now(), now
		}
	}
	_, err := transfer.Copy(b.Context(), from, to, func(kind transfer.Kind, checking bool, _, all int) {
		step := ""
		switch {
		case all == many && checking:
			step = string(kind) + "-read/s-" + way
		case all == many:
			step = string(kind) + "/s-" + way
		}
		report(step)
	})
	if err != nil {
		b.Fatal(err)
	}
}
