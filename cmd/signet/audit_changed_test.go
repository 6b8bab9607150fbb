package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestChangedAuditLog: what a start finds of an audit log that was cut, the metrics and
// signet doctor tell for as long as the file is there, whatever is written behind the cut.
func TestChangedAuditLog(t *testing.T) {
	for name, change := range map[string]struct {
		do    func(t *testing.T, path string)
		while bool // the server runs
		found string
	}{
		"cut":                     {do: dropLastLine, found: "the audit log does not end as it did"},
		"written by another":      {do: addLine, found: "the audit log holds records that signet did not write"},
		"cut at a running server": {do: dropLastLine, while: true, found: "the audit log does not end as it did"},
		"emptied at a running server": {while: true, found: "was removed or emptied while it was written",
			do: func(t *testing.T, path string) { truncateTo(t, path, 0) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, addr, p := runningIssuer(t)
			log := filepath.Join(dir, "audit.log")
			mustSignet(t, pw, "users", "add", "kyoko", "--password-stdin", "--data", dir)
			ops, err := freeAddress()
			if err != nil {
				t.Fatal(err)
			}
			p.terminate(t)
			if !change.while {
				change.do(t, log)
			}
			p = serveBinary(t, dir, addr, "SIGNET_KEYS_ALGORITHMS=ES256", "SIGNET_OPS_LISTEN="+ops)
			if change.while {
				if suspect := scrape(t, ops).series["signet_audit_suspect"]; suspect != 0 {
					t.Errorf("signet_audit_suspect is %v of a log that nobody changed", suspect)
				}
				change.do(t, log)
			}
			mustSignet(t, pw, "users", "add", "mori", "--password-stdin", "--data", dir)
			reload(t, p, 1)
			if suspect := scrape(t, ops).series["signet_audit_suspect"]; suspect != 1 {
				t.Errorf("signet_audit_suspect is %v", suspect)
			}
			doctorOf(t, issuerEnv(dir, addr)).wants(t, exitFailed, "fail audit log: "+change.found+" -> signet audit verify says where")
			if err := os.Rename(log, log+".1"); err != nil {
				t.Fatal(err)
			}
			reload(t, p, 2)
			if suspect := scrape(t, ops).series["signet_audit_suspect"]; suspect != 0 {
				t.Errorf("signet_audit_suspect is %v of a new file", suspect)
			}
			doctorOf(t, issuerEnv(dir, addr)).wants(t, exitDone)
		})
	}
}

// reload sends SIGHUP and waits until the audit log has its n-th record of that.
func reload(t *testing.T, p *process, n int) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGHUP)
	if err := waitFor(10*time.Second, func() error {
		if strings.Count(p.stderr.String(), "msg=\"audit log\"") < 1+n { // the first is of the start
			return os.ErrNotExist
		}
		return nil
	}); err != nil {
		t.Fatalf("no reload: %s", p.stderr)
	}
}

func truncateTo(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.Truncate(path, int64(size)); err != nil {
		t.Fatal(err)
	}
}

func dropLastLine(t *testing.T, path string) {
	t.Helper()
	text := read(t, path)
	truncateTo(t, path, bytes.LastIndexByte(text[:len(text)-1], '\n')+1)
}

// addLine adds a record that follows no other.
func addLine(t *testing.T, path string) {
	t.Helper()
	text := read(t, path)
	last := text[bytes.LastIndexByte(text[:len(text)-1], '\n')+1:]
	more := bytes.Replace(last, []byte(`{"seq":`), []byte(`{"seq":9`), 1)
	if err := os.WriteFile(path, append(text, more...), 0o600); err != nil {
		t.Fatal(err)
	}
}
