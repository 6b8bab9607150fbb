package pgstore

import (
	"errors"
	"net/url"
	"path"
	"strings"
	"testing"

	"signet/internal/pgtest"
)

// TestStandbyIsPassedOver: of several hosts the one that takes writes is used, for reads
// too, and one alone that takes none is refused.
func TestStandbyIsPassedOver(t *testing.T) {
	primary := newDatabase(t)
	u, err := url.Parse(primary)
	must(t, err)
	name := path.Base(u.Path)
	standby := pgtest.New(t, pgtest.Options{})
	standby.Exec(t, standby.URL("postgres"), "CREATE DATABASE "+name)
	standby.Exec(t, standby.URL(name), "ALTER DATABASE "+name+" SET default_transaction_read_only = on")

	both := primary[:strings.Index(primary, "?")] + "?host=" + url.QueryEscape(standby.Dir()+","+u.Query().Get("host"))
	s := openTest(t, both)
	must(t, s.CreateUser(t.Context(), testUser(1)))
	if _, err := openTest(t, primary).UserByID(t.Context(), testUser(1).ID); err != nil {
		t.Errorf("an account made by way of both hosts is not in the primary: %v", err)
	}
	alone := standby.URL(name)
	if _, err := Open(t.Context(), alone, Options{Logger: quiet}); !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), "read only connection") {
		t.Errorf("a standby alone: %v, want %v for a read only connection", err, ErrStorage)
	}
	if _, err := Examine(t.Context(), alone); !errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), "read only connection") {
		t.Errorf("a look at a standby: %v, want %v for a read only connection", err, ErrStorage)
	}
}
