package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signet/internal/audit"
)

// TestFullAuditDisk fills the disk of the audit log under a running server: logins are
// refused with 503 and nothing else is; an operator is told that a change is not on
// record; and once there is room, what happened meanwhile is in the log, which is whole.
func TestFullAuditDisk(t *testing.T) {
	unshare := needsNamespace(t)
	dir := t.TempDir()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"disk", "data"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "steps"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `
mount -t tmpfs -o size=64k,mode=700 tmpfs "$DIR/disk"
"$BINARY" serve --data "$DIR/data" --audit-file "$DIR/disk/audit.log" & server=$!
exec 3<"$DIR/steps"
read step <&3; cat /dev/zero >"$DIR/disk/filler" 2>/dev/null; touch "$DIR/filled"
read step <&3; rm "$DIR/disk/filler"; touch "$DIR/freed"
read step <&3; cp "$DIR/disk/audit.log" "$DIR/copy"; touch "$DIR/copied"
wait $server`
	cmd := exec.Command(unshare[0], append(unshare[1:], "sh", "-c", script)...)
	cmd.Env = testEnv("DIR="+dir, "BINARY="+binary, "SIGNET_LISTEN="+addr, "SIGNET_ISSUER=http://"+addr)
	steps := make(chan *os.File, 1)
	go func() {
		if f, err := os.OpenFile(filepath.Join(dir, "steps"), os.O_WRONLY, 0); err == nil {
			steps <- f
		}
	}()
	p := launch(t, addr, cmd)
	pipe := <-steps
	defer pipe.Close()
	step := func(done string) {
		t.Helper()
		fmt.Fprintln(pipe, "next")
		if err := waitFor(30*time.Second, func() error {
			_, err := os.Stat(filepath.Join(dir, done))
			return err
		}); err != nil {
			t.Fatalf("%v\n%s", err, p.stderr)
		}
	}
	data := filepath.Join(dir, "data")
	mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", data)
	tokens, err := login(t.Context(), client, p.base, "kyoko", "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}

	step("filled")
	refused := refusedUnrecorded(t, p)
	if refused.status != http.StatusServiceUnavailable || refused.retryAfter == "" {
		t.Errorf("a login that cannot be recorded is answered with %d, Retry-After %q: %s", refused.status, refused.retryAfter, refused.body)
	}
	if _, err := refresh(t.Context(), client, p.base, tokens["refresh"]); err != nil {
		t.Errorf("a refresh needs no record: %v", err)
	}
	if resp, err := client.Get(p.base + "/.well-known/jwks.json"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the key set: %v, %v", resp, err)
	}
	_, stderr, err := signet(t, "", "users", "disable", "kyoko", "--data", data)
	if err == nil || !strings.Contains(stderr, "signet: users disable: it was done, but is not on record yet: the audit log cannot be written") ||
		!strings.Contains(stderr, "try: make room on the disk of the audit log") {
		t.Errorf("a command that could not be recorded: %v, %s", err, stderr)
	}
	mustSignet(t, "", "users", "show", "kyoko", "--data", data)
	p.waitLog(t, `msg="the audit log cannot be written: logins are refused until it can; make room on its disk`)

	step("freed")
	p.waitLog(t, `msg="the audit log is written again"`)
	mustSignet(t, "", "users", "enable", "kyoko", "--data", data)
	if _, err := login(t.Context(), client, p.base, "kyoko", "correct horse battery"); err != nil {
		t.Errorf("no login once there is room again: %v\n%s", err, p.stderr)
	}
	step("copied")
	if out := mustSignet(t, "", "audit", "verify", filepath.Join(dir, "copy"), "--data", data); !strings.Contains(out, "the end is as the issuer knows it") {
		t.Errorf("the log does not check clean: %s", out)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "copy")); !strings.Contains(string(text), `"action":"users disable","target":"kyoko","outcome":"done"`) {
		t.Errorf("what happened meanwhile is not in the log:\n%s", text)
	}
}

// refusedUnrecorded logs in until the log has no room for one more record.
func refusedUnrecorded(t *testing.T, p *process) *statusError {
	t.Helper()
	var refused *statusError
	for range 1000 {
		_, err := login(t.Context(), client, p.base, "kyoko", "correct horse battery")
		if errors.As(err, &refused) {
			return refused
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the full disk took every record")
	return nil
}

// TestKillUnderLogins kills the real binary in the middle of logins, again and again:
// each login that was answered is on record, and the log is whole.
func TestKillUnderLogins(t *testing.T) {
	const rounds, clients, loginsBeforeKill = 5, 8, 40
	dir := filepath.Join(t.TempDir(), "data")
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	answered := map[string]bool{} // session ids
	for round := range rounds {
		p := serveBinary(t, dir, addr)
		if round == 0 {
			mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", dir)
		}
		for _, sid := range loginsUntilKilled(t, p, clients, loginsBeforeKill) {
			answered[sid] = true
		}
	}
	serveBinary(t, dir, addr)
	if out := mustSignet(t, "", "audit", "verify", "--data", dir); !strings.Contains(out, "the end is as the issuer knows it") {
		t.Errorf("the log does not check clean: %s", out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		delete(answered, r.Session)
	}
	if len(answered) > 0 {
		t.Errorf("%d logins were answered and are not on record: %v", len(answered), answered)
	}
	if len(text) < rounds*loginsBeforeKill*100 {
		t.Errorf("the log has only %d bytes", len(text))
	}
}

// loginsUntilKilled logs in from several clients, kills the server once enough were
// answered, and returns their sessions.
func loginsUntilKilled(t *testing.T, p *process, clients, enough int) (sids []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	reached := make(chan struct{})
	for range clients {
		all.Go(func() {
			for {
				tokens, err := login(ctx, client, p.base, "kyoko", "correct horse battery")
				if err != nil {
					return // the server is gone
				}
				mu.Lock()
				sids = append(sids, claimsOf(t, tokens["access"]).Session)
				if len(sids) == enough {
					close(reached)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-reached:
	case <-ctx.Done():
		t.Error("too few logins were answered")
	}
	p.kill()
	all.Wait()
	return sids
}
