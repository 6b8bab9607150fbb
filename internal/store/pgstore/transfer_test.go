package pgstore

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"signet/internal/pgtest"
)

// TestMigrationKnowsEveryTable: whoever adds a table decides whether a migration copies it.
func TestMigrationKnowsEveryTable(t *testing.T) {
	notCopied := []string{
		"signet_schema",   // of the database itself
		"signet_throttle", // what failed in the last minutes
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
