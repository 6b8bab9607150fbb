//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// crowd is many connections to one address.
type crowd []net.Conn

func (c crowd) close() {
	for _, conn := range c {
		conn.Close()
	}
}

// gather opens n connections and lets each begin, some at a time.
func gather(ctx context.Context, addr string, n int, begin func(net.Conn) error) (crowd, error) {
	all := make(crowd, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(64)
	for i := range all {
		group.Go(func() (err error) {
			if all[i], err = new(net.Dialer).DialContext(ctx, "tcp", addr); err != nil {
				return err
			}
			return begin(all[i])
		})
	}
	if err := group.Wait(); err != nil {
		for _, conn := range all {
			if conn != nil {
				conn.Close()
			}
		}
		return nil, err
	}
	return all, nil
}

// Two kinds of connections that do nothing.
var idleness = map[string]func(net.Conn) error{
	"silent":     func(net.Conn) error { return nil },
	"kept alive": askOnce,
}

// askOnce sends a request, reads the answer and leaves the connection open.
func askOnce(c net.Conn) error {
	c.SetDeadline(time.Now().Add(30 * time.Second))
	defer c.SetDeadline(time.Time{})
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// crowded is a server that many connections weigh on.
type crowded struct {
	*process
	dir, addr, ops string
	refresh        string
}

// serveCrowd starts the server under a limit of open files.
func serveCrowd(t *testing.T, files int, env ...string) *crowded {
	t.Helper()
	c := &crowded{dir: filepath.Join(t.TempDir(), "data")}
	var err error
	if c.addr, err = freeAddress(); err != nil {
		t.Fatal(err)
	}
	if c.ops, err = freeAddress(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$BINARY" serve --data "$DIR"`, files))
	cmd.Env = testEnv(append(env, "BINARY="+binary, "DIR="+c.dir, "SIGNET_LISTEN="+c.addr, "SIGNET_ISSUER=http://"+c.addr, "SIGNET_OPS_LISTEN="+c.ops)...)
	c.process = launch(t, c.addr, cmd)
	mustSignet(t, doorPassword, "users", "add", "kyoko", "--password-stdin", "--data", c.dir)
	tokens, err := login(t.Context(), client, c.base, "kyoko", doorPassword)
	if err != nil {
		t.Fatal(err)
	}
	c.refresh = tokens["refresh"]
	return c
}

// serves holds the server to its work, each part within patience.
func (c *crowded) serves(t *testing.T, patience time.Duration) {
	t.Helper()
	part := func(name string, do func() error) {
		t.Helper()
		began := time.Now()
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("%s took %s", name, took)
		}
	}
	part("login", func() error {
		_, err := login(t.Context(), client, c.base, "kyoko", doorPassword)
		return err
	})
	part("refresh", func() error {
		tokens, err := refresh(t.Context(), client, c.base, c.refresh)
		if err == nil {
			c.refresh = tokens["refresh"]
		}
		return err
	})
	part("key set", func() error { return got(c.base + "/.well-known/jwks.json") })
	part("metrics", func() error { return got("http://" + c.ops + "/metrics") })
	part("readiness", func() error { return isReady(c.addr) })
	part("users add", func() error {
		_, errs, err := signet(t, doorPassword, "users", "add", fmt.Sprint("user", time.Now().UnixNano()), "--password-stdin", "--data", c.dir)
		if err != nil {
			return fmt.Errorf("%w: %s", err, errs)
		}
		return nil
	})
}

func got(address string) error {
	resp, err := client.Get(address)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// residentKiB is the memory that the process occupies.
func (c *crowded) residentKiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kib := 0
	if n, err := fmt.Sscan(after, &kib); n != 1 || err != nil {
		t.Fatalf("no VmRSS: %v", err)
	}
	return kib
}

func (c *crowded) openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// needsFiles skips where this process or its children may not have n files open; in CI
// that is a failure.
func needsFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= n {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%d files may be open here, %d are needed", limit.Cur, n)
	}
	t.Skipf("SKIPPED: many connections are not tested: %d files may be open here, %d are needed", limit.Cur, n)
}

// TestTenThousandIdleConnections: the server goes on with its work while 10,000
// connections do nothing; its memory stays bounded. Those that never sent anything are
// closed after web's ReadHeaderTimeout.
func TestTenThousandIdleConnections(t *testing.T) {
	const many, perConnection = 10_000, 40 // KiB
	needsFiles(t, many+2000)
	for name, begin := range idleness {
		t.Run(name, func(t *testing.T) {
			c := serveCrowd(t, many+2000)
			before := c.residentKiB(t)
			began := time.Now()
			idle, err := gather(t.Context(), c.addr, many, begin)
			if err != nil {
				t.Fatal(err)
			}
			defer idle.close()
			c.serves(t, 5*time.Second)
			grown := c.residentKiB(t) - before
			t.Logf("%d connections in %s: %d MiB more, %.1f KiB each; %d files open",
				many, time.Since(began), grown/1024, float64(grown)/many, c.openFiles(t))
			if grown > many*perConnection {
				t.Errorf("%d connections take %d KiB", many, grown)
			}
			if name == "silent" {
				areClosed(t, idle, 15*time.Second)
			}
		})
	}
}

// areClosed waits until the server has closed every connection.
func areClosed(t *testing.T, idle crowd, patience time.Duration) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for i, conn := range idle {
		conn.SetReadDeadline(deadline)
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d of %d is open after %s", i, len(idle), patience)
		}
	}
}

// TestMoreConnectionsThanFiles: under a small limit of open files the public listener
// leaves what the database, the commands and the metrics need, silent connections make
// room for requests, and one line of the log names the limit and how to raise it.
func TestMoreConnectionsThanFiles(t *testing.T) {
	const files, many = 256, 600
	for name, begin := range idleness {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serveCrowd(t, files)
			idle, err := gather(t.Context(), c.addr, many, begin)
			if err != nil {
				t.Fatal(err)
			}
			defer idle.close()
			c.serves(t, 8*time.Second)
			if n := c.openFiles(t); n > files-opsConnections {
				t.Errorf("%d files are open of %d", n, files)
			}
			log := c.waitLog(t, "raise the limit of open files, which is 256")
			if n := strings.Count(log, "as many connections are open as may be"); n != 1 {
				t.Errorf("%d warnings:\n%s", n, log)
			}
			if strings.Contains(log, "too many open files") {
				t.Errorf("the limit was met:\n%s", log)
			}
		})
	}
}
