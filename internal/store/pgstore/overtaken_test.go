package pgstore

import (
	"errors"
	"io/fs"
	"log/slog"
	"testing"

	"signet/internal/store/transfer"
	"signet/users"
)

// TestOvertakenMigration: of two that fill one database one stops, at whatever step it is,
// and neither touches what the other has finished.
func TestOvertakenMigration(t *testing.T) {
	opts, place := Options{Logger: slog.New(slog.DiscardHandler), Replica: "a"}, transfer.Place{Kind: transfer.Users, After: "name-1"}
	page := transfer.Page{Users: []users.User{testUser(1)}}
	for name, do := range map[string]func(*Target) error{
		"Put": func(b *Target) error {
			return b.Put(t.Context(), transfer.Page{Users: []users.User{testUser(2)}}, place)
		},
		"empty":  func(b *Target) error { return b.empty(t.Context()) },
		"Finish": func(b *Target) error { return b.Finish(t.Context()) },
	} {
		for _, finished := range []bool{false, true} {
			url := newDatabase(t)
			var both [2]*Target
			for i := range both {
				target, err := OpenTarget(t.Context(), url, "bolt:source", false, opts)
				must(t, err)
				defer target.Close()
				both[i] = target
			}
			must(t, both[0].Put(t.Context(), page, place))
			if finished {
				must(t, both[0].Finish(t.Context()))
			}
			if err := do(both[1]); !errors.Is(err, errOvertaken) {
				t.Errorf("%s of the other one, finished %v: %v, want %v", name, finished, err, errOvertaken)
			}
			if n, err := both[0].Count(t.Context(), transfer.Users); err != nil || n != 1 {
				t.Errorf("%s of the other one, finished %v: %d accounts, %v, want 1", name, finished, n, err)
			}
			if !finished {
				must(t, both[0].Finish(t.Context()))
			}
			openTest(t, url)
		}
	}
}

// TestTwoMigrationsBegin: of two sources that find a database empty one begins to fill it.
func TestTwoMigrationsBegin(t *testing.T) {
	s := openTest(t, newDatabase(t))
	one, other := &Target{Store: s, from: "bolt:one"}, &Target{Store: s, from: "bolt:other"}
	must(t, one.beginEmpty(t.Context()))
	if err := other.beginEmpty(t.Context()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second begins: %v, want %v", err, fs.ErrExist)
	}
	if _, mark, err := s.filling(t.Context()); err != nil || mark.From != "bolt:one" {
		t.Errorf("it is filled from %v, %v, want bolt:one", mark, err)
	}
}
