package pgstore

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"signet/internal/store/transfer"
	"signet/users"
)

// TestLongTransactions: a migration of the tables, a page that is put and the emptying of
// what was filled may take longer than a request.
func TestLongTransactions(t *testing.T) {
	const most = 50 * time.Millisecond
	url := newDatabase(t)
	target, err := OpenTarget(t.Context(), url, "bolt:source", false, Options{Logger: quiet})
	must(t, err)
	defer target.Close()
	target.callLimit = most
	exec(t, url, `UPDATE signet_schema SET version = 1`)
	for _, c := range []struct {
		what, lock string
		do         func() error
	}{
		{"a migration", "signet_schema", func() error { return target.migrateTo(t.Context(), schemaVersion) }},
		{"Put", "signet_users", func() error {
			return target.Put(t.Context(), transfer.Page{Users: []users.User{testUser(1)}}, transfer.Place{})
		}},
		{"empty", "signet_users", func() error { return target.empty(t.Context()) }},
	} {
		free := lockedTable(t, url, c.lock)
		result := make(chan error, 1)
		go func() { result <- c.do() }()
		waitingFor(t, url, 3*most)
		free()
		if err := <-result; err != nil {
			t.Errorf("%s that took longer than %s: %v", c.what, most, err)
		}
	}
}

// lockedTable lets nobody use a table until free is called.
func lockedTable(t *testing.T, url, table string) (free func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE `+table)
	must(t, err)
	return func() {
		must(t, tx.Commit(t.Context()))
		must(t, conn.Close(t.Context()))
	}
}

// waitingFor blocks until something has waited for a lock for so long, or nothing does any
// more that did.
func waitingFor(t *testing.T, url string, long time.Duration) {
	t.Helper()
	waiting(t, url, 1)
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	within(t, "statement that has waited for a lock for long, or none", func() bool {
		var waits, enough bool
		must(t, conn.QueryRow(t.Context(), `SELECT count(*) > 0, coalesce(bool_or(clock_timestamp() - query_start > $1::bigint * interval '1 microsecond'), false)
			FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`, long.Microseconds()).Scan(&waits, &enough))
		return !waits || enough
	})
}
