package pgstore

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"signet/internal/pgtest"
	"signet/internal/store/transfer"
	"signet/issuer"
)

// TestMigrationKnowsEveryTable: whoever adds a table decides whether a migration copies it.
func TestMigrationKnowsEveryTable(t *testing.T) {
	notCopied := []string{
		"signet_schema",   // of the database itself
		"signet_throttle", // what failed in the last minutes
		"signet_peers",    // what servers told of themselves in the last day
		"signet_fetches",  // who fetched the key set in the last day
	}
	s := openTest(t, pgtest.Start(t).Database(t))
	var found []string
	err := s.read(t.Context(), func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, `SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'signet\_%' ORDER BY relname`)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(slices.Concat(tables, notCopied)))
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("tables (-known +found):\n%s", diff)
	}
}

// TestCopiedSessionKeepsItsLength: the first refresh of a session that was copied makes its
// row no longer, as that of one that began here.
func TestCopiedSessionKeepsItsLength(t *testing.T) {
	target, err := OpenTarget(t.Context(), newDatabase(t), "a test", false, Options{})
	must(t, err)
	defer target.Close()
	copied, begun := loaded(1), loaded(2)
	must(t, target.Put(t.Context(), transfer.Page{Sessions: []issuer.Session{copied}}, transfer.Place{}))
	must(t, target.CreateSession(t.Context(), begun))
	length := func(id string) (n int) {
		must(t, target.pool.QueryRow(t.Context(), `SELECT pg_column_size(s.*) FROM signet_sessions s WHERE id = $1`, packed(id)).Scan(&n))
		return n
	}
	want := length(begun.ID)
	if got := length(copied.ID); got != want || want == 0 {
		t.Errorf("a copied session has %d bytes, one that began here %d", got, want)
	}
	_, outcome, err := target.AdvanceSession(t.Context(), copied.ID, issuer.Step{Presented: copied.Current, Next: testSession(7).ID,
		KID: copied.KID, Now: testNow, Expires: copied.Expires})
	if err != nil || outcome != issuer.Advanced {
		t.Fatalf("outcome %d, %v", outcome, err)
	}
	if got := length(copied.ID); got != want {
		t.Errorf("after a refresh it has %d bytes, and had %d", got, want)
	}
}
