package pgstore

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"signet/internal/pgtest"
	"signet/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return openTest(t, newDatabase(t)) })
}

func TestContractThroughFaulty(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store {
		return storetest.NewFaulty(openTest(t, newDatabase(t)))
	})
}

// TestContractWhereAllIsSerializable: as CockroachDB has it, where a conflict is an error
// instead of a wait.
func TestContractWhereAllIsSerializable(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store {
		return openTest(t, newDatabase(t)+"&default_transaction_isolation=serializable")
	})
}

// TestContractWithoutPreparedStatements: as a pooler without them needs it.
func TestContractWithoutPreparedStatements(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store {
		return openTest(t, newDatabase(t)+"&default_query_exec_mode=exec")
	})
}

func newDatabase(t testing.TB) string {
	t.Helper()
	return pgtest.Start(t).Database(t)
}

// openTest opens a store that is closed when the test ends.
func openTest(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(context.Background(), url, Options{Logger: slog.New(slog.DiscardHandler), Replica: "a"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return s
}
