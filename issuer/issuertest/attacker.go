package issuertest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// Attacker returns the URL of a server that no token may lead anybody to: the test
// fails at its end if a connection was made, whatever was said on it.
func Attacker(t testing.TB) string {
	t.Helper()
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(func() {
		defer server.Close()
		if n := connections.Load(); n != 0 {
			t.Errorf("%d connections were made to a URL of a token", n)
		}
		connections.Store(0)
		if resp, err := server.Client().Get(server.URL); err != nil || resp.Body.Close() != nil || connections.Load() != 1 {
			t.Errorf("a connection would not have been noticed: %d, %v", connections.Load(), err)
		}
	})
	return server.URL
}
