//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// needsNamespace skips a test of a full disk where no file system of its own can
// be mounted; in CI that is a failure.
func needsNamespace(t *testing.T) []string {
	t.Helper()
	unshare := []string{"unshare", "--mount"}
	if os.Geteuid() != 0 {
		unshare = []string{"unshare", "--map-root-user", "--mount"}
	}
	probe := exec.Command(unshare[0], append(unshare[1:], "mount", "-t", "tmpfs", "tmpfs", t.TempDir())...)
	if out, err := probe.CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no file system can be mounted here: %v: %s", err, out)
		}
		t.Skipf("SKIPPED: a full disk is not tested, no file system can be mounted here: %v: %s", err, out)
	}
	return unshare
}

// smallDisk is a server with a file system of its own, which a test fills.
type smallDisk struct {
	*process
	t    *testing.T
	dir  string
	pipe *os.File
	disk string // the file system, seen from here
}

// data is the data directory where that is on the disk.
func (d *smallDisk) data() string { return filepath.Join(d.disk, "data") }

// steps are what the shell around the server does next, one for each line that it reads.
const steps = `
mount -t tmpfs -o size=$SIZE,mode=700 tmpfs "$DIR/disk"
"$BINARY" serve & server=$!
exec 3<"$DIR/steps"
read step <&3; cat /dev/zero >"$DIR/disk/filler" 2>/dev/null; touch "$DIR/filled"
read step <&3; rm "$DIR/disk/filler"; touch "$DIR/freed"
wait $server`

// serveOnSmallDisk serves with what of the settings has %DISK in it on the disk.
func serveOnSmallDisk(t *testing.T, size string, settings ...string) *smallDisk {
	t.Helper()
	unshare := needsNamespace(t)
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	d := &smallDisk{t: t, dir: t.TempDir()}
	fifo := filepath.Join(d.dir, "steps")
	if err := errors.Join(os.Mkdir(filepath.Join(d.dir, "disk"), 0o700), syscall.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	if d.pipe, err = os.OpenFile(fifo, os.O_RDWR, 0); err != nil { // waits for no reader
		t.Fatal(err)
	}
	t.Cleanup(func() { d.pipe.Close() })
	cmd := exec.Command(unshare[0], append(unshare[1:], "sh", "-c", steps)...)
	for i := range settings {
		settings[i] = strings.ReplaceAll(settings[i], "%DISK", filepath.Join(d.dir, "disk"))
	}
	cmd.Env = testEnv(append(settings, "SIZE="+size, "DIR="+d.dir, "BINARY="+binary, "SIGNET_LISTEN="+addr, "SIGNET_ISSUER=http://"+addr)...)
	d.process = launch(t, addr, cmd)
	// The disk is out of sight from here: the operator's commands go to the
	// server through the process's own root.
	d.disk = fmt.Sprintf("/proc/%d/root%s/disk", serverPID(t, cmd.Process.Pid), d.dir)
	return d
}

// step lets the shell do its next step, and waits until it has.
func (d *smallDisk) step(done string) {
	d.t.Helper()
	fmt.Fprintln(d.pipe, "next")
	if err := waitFor(30*time.Second, func() error {
		_, err := os.Stat(filepath.Join(d.dir, done))
		return err
	}); err != nil {
		d.t.Fatalf("%v\n%s", err, d.stderr)
	}
}

// serverPID finds the signet process below a shell.
func serverPID(t *testing.T, shell int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", shell, shell))
	if err != nil {
		t.Fatal(err)
	}
	for field := range strings.FieldsSeq(string(text)) {
		var pid int
		fmt.Sscan(field, &pid)
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.TrimSpace(string(name)) == "signet" {
			return pid
		}
	}
	t.Fatalf("no signet below the shell: %q", text)
	return 0
}

// TestFullDiskWhileServing fills the file system under a running server. Logins and
// refreshes are refused with 503 and Retry-After, the operator's commands with a sentence
// that says which disk is full; /readyz says 503, while /healthz, the key set and verify
// go on. The log names the file and the cause. Once there is room all goes on without a
// restart, and the refresh tokens that were refused are good.
func TestFullDiskWhileServing(t *testing.T) {
	d := serveOnSmallDisk(t, "4m", "SIGNET_DATA=%DISK/data", "SIGNET_AUDIT_FILE="+filepath.Join(t.TempDir(), "audit.log"),
		"SIGNET_REFRESH_REUSE_WINDOW=0s", "SIGNET_PASSWORDS_QUEUE=1000")
	mustSignet(t, doorPassword, "users", "add", "kyoko", "--password-stdin", "--data", d.data())
	chains, access := d.manySessions(300)
	d.step("filled")

	d.expect(http.MethodGet, "/readyz", http.StatusServiceUnavailable)
	d.expectRefused("a login", d.untilRefused(func(ctx context.Context) error {
		_, err := login(ctx, client, d.base, "kyoko", doorPassword)
		return err
	}))
	refused := d.refreshUntilRefused(chains)
	d.commandIsRefused()
	d.expect(http.MethodGet, "/healthz", http.StatusOK)
	d.expect(http.MethodGet, "/.well-known/jwks.json", http.StatusOK)
	if _, err := postJSON(t.Context(), client, d.base+"/api/token/verify/", url.Values{"token": {access}}); err != nil {
		t.Errorf("verifying needs no room on the disk: %v", err)
	}
	d.waitLog(t, filepath.Join(d.dir, "disk/data/signet.db")+": no space left on device")

	d.step("freed")
	if err := waitFor(10*time.Second, func() error { return isReady(strings.TrimPrefix(d.base, "http://")) }); err != nil {
		t.Fatalf("not ready once there is room again: %v\n%s", err, d.stderr)
	}
	if _, err := login(t.Context(), client, d.base, "kyoko", doorPassword); err != nil {
		t.Errorf("no login once there is room again: %v", err)
	}
	for i := range chains {
		if _, err := refresh(t.Context(), client, d.base, chains[i]); err != nil {
			t.Errorf("a session from before was lost (refused while full: %v): %v", refused[i], err)
		}
	}
}

// manySessions returns the refresh tokens of n sessions, and an access token.
func (d *smallDisk) manySessions(n int) (refresh []string, access string) {
	d.t.Helper()
	refresh = make([]string, n)
	var logins errgroup.Group
	logins.SetLimit(4) // more at once from one address wait: throttle.pair
	for i := range refresh {
		logins.Go(func() error {
			tokens, err := login(d.t.Context(), client, d.base, "kyoko", doorPassword)
			refresh[i] = tokens["refresh"]
			if i == 0 {
				access = tokens["access"]
			}
			return err
		})
	}
	if err := logins.Wait(); err != nil {
		d.t.Fatal(err)
	}
	return refresh, access
}

func (d *smallDisk) expect(method, path string, status int) {
	d.t.Helper()
	if err := waitFor(5*time.Second, func() error {
		req, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != status {
			return fmt.Errorf("%s: %s, %v", path, resp.Status, err)
		}
		return nil
	}); err != nil {
		d.t.Errorf("want %d: %v", status, err)
	}
}

func (d *smallDisk) expectRefused(what string, err error) {
	d.t.Helper()
	refused, ok := errors.AsType[*statusError](err)
	if !ok || refused.status != http.StatusServiceUnavailable || refused.retryAfter == "" {
		d.t.Errorf("%s on a full disk is answered with %+v", what, err)
	}
}

// untilRefused repeats what takes room until there is none.
func (d *smallDisk) untilRefused(do func(context.Context) error) error {
	d.t.Helper()
	for range 5000 {
		if err := do(d.t.Context()); err != nil {
			return err
		}
	}
	d.t.Fatal("the full disk took everything")
	return nil
}

// refreshUntilRefused refreshes all chains at once, for the commit to take more pages
// than are free, until some are refused. It leaves the last good token of each in chains.
func (d *smallDisk) refreshUntilRefused(chains []string) (refused map[int]bool) {
	d.t.Helper()
	refused = map[int]bool{}
	var mu sync.Mutex
	for round := 0; len(refused) == 0; round++ {
		if round == 100 {
			d.t.Fatal("the full disk took every refresh")
		}
		var all sync.WaitGroup
		for i := range chains {
			all.Go(func() {
				tokens, err := refresh(d.t.Context(), client, d.base, chains[i])
				if err == nil {
					chains[i] = tokens["refresh"]
					return
				}
				d.expectRefused("a refresh", err)
				mu.Lock()
				defer mu.Unlock()
				refused[i] = true
			})
		}
		all.Wait()
	}
	d.t.Logf("%d of %d refreshes were refused", len(refused), len(chains))
	return refused
}

// commandIsRefused adds accounts until one finds no room.
func (d *smallDisk) commandIsRefused() {
	d.t.Helper()
	var stderr string
	err := d.untilRefused(func(context.Context) (err error) {
		_, stderr, err = signet(d.t, doorPassword, "users", "add", fmt.Sprint("user", time.Now().UnixNano()), "--password-stdin", "--data", d.data())
		return err
	})
	want := ": the database failed: cannot write to " + filepath.Join(d.dir, "disk/data/signet.db") + ": "
	exit, _ := errors.AsType[*exec.ExitError](err)
	if exit == nil || exit.ExitCode() != exitFailed || !strings.HasPrefix(stderr, "signet: users add: ") || !strings.Contains(stderr, want) ||
		!strings.Contains(stderr, "no space left on device\n  try: df -h") {
		d.t.Errorf("a command on a full disk: %v: %q, want %q", err, stderr, want)
	}
}
