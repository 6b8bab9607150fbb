package main

import (
	"path/filepath"
	"strings"
	"testing"

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
	refused("there is no issuer in "+url+"\n  try: name the database that a server has used with --from", migrate...)
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
