package pgstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"signet/internal/audit"
)

var quiet = slog.New(slog.DiscardHandler)

// TestReplicasThatStartAtOnce: any number of them make the tables of one database, each
// migration once, whatever the isolation of the engine.
func TestReplicasThatStartAtOnce(t *testing.T) {
	for _, isolation := range []string{"read%20committed", "serializable"} {
		for range 5 {
			url := newDatabase(t) + "&pool_max_conns=2&default_transaction_isolation=" + isolation
			var told bytes.Buffer
			log := slog.New(slog.NewTextHandler(&locking{w: &told}, nil))
			stores := make([]*Store, 16)
			var group errgroup.Group
			for i := range stores {
				group.Go(func() (err error) {
					stores[i], err = Open(context.Background(), url, Options{Logger: log})
					return err
				})
			}
			err := group.Wait()
			for i, s := range stores {
				if s == nil {
					continue
				}
				if i == 0 {
					must(t, s.CreateUser(t.Context(), testUser(1)))
				}
				must(t, s.Close())
			}
			must(t, err)
			if n := strings.Count(told.String(), "brought up to date"); n != schemaVersion {
				t.Errorf("%d migrations ran, want %d", n, schemaVersion)
			}
		}
	}
}

// exec runs a statement beside the store.
func exec(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), sql)
	must(t, err)
}

// TestMigrationWaits: a replica waits for the one that migrates, and then has nothing to do.
func TestMigrationWaits(t *testing.T) {
	url := newDatabase(t)
	openTest(t, url)
	exec(t, url, `UPDATE signet_schema SET version = 0`)
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), `UPDATE signet_schema SET version = $1`, schemaVersion)
	must(t, err)
	var told bytes.Buffer
	result := make(chan error, 1)
	go func() {
		s, err := Open(context.Background(), url, Options{Logger: slog.New(slog.NewTextHandler(&told, nil))})
		if err == nil {
			err = s.Close()
		}
		result <- err
	}()
	waiting(t, url, 1)
	must(t, tx.Commit(t.Context()))
	must(t, <-result)
	if told.Len() > 0 {
		t.Errorf("who waited for the migration said %q", told.String())
	}
}

// TestMigrationRunsAgain: one that was cut off by an engine which keeps half of it is made
// whole by the next start, and loses nothing.
func TestMigrationRunsAgain(t *testing.T) {
	url := newDatabase(t)
	must(t, openTest(t, url).CreateUser(t.Context(), testUser(1)))
	exec(t, url, `UPDATE signet_schema SET version = 0`)
	exec(t, url, `DROP TABLE signet_clients`)
	s := openTest(t, url)
	if _, err := s.UserByID(t.Context(), testUser(1).ID); err != nil {
		t.Error(err)
	}
	if _, err := s.Clients(t.Context(), "", 1); err != nil {
		t.Error(err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	url := newDatabase(t)
	openTest(t, url)
	exec(t, url, fmt.Sprintf(`UPDATE signet_schema SET version = %d`, schemaVersion+1))
	_, err := Open(t.Context(), url, Options{Logger: quiet})
	if !errors.Is(err, ErrSchemaNewer) || !strings.Contains(err.Error(), "run the newer signet") {
		t.Errorf("got %v, want %v and what to do", err, ErrSchemaNewer)
	}
}

// TestTablesAreKept: who may not make tables, or not change them, leaves the database as it
// was and says so.
func TestTablesAreKept(t *testing.T) {
	url := newDatabase(t)
	refused := func(tables Tables, want error) {
		t.Helper()
		s, err := Open(t.Context(), url, Options{Logger: quiet, Tables: tables})
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if s != nil {
			must(t, s.Close())
		}
	}
	for _, tables := range []Tables{UpgradeTables, KeepTables} {
		refused(tables, ErrNoTables)
		if found, err := Examine(t.Context(), url); err != nil || found.Schema != 0 {
			t.Errorf("it made tables of version %d, %v", found.Schema, err)
		}
	}
	openTest(t, url)
	refused(KeepTables, nil)
	exec(t, url, `UPDATE signet_schema SET version = 1`)
	refused(KeepTables, ErrSchemaOlder)
	if found, err := Examine(t.Context(), url); err != nil || found.Schema != 1 {
		t.Errorf("the tables have version %d, %v, want the one they had", found.Schema, err)
	}
	refused(UpgradeTables, nil)
	refused(KeepTables, nil)
	exec(t, url, `UPDATE signet_schema SET version = 0`) // as a start that was cut off leaves it
	refused(UpgradeTables, ErrNoTables)
}

// TestForeignTables: those of another program in the same database are in nobody's way.
func TestForeignTables(t *testing.T) {
	url := newDatabase(t)
	exec(t, url, `CREATE TABLE users (x int); CREATE TABLE sessions (x int)`)
	must(t, openTest(t, url).CreateUser(t.Context(), testUser(1)))
}

func TestURLs(t *testing.T) {
	const secret = "s3cr3t"
	for _, c := range []struct{ url, want string }{
		{"host=localhost password=" + secret, "it is not of the form postgres://"},
		{"mysql://u:" + secret + "@h/db", "it is not of the form postgres://"},
		{"postgres://u:%zz" + secret + "@h/db", "it is not of the form postgres://"},
		{"postgres://u:1#" + secret + "@h/db", "write characters such as"},
		{"postgres://u:12/" + secret + "@h/db", "write characters such as"},
		{"postgres://u:" + secret + "@h:99999/db", "invalid port"},
		{"postgres://u:" + secret + "@h/db?sslmode=none", "sslmode"},
		{"postgres://u:" + secret + "@h/db?sslmode=verify-full&sslrootcert=/nowhere", "/nowhere"},
		{"postgres://u:" + secret + "@localhost/db?pool_max_conns=many", "pool_max_conns"},
		{"postgres://u:" + secret + "@h/db", "could be in plain text: add sslmode=verify-full"},
		{"postgres://u@h/db?sslmode=prefer&password=" + secret, "could be in plain text"},
		{"postgres://u:" + secret + "@h/db?sslmode=allow", "could be in plain text"},
		{"postgres://u:" + secret + "@h/db?sslmode=disable", "could be in plain text"},
		{"postgres://u:" + secret + "@localhost,h/db", "the connection to h could be in plain text"},
		{"postgres://u:" + secret + "@/db?host=192.0.2.1", "could be in plain text"},
		{"postgres://u:" + secret + "@localhost/db?target_session_attrs=prefer-standby", "target_session_attrs=prefer-standby leads to a standby"},
	} {
		s, err := Open(t.Context(), c.url, Options{Logger: quiet})
		if !errors.Is(err, ErrURL) || !strings.Contains(fmt.Sprint(err), c.want) || strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("%s: got %v, want %v with %q and without the password", c.url, err, ErrURL, c.want)
		}
		if s != nil {
			must(t, s.Close())
		}
	}
}

// TestPasswordIsNowhere: not in what the log, an error or Path says of a database that does
// not answer, or that refuses.
func TestPasswordIsNowhere(t *testing.T) {
	const secret = "s3cr3t"
	var told bytes.Buffer
	_, err := Open(t.Context(), "postgres://u:"+secret+"@127.0.0.1:1/db?connect_timeout=1", Options{Logger: slog.New(slog.NewTextHandler(&told, nil))})
	if !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error()+told.String(), secret) {
		t.Errorf("got %v and the log %q", err, told.String())
	}
	_, shown, err := parse("postgres://u:" + secret + "@localhost/db?connect_timeout=7&password=" + secret + "&sslpassword=" + secret)
	if err != nil || shown != "postgres://u@localhost/db?connect_timeout=7" {
		t.Errorf("got %v, and the URL %s", err, shown)
	}
	url := strings.Replace(newDatabase(t), "signet@", "signet:"+secret+"@", 1)
	s := openTest(t, url)
	exec(t, url, `DROP TABLE signet_users`)
	_, err = s.UserByID(t.Context(), "1")
	if !errors.Is(err, ErrStorage) || strings.Contains(err.Error()+s.Path(), secret) || !strings.HasPrefix(s.Path(), "postgres://signet@/test") {
		t.Errorf("got %v of %s", err, s.Path())
	}
}

// TestPlainTextStaysHere: what may be in plain text is this machine.
func TestPlainTextStaysHere(t *testing.T) {
	for url, ok := range map[string]bool{
		"postgres://u@localhost/db": true, "postgres://u@127.0.0.1/db?sslmode=disable": true, "postgres://u@[::1]/db": true,
		"postgres:///db?host=/run/postgresql": true, "postgres://u@db.example/db?sslmode=require": true,
		"postgres://u@db.example/db?sslmode=disable": false, "postgres://u@127.0.0.1.example/db": false,
	} {
		if _, _, err := parse(url); (err == nil) != ok {
			t.Errorf("%s: %v, want it to be taken: %v", url, err, ok)
		}
	}
}

// TestSettingsOfTheURL: it has the last word.
func TestSettingsOfTheURL(t *testing.T) {
	config, _, err := parse("postgres://u@localhost/db?pool_max_conns=3&statement_timeout=7s&connect_timeout=9&default_query_exec_mode=exec")
	must(t, err)
	c := config.ConnConfig
	if config.MaxConns != 3 || c.RuntimeParams["statement_timeout"] != "7s" || c.RuntimeParams["lock_timeout"] != "3s" ||
		c.ConnectTimeout.Seconds() != 9 || c.DefaultQueryExecMode != pgx.QueryExecModeExec {
		t.Errorf("%d connections, %v, %v, %v", config.MaxConns, c.RuntimeParams, c.ConnectTimeout, c.DefaultQueryExecMode)
	}
	if config, _, err = parse("postgres://u@localhost/db"); err != nil || config.MaxConns != 16 || config.ConnConfig.ConnectTimeout.Seconds() != 5 {
		t.Errorf("%v, %d connections by default, %v", err, config.MaxConns, config.ConnConfig.ConnectTimeout)
	}
}

// TestClosed: calls after Close, and Close again, get ErrClosed.
func TestClosed(t *testing.T) {
	s := openTest(t, newDatabase(t))
	must(t, s.Close())
	if _, err := s.LoadRing(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("a call: %v, want %v", err, ErrClosed)
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("Close: %v, want %v", err, ErrClosed)
	}
}

// TestReplicasShareAllButTheirMarks: the decoy key is the database's, the mark of an audit
// log the replica's.
func TestReplicasShareAllButTheirMarks(t *testing.T) {
	url := newDatabase(t)
	var stores [2]*Store
	var keys [2][]byte
	for i, replica := range []string{"a", "b"} {
		var err error
		stores[i], err = Open(t.Context(), url, Options{Logger: quiet, Replica: replica})
		must(t, err)
		defer stores[i].Close()
		must(t, stores[i].SetAuditMark(t.Context(), audit.Mark{Head: audit.Head{Seq: uint64(i + 1)}}))
		must(t, stores[i].CheckWritable(t.Context()))
		keys[i], err = stores[i].DecoyKey(t.Context())
		must(t, err)
	}
	if len(keys[0]) != 32 || !bytes.Equal(keys[0], keys[1]) {
		t.Errorf("decoy keys %x and %x, want one", keys[0], keys[1])
	}
	for i, s := range stores {
		if m, err := s.AuditMark(t.Context()); err != nil || m.Head.Seq != uint64(i+1) {
			t.Errorf("the mark of replica %d is %v, %v", i, m, err)
		}
	}
}
