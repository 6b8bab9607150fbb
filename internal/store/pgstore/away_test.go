package pgstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// answering is a server that answers each connection by answer, and its URL.
func answering(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { answer(c); c.Close() }()
		}
	}()
	return fmt.Sprintf("postgres://u@%s/d?connect_timeout=1", l.Addr())
}

// startup reads the first message of a client.
func startup(c net.Conn) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err == nil {
		io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:]))-4)
	}
}

// refusing answers with an error of the server, after it has refused TLS.
func refusing(code string) func(net.Conn) {
	return func(c net.Conn) {
		startup(c)
		fields := "SFATAL\x00C" + code + "\x00Mno\x00\x00"
		c.Write(append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(fields)+4)), fields...))
	}
}

// TestAway: which failures of a start may pass by waiting, and which may not.
func TestAway(t *testing.T) {
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, unused.Close())
	for name, c := range map[string]struct {
		url  string
		away bool
	}{
		"nobody listens":   {fmt.Sprintf("postgres://u@%s/d", unused.Addr()), true},
		"no socket":        {"postgres:///d?host=" + t.TempDir(), true},
		"no answer":        {answering(t, func(c net.Conn) { io.Copy(io.Discard, c) }) + "&sslmode=disable", true},
		"it hangs up":      {answering(t, startup) + "&sslmode=disable", true},
		"no such host":     {"postgres://u@nothing.invalid/d?sslmode=require", true},
		"it starts":        {answering(t, refusing(cannotConnectNow)) + "&sslmode=disable", true},
		"it shuts down":    {answering(t, refusing(adminShutdown)) + "&sslmode=disable", true},
		"wrong password":   {answering(t, refusing("28P01")) + "&sslmode=disable", false},
		"unknown database": {answering(t, refusing("3D000")) + "&sslmode=disable", false},
		"no TLS":           {answering(t, func(c net.Conn) { startup(c); c.Write([]byte("N")) }) + "&sslmode=require", false},
		"a wrong URL":      {"postgres://db.example.com/d", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, opened := Open(t.Context(), c.url, Options{Logger: quiet})
			for _, err := range []error{opened, Reach(t.Context(), c.url)} {
				if err == nil || Away(err) != c.away {
					t.Errorf("away is %v, want %v: %v", Away(err), c.away, err)
				}
			}
		})
	}
}

// TestAwayIsNoEndOfTheWait: who was told to stop does not go on waiting.
func TestAwayIsNoEndOfTheWait(t *testing.T) {
	url := answering(t, func(c net.Conn) { io.Copy(io.Discard, c) }) + "&sslmode=disable"
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	_, opened := Open(ctx, url, Options{Logger: quiet})
	if !errors.Is(opened, context.Canceled) || Away(opened) {
		t.Errorf("Open: %v", opened)
	}
	if err := Reach(ctx, url); !errors.Is(err, context.Canceled) || Away(err) {
		t.Errorf("Reach: %v", err)
	}
	if took := time.Since(began); took > 700*time.Millisecond {
		t.Errorf("it ended after %v", took)
	}
}

// TestLongMigration: who waits for a replica that takes longer than a lock is waited for
// goes on waiting, and says so.
func TestLongMigration(t *testing.T) {
	url := newDatabase(t)
	openTest(t, url)
	exec(t, url, fmt.Sprintf(`UPDATE signet_schema SET version = %d`, schemaVersion-1))
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), `UPDATE signet_schema SET version = $1`, schemaVersion)
	must(t, err)
	var told bytes.Buffer
	result := make(chan error, 1)
	go func() {
		s, err := Open(context.Background(), url+"&lock_timeout=1ms", Options{Logger: slog.New(slog.NewTextHandler(&told, nil))})
		if err == nil {
			err = s.Close()
		}
		result <- err
	}()
	look, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer look.Close(t.Context())
	tries := "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
	within(t, "start that waits", func() bool {
		var n int
		must(t, look.QueryRow(t.Context(), tries).Scan(&n))
		return n > 2*migrationTries || len(result) > 0
	})
	must(t, tx.Commit(t.Context()))
	must(t, <-result)
	for _, once := range []string{"are of an older signet, and are being changed", "this one waits"} {
		if n := strings.Count(told.String(), once); n != 1 {
			t.Errorf("the log says %d times %q:\n%s", n, once, told.String())
		}
	}
}
