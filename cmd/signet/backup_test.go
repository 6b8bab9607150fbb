package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"signet/internal/store/boltstore"
)

// backedIssuer is an issuer that backups are made of.
type backedIssuer struct {
	dir, data, addr string
	*process
}

func newBackedIssuer(t *testing.T) *backedIssuer {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := &backedIssuer{dir: dir, data: filepath.Join(dir, "data"), addr: addr}
	b.start(t)
	mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", b.data)
	return b
}

func (b *backedIssuer) start(t *testing.T) {
	t.Helper()
	b.process = serveBinary(t, b.data, b.addr, keysUnderTest)
}

func (b *backedIssuer) path(name string) string { return filepath.Join(b.dir, name) }

func (b *backedIssuer) login(t *testing.T) map[string]string {
	t.Helper()
	pair, err := login(t.Context(), client, b.base, "kyoko", "correct horse battery")
	if err != nil {
		t.Fatalf("%v\n%s", err, b.stderr)
	}
	return pair
}

// enlarge lets the database have some MiB more, so that copying it takes time.
func (b *backedIssuer) enlarge(t *testing.T, mib int) {
	t.Helper()
	b.kill()
	db, err := bbolt.Open(filepath.Join(b.data, "signet.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		padding, err := tx.CreateBucket([]byte("padding"))
		for i := range mib * 16 {
			err = errors.Join(err, padding.Put(fmt.Appendf(nil, "%06d", i), bytes.Repeat([]byte{byte(i)}, 64<<10)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b.start(t)
}

// partials are the files of killed commands in a directory.
func partials(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.partial-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// missingOrWhole reports whether there is a file, and wants it to be whole.
func missingOrWhole(t *testing.T, path string) bool {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false
	}
	contents, err := boltstore.ReadBackup(path, path)
	if err != nil || contents.Users != 1 {
		t.Errorf("half a database is under its name: %+v, %v", contents, err)
	}
	return true
}

func getJWKS(t *testing.T, base string) string {
	t.Helper()
	resp, err := client.Get(base + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	return string(body)
}

// TestBackupUnderRefreshLoad: every refresh that was answered before the backup began is
// in it, one chain each, and what is restored is the same issuer.
func TestBackupUnderRefreshLoad(t *testing.T) {
	t.Parallel()
	b := newBackedIssuer(t)
	idle, jwks := b.login(t), getJWKS(t, b.base)
	chains := make([]*loadedChain, 4)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for i := range chains {
		chains[i] = &loadedChain{tokens: []string{b.login(t)["refresh"]}}
		load.Go(func() { chains[i].refreshUntil(ctx, t, b.base) })
	}
	before := make([]int, len(chains))
	for i, c := range chains {
		if err := waitFor(20*time.Second, func() error {
			if before[i] = c.len(); before[i] < 10 {
				return errors.New("too few refreshes were answered")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range chains {
		before[i] = c.len()
	}
	file := b.path("nightly.db")
	mustSignet(t, "", "backup", file, "--data", b.data)
	stop()
	load.Wait()
	b.kill()

	restored := filepath.Join(b.dir, "restored")
	mustSignet(t, "", "restore", file, "--data", restored, "--seal-key", filepath.Join(b.data, "seal.key"))
	currents := sessionsIn(t, restored)
	key, err := os.ReadFile(filepath.Join(b.data, "seal.key"))
	if err := errors.Join(err, os.WriteFile(filepath.Join(restored, "seal.key"), key, 0o600)); err != nil {
		t.Fatal(err)
	}
	p := serveBinary(t, restored, b.addr, keysUnderTest)
	for i, c := range chains {
		candidates := c.tokens[before[i]-1:]
		at := slices.IndexFunc(candidates, func(token string) bool {
			claims := claimsOf(t, token)
			return currents[claims.Session] == claims.ID
		})
		if at < 0 {
			t.Errorf("the session of chain %d waits for none of the last %d tokens", i, len(candidates))
			continue
		}
		if _, err := refresh(t.Context(), client, p.base, candidates[at]); err != nil {
			t.Errorf("chain %d: %v", i, err)
		}
	}
	if _, err := refresh(t.Context(), client, p.base, idle["refresh"]); err != nil {
		t.Errorf("the idle session: %v", err)
	}
	if _, err := login(t.Context(), client, p.base, "kyoko", "correct horse battery"); err != nil {
		t.Errorf("a login: %v", err)
	}
	if got := getJWKS(t, p.base); got != jwks {
		t.Errorf("the key set is\n%s\nand was\n%s", got, jwks)
	}
}

// loadedChain is a session that is refreshed while a test reads it.
type loadedChain struct {
	mu     sync.Mutex
	tokens []string
}

func (c *loadedChain) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.tokens)
}

func (c *loadedChain) refreshUntil(ctx context.Context, t *testing.T, base string) {
	for ctx.Err() == nil {
		pair, err := refresh(t.Context(), client, base, c.tokens[len(c.tokens)-1])
		if err != nil {
			t.Error(err)
			return
		}
		c.mu.Lock()
		c.tokens = append(c.tokens, pair["refresh"])
		c.mu.Unlock()
	}
}

// sessionsIn are the jtis that the sessions of a database wait for, by session.
func sessionsIn(t *testing.T, data string) map[string]string {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(data, "signet.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	sessions, err := store.ListSessions(t.Context(), "", "", 1000)
	if err != nil || len(sessions) == 0 {
		t.Fatalf("%d sessions, %v", len(sessions), err)
	}
	currents := map[string]string{}
	for _, s := range sessions {
		currents[s.ID] = s.Current
	}
	return currents
}

// killAt runs a command and kills it at a random moment of the time that it takes, which
// it learns. It reports whether the command was done before.
func killAt(t *testing.T, takes *time.Duration, args ...string) (done bool) {
	t.Helper()
	began := time.Now()
	defer func() {
		if done {
			*takes = min(*takes, time.Since(began))
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), mathrand.N(*takes*5/4))
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = testEnv()
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		t.Fatalf("signet %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return err == nil
}

// TestKillBackup kills the command at any moment, with a server and without one: the file
// is missing or whole, what is left over goes with the next backup, and the server goes on.
func TestKillBackup(t *testing.T) {
	const rounds = 15
	for name, withServer := range map[string]bool{"with a server": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackedIssuer(t)
			b.enlarge(t, 16)
			pair := b.login(t)
			if !withServer {
				b.kill()
			}
			file := b.path("nightly.db")
			args := []string{"backup", file, "--data", b.data}
			began := time.Now()
			mustSignet(t, "", args...)
			whole := time.Since(began)
			done, left := 0, 0
			for range rounds {
				if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				finished := killAt(t, &whole, args...)
				if there := missingOrWhole(t, file); there {
					done++
				} else if finished {
					t.Error("the backup was made, and is not there")
				}
				left += len(partials(t, b.dir))
			}
			mustSignet(t, "", append(args, "--force")...)
			if left := partials(t, b.dir); len(left) > 0 || !missingOrWhole(t, file) {
				t.Errorf("left after a whole backup: %q", left)
			}
			if done == rounds || left == 0 {
				t.Errorf("no kill came in the middle: %d of %d backups were made, %d files left", done, rounds, left)
			}
			if !withServer {
				b.start(t)
			}
			if _, err := refresh(t.Context(), client, b.base, pair["refresh"]); err != nil {
				t.Errorf("the server does not go on: %v\n%s", err, b.stderr)
			}
			t.Logf("%d of %d backups were made before the kill", done, rounds)
		})
	}
}

// TestKillServerDuringBackup: the command says so and leaves nothing.
func TestKillServerDuringBackup(t *testing.T) {
	t.Parallel()
	b := newBackedIssuer(t)
	b.enlarge(t, 128)
	broken := 0
	for round := range 10 {
		file := b.path(fmt.Sprintf("round%d.db", round))
		cmd := exec.CommandContext(t.Context(), binary, "backup", file, "--data", b.data)
		cmd.Env = testEnv()
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := mathrand.Int64N(64 << 20)
		err := waitFor(20*time.Second, func() error {
			for _, p := range partials(t, b.dir) {
				if info, err := os.Stat(p); err == nil && info.Size() > after {
					return nil
				}
			}
			if _, err := os.Stat(file); err == nil {
				return nil
			}
			return errors.New("the backup does not begin")
		})
		b.kill()
		if ended := cmd.Wait(); err != nil {
			t.Fatalf("%v: %v\n%s", err, ended, stderr.String())
		} else if ended != nil {
			broken++
			if want := "signet: backup: the server on " + filepath.Join(b.data, "control.sock") + " broke off: "; !strings.HasPrefix(stderr.String(), want) || missingOrWhole(t, file) {
				t.Errorf("%v: %s", ended, stderr.String())
			}
		} else if !missingOrWhole(t, file) {
			t.Error("the backup was made, and is not there")
		}
		if left := partials(t, b.dir); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		os.Remove(file)
		b.start(t)
	}
	if broken == 0 {
		t.Error("no kill came in the middle")
	}
	t.Logf("%d of 10 backups were broken off", broken)
}

// TestKillRestore: the database is missing or whole, and the next restore works.
func TestKillRestore(t *testing.T) {
	const rounds = 15
	t.Parallel()
	b := newBackedIssuer(t)
	b.enlarge(t, 16)
	pair := b.login(t)
	file, key := b.path("nightly.db"), filepath.Join(b.data, "seal.key")
	mustSignet(t, "", "backup", file, "--data", b.data)
	b.kill()
	restored := b.path("restored")
	args := []string{"restore", file, "--data", restored, "--seal-key", key}
	database := filepath.Join(restored, "signet.db")
	began := time.Now()
	mustSignet(t, "", args...)
	whole := time.Since(began)
	done, left := 0, 0
	for range rounds {
		if err := os.Remove(database); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		killAt(t, &whole, args...)
		left += len(partials(t, restored))
		if missingOrWhole(t, database) {
			done++
			continue
		}
		mustSignet(t, "", args...)
		if left := partials(t, restored); len(left) > 0 || !missingOrWhole(t, database) {
			t.Errorf("left after a whole restore: %q", left)
		}
	}
	if done == rounds || left == 0 {
		t.Errorf("no kill came in the middle: %d of %d were restored, %d files left", done, rounds, left)
	}
	p := serveBinary(t, restored, b.addr, keysUnderTest, "SIGNET_SEAL_KEY="+key)
	if _, err := refresh(t.Context(), client, p.base, pair["refresh"]); err != nil {
		t.Error(err)
	}
	t.Logf("%d of %d were restored before the kill", done, rounds)
}

// TestFullDiskForABackup: neither command leaves anything, and the server notices nothing.
func TestFullDiskForABackup(t *testing.T) {
	unshare := needsNamespace(t)
	t.Parallel()
	b := newBackedIssuer(t)
	b.enlarge(t, 4)
	file := b.path("nightly.db")
	mustSignet(t, "", "backup", file, "--data", b.data)
	if err := os.Mkdir(b.path("disk"), 0o700); err != nil {
		t.Fatal(err)
	}
	inNamespace := func(script string) string {
		cmd := exec.CommandContext(t.Context(), unshare[0], append(unshare[1:], "sh", "-c", `mount -t tmpfs -o size=2m,mode=700 tmpfs "$DIR/disk"; cd "$DIR/disk"; `+script)...)
		cmd.Env = testEnv("DIR="+b.dir, "BINARY="+binary, "TMPDIR="+b.path("disk"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	for script, want := range map[string]string{
		`"$BINARY" backup small.db --data "$DIR/data"; echo "exit $?"; ls -A`:            "signet: backup: small.db was not written: no space left on device\nexit 1\n",
		`"$BINARY" backup - --data "$DIR/data" >/dev/null; echo "exit $?"; ls -A`:        "signet: backup: " + b.path("disk/signet-backup") + " was not written: no space left on device\nexit 1\n",
		`"$BINARY" restore "$DIR/nightly.db" --data data; echo "exit $?"; ls -A data`:    "signet: restore: data/signet.db was not restored: no space left on device\nexit 1\n",
		`"$BINARY" restore - --data data <"$DIR/nightly.db"; echo "exit $?"; ls -A data`: "signet: restore: data/signet.db was not restored: no space left on device\nexit 1\n",
	} {
		if out := inNamespace(script); out != want {
			t.Errorf("%s\n%s\nwant\n%s", script, out, want)
		}
	}
	b.login(t)
}

// TestInterruptedBackup and restore end at once, also while nothing moves.
func TestInterruptedBackup(t *testing.T) {
	t.Parallel()
	b := newBackedIssuer(t)
	file := b.path("nightly.db")
	mustSignet(t, "", "backup", file, "--data", b.data)

	server := b.cmd.Process
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	interrupted(t, b.dir, "signet: backup: interrupted: nothing was written\n", nil, "backup", b.path("other.db"), "--data", b.data)
	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	b.login(t)

	pipe, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	data := b.path("restored")
	interrupted(t, data, "signet: restore: interrupted: nothing was restored\n", pipe, "restore", "-", "--data", data)
}

// interrupted sends SIGINT to a command that has a partial file in dir.
func interrupted(t *testing.T, dir, want string, stdin *os.File, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = testEnv()
	if stdin != nil {
		cmd.Stdin = stdin
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err := waitFor(10*time.Second, func() error {
		if len(partials(t, dir)) == 0 {
			return errors.New("it does not begin")
		}
		return nil
	})
	if err := errors.Join(err, cmd.Process.Signal(os.Interrupt)); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if ended := (*exec.ExitError)(nil); !errors.As(err, &ended) || ended.ExitCode() != exitFailed || stderr.String() != want {
		t.Errorf("%v\n%s", err, stderr.String())
	}
	if left := partials(t, dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestDatabaseAppearsDuringRestore is not replaced, and two restores at once do not
// disturb each other.
func TestDatabaseAppearsDuringRestore(t *testing.T) {
	t.Parallel()
	b := newBackedIssuer(t)
	file, data := b.path("nightly.db"), b.path("restored")
	mustSignet(t, "", "backup", file, "--data", b.data)
	b.kill()
	backup, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(data, "signet.db")
	for name, appear := range map[string]func() error{
		"a file": func() error { return os.WriteFile(database, []byte("somebody's"), 0o600) },
		"another restore": func() error {
			mustSignet(t, "", "restore", file, "--data", data)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer os.Remove(database)
			var stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), binary, "restore", "-", "--data", data)
			cmd.Env, cmd.Stderr = testEnv(), &stderr
			feed, err := cmd.StdinPipe()
			if err := errors.Join(err, cmd.Start()); err != nil {
				t.Fatal(err)
			}
			began := waitFor(10*time.Second, func() error {
				if len(partials(t, data)) == 0 {
					return errors.New("it does not begin")
				}
				return nil
			})
			appeared := appear()
			before, err := os.ReadFile(database)
			_, fed := feed.Write(backup)
			if err := errors.Join(began, appeared, err, fed, feed.Close()); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if want := fmt.Sprintf("signet: restore: there is a database already, %s\n  try: mv %s %s.old\n", database, database, database); stderr.String() != want {
				t.Errorf("%s\nwant\n%s", stderr.String(), want)
			}
			if after, err := os.ReadFile(database); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the database was replaced: %v", err)
			}
			if left := partials(t, data); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// TestRestoreWhileInUse: who holds the database is named, whether a socket answers or not.
func TestRestoreWhileInUse(t *testing.T) {
	t.Parallel()
	b := newBackedIssuer(t)
	file := b.path("nightly.db")
	mustSignet(t, "", "backup", file, "--data", b.data)
	if err := os.Remove(filepath.Join(b.data, "control.sock")); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("signet: restore: %s is in use by process %d (signet): stop it first, or choose another data directory\n",
		filepath.Join(b.data, "signet.db"), b.cmd.Process.Pid)
	if _, stderr, err := signet(t, "", "restore", file, "--data", b.data); err == nil || stderr != want {
		t.Errorf("%v: %s\nwant %s", err, stderr, want)
	}
}

// TestWhatARestoreSays of an old backup, and of keys in a token.
func TestWhatARestoreSays(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	r := restored{held: held{File: "old.db", Bytes: 3 << 20, Taken: now.Add(-50 * time.Hour), Users: 1200, Keys: 2}, Database: "signet-data/signet.db",
		SealingKeyMissing: "signet-data/seal.key", Token: true, Stops: true, serve: "signet serve"}
	var out strings.Builder
	writeRestored(&out, r, now)
	for _, want := range []string{
		"restored signet-data/signet.db from old.db: 3.0 MiB; 1,200 users, 0 sessions, 0 clients, 2 keys\n",
		"it was taken 2026-11-20 10:00:00 UTC (2d2h ago); what was done since is undone:\n",
		"a server does not start if they were rotated since",
		"the schedule of the keys will be stopped, as after a leap of the clock: signet keys resume\n",
		"missing: the sealing key of its day. Put its file at signet-data/seal.key, with mode 0600; then: signet serve\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	if text, err := json.Marshal(r); err != nil || !strings.Contains(string(text), `"schedule_stops":true`) {
		t.Errorf("%s, %v", text, err)
	}
}
