package pgstore

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"signet/internal/store/transfer"
)

// TestServerThatWasCutOff: a server that had no connection while its database was copied and
// closed, so that the migration could not see it, writes nothing there when it is back.
func TestServerThatWasCutOff(t *testing.T) {
	eachMode(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.acquireLimit = 2 * time.Second
		must(t, s.CreateSession(t.Context(), testSession(1)))
		quiet := slog.New(slog.DiscardHandler)
		migration, err := Open(t.Context(), url, Options{Logger: quiet, Application: "signet-migrate", Moved: true})
		must(t, err)
		defer migration.Close()
		s.pool.Reset()
		s.own.Reset()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			others, err := migration.Others(t.Context())
			must(t, err)
			if len(others) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("connections from %q are left", others)
			}
		}
		must(t, migration.Leave(t.Context(), transfer.Moved{To: "bolt:/elsewhere", At: time.Now().UTC()}))

		wantMoved := func(what string, err error) {
			t.Helper()
			if moved, ok := errors.AsType[*transfer.MovedError](err); !ok || moved.To != "bolt:/elsewhere" || !errors.Is(err, ErrStorage) {
				t.Errorf("%s: %v, want a MovedError", what, err)
			}
		}
		wantMoved("a session", s.CreateSession(t.Context(), testSession(2)))
		wantMoved("readiness", s.CheckWritable(t.Context()))
		_, err = Open(t.Context(), url, Options{Logger: quiet})
		if moved, ok := errors.AsType[*transfer.MovedError](err); !ok || Away(err) {
			t.Errorf("a start: %v (%v), want a MovedError", err, moved)
		}
		must(t, migration.Return(t.Context()))
		must(t, s.CreateSession(t.Context(), testSession(2)))
	})
}
