package transport

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// queue is a listener whose connections are made by the test.
type queue chan net.Conn

func (q queue) Accept() (net.Conn, error) {
	if conn, ok := <-q; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (q queue) Close() error   { close(q); return nil }
func (q queue) Addr() net.Addr { return nil }

// from is a connection from an address.
type from struct {
	net.Conn
	remote net.Addr
}

func (c from) RemoteAddr() net.Addr { return c.remote }

func TestAdmit(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::7/128"), netip.MustParsePrefix("fe80::/10")}
	for _, tt := range []struct {
		remote net.Addr
		want   bool
	}{
		{&net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 1}, true},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7")}, true},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7).To4()}, true},
		{&net.TCPAddr{IP: net.ParseIP("192.0.3.7")}, false},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::7")}, true},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::8")}, false},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, true},
		{&net.TCPAddr{IP: net.ParseIP("127.0.0.1")}, true},
		{&net.TCPAddr{IP: net.ParseIP("127.9.9.9")}, true},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1")}, true},
		{&net.TCPAddr{IP: net.ParseIP("::1")}, true},
		{&net.TCPAddr{}, false},
		{&net.UnixAddr{Name: "@"}, false},
	} {
		q := make(queue, 1)
		l := Admit(q, networks, slog.New(slog.DiscardHandler))
		server, client := net.Pipe()
		q <- from{server, tt.remote}
		q.Close()
		conn, err := l.Accept()
		if got := conn != nil; got != tt.want || !got && !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v: admitted %v, %v", tt.remote, got, err)
		}
		if !tt.want {
			client.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := client.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%v: not closed: %v", tt.remote, err)
			}
		}
	}
}

// TestAdmitTellsOnceAMinute: a stranger who connects all the time writes no log.
func TestAdmitTellsOnceAMinute(t *testing.T) {
	var log bytes.Buffer
	now := time.Now()
	q := make(queue)
	l := &admitting{Listener: q, log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now }}
	connect := func(n int) {
		done := make(chan struct{})
		go func() { l.Accept(); close(done) }()
		for range n {
			server, _ := net.Pipe()
			q <- from{server, &net.TCPAddr{IP: net.ParseIP("203.0.113.9"), Port: 4711}}
		}
		server, _ := net.Pipe()
		q <- from{server, &net.TCPAddr{IP: net.IPv6loopback}}
		<-done
	}
	connect(100)
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "not in behind_proxy") || !strings.Contains(said, "sender=203.0.113.9:4711 closed=1") {
		t.Errorf("the log holds: %s", said)
	}
	log.Reset()
	now = now.Add(tellEvery)
	connect(3)
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "closed=100") {
		t.Errorf("after a minute: %s", said)
	}
}
