//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"signet/internal/audit"
)

// TestFullAuditDisk fills the disk of the audit log under a running server: logins are
// refused with 503 and nothing else is; an operator is told that a change is not on
// record; and once there is room, what happened meanwhile is in the log, which is whole.
func TestFullAuditDisk(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	ops, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	d := serveOnSmallDisk(t, "64k", "SIGNET_DATA="+data, "SIGNET_OPS_LISTEN="+ops, "SIGNET_AUDIT_FILE=%DISK/audit.log")
	mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", data)
	tokens, err := login(t.Context(), client, d.base, "kyoko", "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}

	d.step("filled")
	refused := refusedUnrecorded(t, d.process)
	if refused.status != http.StatusServiceUnavailable || refused.retryAfter == "" {
		t.Errorf("a login that cannot be recorded is answered with %d, Retry-After %q: %s", refused.status, refused.retryAfter, refused.body)
	}
	if _, err := refresh(t.Context(), client, d.base, tokens["refresh"]); err != nil {
		t.Errorf("a refresh needs no record: %v", err)
	}
	if resp, err := client.Get(d.base + "/.well-known/jwks.json"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the key set: %v, %v", resp, err)
	}
	_, stderr, err := signet(t, "", "users", "disable", "kyoko", "--data", data)
	if err == nil || !strings.Contains(stderr, "signet: users disable: it was done, but is not on record yet: the audit log cannot be written") ||
		!strings.Contains(stderr, "try: make room on the disk of the audit log") {
		t.Errorf("a command that could not be recorded: %v, %s", err, stderr)
	}
	d.waitLog(t, `msg="operator's command done, and not on record" op="users disable"`)
	mustSignet(t, "", "users", "show", "kyoko", "--data", data)
	d.waitLog(t, `msg="the audit log cannot be written: logins are refused until it can; make room on its disk`)

	if resp, err := client.Get(d.base + "/readyz"); err != nil {
		t.Error(err)
	} else if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"warning":"logins are refused: they cannot be recorded"`) {
		t.Errorf("/readyz: %s %s", resp.Status, body)
	}
	before := scrape(t, ops).series[`signet_logins_total{outcome="failed"}`]
	for range 3 {
		login(t.Context(), client, d.base, "kyoko", "correct horse battery")
	}
	if after := scrape(t, ops).series[`signet_logins_total{outcome="failed"}`]; after != before+3 {
		t.Errorf("three logins that are refused count as %v", after-before)
	}
	if out, _, err := signet(t, "", "doctor", "--data", data); err == nil || !strings.Contains(strings.Join(strings.Fields(out), " "), " fail audit log the audit log cannot be written: ") {
		t.Errorf("signet doctor: %v\n%s", err, out)
	}

	d.step("freed")
	d.waitLog(t, `msg="the audit log is written again"`)
	mustSignet(t, "", "users", "enable", "kyoko", "--data", data)
	if _, err := login(t.Context(), client, d.base, "kyoko", "correct horse battery"); err != nil {
		t.Errorf("no login once there is room again: %v\n%s", err, d.stderr)
	}
	log := filepath.Join(d.disk, "audit.log")
	if out := mustSignet(t, "", "audit", "verify", log, "--data", data); !strings.Contains(out, "the end is as the issuer knows it") {
		t.Errorf("the log does not check clean: %s", out)
	}
	if text, _ := os.ReadFile(log); !strings.Contains(string(text), `"action":"users disable","target":"kyoko","outcome":"done"`) {
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
		p := serveBinary(t, dir, addr, "SIGNET_THROTTLE_PAIR=0") // the clients have one account
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
