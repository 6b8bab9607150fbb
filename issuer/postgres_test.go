package issuer_test

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"signet/internal/pgtest"
	"signet/internal/store/pgstore"
)

// overPostgres, in the environment, lets the fixtures of this package use PostgreSQL.
const overPostgres = "ISSUER_TEST_POSTGRES"

func openPostgres(t testing.TB) *pgstore.Store {
	t.Helper()
	store, err := pgstore.Open(t.Context(), pgtest.Start(t).Database(t), pgstore.Options{Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// TestOverPostgreSQL runs every test of the package again over PostgreSQL, where a refresh
// is one step with the look at its user.
func TestOverPostgreSQL(t *testing.T) {
	if os.Getenv(overPostgres) != "" {
		return // this is the other run
	}
	pgtest.Start(t)
	// A refusal by the throttle asks no database: its time need not be measured twice.
	cmd := exec.Command(os.Args[0], "-test.run=^Test", "-test.skip=TakeTheSameTime$", "-test.v", "-test.timeout=8m")
	cmd.Env = append(os.Environ(), overPostgres+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, failures(out))
	}
	if passed := bytes.Count(out, []byte("\n--- PASS: ")); passed < 80 {
		t.Errorf("only %d tests passed", passed)
	}
}

// failures are the lines of a verbose run that say what failed.
func failures(out []byte) []byte {
	return regexp.MustCompile(`(?m)^(=== .*|\s*--- PASS.*)\n`).ReplaceAll(out, nil)
}
