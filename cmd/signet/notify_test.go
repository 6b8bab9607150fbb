package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// manager stands in for systemd: it holds the socket that NOTIFY_SOCKET names.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // short: the path of a socket has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t: t, conn: conn, path: path}
}

// next waits for a message.
func (m *manager) next() string {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	message := make([]byte, 4096)
	n, err := m.conn.Read(message)
	if err != nil {
		m.t.Fatalf("nothing was told: %v", err)
	}
	return string(message[:n])
}

// told waits for the next message.
func (m *manager) told(want string) {
	m.t.Helper()
	if message := m.next(); !regexp.MustCompile(`\A` + want + `\z`).MatchString(message) {
		m.t.Fatalf("told %q, want %s", message, want)
	}
}

// TestServiceManagerIsTold: up when it can answer, during a reload, and when it stops.
func TestServiceManagerIsTold(t *testing.T) {
	m := newManager(t)
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p := serveBinary(t, filepath.Join(t.TempDir(), "data"), addr, "NOTIFY_SOCKET="+m.path)
	m.told(`READY=1\nSTATUS=serves http://127\.0\.0\.1:\d+ on 127\.0\.0\.1:\d+`)
	if err := isReady(addr); err != nil {
		t.Errorf("told to be ready: %v", err)
	}

	p.cmd.Process.Signal(syscall.SIGHUP)
	m.told(`RELOADING=1\nMONOTONIC_USEC=\d+\n`)
	m.told(`READY=1`)

	p.cmd.Process.Signal(syscall.SIGTERM)
	m.told(`STOPPING=1`)
	<-p.done
	if p.err != nil {
		t.Errorf("the server ended with %v", p.err)
	}
}

// TestServiceManagerThatIsGone: whoever starts the server with a stale NOTIFY_SOCKET
// still gets one.
func TestServiceManagerThatIsGone(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p := serveBinary(t, filepath.Join(t.TempDir(), "data"), addr, "NOTIFY_SOCKET=/nowhere/notify")
	p.waitLog(t, "the service manager could not be told")
}
