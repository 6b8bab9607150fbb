package main

import (
	"bytes"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signet/configs"
	"signet/internal/pgtest"
	"signet/internal/store/pgstore"
)

const (
	logAway = "the database is not there; the start waits for it"
	logBack = "the database answers"
)

// serveWithout starts a server whose database is away, and returns once it waits.
func serveWithout(t *testing.T, r *replica, addr string, env ...string) *process {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--listen", addr, "--issuer", "http://"+addr)
	cmd.Env = r.environment(env...)
	p := launchAt(t, "http://"+addr, cmd, func() error { return nil })
	p.waitLog(t, logAway)
	return p
}

// TestStartWaitsForTheDatabase: a server that starts before its database serves when that
// is there, and the service manager does not give it up meanwhile.
func TestStartWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t, pgtest.Options{})
	r := &replica{dir: filepath.Join(t.TempDir(), "data"), name: "one", url: cluster.Database(t)}
	cluster.Stop(t)
	m, addr := newManager(t), mustAddress(t)
	p := serveWithout(t, r, addr, "NOTIFY_SOCKET="+m.path)
	m.told(`STATUS=waits for the database postgres://.*\nEXTEND_TIMEOUT_USEC=30000000`)
	m.told(`EXTEND_TIMEOUT_USEC=30000000`)
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("it listens while it cannot answer")
	}
	cluster.Resume(t)
	for {
		if message := m.next(); strings.HasPrefix(message, "READY=1\n") {
			break
		} else if message != "EXTEND_TIMEOUT_USEC=30000000" {
			t.Errorf("told %q", message)
		}
	}
	if err := isReady(addr); err != nil {
		t.Error(err)
	}
	log := p.waitLog(t, logBack)
	if strings.Count(log, logAway) != 1 || strings.Count(log, logBack) != 1 {
		t.Errorf("a wait of seconds is not told once:\n%s", log)
	}
}

// TestWaitingStartStops: a signal ends it at once, also within a try that gets no answer.
func TestWaitingStartStops(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, url := range map[string]string{
		"refused": "postgres://u@" + mustAddress(t) + "/d", "silent": "postgres://u@" + silent.Addr().String() + "/d?connect_timeout=1&sslmode=disable",
	} {
		r := &replica{dir: filepath.Join(t.TempDir(), "data"), name: "one", url: url}
		p := serveWithout(t, r, mustAddress(t))
		began := time.Now()
		p.terminate(t)
		if took := time.Since(began); p.err != nil || took > 3*time.Second || strings.Contains(p.stderr.String(), logBack) {
			t.Errorf("%s: it ended with %v after %v\n%s", name, p.err, took, p.stderr)
		}
	}
}

// TestOnlyAServerWaits: a command ends at once, and so does a server whose database is
// there and refuses it.
func TestOnlyAServerWaits(t *testing.T) {
	t.Parallel()
	r := &replica{dir: filepath.Join(t.TempDir(), "data"), name: "one", url: "postgres://u@" + mustAddress(t) + "/d"}
	for args, want := range map[string]string{
		"users list": "connection refused", "migrate --from config --to bolt:" + filepath.Join(t.TempDir(), "new"): "connection refused",
	} {
		_, errs, err := r.signet(t, "", strings.Fields(args)...)
		if err == nil || !strings.Contains(errs, want) || strings.Contains(errs, logAway) {
			t.Errorf("%s: %v\n%s", args, err, errs)
		}
	}
	r.url = strings.Replace(pgtest.Start(t).Database(t), "/test", "/nothing", 1)
	_, errs, err := r.signet(t, "", "serve", "--listen", "127.0.0.1:0")
	if err == nil || !strings.Contains(errs, `does not exist (SQLSTATE 3D000)`) || !strings.Contains(errs, "\n  try: psql ") || strings.Contains(errs, logAway) {
		t.Errorf("a database that does not exist: %v\n%s", err, errs)
	}
}

// TestWaitEnds: after a minute the start fails with what is wrong, and has told the log
// once in a while.
func TestWaitEnds(t *testing.T) {
	cfg := configs.Default()
	cfg.Store = "postgres://u@" + mustAddress(t) + "/d"
	away := pgstore.Reach(t.Context(), cfg.Store)
	if !pgstore.Away(away) {
		t.Fatal(away)
	}
	var told bytes.Buffer
	d := &databaseAwaited{cfg: cfg, log: slog.New(slog.NewTextHandler(&told, nil)), began: time.Now().Add(time.Second - databaseWait)}
	err := d.until(t.Context(), away)
	if !pgstore.Away(err) || !strings.HasPrefix(hintOf(err), "psql ") {
		t.Errorf("%v, hint %q", err, hintOf(err))
	}
	d.say(away)
	d.said = time.Now().Add(-sayWaiting)
	d.say(away)
	if n := strings.Count(told.String(), logAway); n != 2 {
		t.Errorf("told %d times, want 2:\n%s", n, told.String())
	}
}
