package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signet/internal/pgtest"
	"signet/internal/store/pgstore"
)

// schemaOf is the version of the tables in a database, 0 if there are none.
func schemaOf(t *testing.T, url string) int {
	t.Helper()
	found, err := pgstore.Examine(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return found.Schema
}

// TestCommandsMakeNoTables: neither in a database without any, nor of an older Signet's.
func TestCommandsMakeNoTables(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	url := cluster.Database(t)
	r := &replica{dir: filepath.Join(t.TempDir(), "data"), name: "one", url: url}
	refused := func(want string, args ...string) {
		t.Helper()
		if _, errs, err := r.signet(t, "", args...); err == nil || !strings.Contains(errs, want) {
			t.Errorf("signet %s: %v, want %q:\n%s", args[0], err, want, errs)
		}
	}
	migrate := []string{"migrate", "--from", url, "--to", "bolt:" + filepath.Join(t.TempDir(), "x")}
	refused("there is no issuer in "+url+" yet\n  try: signet serve", "users", "list")
	refused("there is no issuer in "+url+": it holds no keys and no accounts\n  try: name the database that a server has used: --from", migrate...)
	if v := schemaOf(t, url); v != 0 {
		t.Errorf("the tables have version %d", v)
	}
	addr := mustAddress(t)
	r.start(t, addr, "http://"+addr)
	r.terminate(t)
	r.must(t, "", "users", "list")
	cluster.Exec(t, url, "UPDATE signet_schema SET version = 1")
	refused("the database belongs to an older signet: its tables have version 1, ", "users", "list")
	refused("\n  try: signet serve  # the newer one brings them up to date", migrate...)
	if v := schemaOf(t, url); v != 1 {
		t.Errorf("the tables have version %d, want 1", v)
	}
}

// TestServerOnAWrongDatabase: where an issuer has run, an empty database is not taken for
// its own, and nothing is made in it. A sealing key alone, or a new directory, begins one.
func TestServerOnAWrongDatabase(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	r := replicas(t, cluster.Database(t), 1)[0]
	r.must(t, replicaPassword+"\n", "users", "add", "kyoko", "--password-stdin")
	r.terminate(t)
	right, wrong := r.url, cluster.Database(t)
	sealing, audit := filepath.Join(r.dir, "seal.key"), filepath.Join(r.dir, "audit.log")
	refused := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, binary, "serve", "--listen", "127.0.0.1:0")
		cmd.Env = r.environment()
		if out, err := cmd.CombinedOutput(); err == nil || ctx.Err() != nil || !strings.Contains(string(out), want) {
			t.Errorf("it starts: %v, want %q\n%s", err, want, out)
		}
	}
	r.url = wrong
	empty := wrong + " is empty, but the sealing key and the audit log of an issuer are here\n  try: see that store names the database of that issuer"
	refused(empty)
	if v := schemaOf(t, wrong); v != 0 {
		t.Errorf("it made tables of version %d", v)
	}
	refused("move " + sealing + " and " + audit + " away")

	other := &replica{dir: filepath.Join(t.TempDir(), "data"), name: "other", url: right}
	copySealKey(t, r.dir, other.dir)
	begins(t, other) // a second replica
	r.url = right
	begins(t, r)
	cluster.Exec(t, right, "TRUNCATE signet_ring, signet_users")
	r.url = right
	refused(right + " is empty, but the sealing key and the audit log of an issuer are here")
	if err := os.Remove(audit); err != nil {
		t.Fatal(err)
	}
	r.url = wrong
	begins(t, r)
}

// begins starts a server and ends it.
func begins(t *testing.T, r *replica) {
	t.Helper()
	addr := mustAddress(t)
	r.start(t, addr, "http://"+addr)
	r.terminate(t)
}

// TestDatabaseThatAnswersTooEarly: serve, doctor and migrate each say so.
func TestDatabaseThatAnswersTooEarly(t *testing.T) {
	t.Parallel()
	const early = "synchronous_commit=off: a crash of it undoes what was answered"
	r := replicas(t, pgtest.Start(t).Database(t)+"&synchronous_commit=off", 1)[0]
	r.waitLog(t, early)
	out, _, _ := r.signet(t, "", "doctor")
	if !strings.Contains(out, "warn     database") || !strings.Contains(out, early) {
		t.Errorf("doctor does not say %q:\n%s", early, out)
	}
	r.terminate(t)
	_, errs, err := r.signet(t, "", "migrate", "--from", "config", "--to", "bolt:"+filepath.Join(t.TempDir(), "x"))
	if err != nil || !strings.Contains(errs, "warning: the database has "+early) {
		t.Errorf("migrate: %v, want a warning of %q:\n%s", err, early, errs)
	}
}
