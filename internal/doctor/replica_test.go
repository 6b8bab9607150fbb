package doctor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// listenerOf answers /readyz with a status, and has a key set.
func listenerOf(t *testing.T, ready int, set string) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(ready); fmt.Fprint(w, `{"detail":"why"}`) })
	mux.HandleFunc(pathJWKS, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, set) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// TestReplicaIsAskedItself: the finding is of the listener here, whatever the server behind
// the issuer's URL answers.
func TestReplicaIsAskedItself(t *testing.T) {
	const set = `{"keys":[]}`
	well, ill, other := listenerOf(t, http.StatusOK, set), listenerOf(t, http.StatusServiceUnavailable, set), listenerOf(t, http.StatusOK, `{"keys":[{}]}`)
	gone := listenerOf(t, http.StatusOK, set)
	gone.Close()
	for _, c := range []struct {
		name      string
		url, here *httptest.Server
		late      bool
		want      finding
	}{
		{"well behind an URL that is not", ill, well, false, finding{"this server", OK, "answers, can sign and store, and has the keys of 3s ago", ""}},
		{"ill behind an URL that is well", well, ill, false, finding{"this server", Fail, `answers /readyz with 503 Service Unavailable: {"detail":"why"}`, "look at the log of the server"}},
		{"gone behind an URL that is well", well, gone, false, finding{"this server", Fail, "does not answer", "has to reach this address"}},
		{"another program's keys", well, other, false, finding{"this server", Warn, "serves other keys than the server has", "which program listens there"}},
		{"old keys", well, well, true, finding{"this server", Fail, "it last read the keys from the database 3s ago, and goes on with old ones: no route", "sealing key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			replica := Replica{URL: c.url.URL, Listen: c.here.Listener.Addr().String(), Set: []byte(set), Age: 3 * time.Second, Late: c.late}
			if c.late {
				replica.Failing = "no route"
			}
			wantOnly(t, replica.Checks(t.Context()), c.want)
		})
	}
}
