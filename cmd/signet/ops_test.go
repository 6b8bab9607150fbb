package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// TestProbesForOperators: both listeners say the same of a server that is well, and of one
// that cannot store.
func TestProbesForOperators(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	ops, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	serveBinary(t, dir, addr, "SIGNET_OPS_LISTEN="+ops)
	same := func(path string, want int) {
		t.Helper()
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			public, operators := probe(t, method, addr, path), probe(t, method, ops, path)
			if method == http.MethodPost {
				want = http.StatusMethodNotAllowed
			}
			if !slices.Equal(public, operators) || public[0] != fmt.Sprint(want) {
				t.Errorf("%s %s: %q on the public listener and %q for operators, want %d", method, path, public, operators, want)
			}
		}
	}
	same("/healthz", http.StatusOK)
	same("/readyz", http.StatusOK)
	if err := os.Truncate(filepath.Join(dir, "signet.db"), 0); err != nil {
		t.Fatal(err)
	}
	if err := waitFor(10*time.Second, func() error {
		if status := probe(t, http.MethodGet, ops, "/readyz")[0]; status != "503" {
			return errors.New("/readyz for operators: " + status)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	same("/healthz", http.StatusOK)
	same("/readyz", http.StatusServiceUnavailable)
	for _, path := range []string{"/", "/.well-known/jwks.json", "/api/token/", "/healthz/"} {
		if got := probe(t, http.MethodGet, ops, path); got[0] != "404" {
			t.Errorf("%s for operators: %q, want 404", path, got)
		}
	}
}

// probe is the status and what else a probe may look at.
func probe(t *testing.T, method, addr, path string) []string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return []string{fmt.Sprint(resp.StatusCode), requestIDs.ReplaceAllString(string(body), ""), resp.Header.Get("Content-Type"), resp.Header.Get("Cache-Control"), resp.Header.Get("Retry-After")}
}

var requestIDs = regexp.MustCompile(`"request_id":"[A-Z2-7]+"`)
