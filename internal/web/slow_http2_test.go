package web_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"signet/internal/web"
)

const (
	// pingTimeout is short, for SendPingTimeout and for PingTimeout.
	pingTimeout = 300 * time.Millisecond
	// streamTimeout is for reading and for writing, and longer than a handshake.
	streamTimeout = 2 * time.Second
)

// startHTTP2 serves HTTP/2 with the short time-outs.
func startHTTP2(t *testing.T) (*httptest.Server, *logs, []web.Route) {
	t.Helper()
	var handler http.Handler
	inner := start(t, settings{http: func(s *http.Server) { handler = s.Handler }})
	routes, err := web.Routes(handler)
	if err != nil || len(routes) < 10 {
		t.Fatalf("%d routes, %v", len(routes), err)
	}
	outer := httptest.NewUnstartedServer(nil)
	c := web.HTTPServer(handler, slog.New(slog.NewTextHandler(inner.log, nil)))
	c.ReadHeaderTimeout, c.ReadTimeout, c.WriteTimeout, c.IdleTimeout = streamTimeout, streamTimeout, streamTimeout, idleTimeout
	limits := *c.HTTP2
	limits.SendPingTimeout, limits.PingTimeout = pingTimeout, pingTimeout
	outer.Config, c.HTTP2, outer.EnableHTTP2 = c, &limits, true
	outer.StartTLS()
	t.Cleanup(outer.Close)
	return outer, inner.log, routes
}

// fields is a header block (RFC 9113 §8.3.1).
func fields(r web.Route) []byte {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: r.Method}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "x"}, {Name: ":path", Value: r.Path}, {Name: "content-type", Value: formType}} {
		e.WriteField(f)
	}
	return block.Bytes()
}

// slownessHTTP2 is what a client may do to hold a connection of HTTP/2.
var slownessHTTP2 = map[string]func(f *http2.Framer, r web.Route){
	"no request": func(*http2.Framer, web.Route) {},
	"half a header": func(f *http2.Framer, r web.Route) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(r), EndStream: true})
	},
	"a header without end": func(f *http2.Framer, r web.Route) {
		err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(r), EndStream: true})
		for ; err == nil; time.Sleep(20 * time.Millisecond) {
			err = f.WriteContinuation(1, false, nil)
		}
	},
	"a body without end": func(f *http2.Framer, r web.Route) {
		err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(r), EndHeaders: true})
		for ; err == nil; time.Sleep(20 * time.Millisecond) {
			err = f.WriteData(1, false, []byte("a"))
		}
	},
	"answers are not taken": func(f *http2.Framer, r web.Route) {
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for i := range uint32(16) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: fields(r), EndHeaders: true, EndStream: true})
		}
	},
}

// dialHTTP2 opens a connection, up to the first frames of the client.
func dialHTTP2(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	io.WriteString(conn, http2.ClientPreface)
	http2.NewFramer(conn, nil).WriteSettings()
	return conn
}

// isClosed waits for the server to close the connection.
func isClosed(conn net.Conn, within time.Duration) error {
	conn.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// TestSlowClientsOfHTTP2: the time-outs hold for HTTP/2 on every route, others are served
// meanwhile, and the log says nothing of it.
func TestSlowClientsOfHTTP2(t *testing.T) {
	s, log, routes := startHTTP2(t)
	const within = streamTimeout + idleTimeout + 2*pingTimeout + slack
	var clients sync.WaitGroup
	for name, slow := range slownessHTTP2 {
		for _, route := range append(routes, web.Route{Method: "POST", Path: "/nowhere"}) {
			conn := dialHTTP2(t, s.Listener.Addr().String())
			go slow(http2.NewFramer(conn, nil), route)
			clients.Go(func() {
				if err := isClosed(conn, within); err != nil {
					t.Errorf("%s, %s %s: %v", name, route.Method, route.Path, err)
				}
			})
		}
	}
	resp, err := s.Client().Get(s.URL + "/healthz")
	if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("others: %+v, %v", resp, err)
	}
	clients.Wait()
	if text := log.String(); strings.Contains(text, "timeout waiting") || strings.Contains(text, "panic") {
		t.Errorf("the log:\n%s", text)
	}
}
