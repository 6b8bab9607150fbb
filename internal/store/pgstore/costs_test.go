package pgstore

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"signet/issuer"
	"signet/keystore"
	"signet/users"
)

// newIssuer is an issuer over the store, with the user kyoko.
func newIssuer(t *testing.T, s *Store) *issuer.Issuer {
	t.Helper()
	sealing, err := keystore.OpenSealingKey(filepath.Join(t.TempDir(), "seal.key"), true)
	must(t, err)
	keys, err := keystore.Open(t.Context(), keystore.Options{Store: s, Sealing: sealing, Log: slog.New(slog.DiscardHandler), Policy: &keystore.Policy{
		Algorithms: []string{"ES256"}, RSABits: 2048, PublishAhead: 24 * time.Hour, JWKSMaxAge: 5 * time.Minute,
		AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour,
	}})
	must(t, err)
	directory, err := users.New(users.Options{Store: s, Params: users.Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64}})
	must(t, err)
	_, err = directory.Create(t.Context(), "kyoko", "correct horse battery staple", users.Profile{})
	must(t, err)
	return issuer.New(issuer.Options{Store: s, Users: directory, Signer: keys, Keys: keys, Log: slog.New(slog.DiscardHandler), Policy: issuer.Policy{
		URL: "https://login.example.test", AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour, SessionLifetime: 30 * 24 * time.Hour,
		Leeway: 30 * time.Second, MaxTokenBytes: 4096, Rotate: true, ReuseWindow: 10 * time.Second,
	}})
}

// TestRoundTrips: how often a request waits for the database, once its statements are
// prepared.
func TestRoundTrips(t *testing.T) {
	w := &wire{}
	// A connection that has been idle for a second is asked first whether it lives.
	config, name, err := parse(newDatabase(t) + "&pool_max_conns=1")
	must(t, err)
	s := w.open(t, config, name, Options{})
	i := newIssuer(t, s)
	attempt := issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: "correct horse battery staple"}
	var tokens issuer.Tokens
	login := func() {
		tokens, err = i.Login(t.Context(), attempt)
		must(t, err)
	}
	refresh := func() {
		tokens, err = i.Refresh(t.Context(), tokens.Refresh)
		must(t, err)
	}
	for _, c := range []struct {
		what string
		want int
		do   func()
	}{
		{"login", 2, login}, // the account, the session
		{"refresh", 1, refresh},
		{"repeated refresh", 1, func() {
			before := tokens.Refresh
			refresh()
			_, err := i.Refresh(t.Context(), before)
			must(t, err)
		}},
		{"verify", 1, func() { _, err := i.Verify(t.Context(), tokens.Access); must(t, err) }},
		{"logout", 1, func() { must(t, i.Logout(t.Context(), tokens.Refresh)); login() }},
	} {
		c.do() // prepares
		got := w.counted(c.do)
		switch c.what {
		case "repeated refresh":
			got-- // that of the first
		case "logout":
			got -= 2 // those of the login
		}
		if got != c.want {
			t.Errorf("a %s makes %d round trips, want %d", c.what, got, c.want)
		}
	}
}

// TestRefreshTouchesNoIndex: refreshes are HOT updates, which write no index and leave a
// session as large as they found it.
func TestRefreshTouchesNoIndex(t *testing.T) {
	const sessions, refreshes, workers = 20_000, 6_000, 4
	url := newDatabase(t)
	s := openTest(t, url)
	loadSessions(t, url, sessions)
	fresh := sessionBytes(t, url)
	each(t, refreshes, workers, func(n int) error {
		round := n / sessions
		n = (n * 7919) % sessions // users come in no order
		session := loaded(n)
		_, outcome, err := s.AdvanceSession(t.Context(), session.ID, issuer.Step{Presented: session.Current,
			Next: fmt.Sprintf("%016x%016x", round+1, n), KID: session.KID, Now: testNow, Expires: session.Ends.Add(-time.Minute)})
		if err == nil && outcome != issuer.Advanced {
			err = fmt.Errorf("outcome %d", outcome)
		}
		return err
	})
	used := sessionBytes(t, url)
	updates, hot := hotUpdates(t, url, refreshes)
	t.Logf("a session takes %d bytes with its indexes, and %d after refreshes; %d of %d updates were HOT",
		fresh/sessions, used/sessions, hot, updates)
	if hot < updates*95/100 {
		t.Errorf("%d of %d updates were HOT, want 95%%", hot, updates)
	}
	if fresh/sessions > 400 || used > fresh*103/100 {
		t.Errorf("a session takes %d bytes, and %d after refreshes; want at most 400, and no more", fresh/sessions, used/sessions)
	}
}

// loaded is session n of loadSessions, with an ID and a subject as they are in life.
func loaded(n int) issuer.Session {
	session := testSession(n)
	session.Subject = fmt.Sprintf("%06dABCDEFGHIJKLMNOPQRST", (n*104729)%1_000_000)
	session.Client = issuer.FirstParty
	return session
}

// loadSessions puts n sessions into the table, in the order of their IDs.
func loadSessions(t *testing.T, url string, n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	names := []string{"id", "subject", "client", "created", "ends", "epoch", "rotated", "expires", "generation", "jti", "previous", "kid"}
	_, err = conn.CopyFrom(t.Context(), pgx.Identifier{"signet_sessions"}, names, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		return sessionValues(loaded(i)), nil
	}))
	must(t, err)
}

// sessionBytes is what the sessions take on the disk, with their indexes.
func sessionBytes(t *testing.T, url string) (size int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	must(t, conn.QueryRow(t.Context(), `SELECT pg_total_relation_size('signet_sessions')`).Scan(&size))
	return size
}

// each calls do for all numbers below n, with many workers.
func each(t *testing.T, n, workers int, do func(n int) error) {
	t.Helper()
	var group errgroup.Group
	for worker := range workers {
		group.Go(func() error {
			for i := worker; i < n; i += workers {
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(t, group.Wait())
}

// hotUpdates waits until the server has counted so many updates of sessions.
func hotUpdates(t *testing.T, url string, want int) (updates, hot int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	within(t, "count of all updates", func() bool {
		must(t, conn.QueryRow(t.Context(), `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'signet_sessions'`).Scan(&updates, &hot))
		return updates >= want
	})
	return updates, hot
}

// TestHashKindsAreSums: the counts are sums over rows that may be below zero.
func TestHashKindsAreSums(t *testing.T) {
	s := openTest(t, newDatabase(t))
	const n = 3 * kindShards
	each(t, n, 8, func(n int) error { return s.CreateUser(t.Context(), testUser(n)) })
	each(t, n-1, 8, func(n int) error { return s.RemoveUser(t.Context(), testUser(n).ID) })
	counts, err := s.HashKinds(t.Context())
	if want := map[string]int{users.HashKind(testUser(0).Hash): 1}; err != nil || fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("counts %v, %v, want %v", counts, err, want)
	}
}
