package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"signet/internal/web"
	"signet/issuer"
)

// Short time-outs, in the order of those in web.HTTPServer.
const (
	headerTimeout = 300 * time.Millisecond
	readTimeout   = 600 * time.Millisecond
	writeTimeout  = time.Second
	idleTimeout   = 500 * time.Millisecond
	// slack is what a busy machine adds to a time-out.
	slack = 3 * time.Second
)

// guarded follows the connections of a server.
type guarded struct {
	*server
	mu     sync.Mutex
	closed map[string]chan struct{} // by the client's address
}

func startGuarded(t *testing.T) (*guarded, []web.Route) {
	t.Helper()
	w := &guarded{closed: map[string]chan struct{}{}}
	var handler http.Handler
	w.server = start(t, settings{
		options: func(o *web.Options) {
			older, oauth := start(t, settings{}), start(t, settings{})
			o.DRFJWT = o.Issuer.(*issuer.Issuer)
			o.OAuth, o.Clients = oauth.OAuth, older.Clients
		},
		http: func(s *http.Server) {
			handler = s.Handler
			s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = headerTimeout, readTimeout, writeTimeout, idleTimeout
			s.ConnState = w.changed
		},
	})
	routes, err := web.Routes(handler)
	if err != nil || len(routes) < 20 {
		t.Fatalf("%d routes, %v", len(routes), err)
	}
	t.Logf("%d routes", len(routes))
	return w, routes
}

func (w *guarded) changed(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		c.(*net.TCPConn).SetWriteBuffer(4 << 10) // soon full
	}
	if state == http.StateClosed {
		ended := w.end(c.RemoteAddr())
		select {
		case <-ended: // the port has been another client's
		default:
			close(ended)
		}
	}
}

// end is closed once the server has closed the connection from the address.
func (w *guarded) end(client net.Addr) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed[client.String()] == nil {
		w.closed[client.String()] = make(chan struct{})
	}
	return w.closed[client.String()]
}

func (w *guarded) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", w.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// drip sends a byte at a time until the connection is gone.
func drip(c net.Conn, text string) {
	for {
		for _, b := range []byte(text) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// slowness is what a client may do to hold a connection.
var slowness = map[string]struct {
	limit time.Duration
	do    func(c *net.TCPConn, r web.Route)
}{
	"header": {headerTimeout, func(c *net.TCPConn, r web.Route) {
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\n", r.Method, r.Path)
		drip(c, "X-Slow: slow\r\n")
	}},
	"body": {readTimeout, func(c *net.TCPConn, r web.Route) {
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 60000\r\n\r\n", r.Method, r.Path, formType)
		drip(c, "username=a&")
	}},
	"chunks": {readTimeout, func(c *net.TCPConn, r web.Route) {
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", r.Method, r.Path, formType)
		drip(c, "1\r\na\r\n")
	}},
	"no second request": {idleTimeout, func(c *net.TCPConn, r web.Route) {
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", r.Method, r.Path)
		io.Copy(io.Discard, bufio.NewReader(c))
	}},
	"answers are not read": {writeTimeout, func(c *net.TCPConn, r web.Route) {
		c.SetReadBuffer(1 << 10)
		request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", r.Method, r.Path)
		for {
			if _, err := io.WriteString(c, request); err != nil {
				return
			}
		}
	}},
}

// serves waits for an answer to another client. On a busy machine that client may itself
// be too slow for the short time-outs, and tries again.
func (w *guarded) serves(t *testing.T) {
	t.Helper()
	client := http.Client{Timeout: slack}
	for deadline := time.Now().Add(slack); ; {
		answer, err := client.Get(w.URL + "/healthz")
		if err == nil {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Fatalf("others get %s", answer.Status)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("others are not served within %s: %v", slack, err)
		}
	}
}

// TestSlowClientsOnEveryRoute: whatever a client does slowly, and on whichever route, its
// connection ends with the time-out, and others are served meanwhile.
func TestSlowClientsOnEveryRoute(t *testing.T) {
	w, routes := startGuarded(t)
	var clients sync.WaitGroup
	for name, slow := range slowness {
		for _, route := range append(routes, web.Route{Method: "POST", Path: "/nowhere"}) {
			c := w.dial(t)
			ended := w.end(c.LocalAddr())
			go slow.do(c, route)
			clients.Go(func() {
				select {
				case <-ended:
				case <-time.After(slow.limit + slack):
					t.Errorf("%s, %s %s: open after %s", name, route.Method, route.Path, slow.limit+slack)
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for served := 0; ; served++ {
		w.serves(t)
		select {
		case <-done:
			if served == 0 {
				t.Error("nobody else was served")
			}
			if text := w.log.String(); strings.Contains(text, "panic") {
				t.Errorf("the log:\n%s", text)
			}
			return
		default:
		}
	}
}
