package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"signet/configs"
	"signet/internal/control"
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

// TestFullDiskWhileServing fills the file system under a running server: writes
// are refused with 503, reading goes on, nothing that was answered is lost, and
// all is well once there is room again.
func TestFullDiskWhileServing(t *testing.T) {
	unshare := needsNamespace(t)
	dir := t.TempDir()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	script := `
mount -t tmpfs -o size=2m,mode=700 tmpfs "$DIR/disk"
"$BINARY" serve --data "$DIR/disk/data" & server=$!
exec 3<"$DIR/steps"
read step <&3; cat /dev/zero >"$DIR/disk/filler" 2>/dev/null; touch "$DIR/filled"
read step <&3; rm "$DIR/disk/filler"; touch "$DIR/freed"
wait $server`
	if err := os.Mkdir(filepath.Join(dir, "disk"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "steps"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(unshare[0], append(unshare[1:], "sh", "-c", script)...)
	cmd.Env = testEnv("DIR="+dir, "BINARY="+binary, "SIGNET_LISTEN="+addr, "SIGNET_ISSUER=http://"+addr)
	steps := make(chan *os.File, 1)
	go func() {
		f, err := os.OpenFile(filepath.Join(dir, "steps"), os.O_WRONLY, 0)
		if err == nil {
			steps <- f
		}
	}()
	p := launch(t, addr, cmd)
	pipe := <-steps
	defer pipe.Close()
	step := func(done string) {
		t.Helper()
		fmt.Fprintln(pipe, "next")
		if err := waitFor(30*time.Second, func() error {
			_, err := os.Stat(filepath.Join(dir, done))
			return err
		}); err != nil {
			t.Fatalf("%v\n%s", err, p.stderr)
		}
	}

	// The disk is out of sight from here: the operator's commands go to the
	// server through the process's own root.
	data := fmt.Sprintf("/proc/%d/root%s/disk/data", serverPID(t, cmd.Process.Pid), dir)
	mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", data)
	tokens, err := login(t.Context(), client, p.base, "kyoko", "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	step("filled")
	refused := refusedWhenFull(t, p, tokens["refresh"])
	if refused.status != http.StatusServiceUnavailable || refused.retryAfter == "" {
		t.Errorf("a full disk is answered with %d, Retry-After %q: %s", refused.status, refused.retryAfter, refused.body)
	}
	if _, err := postJSON(t.Context(), client, p.base+"/api/token/verify/", map[string][]string{"token": {tokens["access"]}}); err != nil {
		t.Errorf("verifying needs no room on the disk: %v", err)
	}
	step("freed")
	if err := waitFor(10*time.Second, func() error {
		_, err := login(t.Context(), client, p.base, "kyoko", "correct horse battery")
		return err
	}); err != nil {
		t.Fatalf("no login once there is room again: %v\n%s", err, p.stderr)
	}
	if _, err := refresh(t.Context(), client, p.base, tokens["refresh"]); err != nil {
		t.Errorf("the session from before was lost: %v", err)
	}
}

// refusedWhenFull logs in until a session finds no room in the file, and checks
// that the refresh of an older one is then refused too, and not lost.
func refusedWhenFull(t *testing.T, p *process, token string) *statusError {
	t.Helper()
	var refused *statusError
	for range 5000 {
		_, err := login(t.Context(), client, p.base, "kyoko", "correct horse battery")
		if errors.As(err, &refused) {
			return refused
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the full disk took every login")
	return nil
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

// TestDirectoryThatCannotBeWritten starts as a user who may only read.
func TestDirectoryThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--data", filepath.Join(dir, "data"), "--listen", addr, "--issuer", "http://"+addr)
	cmd.Env = testEnv()
	if os.Geteuid() == 0 { // root may write anywhere: become nobody
		for path := dir; path != "/"; path = filepath.Dir(path) {
			if strings.HasPrefix(path, os.TempDir()) && path != os.TempDir() {
				os.Chmod(path, 0o755)
			}
		}
		os.Chmod(filepath.Dir(binary), 0o755)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("a server started where it cannot write")
	}
	if !strings.Contains(string(out), dir) || !strings.Contains(string(out), "permission denied") {
		t.Errorf("the refusal does not name the directory and the cause: %s", out)
	}
}

// TestReloadOfAFaultyConfiguration changes nothing and says why.
func TestReloadOfAFaultyConfiguration(t *testing.T) {
	log := new(lockedBuffer)
	s := startServer(t, testConfig(t), nil, log)
	before := s.domains.keys.Policy()
	s.reload(t.Context(), func() (*configs.Config, error) {
		return configs.Load(configs.Sources{Path: "signet.yaml", File: []byte("keys: {jwks_max_age: never}\n")})
	})
	if after := s.domains.keys.Policy(); after.JWKSMaxAge != before.JWKSMaxAge {
		t.Errorf("a faulty configuration was put in force: %+v", after)
	}
	if !strings.Contains(log.String(), "nothing was changed") || !strings.Contains(log.String(), "signet.yaml:1") {
		t.Errorf("the log does not say what is wrong and where: %s", log)
	}
}

// TestStopLetsRequestsEnd stops the real binary while requests are under way:
// each that was begun is answered, and the process ends with 0 within the grace.
func TestStopLetsRequestsEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p := serveBinary(t, dir, addr)
	mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", dir)

	// A request whose body is still on its way when the signal comes: the server has
	// asked for it (RFC 9110 §10.1.1) once the first part is taken.
	body, send := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.base+"/api/token/", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Expect", "100-continue")
	patient := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	answered := make(chan error, 1)
	go func() {
		resp, err := patient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		answered <- err
	}()
	io.WriteString(send, "username=kyoko&")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := waitFor(5*time.Second, func() error {
		if !strings.Contains(p.stderr.String(), "stopping") {
			return errors.New("the server does not say that it stops")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(send, "password=correct+horse+battery")
	send.Close()
	if err := <-answered; err != nil {
		t.Errorf("a request under way was cut off: %v", err)
	}
	select {
	case <-p.done:
		if p.err != nil {
			t.Errorf("the server ended with %v\n%s", p.err, p.stderr)
		}
	case <-time.After(shutdownGrace + 5*time.Second):
		t.Error("the server did not end within the grace")
	}
}

// TestLongDataDirectory: the path of the socket is longer than a socket address.
func TestLongDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30), "data")
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	serveBinary(t, dir, addr)
	door, err := control.Dial(t.Context(), filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatalf("a socket with a long path is not reached: %v", err)
	}
	defer door.Close()
	mustSignet(t, "", "keys", "list", "--data", dir)
}
