package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"signet/internal/pgtest"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/users"
)

const uncertain = "the change may or may not have been made"

func testSession(n int) issuer.Session {
	return issuer.Session{
		ID: fmt.Sprintf("%032x", n), Subject: fmt.Sprintf("user-%d", n), Client: "web", Current: fmt.Sprintf("%032x", n+1),
		Created: testNow, Rotated: testNow, Expires: testNow.Add(time.Hour), Ends: testNow.Add(time.Hour),
		KID: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
	}
}

func testUser(n int) users.User {
	return users.User{ID: fmt.Sprint("id-", n), Name: fmt.Sprint("name-", n), Created: testNow, PasswordChanged: testNow, Hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"}
}

// TestCutConnection: what is cut before a statement was sent is tried again; a write whose
// answer is lost is not, and says so; a read and an open transaction are, since they
// have changed nothing.
func TestCutConnection(t *testing.T) {
	w := &wire{}
	s := w.between(t, newDatabase(t)+"&pool_max_conns=1&default_query_exec_mode=exec", Options{})
	ctx, session, u := t.Context(), testSession(1), testUser(1)
	must(t, s.CreateUser(ctx, u))
	update := func() error {
		stored, err := s.UserByID(ctx, u.ID)
		must(t, err)
		stored.Hash = "" // another kind
		return s.UpdateUser(ctx, stored)
	}
	for _, c := range []struct {
		name   string
		at     string
		answer bool
		do     func() error
		unsure bool
		done   func() error // proves that it was made
	}{
		{"a write that was not sent", "INSERT INTO signet_sessions", false, func() error { return s.CreateSession(ctx, session) }, false,
			func() error { return s.EndSession(ctx, session.ID) }},
		{"a write whose answer is lost", "INSERT INTO signet_sessions", true, func() error { return s.CreateSession(ctx, session) }, true,
			func() error { return s.EndSession(ctx, session.ID) }},
		{"a read whose answer is lost", "FROM signet_users", true, func() error { _, err := s.UserByID(ctx, u.ID); return err }, false, nil},
		{"a transaction that was not committed", "UPDATE signet_users", true, update, false, nil},
		{"a commit that was not sent", "commit", false, update, false, nil},
		{"a commit whose answer is lost", "commit", true, update, true, nil},
	} {
		before, _ := s.UserByID(ctx, u.ID)
		w.cutAt(c.at, c.answer, 1)
		err := c.do()
		if left := w.left(); left != 0 {
			t.Fatalf("%s: nothing was cut", c.name)
		}
		if unsure := err != nil && strings.Contains(err.Error(), uncertain) && errors.Is(err, ErrStorage); unsure != c.unsure || err != nil && !unsure {
			t.Errorf("%s: error %v, want that of an unknown result: %v", c.name, err, c.unsure)
		}
		if c.done != nil {
			must(t, c.done())
		}
		if after, _ := s.UserByID(ctx, u.ID); strings.Contains(c.name, "com") && after.Version != before.Version+1 {
			t.Errorf("%s: version %d became %d, want one more", c.name, before.Version, after.Version)
		}
	}
	kinds, err := s.HashKinds(ctx)
	if err != nil || kinds[""] != 1 || len(kinds) != 1 {
		t.Errorf("kinds %v, %v, want one of an empty hash", kinds, err)
	}
}

// TestLostAnswersOfPreparedStatements: the same where pgx prepares, for each way in which a
// write is asked for.
func TestLostAnswersOfPreparedStatements(t *testing.T) {
	w := &wire{}
	s := w.between(t, newDatabase(t)+"&pool_max_conns=1", Options{})
	ctx, u := t.Context(), testUser(1)
	must(t, s.CreateUser(ctx, u))
	n := 0
	session := func() issuer.Session { n++; return testSession(n) }
	step := func(session issuer.Session) issuer.Step {
		return issuer.Step{Presented: session.Current, Next: session.ID, Now: testNow, Expires: session.Ends}
	}
	for name, do := range map[string]func() error{
		"CreateSession": func() error { return s.CreateSession(ctx, session()) },
		"AdvanceSession": func() error {
			_, _, err := s.AdvanceSession(ctx, testSession(1).ID, step(testSession(1)))
			return err
		},
		"AdvanceWithUser": func() error {
			_, _, _, err := s.AdvanceWithUser(ctx, testSession(1).ID, u.ID, step(testSession(1)), 1000)
			return err
		},
		"SweepSessions": func() error { _, _, err := s.SweepSessions(ctx, issuer.Sweep{}, "", 1); return err },
		"UpdateClient":  func() error { return s.UpdateClient(ctx, oauth.Client{ID: "a"}) },
	} {
		s.CreateSession(ctx, testSession(1))
		do() // it is prepared now
		w.cutAt("stmtcache_", true, 1)
		err := do()
		if !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), uncertain) || w.left() != 0 {
			t.Errorf("%s: got %v, want an unknown result", name, err)
		}
		do()
		w.cutAt("stmtcache_", false, 1)
		if err := do(); errors.Is(err, ErrStorage) || w.left() != 0 {
			t.Errorf("%s that was not sent: %v, want another try", name, err)
		}
	}
}

// TestTriesAreBounded: a wire that is cut each time is given up.
func TestTriesAreBounded(t *testing.T) {
	w := &wire{}
	s := w.between(t, newDatabase(t)+"&default_query_exec_mode=exec", Options{})
	w.cutAt("FROM signet_users", false, 1000)
	_, err := s.UserByID(t.Context(), "1")
	if !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), errCut.Error()) {
		t.Errorf("got %v, want %v with its cause", err, ErrStorage)
	}
	if tries := 1000 - w.left(); tries != maxTries {
		t.Errorf("%d tries, want %d", tries, maxTries)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.cutAt("FROM signet_users", false, 1000)
	cancel()
	if _, err := s.UserByID(ctx, "1"); !errors.Is(err, context.Canceled) || w.left() != 1000 {
		t.Errorf("after its context had ended: %v and %d tries, want none", err, 1000-w.left())
	}
	w.cutAt("", false, 0)
}

// deadlock makes one: each of two transactions locks a row, and then that of the other.
func deadlock(ctx context.Context, s *Store) error {
	var first atomic.Int32
	both := make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	for i := range 2 {
		group.Go(func() error {
			return s.transact(ctx, func(ctx context.Context, q querier) error {
				for n, id := range []string{fmt.Sprint("id-", i), fmt.Sprint("id-", 1-i)} {
					if _, err := q.Exec(ctx, `UPDATE signet_users SET epoch = epoch + 1 WHERE id = $1`, text(id)); err != nil {
						return err
					}
					if n == 0 && first.Load() < 2 {
						if first.Add(1) == 2 {
							close(both)
						}
						<-both
					}
				}
				return nil
			})
		})
	}
	return group.Wait()
}

// errorCounter counts the errors of the server by their code.
type errorCounter struct{ serialization, deadlocks atomic.Int64 }

func (c *errorCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (c *errorCounter) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	switch code(data.Err) {
	case serializationFailure:
		c.serialization.Add(1)
	case deadlockDetected:
		c.deadlocks.Add(1)
	}
}

// TestConflictsAreTriedAgain: a real deadlock and real serialisation failures reach
// nobody.
func TestConflictsAreTriedAgain(t *testing.T) {
	seen := &errorCounter{}
	url := newDatabase(t)
	config, name, err := parse(url + "&deadlock_timeout=10ms&default_transaction_isolation=serializable")
	must(t, err)
	config.ConnConfig.Tracer = seen
	s := (&wire{}).open(t, config, name, Options{})
	for i := range 2 {
		must(t, s.CreateUser(t.Context(), testUser(i)))
	}
	must(t, deadlock(t.Context(), s))
	for i := range 2 {
		if u, err := s.UserByID(t.Context(), testUser(i).ID); err != nil || u.Epoch != 2 {
			t.Errorf("user %d after the deadlock: epoch %d, %v, want 2", i, u.Epoch, err)
		}
	}
	session := testSession(1)
	must(t, s.CreateSession(t.Context(), session))
	free := locked(t, url, session.ID) // until many wait
	var group errgroup.Group
	var advanced atomic.Int64
	for i := range 16 {
		group.Go(func() error {
			_, outcome, err := s.AdvanceSession(t.Context(), session.ID, issuer.Step{Presented: session.Current, Next: fmt.Sprintf("%032x", 100+i),
				Now: testNow, Expires: testNow.Add(time.Hour), Window: time.Second})
			if outcome == issuer.Advanced {
				advanced.Add(1)
			}
			return err
		})
	}
	waiting(t, url, 8)
	free()
	must(t, group.Wait())
	if advanced.Load() != 1 {
		t.Errorf("%d of 16 steps advanced the session, want 1", advanced.Load())
	}
	if seen.deadlocks.Load() == 0 || seen.serialization.Load() == 0 {
		t.Errorf("the server reported %d deadlocks and %d serialisation failures, want some", seen.deadlocks.Load(), seen.serialization.Load())
	}
	t.Logf("%d deadlocks and %d serialisation failures were tried again", seen.deadlocks.Load(), seen.serialization.Load())
}

// TestVerdicts: which errors are tried again, and which leave it open what happened.
func TestVerdicts(t *testing.T) {
	server := func(code string) error { return &pgconn.PgError{Severity: "ERROR", Code: code} }
	for _, c := range []struct {
		err         error
		again, lost bool
	}{
		{server("40001"), true, false}, {server("40P01"), true, false}, {server("25006"), true, false},
		{server("26000"), true, false}, {server("53300"), true, false}, {server("57P03"), true, false},
		{server("40003"), false, true},
		{server("57P01"), true, true}, {server("57P02"), true, true}, {server("08006"), true, true},
		{server("57014"), false, false}, {server("55P03"), false, false}, {server("23505"), false, false},
		{server("42501"), false, false}, {server("28P01"), false, false}, {server("53100"), false, false},
		{errChanged, true, false}, {errBusy, false, true},
		{errors.New("unexpected EOF"), true, true}, {context.DeadlineExceeded, false, true},
		{fmt.Errorf("%w: a record cannot be read", ErrStorage), false, false},
		{refuse(users.ErrExists), true, false}, {nil, true, false},
	} {
		if got := lost(c.err); got != c.lost {
			t.Errorf("%v: the answer is lost: %v, want %v", c.err, got, c.lost)
		}
		if got := again(c.err); got != c.again {
			t.Errorf("%v: tried again: %v, want %v", c.err, got, c.again)
		}
		if c.lost && again(unsure{c.err}) {
			t.Errorf("%v: a write whose answer is lost is tried again", c.err)
		}
	}
}

// locked holds the row of a session until free is called.
func locked(t *testing.T, url, id string) (free func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM signet_sessions WHERE id = $1 FOR UPDATE`, packed(id))
	must(t, err)
	return func() {
		must(t, tx.Commit(t.Context()))
		must(t, conn.Close(t.Context()))
	}
}

// waiting blocks until so many statements of the database wait for a lock.
func waiting(t *testing.T, url string, want int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	within(t, fmt.Sprint(want, " statements that wait for a lock"), func() bool {
		n := 0
		must(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n))
		return n >= want
	})
}

// within asks again and again until it is so.
func within(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); {
		if time.Now().After(deadline) {
			t.Fatalf("still no %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestWriteOutlivesItsCaller: who hangs up gets the true result all the same, and the
// connection is not lost.
func TestWriteOutlivesItsCaller(t *testing.T) {
	url := newDatabase(t)
	s := openTest(t, url+"&pool_max_conns=1")
	must(t, s.CreateSession(t.Context(), testSession(1)))
	free := locked(t, url, testSession(1).ID)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.EndSession(ctx, testSession(1).ID) }()
	waiting(t, url, 1)
	cancel()
	free()
	if err := <-result; err != nil {
		t.Errorf("the write whose caller hung up: %v", err)
	}
	if n := s.pool.Stat().NewConnsCount(); n != 1 {
		t.Errorf("%d connections were made, want 1", n)
	}
}

// TestRefreshEndsWithItsDeadline: a refresh that is slow is given up in time, and it is
// said that it may have been made.
func TestRefreshEndsWithItsDeadline(t *testing.T) {
	url := newDatabase(t)
	s := openTest(t, url)
	session, u := testSession(1), testUser(1)
	must(t, s.CreateUser(t.Context(), u))
	must(t, s.CreateSession(t.Context(), session))
	defer locked(t, url, session.ID)()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	step := issuer.Step{Presented: session.Current, Next: session.ID, Now: testNow, Expires: session.Ends}
	if _, _, _, err := s.AdvanceWithUser(ctx, session.ID, u.ID, step, 1000); !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), uncertain) {
		t.Errorf("got %v, want an unknown result", err)
	}
}

// TestTimeouts: a statement that takes too long, a lock that is not to be had and a pool
// with nothing to give are each reported as what they are.
func TestTimeouts(t *testing.T) {
	url := newDatabase(t)
	openTest(t, url)
	for _, c := range []struct{ settings, want string }{
		{"statement_timeout=50&lock_timeout=0", "statement timeout (SQLSTATE 57014)"},
		{"lock_timeout=50", "lock timeout (SQLSTATE 55P03)"},
	} {
		s := openTest(t, url+"&"+c.settings)
		must(t, s.CreateSession(t.Context(), testSession(1)))
		free := locked(t, url, testSession(1).ID)
		err := s.EndSession(t.Context(), testSession(1).ID)
		if !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), uncertain) {
			t.Errorf("%s: got %v, want %q", c.settings, err, c.want)
		}
		free()
		must(t, s.EndSession(t.Context(), testSession(1).ID))
	}

	s := openTest(t, url+"&pool_max_conns=1")
	s.acquireLimit = 50 * time.Millisecond
	must(t, s.CreateSession(t.Context(), testSession(1)))
	free := locked(t, url, testSession(1).ID)
	result := make(chan error, 1)
	go func() { result <- s.EndSession(t.Context(), testSession(1).ID) }()
	waiting(t, url, 1)
	if _, err := s.Session(t.Context(), testSession(1).ID); !errors.Is(err, ErrStorage) || !errors.Is(err, errBusy) {
		t.Errorf("an exhausted pool: got %v, want %v", err, errBusy)
	}
	free()
	must(t, <-result)
}

// TestServerRestarts: a crash of the server costs the calls under way and no more: what
// was answered is there, and the next calls find their way without a restart of ours.
func TestServerRestarts(t *testing.T) {
	cluster := pgtest.New(t, pgtest.Options{})
	s := openTest(t, cluster.Database(t))
	answered := make(chan int, 1_000_000)
	stop := make(chan struct{})
	var group errgroup.Group
	for worker := range 4 {
		group.Go(func() error {
			for n := worker; ; n += 4 {
				err := s.CreateSession(t.Context(), testSession(n))
				switch {
				case err == nil:
					answered <- n
				case !errors.Is(err, ErrStorage):
					return err
				}
				select {
				case <-stop:
					return nil
				default:
				}
			}
		})
	}
	more := func() {
		before := len(answered)
		within(t, "200 more answers", func() bool { return len(answered) >= before+200 })
	}
	for range 3 {
		more()
		cluster.Restart(t)
	}
	more()
	close(stop)
	must(t, group.Wait())
	close(answered)
	for n := range answered {
		if _, err := s.Session(t.Context(), testSession(n).ID); err != nil {
			t.Fatalf("session %d was answered: %v", n, err)
		}
	}
	cluster.Stop(t)
	if err := s.CheckWritable(t.Context()); !errors.Is(err, ErrStorage) {
		t.Errorf("without a server: got %v, want %v", err, ErrStorage)
	}
}

// TestCommitted: each write is told of once, with its error if the database is to blame,
// and a refusal is none.
func TestCommitted(t *testing.T) {
	w := &wire{}
	type told struct {
		requests int
		failed   bool
	}
	var heard []told
	s := w.between(t, newDatabase(t)+"&default_query_exec_mode=exec", Options{Committed: func(took time.Duration, requests int, err error) {
		if took <= 0 {
			t.Errorf("a write took %v", took)
		}
		heard = append(heard, told{requests, err != nil})
	}})
	heard = nil // without the migration
	must(t, s.CreateSession(t.Context(), testSession(1)))
	if err := s.CreateSession(t.Context(), testSession(1)); !errors.Is(err, issuer.ErrSessionExists) {
		t.Error(err)
	}
	if _, err := s.Session(t.Context(), testSession(1).ID); err != nil {
		t.Error(err)
	}
	w.cutAt("DELETE", true, 1)
	if err := s.EndSession(t.Context(), testSession(1).ID); !errors.Is(err, ErrStorage) {
		t.Error(err)
	}
	if want := []told{{1, false}, {1, true}}; fmt.Sprint(heard) != fmt.Sprint(want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

// TestPrimaryThatBecameAStandby: a connection to one that takes no writes any more is given
// up, and the next is found to do.
func TestPrimaryThatBecameAStandby(t *testing.T) {
	s := openTest(t, newDatabase(t)+"&pool_max_conns=1")
	c, err := s.pool.Acquire(t.Context())
	must(t, err)
	_, err = c.Exec(t.Context(), `SET default_transaction_read_only = on`)
	must(t, err)
	c.Release()
	must(t, s.CreateSession(t.Context(), testSession(1)))
	if n := s.pool.Stat().NewConnsCount(); n != 2 {
		t.Errorf("%d connections were made, want 2", n)
	}
}
