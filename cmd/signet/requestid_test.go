//go:build linux

package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLinesOfARequestHaveItsID: whatever the server logs of a request can be found by the
// X-Request-Id of its answer (docs/operations.md), and has it once.
func TestLinesOfARequestHaveItsID(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p := serveBinary(t, dir, addr, "SIGNET_LOG_LEVEL=debug")
	mustSignet(t, doorPassword, "users", "add", "kyoko", "--password-stdin", "--data", dir)
	ask := func(path string, form url.Values) string {
		t.Helper()
		resp, err := client.PostForm(p.base+path, form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Header.Get("X-Request-Id")
	}
	tokens, err := login(t.Context(), client, p.base, "kyoko", doorPassword)
	if err != nil {
		t.Fatal(err)
	}
	for line, id := range map[string]string{
		"msg=login sub=":      ask("/api/token/", url.Values{"username": {"kyoko"}, "password": {doorPassword}}),
		`msg="login refused"`: ask("/api/token/", url.Values{"username": {"kyoko"}, "password": {"wrong"}}),
		"msg=logout":          ask("/api/token/blacklist/", url.Values{"refresh": {tokens["refresh"]}}),
		"msg=request":         ask("/api/token/verify/", url.Values{"token": {tokens["access"]}}),
	} {
		if err := waitFor(10*time.Second, func() error {
			for l := range strings.Lines(p.stderr.String()) {
				if strings.Contains(l, line) && strings.Contains(l, "request_id="+id) && strings.Count(l, "request_id=") == 1 {
					return nil
				}
			}
			return fmt.Errorf("no line %s of the request %q in\n%s", line, id, p.stderr)
		}); err != nil || id == "" {
			t.Error(err)
		}
	}
}
