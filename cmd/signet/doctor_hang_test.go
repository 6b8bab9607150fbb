//go:build linux

package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDoctorOnAServerThatHangs: it says so soon, and what to look at.
func TestDoctorOnAServerThatHangs(t *testing.T) {
	t.Parallel()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := serveBinary(t, dir, addr)
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	out, _, err := signet(t, "", "doctor", "--data", dir)
	took := time.Since(began)
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(out), " ")
	if err == nil || took > 30*time.Second ||
		!strings.Contains(said, "fail server it does not say how it is: no answer within 5s -> look at its log, and at its disk: dmesg; if it stays so, restart signet serve ") {
		t.Errorf("after %s: %v\n%s", took, err, out)
	}
}
