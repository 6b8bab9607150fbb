package configs

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withPasswords are stores whose password is hunter2, and what may be shown of each.
var withPasswords = map[string]string{
	"postgres://signet:hunter2@db.example.com/signet":                   "postgres://signet@db.example.com/signet",
	"postgresql://signet:hunter2@db:5433/signet?sslmode=verify-full":    "postgresql://signet@db:5433/signet?sslmode=verify-full",
	"postgres:///signet?host=/run/pg&password=hunter2":                  "postgres:///signet?host=%2Frun%2Fpg",
	"postgres://signet@db/signet?sslpassword=hunter2&sslmode=require":   "postgres://signet@db/signet?sslmode=require",
	"postgres://signet:%68unter2@db/signet?password=hunter2&user=other": "postgres://signet@db/signet?user=other",
	"postgres://signet:hunter2%@db/signet":                              "a URL with a fault in it",
}

func TestPasswordIsNotShown(t *testing.T) {
	for text, want := range withPasswords {
		if !StorePassword(text) {
			t.Errorf("%s: no password was found", text)
		}
		if got := ShownStore(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"bolt", "", "postgres://signet@db/signet?sslmode=require", "postgres:///d?host=/run/pg"} {
		if StorePassword(text) || ShownStore(text) != text {
			t.Errorf("%q is shown as %q, and has no password", text, ShownStore(text))
		}
	}
}

// TestPasswordInAFlag: whoever lists the processes would see it, and nobody sees it in the
// refusal.
func TestPasswordInAFlag(t *testing.T) {
	for text := range withPasswords {
		_, err := Load(Sources{Flags: map[string]string{"store": text}})
		faults := new(Faults)
		if !errors.As(err, &faults) || len(faults.List) != 1 || !strings.HasPrefix(err.Error(), "--store: store: holds a password, and the list of processes shows flags") {
			t.Errorf("%s in a flag: %v", text, err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the refusal repeats the password: %v", err)
		}
	}
	if _, err := Load(Sources{Flags: map[string]string{"store": "postgres://signet@db/signet"}}); err != nil {
		t.Errorf("a URL without a password in a flag: %v", err)
	}
}

// TestChangedPasswordIsNotShown: a reload logs what differs.
func TestChangedPasswordIsNotShown(t *testing.T) {
	a, b := Default(), Default()
	a.Store, b.Store = "postgres://signet:hunter2@db/signet", "postgres://signet:hunter3@db/signet"
	_, fixed := a.Diff(b)
	want := []Change{{"store", "postgres://signet@db/signet", "postgres://signet@db/signet (with another password)"}}
	if diff := cmp.Diff(want, fixed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFaultsOfTheDatabaseURL: each is one sentence that says what to write, and repeats no
// value.
func TestFaultsOfTheDatabaseURL(t *testing.T) {
	t.Setenv("PGDATABASE", "")
	t.Setenv("PGSERVICE", "")
	const noDatabase = "names no database; write postgres://signet@db.example.com/signet?sslmode=verify-full"
	for text, want := range map[string]string{
		"postgres://":          noDatabase,
		"postgres:///":         noDatabase,
		"postgres://signet@db": noDatabase,
		"postgres:///x?host=/run/pg&sslmode=hunter2":             "has a wrong sslmode; write one of disable, allow, prefer, require, verify-ca, verify-full",
		"postgres://db/x?sslmode=":                               "has a wrong sslmode; write one of disable, allow, prefer, require, verify-ca, verify-full",
		"postgres://db/x?pool_max_conns=hunter2":                 "has a wrong pool_max_conns; write a number of connections from 1 to 10000",
		"postgres://db/x?pool_max_conns=0":                       "has a wrong pool_max_conns; write a number of connections from 1 to 10000",
		"postgres://db/x?pool_min_conns=-1":                      "has a wrong pool_min_conns; write a number of connections from 0 to 10000",
		"postgres://db/x?connect_timeout=hunter2":                "has a wrong connect_timeout; write a number of seconds from 0 to 3600",
		"postgres://db/x?connect_timeout=-1":                     "has a wrong connect_timeout; write a number of seconds from 0 to 3600",
		"postgres://db/x?statement_timeout=hunter2":              "has a wrong statement_timeout; write a time such as 5s",
		"postgres://db/x?lock_timeout=":                          "has a wrong lock_timeout; write a time such as 3s",
		"postgres://db/x?idle_in_transaction_session_timeout=5y": "has a wrong idle_in_transaction_session_timeout; write a time such as 10s",
	} {
		_, err := Load(Sources{Flags: map[string]string{"store": text}})
		if err == nil || err.Error() != "--store: store: "+want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{"postgres:///signet", "postgres://?host=/run/pg&dbname=signet", "postgres://db/x?statement_timeout=5000&lock_timeout=1.5min&connect_timeout=0&pool_max_conns=1&sslmode=verify-ca"} {
		if err := CheckStore(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	t.Setenv("PGDATABASE", "signet")
	if err := CheckStore("postgres://db.example.com"); err != nil {
		t.Errorf("with PGDATABASE: %v", err)
	}
}

func TestLibpqStore(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://signet@/signet?host=/run/pg":                                                      "postgres://signet@/signet?host=/run/pg",
		"postgres://signet:hunter2@db/signet?sslmode=require&pool_max_conns=8&statement_timeout=5000": "postgres://signet@db/signet?sslmode=require",
		"postgres://signet@db/signet?default_query_exec_mode=exec":                                    "postgres://signet@db/signet",
	} {
		if got := LibpqStore(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
