package connlimit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// logs is what a server logs while a test reads it.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// bounded is a server with a limit, whose /wait answers once release is closed.
type bounded struct {
	addr    string
	log     *logs
	release chan struct{}
	waiting atomic.Int32 // requests in /wait
}

func serve(t *testing.T, limit int) *bounded {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bounded{addr: listener.Addr().String(), log: new(logs), release: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/wait", func(http.ResponseWriter, *http.Request) { b.waiting.Add(1); <-b.release })
	server := &http.Server{Handler: mux}
	ended := make(chan error, 1)
	listener = Bound(server, listener, limit, slog.New(slog.NewTextHandler(b.log, nil)), "raise it")
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return b
}

func (b *bounded) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// ask sends a request and leaves the connection open.
func ask(c net.Conn, path string) error {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
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
	return nil
}

// TestSilenceMakesRoom: connections that send nothing, ever or no more, keep nobody out.
func TestSilenceMakesRoom(t *testing.T) {
	const limit = 8
	for name, silence := range map[string]func(t *testing.T, c net.Conn){
		"new": func(*testing.T, net.Conn) {},
		"kept alive": func(t *testing.T, c net.Conn) {
			if err := ask(c, "/"); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := serve(t, limit)
			var first net.Conn
			for range 3 * limit {
				c := b.dial(t)
				if first == nil {
					first = c
				}
				silence(t, c)
			}
			for range limit {
				if err := ask(b.dial(t), "/"); err != nil {
					t.Error(err)
				}
			}
			if _, err := io.ReadAll(first); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the longest silent connection is open: %v", err)
			}
			if n := strings.Count(b.log.String(), "level=WARN"); n != 1 || !strings.Contains(b.log.String(), "raise it") {
				t.Errorf("%d warnings:\n%s", n, b.log)
			}
		})
	}
}

// TestBurstIsAnswered: many at once wait for each other, and none is cut.
func TestBurstIsAnswered(t *testing.T) {
	t.Parallel()
	b := serve(t, 4)
	var all sync.WaitGroup
	for range 64 {
		c := b.dial(t)
		all.Go(func() {
			defer c.Close()
			if err := ask(c, "/"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestRequestUnderWayIsNotCut: those that have begun keep their place, and who comes
// then waits for one.
func TestRequestUnderWayIsNotCut(t *testing.T) {
	t.Parallel()
	const limit = 4
	b := serve(t, limit)
	answers := make(chan error, limit+1)
	for range limit + 1 {
		c := b.dial(t)
		go func() { answers <- ask(c, "/wait") }()
	}
	for deadline := time.Now().Add(10 * time.Second); b.waiting.Load() < limit; {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are under way, want %d", b.waiting.Load(), limit)
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-answers:
		t.Errorf("answered or cut too early: %v", err)
	case <-time.After(patience + patience/2):
	}
	if n := b.waiting.Load(); n != limit {
		t.Errorf("%d requests are under way, the limit is %d", n, limit)
	}
	close(b.release)
	for range limit + 1 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}
