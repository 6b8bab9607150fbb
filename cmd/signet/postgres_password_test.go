package main

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"signet/internal/pgtest"
)

// TestPasswordOfTheDatabase: it is taken from the environment, from PGPASSFILE and from the
// file, and nothing that a server or a command writes has it, neither where it is wrong.
func TestPasswordOfTheDatabase(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	cluster := pgtest.New(t, pgtest.Options{HBA: "local all signet trust\nlocal all all scram-sha-256\n"})
	text := cluster.Database(t)
	c, err := pgx.Connect(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	for _, sql := range []string{"CREATE ROLE app LOGIN PASSWORD '" + password + "'", "GRANT ALL ON SCHEMA public TO app"} {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	bare := asUser(t, text, url.User("app"))
	full := asUser(t, text, url.UserPassword("app", password))
	passfile := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(passfile, []byte("*:*:*:app:"+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &replica{dir: filepath.Join(t.TempDir(), "data"), name: "one", url: full}
	addr := mustAddress(t)
	r.start(t, addr, "http://"+addr)
	r.terminate(t)
	if strings.Contains(r.stderr.String(), password) {
		t.Errorf("the log has the password:\n%s", r.stderr)
	}
	for name, tt := range map[string]struct {
		env  []string
		fail string
	}{
		"in the URL":            {[]string{"SIGNET_STORE=" + full}, ""},
		"PGPASSWORD":            {[]string{"SIGNET_STORE=" + bare, "PGPASSWORD=" + password}, ""},
		"PGPASSFILE":            {[]string{"SIGNET_STORE=" + bare, "PGPASSFILE=" + passfile}, ""},
		"none":                  {[]string{"SIGNET_STORE=" + bare, "PGPASSFILE=/dev/null"}, "password authentication failed"},
		"wrong":                 {[]string{"SIGNET_STORE=" + asUser(t, text, url.UserPassword("app", password+"x"))}, "password authentication failed"},
		"in a URL with a fault": {[]string{"SIGNET_STORE=" + full + "&sslmode=" + password + "%zz"}, "SIGNET_STORE: store: "},
		"an unknown setting":    {[]string{"SIGNET_STORE=" + full + "&port=first"}, "invalid port"},
	} {
		commands := [][]string{{"keys", "list"}, {"doctor"}, {"migrate", "--from", "config", "--to", "bolt:" + filepath.Join(t.TempDir(), "x")}, {"migrate", "--reopen", "config"}}
		if tt.fail != "" { // a server that starts goes on
			commands = append(commands, []string{"serve", "--listen", "127.0.0.1:0"})
		}
		for _, args := range commands {
			cmd := exec.CommandContext(t.Context(), binary, args...)
			cmd.Env = append(r.environment(), tt.env...)
			out, err := cmd.CombinedOutput()
			if strings.Contains(string(out), password) {
				t.Errorf("%s: signet %s shows the password:\n%s", name, args[0], out)
			}
			switch {
			case tt.fail == "" && err != nil && args[0] != "doctor": // which finds no server
				t.Errorf("%s: signet %s: %v\n%s", name, args[0], err, out)
			case tt.fail != "" && (err == nil || !strings.Contains(string(out), tt.fail)):
				t.Errorf("%s: signet %s does not say %q: %v\n%s", name, args[0], tt.fail, err, out)
			}
		}
	}
}

func asUser(t *testing.T, text string, who *url.Userinfo) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	u.User = who
	return u.String()
}

// TestPasswordInAnOpenFile: a configuration file that holds the password and that others
// may read is warned of, not one without it.
func TestPasswordInAnOpenFile(t *testing.T) {
	t.Parallel()
	const with, without = "postgres://app:hunter2@127.0.0.1:1/db", "postgres://app@127.0.0.1:1/db"
	for _, c := range []struct {
		store  string
		mode   os.FileMode
		env    []string
		warned bool
	}{
		{with, 0o644, nil, true},
		{with, 0o660, nil, true},
		{with, 0o640, nil, false},
		{with, 0o600, nil, false},
		{without, 0o644, nil, false},
		{without, 0o644, []string{"SIGNET_STORE=" + with}, false},
	} {
		path := filepath.Join(t.TempDir(), "signet.yaml")
		if err := os.WriteFile(path, []byte("store: "+c.store+"\ndata: "+filepath.Join(t.TempDir(), "data")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"serve", "--check"}, {"doctor"}} {
			cmd := exec.CommandContext(t.Context(), binary, append(args, "--config", path)...)
			cmd.Env = testEnv(c.env...)
			out, _ := cmd.CombinedOutput() // doctor finds no server
			if strings.Contains(string(out), "holds the password of the database, and others may read") != c.warned {
				t.Errorf("%s, %s with mode %o: want a warning: %v\n%s", args[0], c.store, c.mode, c.warned, out)
			}
		}
	}
}
