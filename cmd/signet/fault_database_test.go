//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// harmed is a server whose database file something else has changed.
type harmed struct {
	*process
	t         *testing.T
	dir, addr string
	db        string
	tokens    map[string]string
}

// serveForHarm starts a server with an account, a copy of its file from before the last
// login in signet.db.backup, and that login's tokens.
func serveForHarm(t *testing.T) *harmed {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	h := &harmed{t: t, dir: filepath.Join(t.TempDir(), "data"), addr: addr}
	h.db = filepath.Join(h.dir, "signet.db")
	serveBinary(t, h.dir, addr).kill()
	mustSignet(t, doorPassword, "users", "add", "kyoko", "--password-stdin", "--data", h.dir)
	copyFile(t, h.db, h.db+".backup")
	h.process = serveBinary(t, h.dir, addr)
	if h.tokens, err = login(t.Context(), client, h.base, "kyoko", doorPassword); err != nil {
		t.Fatal(err)
	}
	return h
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	image, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, image, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// answers holds each route to what it shall answer.
func (h *harmed) answers(verify int) {
	h.t.Helper()
	for path, c := range map[string]struct {
		form   url.Values
		status int
	}{
		"api/token/":         {url.Values{"username": {"kyoko"}, "password": {doorPassword}}, http.StatusServiceUnavailable},
		"api/token/refresh/": {url.Values{"refresh": {h.tokens["refresh"]}}, http.StatusServiceUnavailable},
		"api/token/verify/":  {url.Values{"token": {h.tokens["access"]}}, verify},
	} {
		_, err := postJSON(h.t.Context(), client, h.base+"/"+path, c.form)
		refused, _ := errors.AsType[*statusError](err)
		switch {
		case c.status == http.StatusOK && err != nil,
			c.status != http.StatusOK && (refused == nil || refused.status != c.status || refused.retryAfter == ""):
			h.t.Errorf("%s is answered with %v, want %d", path, err, c.status)
		}
	}
	for path, status := range map[string]int{"healthz": 200, ".well-known/jwks.json": 200, "readyz": 503} {
		if err := waitFor(3*time.Second, func() error {
			resp, err := client.Get(h.base + "/" + path)
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode != status {
				return errors.New(resp.Status)
			}
			return nil
		}); err != nil {
			h.t.Errorf("/%s: %v, want %d", path, err, status)
		}
	}
}

// lives holds the process to its log: no dump of a crash, and one error that tells of
// the file.
func (h *harmed) lives(sentence string) {
	h.t.Helper()
	log := h.waitLog(h.t, sentence)
	if strings.Contains(log, "goroutine ") || strings.Contains(log, "SIGBUS") {
		h.t.Errorf("a dump in the log:\n%s", log)
	}
	if n := strings.Count(log, sentence); n != 1 {
		h.t.Errorf("%q is in the log %d times:\n%s", sentence, n, log)
	}
	select {
	case <-h.done:
		h.t.Fatalf("the server ended: %v\n%s", h.err, h.stderr)
	default:
	}
}

// end stops the server and returns its error.
func (h *harmed) end() error {
	h.t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		h.t.Fatal(err)
	}
	select {
	case <-h.done:
	case <-time.After(shutdownGrace + 10*time.Second):
		h.t.Fatalf("the server does not end\n%s", h.stderr)
	}
	return h.err
}

// startIsRefused starts a server anew, which must end with 1 and a sentence.
func (h *harmed) startIsRefused(sentence string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "serve", "--data", h.dir, "--listen", h.addr, "--issuer", "http://"+h.addr)
	cmd.Env = testEnv()
	out, err := cmd.CombinedOutput()
	exit, _ := errors.AsType[*exec.ExitError](err)
	if exit == nil || exit.ExitCode() != exitFailed || !strings.Contains(string(out), "\nsignet: serve: ") ||
		!strings.Contains(string(out), sentence) {
		h.t.Errorf("a start on it: %v: %s, want %q", err, out, sentence)
	}
}

// Sentences of the log.
const (
	logDamaged  = "the database file was damaged while it was open; nothing is read from it or written to it any more"
	logNoFile   = "the database file is not in its place; nothing is written until it is back"
	restoreHint = "restore a backup (signet restore FILE)"
)

// TestDatabaseIsDamagedUnderneath truncates or overwrites the file under the running
// server. The log says so in one sentence within two seconds, with what to do; logins,
// refreshes and verify get 503 and Retry-After, /readyz 503, commands a sentence; the key
// set is served from memory. The process ends with 0 when it is stopped, and a start on a
// file that is not whole is refused.
func TestDatabaseIsDamagedUnderneath(t *testing.T) {
	for name, c := range map[string]struct {
		harm          func(t *testing.T, h *harmed)
		cause, refuse string
	}{
		"to nothing":   {truncate(func(int64) int64 { return 0 }), "truncated from outside: it has 0 bytes", "signet.db is empty: restore a backup"},
		"to a part":    {truncate(func(int64) int64 { return 5*int64(os.Getpagesize()) - 100 }), "truncated from outside", "truncated: it has "},
		"to two pages": {truncate(func(int64) int64 { return 2 * int64(os.Getpagesize()) }), "truncated from outside", "truncated: it has "},
		"overwritten":  {overwriteDatabase, "it was written over from outside", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serveForHarm(t)
			c.harm(t, h)
			h.lives(logDamaged)
			if log := h.stderr.String(); !strings.Contains(log, c.cause) || !strings.Contains(log, restoreHint) {
				t.Errorf("the log names no cause %q or no way out:\n%s", c.cause, log)
			}
			h.answers(http.StatusServiceUnavailable)
			_, stderr, err := signet(t, doorPassword, "users", "add", "mori", "--password-stdin", "--data", h.dir)
			if err == nil || !strings.HasPrefix(stderr, "signet: users add: ") || !strings.Contains(stderr, c.cause) {
				t.Errorf("a command: %v: %s", err, stderr)
			}
			h.lives(logDamaged)
			if err := h.end(); err != nil {
				t.Errorf("the server ended with %v\n%s", err, h.stderr)
			}
			if c.refuse != "" {
				h.startIsRefused(c.refuse)
			}
		})
	}
}

func truncate(size func(now int64) int64) func(t *testing.T, h *harmed) {
	return func(t *testing.T, h *harmed) {
		info, err := os.Stat(h.db)
		if err == nil {
			err = os.Truncate(h.db, size(info.Size()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// overwriteDatabase is cp of a backup over the file.
func overwriteDatabase(t *testing.T, h *harmed) { copyFile(t, h.db+".backup", h.db) }

// TestDatabaseIsMovedUnderneath removes the file under the running server, or puts
// another in its place. Nothing that a restart would not find is acknowledged: writes get
// 503 at once, and within two seconds the log says where what was stored can be copied
// from, and /readyz 503. Reading goes on.
func TestDatabaseIsMovedUnderneath(t *testing.T) {
	for name, c := range map[string]struct {
		harm  func(h *harmed) error
		cause string
		after func(h *harmed, stored string)
	}{
		"removed, and copied from the process": {func(h *harmed) error { return os.Remove(h.db) },
			"the file was removed or renamed", (*harmed).restoreFromProcess},
		"removed, and backed up": {func(h *harmed) error { return os.Remove(h.db) },
			"the file was removed or renamed", (*harmed).restoreFromBackup},
		"replaced by a backup": {func(h *harmed) error { return os.Rename(h.db+".backup", h.db) },
			"another file was put in its place", (*harmed).startsOnTheOther},
		"renamed, and put back": {func(h *harmed) error { return os.Rename(h.db, h.db+".moved") },
			"the file was removed or renamed", (*harmed).goesOnOnceItIsBack},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serveForHarm(t)
			if err := c.harm(h); err != nil {
				t.Fatal(err)
			}
			if _, err := login(t.Context(), client, h.base, "kyoko", doorPassword); err == nil {
				t.Error("a login was acknowledged, and stored nowhere")
			}
			h.lives(logNoFile)
			if !strings.Contains(h.stderr.String(), c.cause) {
				t.Errorf("the log names no cause %q:\n%s", c.cause, h.stderr)
			}
			h.answers(http.StatusOK)
			stored := regexp.MustCompile(`stored_so_far=(\S+)`).FindStringSubmatch(h.stderr.String())
			if stored == nil {
				t.Fatalf("the log does not say where the data is:\n%s", h.stderr)
			}
			c.after(h, stored[1])
		})
	}
}

// restoreFromProcess does what the log says: nothing is lost.
func (h *harmed) restoreFromProcess(stored string) {
	copyFile(h.t, stored, h.db+".saved")
	if err := h.end(); err != nil {
		h.t.Errorf("the server ended with %v\n%s", err, h.stderr)
	}
	h.startIsRefused("signet.db is missing, but the sealing key of a database is there")
	if err := os.Rename(h.db+".saved", h.db); err != nil {
		h.t.Fatal(err)
	}
	h.process = serveBinary(h.t, h.dir, h.addr)
	if _, err := refresh(h.t.Context(), client, h.base, h.tokens["refresh"]); err != nil {
		h.t.Errorf("a session that was acknowledged is lost: %v", err)
	}
}

// restoreFromBackup does what the log says first: nothing is lost.
func (h *harmed) restoreFromBackup(string) {
	if !strings.Contains(h.stderr.String(), "signet backup FILE") {
		h.t.Errorf("the log does not name signet backup:\n%s", h.stderr)
	}
	saved := filepath.Join(h.t.TempDir(), "saved.db")
	mustSignet(h.t, "", "backup", saved, "--data", h.dir)
	if err := h.end(); err != nil {
		h.t.Errorf("the server ended with %v\n%s", err, h.stderr)
	}
	mustSignet(h.t, "", "restore", saved, "--data", h.dir)
	h.process = serveBinary(h.t, h.dir, h.addr)
	if _, err := refresh(h.t.Context(), client, h.base, h.tokens["refresh"]); err != nil {
		h.t.Errorf("a session that was acknowledged is lost: %v", err)
	}
}

// startsOnTheOther restarts on the file that is there now.
func (h *harmed) startsOnTheOther(string) {
	if err := h.end(); err != nil {
		h.t.Errorf("the server ended with %v\n%s", err, h.stderr)
	}
	h.process = serveBinary(h.t, h.dir, h.addr)
	if _, err := login(h.t.Context(), client, h.base, "kyoko", doorPassword); err != nil {
		h.t.Error(err)
	}
}

// goesOnOnceItIsBack puts the file back, without a restart.
func (h *harmed) goesOnOnceItIsBack(string) {
	if err := os.Rename(h.db+".moved", h.db); err != nil {
		h.t.Fatal(err)
	}
	if err := waitFor(5*time.Second, func() error { return isReady(h.addr) }); err != nil {
		h.t.Errorf("not ready: %v", err)
	}
	if _, err := refresh(h.t.Context(), client, h.base, h.tokens["refresh"]); err != nil {
		h.t.Error(err)
	}
	h.waitLog(h.t, "the database file is in its place again")
}

// TestDatabaseIsTruncatedUnderLoad: whatever the requests are doing when the pages go
// away under them, the process says so in a sentence and lives.
func TestDatabaseIsTruncatedUnderLoad(t *testing.T) {
	for round := range 5 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			h := serveForHarm(t)
			var load sync.WaitGroup
			stop := make(chan struct{})
			for range 8 {
				load.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							postJSON(t.Context(), client, h.base+"/api/token/verify/", url.Values{"token": {h.tokens["access"]}})
							refresh(t.Context(), client, h.base, h.tokens["refresh"])
						}
					}
				})
			}
			time.AfterFunc(time.Duration(50+round*20)*time.Millisecond, func() { truncate(func(int64) int64 { return 0 })(t, h) })
			h.waitLog(t, logDamaged)
			close(stop)
			load.Wait()
			h.answers(http.StatusServiceUnavailable)
			h.lives(logDamaged)
			h.end()
		})
	}
}
