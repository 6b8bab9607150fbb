package pgstore

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"signet/internal/pgtest"
	"signet/internal/store/storetest"
	"signet/issuer"
)

// partitioning is the SQL of docs/scaling.md.
func partitioning(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/scaling.md")
	must(t, err)
	_, sql, found := strings.Cut(string(text), "\n```sql\n")
	sql, _, ended := strings.Cut(sql, "\n```\n")
	if !found || !ended || strings.Contains(sql, "```") {
		t.Fatal("docs/scaling.md has no SQL")
	}
	return sql
}

// partitioned is a database of which the sessions are partitioned as the document has it.
func partitioned(t *testing.T) string {
	t.Helper()
	url := newDatabase(t)
	must(t, openTest(t, url).Close())
	pgtest.Start(t).Exec(t, url, partitioning(t))
	return url
}

func TestContractOverPartitions(t *testing.T) {
	pgtest.Start(t) // or one skip for them all
	storetest.Run(t, func(t *testing.T) storetest.Store { return openTest(t, partitioned(t)) })
}

// TestPartitionsByDay: sessions that were there stay where they are, a new one lies in the
// partition of its day, and what is asked by its ID looks into no other.
func TestPartitionsByDay(t *testing.T) {
	url := newDatabase(t)
	s := openTest(t, url)
	must(t, s.CreateSession(t.Context(), loaded(1)))
	pgtest.Start(t).Exec(t, url, partitioning(t))
	day := time.Now().UTC().AddDate(0, 0, 3)
	born := loaded(2)
	born.ID = fmt.Sprintf("%012x%020x", day.UnixMilli(), 2)
	must(t, s.CreateSession(t.Context(), born))
	for id, want := range map[string]string{loaded(1).ID: "signet_sessions_before", born.ID: "signet_sessions_" + day.Format("20060102")} {
		_, outcome, err := s.AdvanceSession(t.Context(), id, issuer.Step{Presented: sessionOf(t, s, id).Current, Next: testSession(9).ID, KID: born.KID,
			Now: testNow, Expires: testNow.Add(time.Minute)})
		if err != nil || outcome != issuer.Advanced {
			t.Errorf("a refresh of the session in %s: outcome %d, %v", want, outcome, err)
		}
		if got := placeOf(t, s, id); got != want {
			t.Errorf("a session is in %s, want %s", got, want)
		}
	}
	if plan := planOf(t, s, born.ID); strings.Count(plan, "signet_sessions_") == 0 || strings.Contains(plan, "signet_sessions_before") {
		t.Errorf("to find one session it looks further than its partition:\n%s", plan)
	}
}

func sessionOf(t *testing.T, s *Store, id string) issuer.Session {
	t.Helper()
	session, err := s.Session(t.Context(), id)
	must(t, err)
	return session
}

func placeOf(t *testing.T, s *Store, id string) (table string) {
	t.Helper()
	must(t, s.pool.QueryRow(t.Context(), `SELECT tableoid::regclass::text FROM signet_sessions WHERE id = $1`, packed(id)).Scan(&table))
	return table
}

// planOf is the plan of a refresh.
func planOf(t *testing.T, s *Store, id string) string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `EXPLAIN `+advanceSession, pgx.QueryExecModeExec,
		packed(id), packed(id), packed(id), []byte{}, testNow.UnixMilli(), testNow.UnixMilli(), int64(0))
	must(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return strings.Join(lines, "\n")
}
