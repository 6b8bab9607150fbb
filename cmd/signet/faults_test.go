package main

import (
	"errors"
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
