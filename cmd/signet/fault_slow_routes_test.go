//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"signet/internal/web"
)

// everyRoute is what the public listener serves with every dialect on, from its router.
func everyRoute(t *testing.T) []web.Route {
	t.Helper()
	cfg := testConfig(t)
	cfg.Dialects.DRFJWT = true
	s := startServer(t, cfg, nil, io.Discard)
	routes, err := web.Routes(web.NewHandler(s.public(serverOptions{Log: slog.New(slog.DiscardHandler)}, nil)))
	if err != nil || len(routes) < 20 {
		t.Fatalf("%d routes, %v", len(routes), err)
	}
	return append(routes, web.Route{Method: "POST", Path: "/nowhere"})
}

// endsWithin begins on a new connection, goes on a byte at a time, and wants the server to
// close it between least and most.
func endsWithin(addr, begin, drip string, least, most time.Duration) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	began := time.Now()
	go dripOn(conn, begin, drip)
	conn.SetReadDeadline(began.Add(most))
	answer, err := io.ReadAll(conn)
	if took := time.Since(began); errors.Is(err, os.ErrDeadlineExceeded) || took < least {
		return fmt.Errorf("it ended after %s, want %s to %s: %w: %.100q", took, least, most, err, answer)
	}
	return nil
}

// TestSlowClientsOnEveryRoute: the time-outs hold on each route of the real binary, all at
// once, and it serves then. internal/web has a test of the same name with more ways to be
// slow, and short time-outs.
func TestSlowClientsOnEveryRoute(t *testing.T) {
	t.Parallel()
	c := serveCrowd(t, 1024, "SIGNET_DIALECTS_DRF_JWT=true")
	const form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n"
	var clients sync.WaitGroup
	for _, r := range everyRoute(t) {
		begin := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\n", r.Method, r.Path)
		clients.Go(func() {
			if err := endsWithin(c.addr, begin, "X-Slow: slow\r\n", 4*time.Second, 8*time.Second); err != nil {
				t.Errorf("header to %s %s: %v", r.Method, r.Path, err)
			}
		})
		clients.Go(func() {
			if err := endsWithin(c.addr, begin+form, "username=a&", 0, 13*time.Second); err != nil {
				t.Errorf("body to %s %s: %v", r.Method, r.Path, err)
			}
		})
	}
	clients.Wait()
	c.serves(t, 5*time.Second)
}

// clientHello is the first record of a TLS handshake (RFC 8446 §4.1.2).
func clientHello(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go tls.Client(near, &tls.Config{ServerName: "login.example.com"}).Handshake()
	head := make([]byte, 5)
	if _, err := io.ReadFull(far, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(far, body); err != nil {
		t.Fatal(err)
	}
	return bytes.Join([][]byte{head, body}, nil)
}

// TestHandshakeThatNeverEnds: wherever a TLS handshake stops, and however slowly it goes
// on, its connection ends with the time-out, and others are served meanwhile.
func TestHandshakeThatNeverEnds(t *testing.T) {
	t.Parallel()
	s := serveTLS(t)
	hello := string(clientHello(t))
	for name, c := range map[string]struct{ begin, drip string }{
		"nothing":                {"", ""},
		"half a hello":           {hello[:len(hello)/2], ""},
		"a hello byte by byte":   {hello[:1], hello[1:]},
		"a hello and no more":    {hello, ""},
		"a record without bytes": {"\x16\x03\x01\x40\x00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := endsWithin(s.addr, c.begin, c.drip, 4*time.Second, 8*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("others are served", func(t *testing.T) {
		t.Parallel()
		for began := time.Now(); time.Since(began) < 5*time.Second; {
			if _, err := s.served(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
