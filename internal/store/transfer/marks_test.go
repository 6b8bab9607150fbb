package transfer_test

import (
	"errors"
	"log/slog"
	"testing"

	"signet/internal/audit"
	"signet/internal/pgtest"
	"signet/internal/store/pgstore"
	"signet/internal/store/transfer"
)

// TestMarksOfAllReplicas: from one PostgreSQL to another each replica's audit log goes on.
func TestMarksOfAllReplicas(t *testing.T) {
	cluster := pgtest.Start(t)
	open := func(url, replica string) *pgstore.Store {
		t.Helper()
		s, err := pgstore.Open(t.Context(), url, pgstore.Options{Logger: slog.New(slog.DiscardHandler), Replica: replica})
		must(t, err)
		return s
	}
	names, from, to := []string{"a", "b", "host:/data"}, cluster.Database(t), cluster.Database(t)
	mark := func(i int) audit.Mark { return audit.Mark{Head: audit.Head{Seq: uint64(i + 1), Hash: [32]byte{1}}} }
	for i, name := range names {
		s := open(from, name)
		must(t, errors.Join(s.SetAuditMark(t.Context(), mark(i)), s.CheckWritable(t.Context()), s.Close()))
	}
	source, target := open(from, "a"), openPostgres(t, to, false)
	_, err := transfer.Copy(t.Context(), source, target, silent)
	must(t, errors.Join(err, source.Close(), target.Close()))
	for i, name := range names {
		s := open(to, name)
		if got, err := s.AuditMark(t.Context()); err != nil || got != mark(i) {
			t.Errorf("the mark of %s is %v, %v", name, got, err)
		}
		must(t, s.Close())
	}
}
