package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// TestLogForPrograms: with log.format json each line of a server's log is an object, from
// the warnings about its configuration to its end.
func TestLogForPrograms(t *testing.T) {
	t.Parallel()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := serveBinary(t, dir, addr, "SIGNET_LOG_FORMAT=json", "SIGNET_REFRESH_ROTATE=false")
	mustSignet(t, doorPassword, "users", "add", "kyoko", "--password-stdin", "--data", dir)
	if _, err := login(t.Context(), client, p.base, "kyoko", doorPassword); err != nil {
		t.Fatal(err)
	}
	p.waitLog(t, `"msg":"login"`)
	p.terminate(t)
	said := map[string]bool{}
	for line := range strings.Lines(p.stderr.String()) {
		var l struct{ Time, Level, Msg, Warning, Issuer, Listen string }
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Time == "" || l.Level == "" {
			t.Errorf("%v: %s", err, line)
		}
		said[l.Msg] = true
		switch {
		case l.Msg == "configuration" && strings.HasPrefix(l.Warning, "refresh.rotate: "):
			said["the warning"] = true
		case l.Msg == "serving" && (l.Issuer != p.base || l.Listen != addr):
			t.Errorf("it serves %s on %s", l.Issuer, l.Listen)
		}
	}
	for _, what := range []string{"the warning", "serving", "login"} {
		if !said[what] {
			t.Errorf("nothing of %s in\n%s", what, p.stderr)
		}
	}
}
