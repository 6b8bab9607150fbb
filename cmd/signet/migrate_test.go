package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"signet/configs"
	"signet/internal/audit"
	"signet/internal/pgtest"
	"signet/internal/shell"
	"signet/internal/store/boltstore"
	"signet/internal/store/pgstore"
	"signet/internal/store/transfer"
	"signet/issuer"
)

// TestMigrationKeepsSessions moves an issuer from bbolt to PostgreSQL and back: the
// refresh tokens, the keys and the audit log go on.
func TestMigrationKeepsSessions(t *testing.T) {
	t.Parallel()
	url := pgtest.Start(t).Database(t)
	dir, addr := filepath.Join(t.TempDir(), "data"), mustAddress(t)
	r := &replica{dir: dir, url: "bolt"} // with the name that it has by itself
	r.start(t, addr, "http://"+addr)
	r.must(t, replicaPassword+"\n", "users", "add", "kyoko", "--password-stdin")
	secret := lastLine(r.must(t, "", "clients", "add", "billing", "--audience", "orders"))
	pair, err := login(t.Context(), client, r.base, "kyoko", replicaPassword)
	if err != nil {
		t.Fatal(err)
	}
	kids := r.kids(t)
	for _, step := range []struct{ from, to, store, marks string }{
		{"bolt:" + dir, url, url, "the end of the audit log is kept for the replica " + ownName(t, dir) + ": write replica: "},
		{url, "bolt:" + filepath.Join(filepath.Dir(dir), "back"), "bolt", "stay in the old database: another\n"},
	} {
		r.terminate(t)
		out := r.migrate(t, step.from, step.to)
		for _, want := range []string{"users           1      ", "sessions        1      ", "clients         1      ", "every record was read back", step.marks} {
			if !strings.Contains(out, want) {
				t.Errorf("migrate does not say %q:\n%s", want, out)
			}
		}
		if back, ok := strings.CutPrefix(step.to, "bolt:"); ok {
			copySealKey(t, r.dir, back)
			r.dir = back
		}
		r.url = step.store
		if step.to == url {
			markMoved(t, url, ownName(t, dir))
		}
		r.start(t, addr, "http://"+addr)
		if _, err := refresh(t.Context(), client, r.base, pair["refresh"]); err != nil {
			t.Fatalf("refresh after the migration to %s: %v", step.to, err)
		}
		if got := r.kids(t); strings.Join(got, " ") != strings.Join(kids, " ") {
			t.Errorf("keys after the migration to %s: %v, want %v", step.to, got, kids)
		}
		if _, err := login(t.Context(), client, r.base, "kyoko", replicaPassword); err != nil {
			t.Errorf("login after the migration to %s: %v", step.to, err)
		}
		if status, body := ask(t, http.MethodPost, r.base+"/oauth2/token", map[string][]string{
			"grant_type": {"client_credentials"}, "client_id": {"billing"}, "client_secret": {secret},
		}); status != http.StatusOK {
			t.Errorf("a client after the migration to %s: %d %s", step.to, status, body)
		}
		r.must(t, "", "sessions", "end", "--user", "kyoko") // so that there is one again
		if pair, err = login(t.Context(), client, r.base, "kyoko", replicaPassword); err != nil {
			t.Fatal(err)
		}
		r.must(t, "", "audit", "verify")
	}
}

// ownName is by what name a database knows a server on dir that has none.
func ownName(t *testing.T, dir string) string {
	t.Helper()
	cfg := configs.Default()
	cfg.Data = dir
	name, err := cfg.ReplicaName()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// markMoved: the mark of the audit log is known to the server that goes on. Another one
// leaves its own.
func markMoved(t *testing.T, url, name string) {
	t.Helper()
	for _, replica := range []string{name, "another"} {
		store, err := pgstore.Open(t.Context(), url, pgstore.Options{Logger: discarded(), Replica: replica})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		mark, err := store.AuditMark(t.Context())
		if err != nil || (mark.Head.Seq > 0) != (replica == name) {
			t.Errorf("the mark of %s: %+v, %v", replica, mark, err)
		}
		if err := store.SetAuditMark(t.Context(), audit.Mark{Start: mark.Start, Head: audit.Head{Seq: max(1, mark.Head.Seq), Hash: mark.Head.Hash}}); err != nil {
			t.Error(err)
		}
	}
}

// migrate runs the command, from a file as somebody does who has no configuration.
func (r *replica) migrate(t *testing.T, from, to string) string {
	t.Helper()
	if strings.HasPrefix(from, "bolt:") {
		return mustSignet(t, "", "migrate", "--from", from, "--to", to)
	}
	return r.must(t, "", "migrate", "--from", from, "--to", to)
}

func mustAddress(t *testing.T) string {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// terminate stops the server as an operator does.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		t.Fatalf("it does not stop:\n%s", p.stderr)
	}
}

// TestMigrationRefusesADatabaseInUse: a server that refreshes meanwhile would lose it.
func TestMigrationRefusesADatabaseInUse(t *testing.T) {
	t.Parallel()
	r := replicas(t, pgtest.Start(t).Database(t), 1)[0]
	into := filepath.Join(t.TempDir(), "new")
	_, errs, err := r.signet(t, "", "migrate", "--from", "config", "--to", "bolt:"+into)
	if err == nil || !strings.Contains(errs, "signet has postgres://") || !strings.Contains(errs, "open from this host") {
		t.Errorf("a migration from under a server: %v\n%s", err, errs)
	}
	if _, err := os.Stat(into); !errors.Is(err, fs.ErrNotExist) {
		t.Error("it made the target")
	}
	_, errs, err = r.signet(t, "", "migrate", "--to", "config", "--from", "bolt:"+filled(t, 3))
	if err == nil || !strings.Contains(errs, " holds data of signet already\n  try: createdb NAME  # makes an empty one: name it with --to") {
		t.Errorf("a migration into a database in use: %v\n%s", err, errs)
	}
	r.terminate(t)
	r.must(t, "", "migrate", "--from", "config", "--to", "bolt:"+into)
}

// filled is a data directory with a database of so many sessions, and no keys.
func filled(t *testing.T, sessions int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := boltstore.OpenTarget(filepath.Join(dir, "signet.db"), "test", false, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	putSessions(t, store, sessions)
	if err := errors.Join(store.Finish(t.Context()), store.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func putSessions(t *testing.T, store *boltstore.Target, n int) {
	t.Helper()
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for n > 0 {
		var page transfer.Page
		for range min(n, 10_000) {
			page.Sessions = append(page.Sessions, issuer.Session{
				ID: fmt.Sprintf("%032x", n), Subject: fmt.Sprintf("U%d", n%1000), Client: "first-party", Created: at, Rotated: at,
				Expires: at.Add(time.Hour), Ends: at.Add(2 * time.Hour), Current: fmt.Sprintf("%032x", 1_000_000+n), KID: "kid",
			})
			n--
		}
		if err := store.Put(t.Context(), page, transfer.Place{Kind: transfer.Sessions}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledMigrationGoesOn: until it ends no server starts on the target, and says which
// command ends it; the same command does.
func TestKilledMigrationGoesOn(t *testing.T) {
	t.Parallel()
	url := pgtest.Start(t).Database(t)
	for _, to := range []string{url, "bolt:" + filepath.Join(t.TempDir(), "new")} {
		r := &replica{dir: t.TempDir(), name: "one", url: to}
		if dir, ok := strings.CutPrefix(to, "bolt:"); ok {
			r.dir, r.url = dir, "bolt"
		}
		source := filled(t, 60_000)
		killMigration(t, r, source, to)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := os.Chmod(r.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		config := filepath.Join(t.TempDir(), "signet test.yaml")
		if err := os.WriteFile(config, []byte("listen: 127.0.0.1:0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		serve := exec.CommandContext(ctx, binary, "serve", "--config", config)
		serve.Env = r.environment()
		out, err := serve.CombinedOutput()
		if err == nil || !strings.Contains(string(out), " is not whole: signet migrate fills it from bolt:"+source+", or was interrupted") ||
			!strings.Contains(string(out), "try: signet migrate --config '"+config+"' "+shell.Command("--from", "bolt:"+source, "--to", to)+"  # goes on where it ended") {
			t.Errorf("a server on a half filled %s: %v\n%s", to, err, out)
		}
		copied := r.must(t, "", "migrate", "--from", "bolt:"+source, "--to", to)
		if !strings.Contains(copied, "sessions        60000  ") {
			t.Errorf("the second run:\n%s", copied)
		}
	}
}

// killMigration kills a migration once it has begun.
func killMigration(t *testing.T, r *replica, source, to string) {
	t.Helper()
	var p *process
	cmd := exec.Command(binary, "migrate", "--from", "bolt:"+source, "--to", to)
	cmd.Env = r.environment()
	p = launchAt(t, "", cmd, func() error { return r.halfFilled(t) })
	p.kill()
	if p.cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("it was done before it was killed: %s", p.stderr)
	}
}

// halfFilled asks, as a command does, whether a migration into the database has begun.
func (r *replica) halfFilled(t *testing.T) error {
	if r.url == "bolt" { // whose file the migration holds
		_, err := os.Stat(filepath.Join(r.dir, "signet.db"))
		return err
	}
	_, errs, _ := r.signet(t, "", "users", "list")
	if !strings.Contains(errs, "is not whole") {
		return errors.New(errs)
	}
	return nil
}

// TestMigrationRefusesASourceOfNobody: another database than was meant copies nothing, and
// makes nothing.
func TestMigrationRefusesASourceOfNobody(t *testing.T) {
	t.Parallel()
	into := filepath.Join(t.TempDir(), "new")
	for from, url := range map[string]string{"config": pgtest.Start(t).Database(t), "bolt:" + filled(t, 0): "bolt"} {
		r := &replica{dir: t.TempDir(), name: "one", url: url}
		_, errs, err := r.signet(t, "", "migrate", "--from", from, "--to", "bolt:"+into)
		if err == nil || !strings.Contains(errs, "signet: migrate: there is no issuer in ") || !strings.Contains(errs, ": it holds no keys and no accounts\n  try: name the database") {
			t.Errorf("from %s: %v\n%s", from, err, errs)
		}
		if _, err := os.Stat(into); !errors.Is(err, fs.ErrNotExist) {
			t.Error("it made the target")
		}
	}
}
