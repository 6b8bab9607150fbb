//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSlowClients: a client that sends or reads a byte at a time holds its connection no
// longer than the time-outs say (README, Limits), on the public listener, the operators'
// listener and the control socket, and others are served meanwhile.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	c := serveCrowd(t, 1024)
	listeners := map[string][2]string{
		"public":  {"tcp", c.addr},
		"ops":     {"tcp", c.ops},
		"control": {"unix", filepath.Join(c.dir, "control.sock")},
	}
	const header, body = "X-Slow: slow\r\n", "username=a&"
	for name, slow := range map[string]struct {
		on       string
		begin    string
		drip     string
		at, most time.Duration
	}{
		"header to the login":    {"public", "POST /api/token/ HTTP/1.1\r\nHost: x\r\n", header, 5 * time.Second, 8 * time.Second},
		"header to the metrics":  {"ops", "GET /metrics HTTP/1.1\r\nHost: x\r\n", header, 5 * time.Second, 8 * time.Second},
		"header to the commands": {"control", "POST /v1/users/list HTTP/1.1\r\nHost: x\r\n", header, 5 * time.Second, 8 * time.Second},
		"request line":           {"public", "G", "E", 5 * time.Second, 8 * time.Second},
		"body to the login": {"public", "POST /api/token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n",
			body, 10 * time.Second, 13 * time.Second},
		"body to the metrics":  {"ops", "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", body, 0, 13 * time.Second},
		"body to the commands": {"control", "POST /v1/users/list HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", body, 10 * time.Second, 13 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial(listeners[slow.on][0], listeners[slow.on][1])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			began := time.Now()
			go dripOn(conn, slow.begin, slow.drip)
			conn.SetReadDeadline(began.Add(slow.most))
			answer, err := io.ReadAll(conn)
			if took := time.Since(began); errors.Is(err, os.ErrDeadlineExceeded) || took < slow.at-time.Second {
				t.Errorf("it ended after %s, want %s to %s: %v: %.100q", took, slow.at, slow.most, err, answer)
			}
		})
	}
	t.Run("the key set is not read", func(t *testing.T) {
		t.Parallel()
		c.holdsUnread(t, 30*time.Second, 34*time.Second)
	})
	t.Run("others are served", func(t *testing.T) {
		t.Parallel()
		for began := time.Now(); time.Since(began) < 12*time.Second; {
			c.serves(t, 5*time.Second)
		}
	})
}

func dripOn(conn net.Conn, begin, drip string) {
	if _, err := io.WriteString(conn, begin); err != nil {
		return
	}
	for drip != "" {
		for i := range drip {
			if _, err := conn.Write([]byte{drip[i]}); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// holdsUnread asks for the key set over and over and reads nothing: the server closes its
// end once an answer could not be sent for the time-out.
func (c *crowded) holdsUnread(t *testing.T, least, most time.Duration) {
	t.Helper()
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(1 << 10); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if _, err := io.WriteString(conn, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return
			}
		}
	}()
	began := time.Now()
	if err := waitFor(5*time.Second, func() error { return c.holds(conn) }); err != nil {
		t.Fatalf("the server never had the connection: %v", err)
	}
	err = waitFor(most, func() error {
		if c.holds(conn) == nil {
			return errors.New("the server holds the connection")
		}
		return nil
	})
	if took := time.Since(began); err != nil || took < least-time.Second {
		t.Errorf("it ended after %s, want %s to %s: %v", took, least, most, err)
	}
}

// holds reports whether the server's end of the connection belongs to a process: one
// that was closed has no inode (proc_net_tcp(5)).
func (c *crowded) holds(conn net.Conn) error {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return err
	}
	end := func(a net.Addr) string { return fmt.Sprintf(":%04X", a.(*net.TCPAddr).Port) }
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 9 && strings.HasSuffix(f[1], end(conn.RemoteAddr())) && strings.HasSuffix(f[2], end(conn.LocalAddr())) && f[9] != "0" {
			return nil
		}
	}
	return errors.New("the server's end is closed")
}
