//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSocketIsRemoved: the server makes its control socket anew and says so once in its
// log. A command that comes meanwhile waits and is done; where the server does not come
// back to its socket, the command names the process and the socket that is missing.
func TestSocketIsRemoved(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	path := filepath.Join(d.dir, "control.sock")
	for round := 1; round <= 2; round++ {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		d.mustRun(doorPassword, "users", "add", fmt.Sprint("user", round), "--password-stdin")
		d.server.waitLog(t, "the control socket was removed; made anew")
		if n := strings.Count(d.server.stderr.String(), "made anew"); n != round {
			t.Errorf("%d warnings after %d removals:\n%s", n, round, d.server.stderr)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("the new socket: %v, %v", info, err)
		}
	}
	pid := d.server.cmd.Process.Pid
	if err := errors.Join(syscall.Kill(pid, syscall.SIGSTOP), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	_, stderr, exit := d.run("", "users", "list")
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("signet: users list: %s is in use by process %d (signet), and its control socket %s is missing\n  try: ",
		filepath.Join(d.dir, "signet.db"), pid, path)
	if exit != exitFailed || !strings.HasPrefix(stderr, want) {
		t.Errorf("exit %d, %q, want %q", exit, stderr, want)
	}
	d.stop() // the socket goes with it
}

// TestSocketIsReplaced: what another put in the place of the socket stays, also when the
// server ends; the log says once that commands do not come through, and a command says
// what to move. Once it is gone the server makes its socket anew.
func TestSocketIsReplaced(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	path := filepath.Join(d.dir, "control.sock")
	replace := func() {
		t.Helper()
		if err := os.WriteFile(path+".other", []byte("other"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".other", path); err != nil {
			t.Fatal(err)
		}
	}
	replace()
	_, stderr, exit := d.run("", "users", "list")
	want := "and another file is in the place of its control socket " + path + "\n  try: mv " + path
	if exit != exitFailed || !strings.Contains(stderr, want) {
		t.Errorf("exit %d, %q, want %q", exit, stderr, want)
	}
	const warning = "commands do not reach this server through its control socket"
	log := d.server.waitLog(t, warning)
	if strings.Count(log, warning) != 1 || !strings.Contains(log, "another file is in its place") {
		t.Errorf("the log:\n%s", log)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "other" {
		t.Fatalf("the other file: %q, %v", text, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	d.mustRun("", "users", "list")
	replace()
	if err := d.server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-d.server.done
	if text, err := os.ReadFile(path); err != nil || string(text) != "other" {
		t.Errorf("the other file after the server ended: %q, %v", text, err)
	}
}

// TestSocketOfAnotherServer: a server whose socket another server has taken leaves that
// alone, also when it ends.
func TestSocketOfAnotherServer(t *testing.T) {
	t.Parallel()
	first := newDoor(t)
	moved := first.dir + ".moved"
	if err := os.Rename(first.dir, moved); err != nil {
		t.Fatal(err)
	}
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	second := &door{t: t, dir: first.dir, issuer: "http://" + addr, server: serveBinary(t, first.dir, addr, algorithms)}
	if err := first.server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-first.server.done
	second.mustRun(doorPassword, "users", "add", "kyoko", "--password-stdin")
	if err := waitFor(2*time.Second, func() error {
		_, err := login(t.Context(), client, second.server.base, "kyoko", doorPassword)
		return err
	}); err != nil {
		t.Error(err)
	}
	if strings.Contains(second.server.stderr.String(), "control socket") {
		t.Errorf("the second server lost its socket:\n%s", second.server.stderr)
	}
	second.stop()
}
