package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"signet/internal/control"
	"signet/internal/store/boltstore"
	"signet/keystore"
)

// keysUnderTest are quick to make.
const keysUnderTest = "SIGNET_KEYS_ALGORITHMS=ES256,ES384"

// listKeys is what signet keys list -o json says.
func listKeys(t *testing.T, dir string) control.KeyList {
	t.Helper()
	var list control.KeyList
	if err := json.Unmarshal([]byte(mustSignet(t, "", "keys", "list", "-o", "json", "--data", dir)), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func stateOf(list control.KeyList, kid string) keystore.State {
	for _, k := range list.Keys {
		if k.KID == kid {
			return k.State
		}
	}
	return ""
}

// newKeyFile writes a private key that was made elsewhere.
func newKeyFile(t *testing.T) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keyChanges are the commands that change the keys at once.
var keyChanges = map[string]func(t *testing.T, active string) []string{
	"rotate": func(*testing.T, string) []string { return []string{"keys", "rotate", "--now"} },
	"revoke": func(_ *testing.T, active string) []string { return []string{"keys", "revoke", active} },
	"import": func(t *testing.T, _ string) []string { return []string{"keys", "import", newKeyFile(t), "--now"} },
	"reseal": func(*testing.T, string) []string { return []string{"keys", "reseal"} },
}

// expectWhole holds what a kill left to what every start must find: one key of each
// algorithm signs, no other has a private half, and one sealing key opens them.
func expectWhole(t *testing.T, dir string) control.KeyList {
	t.Helper()
	list := listKeys(t, dir)
	active := map[string]int{}
	for _, k := range list.Keys {
		if k.State == keystore.Active {
			active[k.Alg]++
		}
		if k.PrivateHalf != (k.State == keystore.Active) {
			t.Errorf("a %s key has a private half: %v", k.State, k.PrivateHalf)
		}
	}
	if len(active) != 2 || active["ES256"] != 1 || active["ES384"] != 1 {
		t.Errorf("active keys: %v", active)
	}
	if _, err := os.Lstat(filepath.Join(dir, "seal.key.new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("seal.key.new: %v", err)
	}
	return list
}

func activeKey(t *testing.T, list control.KeyList, alg string) string {
	t.Helper()
	i := slices.IndexFunc(list.Keys, func(k keystore.Info) bool { return k.Alg == alg && k.State == keystore.Active })
	if i < 0 {
		t.Fatalf("no %s key is active: %+v", alg, list.Keys)
	}
	return list.Keys[i].KID
}

// TestKillDuringKeyChanges kills the server in the middle of each change of the keys, at
// any moment: what is there then is from before it or from after it, and tokens from
// before verify unless their key is revoked.
func TestKillDuringKeyChanges(t *testing.T) {
	const rounds = 10
	for name, change := range keyChanges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			addr, err := freeAddress()
			if err != nil {
				t.Fatal(err)
			}
			p := serveBinary(t, dir, addr, keysUnderTest)
			mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", dir)
			done := 0
			for range rounds {
				before := expectWhole(t, dir)
				kid := activeKey(t, before, "ES256")
				tokens, err := login(t.Context(), client, p.base, "kyoko", "correct horse battery")
				if err != nil {
					t.Fatal(err)
				}
				seal := readSealFile(t, dir)
				killDuring(t, p, append(change(t, kid), "--data", dir))
				p = serveBinary(t, dir, addr, keysUnderTest)
				after := expectWhole(t, dir)
				if len(after.Keys) != len(before.Keys) || readSealFile(t, dir) != seal {
					done++
				}
				expectTokenAfterKill(t, p, after, kid, tokens["access"])
			}
			t.Logf("%d of %d changes were made before the kill", done, rounds)
		})
	}
}

func readSealFile(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// killDuring runs a command and kills the server, and the command with it, at a random
// moment.
func killDuring(t *testing.T, p *process, args []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = testEnv()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	select {
	case <-time.After(mathrand.N(25 * time.Millisecond)):
	case <-ended:
	}
	cmd.Process.Kill() // or it would do its work itself where it finds no server
	p.kill()
	<-ended
}

func expectTokenAfterKill(t *testing.T, p *process, list control.KeyList, kid, token string) {
	t.Helper()
	_, err := postJSON(t.Context(), client, p.base+"/api/token/verify/", url.Values{"token": {token}})
	if revoked := stateOf(list, kid) == keystore.Revoked; (err == nil) == revoked {
		t.Errorf("the key of the token is %s, and verifying it: %v", stateOf(list, kid), err)
	}
}

// TestKillKeyCommands kills the commands themselves, which own the database while no
// server runs.
func TestKillKeyCommands(t *testing.T) {
	const rounds = 15
	for name, change := range keyChanges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			addr, err := freeAddress()
			if err != nil {
				t.Fatal(err)
			}
			serveBinary(t, dir, addr, keysUnderTest).kill()
			run := func(ctx context.Context, args []string) error {
				cmd := exec.CommandContext(ctx, binary, append(args, "--data", dir)...)
				cmd.Env = testEnv()
				return cmd.Run()
			}
			next := func() []string { return change(t, activeKey(t, expectWhole(t, dir), "ES256")) }
			args, began := next(), time.Now()
			if err := run(t.Context(), args); err != nil {
				t.Fatal(err)
			}
			whole, killed := time.Since(began), 0
			for range rounds {
				args := next()
				ctx, cancel := context.WithTimeout(t.Context(), whole/4+mathrand.N(whole))
				if run(ctx, args) != nil {
					killed++
				}
				cancel()
			}
			expectWhole(t, dir)
			t.Logf("%d of %d commands were killed", killed, rounds)
		})
	}
}

// TestSealingKeyIsLostWhileServing: the running server goes on and says at a reload what
// a restart would meet; the restart refuses to start.
func TestSealingKeyIsLostWhileServing(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "seal.key")
	if err := keystore.CreateSealingKey(foreign); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil           func(path string) error
		reload, restart string
	}{
		"removed": {os.Remove, "open SEAL: no such file or directory",
			"SEAL is missing, and the signing keys in the database cannot be opened without it: restore the file from its backup, or name its place with --seal-key"},
		"garbage": {func(path string) error { return os.WriteFile(path, []byte("garbage\n"), 0o600) },
			"SEAL does not hold a sealing key: restore the file from its backup", "SEAL does not hold a sealing key: restore the file from its backup"},
		"of another": {func(path string) error {
			text, err := os.ReadFile(foreign)
			return errors.Join(err, os.WriteFile(path, text, 0o600))
		}, "SEAL is not the one that the keys are sealed with", "(it was sealed with another key): it belongs to another database or was replaced; restore the file from its backup"},
		"readable": {func(path string) error { return os.Chmod(path, 0o644) },
			"others may read or change SEAL (mode 0644): run chmod 600 SEAL", "others may read or change SEAL (mode 0644): run chmod 600 SEAL"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			addr, err := freeAddress()
			if err != nil {
				t.Fatal(err)
			}
			seal := filepath.Join(dir, "seal.key")
			p := serveBinary(t, dir, addr, keysUnderTest)
			mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", dir)
			text, err := os.ReadFile(seal)
			if err := errors.Join(err, c.spoil(seal)); err != nil {
				t.Fatal(err)
			}
			if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			next := "needs the file: restore it from its backup"
			if name == "readable" {
				next = "refuses the file as it is"
			}
			want := `"sealing key: ` + strings.ReplaceAll(c.reload, "SEAL", seal) + `; this process goes on with the one it has, and the next start ` + next
			if err := waitFor(10*time.Second, func() error {
				if !strings.Contains(p.stderr.String(), `msg="reload failed" error=`+want) {
					return fmt.Errorf("the log does not say %s:\n%s", want, p.stderr)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			mustSignet(t, "", "keys", "rotate", "--now", "--data", dir)
			if _, err := login(t.Context(), client, p.base, "kyoko", "correct horse battery"); err != nil {
				t.Errorf("a login meanwhile: %v", err)
			}
			p.kill()
			expectServeRefused(t, dir, "sealing key: ", strings.ReplaceAll(c.restart, "SEAL", seal))
			if err := errors.Join(os.WriteFile(seal, text, 0o600), os.Chmod(seal, 0o600)); err != nil {
				t.Fatal(err)
			}
			serveBinary(t, dir, addr, keysUnderTest)
		})
	}
}

// expectServeRefused starts a server that must not start, and says why.
func expectServeRefused(t *testing.T, dir string, want ...string) {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, stderr, err := signet(t, "", "serve", "--data", dir, "--listen", addr, "--issuer", "http://"+addr)
	for _, part := range want {
		if err == nil || !strings.Contains(stderr, part) {
			t.Errorf("serve: %v\n%s\nwant %q", err, stderr, part)
		}
	}
}

// TestChangedRingOnDisk: whoever can write the database and lacks the sealing key
// changes no key; and what a newer signet wrote is left alone.
func TestChangedRingOnDisk(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*keystore.Ring)
		want   string
	}{
		"a newer format": {func(r *keystore.Ring) { r.Format = 4 },
			"the keys in the database were written by a newer signet: their format is 4 and this one knows 3: run the newer signet, or restore the backup from before it"},
		"a key added": {func(r *keystore.Ring) {
			k := r.Keys[0]
			k.KID, k.Sealed = "forged", ""
			r.Keys = append(r.Keys, k)
		}, "the keys in the database were changed by something other than signet: their authentication code does not fit: restore the database from a backup"},
		"passed for an old format": {func(r *keystore.Ring) { r.Format, r.MAC, r.SealedBy = 0, "", "" },
			"the keys in the database were changed by something other than signet: their authentication code is missing: restore the database from a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			addr, err := freeAddress()
			if err != nil {
				t.Fatal(err)
			}
			serveBinary(t, dir, addr, keysUnderTest).kill()
			path := filepath.Join(dir, "signet.db")
			db, err := boltstore.Open(path, boltstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			ring, err := db.LoadRing(t.Context())
			c.change(&ring)
			if err := errors.Join(err, db.ReplaceRing(t.Context(), ring), db.Close()); err != nil {
				t.Fatal(err)
			}
			expectServeRefused(t, dir, "signet: serve: "+c.want)
			if _, stderr, err := signet(t, "", "keys", "list", "--data", dir); err == nil || !strings.Contains(stderr, c.want) {
				t.Errorf("keys list: %v\n%s", err, stderr)
			}
		})
	}
}

// TestClockLeapsWhileServing: a year ahead and back, what an operator sees, and what
// the services of the issuer see.
func TestClockLeapsWhileServing(t *testing.T) {
	const year = 365 * 24 * time.Hour
	var offset atomic.Int64
	began := time.Now()
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	cfg := testConfig(t)
	cfg.Keys.Algorithms = []string{"ES256"}
	log := new(lockedBuffer)
	s := startLeaping(t, serverOptions{Config: cfg, Now: now, Elapsed: func() time.Duration { return time.Since(began) },
		Log: slog.New(slog.NewTextHandler(log, nil))})
	leap := func(by time.Duration) {
		t.Helper()
		offset.Add(int64(by))
		if _, err := s.domains.keys.Maintain(t.Context()); err != nil { // Run looks every half minute
			t.Fatal(err)
		}
	}
	dir := cfg.Data
	mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", dir)
	mustSignet(t, "", "keys", "rotate", "--data", dir)
	before := listKeys(t, dir)
	old, err := login(t.Context(), client, s.baseURL(), "kyoko", "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}

	leap(year)
	rs := &service{now: now, url: s.baseURL() + "/.well-known/jwks.json", http: client}
	fresh, err := login(t.Context(), client, s.baseURL(), "kyoko", "correct horse battery")
	if err := errors.Join(err, rs.verify(t.Context(), fresh["access"])); err != nil {
		t.Errorf("a token that is made a year ahead: %v", err)
	}
	out := mustSignet(t, "", "keys", "list", "--data", dir)
	for _, want := range []string{"the schedule is stopped since ", "365d ahead of what it should be", "signet keys resume", "pending"} {
		if !strings.Contains(out, want) {
			t.Errorf("keys list does not say %q:\n%s", want, out)
		}
	}
	stopped := listKeys(t, dir)
	if stopped.Schedule == nil || stopped.Schedule.Stopped.IsZero() || stateOf(stopped, before.Keys[0].KID) != keystore.Active || !stopped.Keys[0].PrivateHalf {
		t.Errorf("%+v", stopped)
	}
	if _, stderr, err := signet(t, "", "keys", "rotate", "--in", "48h", "--data", dir); err == nil || !strings.Contains(stderr, "the schedule of the keys is stopped: the clock says ") ||
		!strings.Contains(stderr, "try: signet keys resume") {
		t.Errorf("keys rotate: %v\n%s", err, stderr)
	}

	leap(-year)
	rs.set = nil
	if err := rs.verify(t.Context(), old["access"]); err != nil {
		t.Errorf("a token from before the leaps: %v", err)
	}
	if out := mustSignet(t, "", "keys", "list", "--data", dir); strings.Contains(out, "stopped") {
		t.Errorf("the clock is right and the schedule is stopped:\n%s", out)
	}

	leap(year)
	out = mustSignet(t, "", "keys", "resume", "--data", dir)
	if !strings.Contains(out, "the schedule goes on from ") || !strings.Contains(out, "published; signs from ") || !strings.Contains(out, "(in 23h59m)") && !strings.Contains(out, "(in 1d)") {
		t.Errorf("keys resume:\n%s", out)
	}
	if after := listKeys(t, dir); after.Schedule != nil || stateOf(after, before.Keys[0].KID) != keystore.Active || len(after.Keys) != 2 {
		t.Errorf("%+v", after)
	}
	if strings.Contains(log.String(), "destroyed the private half") {
		t.Errorf("a private half was destroyed:\n%s", log)
	}
}

func startLeaping(t *testing.T, opts serverOptions) *server {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	opts.Config.Listen, opts.Config.Issuer, opts.Config.OpsListen = addr, "http://"+addr, ""
	s, err := newServer(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s
}

// TestStartAfterALongDowntime cannot be told from a leap: it waits for an operator.
func TestStartAfterALongDowntime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	serveBinary(t, dir, addr, keysUnderTest).kill()
	cfg := testConfig(t)
	cfg.Data, cfg.Keys.Algorithms = dir, []string{"ES256", "ES384"}
	log := new(lockedBuffer)
	s := startLeaping(t, serverOptions{Config: cfg, Now: func() time.Time { return time.Now().Add(30 * 24 * time.Hour) },
		Log: slog.New(slog.NewTextHandler(log, nil))})
	if err := waitFor(10*time.Second, func() error {
		if !strings.Contains(log.String(), "the schedule of the keys is stopped") || !strings.Contains(log.String(), "level=WARN") {
			return fmt.Errorf("the log says %s", log)
		}
		return isReady(s.address())
	}); err != nil {
		t.Fatal(err)
	}
	if out := mustSignet(t, "", "keys", "resume", "--data", dir); !strings.Contains(out, "the schedule goes on from ") {
		t.Errorf("keys resume:\n%s", out)
	}
	if list := expectWhole(t, dir); list.Schedule != nil {
		t.Errorf("%+v", list)
	}
}
