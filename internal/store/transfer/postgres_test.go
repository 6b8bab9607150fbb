package transfer_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"signet/internal/pgtest"
	"signet/internal/store/boltstore"
	"signet/internal/store/pgstore"
	"signet/internal/store/transfer"
)

var postgresOptions = pgstore.Options{Logger: slog.New(slog.DiscardHandler), Replica: "a"}

func openPostgres(t *testing.T, url string, anew bool) *pgstore.Target {
	t.Helper()
	target, err := pgstore.OpenTarget(t.Context(), url, "bolt:source", anew, postgresOptions)
	must(t, err)
	return target
}

// TestThroughPostgres interrupts a copy into PostgreSQL at each of its steps. What then
// comes back from there is what it was.
func TestThroughPostgres(t *testing.T) {
	cluster := pgtest.Start(t)
	defer transfer.SmallPages()()
	from := filled(t)
	for steps := 0; ; steps++ {
		url := cluster.Database(t)
		target := openPostgres(t, url, false)
		there, err := transfer.Copy(t.Context(), from, &interrupted{target, steps, steps%2 == 0}, silent)
		must(t, target.Close())
		done := err == nil
		if !done {
			if !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			var filling *transfer.FillingError
			if _, err := pgstore.Open(t.Context(), url, postgresOptions); !errors.As(err, &filling) || filling.From != "bolt:source" {
				t.Fatalf("a database that is half filled opens: %v", err)
			}
			target := openPostgres(t, url, false)
			there, err = transfer.Copy(t.Context(), from, target, silent)
			must(t, errors.Join(err, target.Close()))
		}
		comesBack(t, url, from, there)
		if done {
			return
		}
	}
}

// comesBack copies a PostgreSQL into a file, and compares that.
func comesBack(t *testing.T, url string, from *boltstore.Store, there []transfer.Counted) {
	t.Helper()
	source, err := pgstore.Open(t.Context(), url, postgresOptions)
	must(t, err)
	defer source.Close()
	path := filepath.Join(t.TempDir(), "signet.db")
	back := openTarget(t, path, false)
	counted, err := transfer.Copy(t.Context(), source, back, silent)
	must(t, errors.Join(err, back.Close()))
	if diff := cmp.Diff(there, counted); diff != "" {
		t.Errorf("there and back (-there +back):\n%s", diff)
	}
	sameAs(t, path, from)
}

func TestPostgresThatIsRefused(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	store, err := pgstore.Open(t.Context(), url, postgresOptions)
	must(t, err)
	must(t, store.CheckWritable(t.Context())) // as the first server does
	must(t, store.Close())
	for _, anew := range []bool{false, true} {
		if _, err := pgstore.OpenTarget(t.Context(), url, "bolt:source", anew, postgresOptions); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a database in use, anew %v: %v", anew, err)
		}
	}
}

// TestPostgresAnew: what an interrupted copy left goes, and another source may fill it.
func TestPostgresAnew(t *testing.T) {
	defer transfer.SmallPages()()
	from, url := filled(t), pgtest.Start(t).Database(t)
	target := openPostgres(t, url, false)
	if _, err := transfer.Copy(t.Context(), from, &interrupted{target, 9, true}, silent); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	must(t, target.Close())
	if _, err := pgstore.OpenTarget(t.Context(), url, "bolt:other", false, postgresOptions); !errors.As(err, new(*transfer.FillingError)) {
		t.Errorf("it is filled from elsewhere: %v", err)
	}
	other, err := pgstore.OpenTarget(t.Context(), url, "bolt:other", true, postgresOptions)
	must(t, err)
	there, err := transfer.Copy(t.Context(), from, other, silent)
	must(t, errors.Join(err, other.Close()))
	comesBack(t, url, from, there)
}
