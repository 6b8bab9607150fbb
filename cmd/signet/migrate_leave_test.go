package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"signet/internal/pgtest"
	"signet/internal/store/boltstore"
	"signet/internal/store/pgstore"
	"signet/internal/store/transfer"
	"signet/users"
)

// closed holds a server and a command to the refusal of a database that was copied.
func (r *replica) closed(t *testing.T, to string) {
	t.Helper()
	for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"users", "list"}, {"sessions", "end", "--all"}, {"keys", "rotate", "--now"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, errs, err := r.signet(t, "", args...)
		if err == nil || ctx.Err() != nil || !strings.Contains(errs, " was copied to "+to+" by signet migrate on ") ||
			!strings.Contains(errs, "\n  try: signet migrate --reopen ") {
			t.Errorf("%s on a database that was copied: %v\n%s", args[0], err, errs)
		}
	}
}

// TestOldDatabaseIsClosed: after a migration no server starts on the source, from a file to
// PostgreSQL and back, until somebody goes back on purpose.
func TestOldDatabaseIsClosed(t *testing.T) {
	t.Parallel()
	database, back := pgtest.Start(t).Database(t), filepath.Join(t.TempDir(), "back")
	file := &replica{dir: filepath.Join(t.TempDir(), "data"), name: "one", url: "bolt"}
	addr := mustAddress(t)
	file.start(t, addr, "http://"+addr)
	file.must(t, replicaPassword+"\n", "users", "add", "kyoko", "--password-stdin")
	file.terminate(t)
	file.must(t, "", "migrate", "--from", "config", "--to", database)
	file.closed(t, database)

	shared := &replica{dir: file.dir, name: "one", url: database}
	shared.start(t, addr, "http://"+addr)
	shared.terminate(t)
	out := shared.must(t, "", "migrate", "--from", "config", "--to", "bolt:"+back)
	reopen := "signet migrate --reopen '" + database + "'"
	if !strings.Contains(out, "\nno server opens the old database any more; to go back to it: "+reopen+"\n") {
		t.Errorf("migrate does not say how to go back:\n%s", out)
	}
	shared.closed(t, "bolt:"+back)
	if _, errs, err := shared.signet(t, "", "migrate", "--from", "config", "--to", "bolt:"+back+"2"); err == nil || !strings.Contains(errs, " was copied to bolt:"+back+" by signet migrate on ") {
		t.Errorf("a second copy to another place: %v\n%s", err, errs)
	}
	out = shared.must(t, "", "migrate", "--reopen", "config")
	if !strings.Contains(out, "servers open "+database+" again\nstart none on bolt:"+back+" any more: ") {
		t.Errorf("migrate --reopen:\n%s", out)
	}
	shared.start(t, addr, "http://"+addr)
	if _, err := login(t.Context(), client, shared.base, "kyoko", replicaPassword); err != nil {
		t.Errorf("a login after --reopen: %v", err)
	}
	if _, errs, err := shared.signet(t, "", "migrate", "--reopen", "config"); err == nil || !strings.Contains(errs, "signet has postgres://") {
		t.Errorf("--reopen of a database in use: %v\n%s", err, errs)
	}
}

// TestPasswordIsNotInTheMark: what the source says of the target shows to whoever reads it.
func TestPasswordIsNotInTheMark(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(pgtest.Start(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), "hunter2")
	source := filled(t, 3)
	r := &replica{dir: t.TempDir(), name: "one", url: u.String()}
	out := r.must(t, "", "migrate", "--from", "bolt:"+source, "--to", "config")
	old := &replica{dir: source, name: "one", url: "bolt"}
	_, errs, err := old.signet(t, "", "users", "list")
	if err == nil || !strings.Contains(errs, " was copied to postgres://") || strings.Contains(out+errs, "hunter2") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if text, err := os.ReadFile(filepath.Join(source, "signet.db")); err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("the password is in the file (%v)", err)
	}
}

// TestCrashBeforeTheTargetOpens: the source is closed before the target opens, so that a
// crash between leaves neither to a server; the same command goes on.
func TestCrashBeforeTheTargetOpens(t *testing.T) {
	t.Parallel()
	source, database := filled(t, 3), pgtest.Start(t).Database(t)
	old, err := boltstore.Open(filepath.Join(source, "signet.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begun, err := pgstore.OpenTarget(t.Context(), database, "bolt:"+source, false, pgstore.Options{Logger: discarded(), Application: migrating})
	if err != nil {
		t.Fatal(err)
	}
	crash := errors.New("crash")
	_, err = transfer.Copy(t.Context(), ownMark{old}, unchanged{crashing{begun, crash}, boltSource{old}, &place{name: database}}, func(transfer.Kind, bool, int, int) {})
	if err := errors.Join(old.Close(), begun.Close()); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, crash) {
		t.Fatalf("the copy: %v, want %v", err, crash)
	}
	r := &replica{dir: source, name: "one", url: "bolt"}
	r.closed(t, database)
	target := &replica{dir: source, name: "one", url: database}
	if _, errs, err := target.signet(t, "", "serve", "--listen", "127.0.0.1:0"); err == nil || !strings.Contains(errs, " is not whole: ") {
		t.Errorf("a server on the target: %v\n%s", err, errs)
	}
	out := target.must(t, "", "migrate", "--from", "bolt:"+source, "--to", database)
	if !strings.Contains(out, "sessions        3  ") {
		t.Errorf("the second run:\n%s", out)
	}
	if _, errs, err := target.signet(t, "", "users", "list"); err != nil && !strings.Contains(errs, "there is no issuer in ") {
		t.Errorf("the target is not open: %v\n%s", err, errs)
	}
	r.closed(t, database)
}

// crashing is a target that the process does not live to finish.
type crashing struct {
	transfer.Target
	err error
}

func (c crashing) Finish(context.Context) error { return c.err }

// TestSourceThatCannotBeClosed: no server opens the copy of a database that others could go
// on with.
func TestSourceThatCannotBeClosed(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t, pgtest.Options{})
	database, into := cluster.Database(t), filepath.Join(t.TempDir(), "new")
	cluster.Exec(t, database, "CREATE ROLE reader LOGIN")
	r := replicas(t, database, 1)[0]
	r.terminate(t)
	cluster.Exec(t, database, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
	r.url = strings.Replace(database, "signet@", "reader@", 1)
	_, errs, err := r.signet(t, "", "migrate", "--from", "config", "--to", "bolt:"+into)
	if err == nil || !strings.Contains(errs, "signet: migrate: the old database cannot be closed to servers, so that none opens the copy yet: ") ||
		!strings.Contains(errs, "permission denied for table signet_meta") || !strings.Contains(errs, "\n  try: let signet write to the old database, and give this command again") {
		t.Errorf("a source that takes no writes: %v\n%s", err, errs)
	}
	copied := &replica{dir: into, name: "one", url: "bolt"}
	if _, errs, err := copied.signet(t, "", "users", "list"); err == nil || !strings.Contains(errs, " is not whole: ") {
		t.Errorf("the copy: %v\n%s", err, errs)
	}
	cluster.Exec(t, database, "GRANT ALL ON ALL TABLES IN SCHEMA public TO reader")
	r.must(t, "", "migrate", "--from", "config", "--to", "bolt:"+into)
	r.closed(t, "bolt:"+into)
}

// TestCommandDuringTheLastLook: what a command changes in the source after it was compared
// would be lost, so none opens it then. A source that differs is open again.
func TestCommandDuringTheLastLook(t *testing.T) {
	t.Parallel()
	database := pgtest.Start(t).Database(t)
	replicas(t, database, 1)[0].terminate(t)
	from, err := pgstore.Open(t.Context(), database, pgstore.Options{Logger: discarded(), Application: migrating, Moved: true})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	command := func() error {
		s, err := pgstore.Open(t.Context(), database, pgstore.Options{Logger: discarded()})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	migrate := func(checking func()) error {
		into := filepath.Join(t.TempDir(), "signet.db")
		to, err := boltstore.OpenTarget(into, database, false, boltstore.Options{Logger: discarded()})
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		_, err = transfer.Copy(t.Context(), ownMark{from}, unchanged{to, postgresSource{from}, &place{name: "bolt:" + into}}, func(_ transfer.Kind, checks bool, _, _ int) {
			if checks {
				checking()
			}
		})
		return err
	}
	change := sync.OnceFunc(func() {
		if err := from.CreateUser(t.Context(), users.User{ID: strings.Repeat("A", 26), Name: "mallory"}); err != nil {
			t.Error(err)
		}
	})
	if err := migrate(change); !errors.Is(err, transfer.ErrDiffers) {
		t.Errorf("a source that changed: %v, want %v", err, transfer.ErrDiffers)
	}
	if err := command(); err != nil {
		t.Errorf("a command after that: %v", err)
	}
	var last error
	if err := migrate(func() { last = command() }); err != nil {
		t.Fatal(err)
	}
	if _, closed := errors.AsType[*transfer.MovedError](last); !closed {
		t.Errorf("a command during the last look: %v, want a MovedError", last)
	}
}
