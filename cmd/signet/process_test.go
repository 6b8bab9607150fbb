package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is the real binary, serving.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	base   string
	stderr *lockedBuffer
	done   chan struct{} // closed when it has ended
	err    error         // how it ended; read after done
}

// lockedBuffer collects what a process writes while a test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// testEnv is the environment of a process under test: nothing of the machine's
// own settings, and cheap hashes.
func testEnv(extra ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "SIGNET_") && !strings.HasPrefix(entry, "OTEL_") {
			env = append(env, entry)
		}
	}
	env = append(env, "SIGNET_PASSWORDS_MEMORY=8MiB", "SIGNET_PASSWORDS_TIME=1", "SIGNET_OPS_LISTEN=")
	return append(env, extra...)
}

// launch starts a command that serves on addr, and waits until it is ready.
func launch(t *testing.T, addr string, cmd *exec.Cmd) *process {
	t.Helper()
	return launchAt(t, "http://"+addr, cmd, func() error { return isReady(addr) })
}

// launchAt is launch for a server whose base is not http, or that is asked otherwise.
func launchAt(t *testing.T, base string, cmd *exec.Cmd, ready func() error) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, base: base, stderr: new(lockedBuffer), done: make(chan struct{})}
	cmd.Stderr = p.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.kill()
		for _, secret := range []string{"correct horse", "correct+horse", "eyJhbGci", "$argon2id", "BEGIN"} {
			if strings.Contains(p.stderr.String(), secret) {
				t.Errorf("the log holds %q:\n%s", secret, p.stderr)
			}
		}
	})
	err := waitFor(30*time.Second, func() error {
		select {
		case <-p.done:
			t.Fatalf("the server ended: %v\n%s", p.err, p.stderr)
		default:
		}
		return ready()
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, p.stderr)
	}
	return p
}

// serveBinary starts signet serve on a directory.
func serveBinary(t *testing.T, dir, addr string, env ...string) *process {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--data", dir, "--listen", addr, "--issuer", "http://"+addr)
	cmd.Env = testEnv(env...)
	return launch(t, addr, cmd)
}

// waitLog waits until the log holds a text, and returns the log: lines are written
// beside answers, and read beside the test.
func (p *process) waitLog(t *testing.T, want string) string {
	t.Helper()
	err := waitFor(10*time.Second, func() error {
		if !strings.Contains(p.stderr.String(), want) {
			return fmt.Errorf("the log does not hold %q:\n%s", want, p.stderr)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return p.stderr.String()
}

// kill ends the process, and those that it started, at once, as a power cut would.
func (p *process) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// signet runs a command of the real binary and returns its output.
func signet(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = testEnv()
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func mustSignet(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, errs, err := signet(t, stdin, args...)
	if err != nil {
		t.Fatalf("signet %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
	return out
}

// statusError is an answer other than 200.
type statusError struct {
	status     int
	body       string
	retryAfter string
}

func (e *statusError) Error() string { return fmt.Sprintf("%d: %s", e.status, e.body) }

// postJSON posts a form and decodes the answer.
func postJSON(ctx context.Context, c *http.Client, address string, form url.Values) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &statusError{resp.StatusCode, string(body), resp.Header.Get("Retry-After")}
	}
	var answer map[string]string
	return answer, json.Unmarshal(body, &answer)
}

func login(ctx context.Context, c *http.Client, base, name, password string) (map[string]string, error) {
	return postJSON(ctx, c, base+"/api/token/", url.Values{"username": {name}, "password": {password}})
}

func refresh(ctx context.Context, c *http.Client, base, token string) (map[string]string, error) {
	return postJSON(ctx, c, base+"/api/token/refresh/", url.Values{"refresh": {token}})
}
