package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signet/internal/pgtest"
	"signet/internal/throttle"
	"signet/keystore"
)

// replica is one of the servers that share a database.
type replica struct {
	*process
	dir, name string
	url       string // of the database
	ops       string
}

// replicas starts n servers on a new database; the issuer is the first one's address.
func replicas(t *testing.T, url string, n int, env ...string) []*replica {
	t.Helper()
	var all []*replica
	issuer := ""
	for i := range n {
		r := &replica{dir: filepath.Join(t.TempDir(), "data"), name: fmt.Sprint("replica-", i), url: url}
		addr, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			issuer = "http://" + addr
		} else {
			copySealKey(t, all[0].dir, r.dir)
		}
		r.start(t, addr, issuer, env...)
		all = append(all, r)
	}
	return all
}

func copySealKey(t *testing.T, from, to string) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(from, "seal.key"))
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "seal.key"), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// environment is what the server and commands about it have in common.
func (r *replica) environment(extra ...string) []string {
	return testEnv(append([]string{"SIGNET_STORE=" + r.url, "SIGNET_REPLICA=" + r.name, "SIGNET_DATA=" + r.dir}, extra...)...)
}

func (r *replica) start(t *testing.T, addr, issuer string, env ...string) {
	t.Helper()
	ops, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	r.ops = ops
	cmd := exec.Command(binary, "serve", "--listen", addr, "--issuer", issuer, "--ops-listen", ops)
	cmd.Env = r.environment(env...)
	r.process = launch(t, addr, cmd)
}

// signet runs a command about this replica.
func (r *replica) signet(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = r.environment()
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (r *replica) must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, errs, err := r.signet(t, stdin, args...)
	if err != nil {
		t.Fatalf("signet %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
	return out
}

// kids are those of the key set that the replica publishes.
func (r *replica) kids(t *testing.T) (kids []string) {
	t.Helper()
	status, body := ask(t, http.MethodGet, r.base+"/.well-known/jwks.json", nil)
	var set struct {
		Keys []struct{ KID string }
	}
	if err := json.Unmarshal([]byte(body), &set); err != nil || status != http.StatusOK {
		t.Fatalf("the key set of %s: %d %s", r.name, status, body)
	}
	for _, k := range set.Keys {
		kids = append(kids, k.KID)
	}
	return kids
}

const replicaPassword = "correct horse battery"

// TestReplicas: two servers on one database are one issuer.
func TestReplicas(t *testing.T) {
	t.Parallel()
	all := replicas(t, pgtest.Start(t).Database(t), 2)
	a, b := all[0], all[1]
	a.must(t, replicaPassword+"\n", "users", "add", "kyoko", "--password-stdin")
	pair, err := login(t.Context(), client, a.base, "kyoko", replicaPassword)
	if err != nil {
		t.Fatalf("login at one: %v", err)
	}
	pair, err = refresh(t.Context(), client, b.base, pair["refresh"])
	if err != nil {
		t.Fatalf("refresh at the other: %v", err)
	}
	rotateAtOne(t, a, b)
	guessed(t, a, b)
	measured(t, a)
	if out := b.must(t, "", "users", "disable", "kyoko"); !strings.Contains(out, "disabled kyoko; 1 session ended") {
		t.Errorf("users disable: %s", out)
	}
	var refused *statusError
	if _, err := refresh(t.Context(), client, a.base, pair["refresh"]); !asStatus(err, &refused) || refused.status != http.StatusUnauthorized {
		t.Errorf("refresh of an account that was disabled at the other: %v", err)
	}
	doctorOfReplica(t, a)
	withoutServer(t, a, b)
}

func asStatus(err error, to **statusError) bool {
	e, ok := err.(*statusError)
	*to = e
	return ok
}

// rotateAtOne makes keys through one's socket; the other publishes them within an interval.
func rotateAtOne(t *testing.T, a, b *replica) {
	t.Helper()
	before := len(b.kids(t))
	a.must(t, "", "keys", "rotate")
	began := time.Now()
	err := waitFor(keystore.PollInterval+5*time.Second, func() error {
		if kids := b.kids(t); len(kids) != 2*before {
			return fmt.Errorf("%s publishes %v", b.name, kids)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("the other published the new keys after %s", time.Since(began).Round(10*time.Millisecond))
}

// guessed: failed logins at one make a guesser wait at the other, within less tries than
// either leaves free by itself.
func guessed(t *testing.T, a, b *replica) {
	t.Helper()
	for i := 0; ; i++ {
		status, body, _ := tryLogin(t, a.base, "nobody", "wrong password", "")
		if status == http.StatusTooManyRequests {
			break
		}
		if i > 10 {
			t.Fatalf("guesses at one: %d %s", status, body)
		}
	}
	tick := time.NewTicker(throttle.Interval)
	defer tick.Stop()
	for range 4 {
		<-tick.C
		if status, _, _ := tryLogin(t, b.base, "nobody", "wrong password", ""); status == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("the other does not know of the guesses")
}

// measured: what /metrics says of connections.
func measured(t *testing.T, r *replica) {
	t.Helper()
	e := scrape(t, r.ops)
	for series, least := range map[string]float64{
		`signet_store_connections{state="idle"}`: 0, `signet_store_connections{state="in_use"}`: 0, "signet_store_connections_limit": 1,
		"signet_store_connection_waits_total": 0, "signet_store_connection_wait_seconds_total": 0, "signet_store_size_bytes": 8192,
		"signet_store_commit_duration_seconds_count": 1, "signet_keys_read_age_seconds": 0,
	} {
		if got, ok := e.series[series]; !ok || got < least {
			t.Errorf("%s is %v, there %v", series, got, ok)
		}
	}
}

// doctorOfReplica: what doctor says of the database.
func doctorOfReplica(t *testing.T, r *replica) {
	t.Helper()
	out, errs, _ := r.signet(t, "", "doctor")
	for _, want := range []string{"ok       database server", "PostgreSQL 1", "ok       this server", "opens the private keys in the database", "on this machine", "clock the same as here", "ok       sealing key", "ok       files"} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor does not say %q:\n%s%s", want, out, errs)
		}
	}
	if strings.Contains(out, "signet.db") {
		t.Errorf("doctor looks for a file:\n%s", out)
	}
}

// withoutServer: a command on a machine whose server is down reaches the database, beside
// the servers elsewhere.
func withoutServer(t *testing.T, down, up *replica) {
	t.Helper()
	down.kill()
	_, errs, err := down.signet(t, "", "keys", "rotate", "--now", "--dry-run")
	if err != nil || strings.Contains(errs, "follow") {
		t.Errorf("a plan beside running replicas: %v %s", err, errs)
	}
	out, errs, err := down.signet(t, "", "keys", "revoke", up.kids(t)[0])
	if err != nil || !strings.Contains(out, "the other replicas drop it within 5s") {
		t.Errorf("a revocation beside running replicas: %v %s%s", err, out, errs)
	}
	out, errs, err = down.signet(t, "", "keys", "rotate", "--now")
	if err != nil || !strings.Contains(errs, "other servers on this database follow within 5s") {
		t.Errorf("a change beside running replicas: %v %s%s", err, out, errs)
	}
	down.must(t, "", "users", "enable", "kyoko")
	if _, err := login(t.Context(), client, up.base, "kyoko", replicaPassword); err != nil {
		t.Errorf("login at the one that runs: %v", err)
	}
}

// TestReplicaWithAnotherSealingKey: it does not start, and says what to do; nothing of the
// others' changes.
func TestReplicaWithAnotherSealingKey(t *testing.T) {
	t.Parallel()
	url := pgtest.Start(t).Database(t)
	other := &replica{dir: filepath.Join(t.TempDir(), "data"), name: "other", url: url}
	if _, errs, err := other.signet(t, "", "users", "list"); err == nil || !strings.Contains(errs, "there is no issuer in "+url+" yet\n  try: signet serve --data ") {
		t.Errorf("a command before the first server: %v %s", err, errs)
	}
	first := replicas(t, url, 1)[0]
	serve := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, binary, "serve", "--listen", "127.0.0.1:0")
		cmd.Env = other.environment()
		out, err := cmd.CombinedOutput()
		if err == nil || ctx.Err() != nil {
			t.Fatalf("it starts: %v\n%s", err, out)
		}
		return string(out)
	}
	hint := "try: scp HOST:DATA-DIRECTORY/seal.key " + other.dir + "/seal.key && chmod 600 " + other.dir + "/seal.key  # from a server that works on this database"
	if out := serve(); !strings.Contains(out, "seal.key is missing") || !strings.Contains(out, hint) {
		t.Errorf("without a sealing key:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(other.dir, "seal.key")); err == nil {
		t.Error("it made a sealing key")
	}
	if err := keystore.CreateSealingKey(filepath.Join(other.dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	if out := serve(); !strings.Contains(out, "seal.key does not open key") || !strings.Contains(out, hint) {
		t.Errorf("with another sealing key:\n%s", out)
	}
	first.must(t, "", "keys", "list")
}

// TestDatabaseThatStops: logins get 503, the key set goes on, /readyz says so, and all of
// it ends by itself.
func TestDatabaseThatStops(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t, pgtest.Options{})
	r := replicas(t, cluster.Database(t), 1)[0]
	r.must(t, replicaPassword+"\n", "users", "add", "kyoko", "--password-stdin")
	pair, err := login(t.Context(), client, r.base, "kyoko", replicaPassword)
	if err != nil {
		t.Fatal(err)
	}
	kids := r.kids(t)
	cluster.Stop(t)
	var refused *statusError
	if _, err := login(t.Context(), client, r.base, "kyoko", replicaPassword); !asStatus(err, &refused) || refused.status != http.StatusServiceUnavailable {
		t.Errorf("login without the database: %v", err)
	}
	if _, err := refresh(t.Context(), client, r.base, pair["refresh"]); !asStatus(err, &refused) || refused.status != http.StatusServiceUnavailable {
		t.Errorf("refresh without the database: %v", err)
	}
	if got := r.kids(t); strings.Join(got, " ") != strings.Join(kids, " ") {
		t.Errorf("the key set without the database: %v, want %v", got, kids)
	}
	err = waitFor(10*time.Second, func() error { // its answer holds for a second
		status, body := ask(t, http.MethodGet, r.base+"/readyz", nil)
		if status != http.StatusServiceUnavailable {
			return fmt.Errorf("/readyz without the database: %d %s", status, body)
		}
		t.Log("readyz:", strings.TrimSpace(body))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	cluster.Resume(t)
	err = waitFor(20*time.Second, func() error {
		next, err := refresh(t.Context(), client, r.base, pair["refresh"])
		if err == nil && next["refresh"] == "" {
			err = fmt.Errorf("no token: %v", next)
		}
		return err
	})
	if err != nil {
		t.Errorf("refresh after the database came back: %v", err)
	}
	if err := waitFor(20*time.Second, func() error { return isReady(strings.TrimPrefix(r.base, "http://")) }); err != nil {
		t.Error(err)
	}
}

// TestFirstStartsAtOnce: of several servers that make the issuer at the same moment one
// does, and the others need its sealing key.
func TestFirstStartsAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Start(t).Database(t)
	const n = 4
	outcomes := make(chan string, n)
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	for i := range n {
		r := &replica{dir: filepath.Join(t.TempDir(), "data"), name: fmt.Sprint(i), url: url}
		cmd := exec.CommandContext(ctx, binary, "serve", "--listen", "127.0.0.1:0")
		cmd.Env = r.environment()
		log := new(lockedBuffer)
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		t.Cleanup(func() { cmd.Process.Kill(); <-ended })
		go func() {
			err := waitFor(30*time.Second, func() error {
				select {
				case <-ended:
					return nil
				default:
				}
				if !strings.Contains(log.String(), "signet serves") {
					return fmt.Errorf("neither serves nor ends:\n%s", log)
				}
				return nil
			})
			outcomes <- fmt.Sprint(log, err)
		}()
	}
	serving := 0
	for range n {
		switch out := <-outcomes; {
		case strings.Contains(out, "signet serves"):
			serving++
		case !strings.Contains(out, "from a server that works on this database"):
			t.Errorf("one that lost:\n%s", out)
		}
	}
	if serving != 1 {
		t.Errorf("%d of them serve", serving)
	}
}

// TestSecondServerOnOneDirectory: PostgreSQL has no lock that would keep it out, and two
// would write one audit log.
func TestSecondServerOnOneDirectory(t *testing.T) {
	t.Parallel()
	first := replicas(t, pgtest.Start(t).Database(t), 1)[0]
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "serve", "--listen", "127.0.0.1:0")
	cmd.Env = first.environment()
	out, err := cmd.CombinedOutput()
	if err == nil || ctx.Err() != nil || !strings.Contains(string(out), "another process writes this audit log: ") || !strings.Contains(string(out), "try: stop that process first, or choose another data directory with --data DIR") {
		t.Errorf("a second server on one data directory: %v\n%s", err, out)
	}
	first.must(t, "", "keys", "list")
}

// TestResealAmongReplicas: the others take the new sealing key from its file while they run.
func TestResealAmongReplicas(t *testing.T) {
	t.Parallel()
	all := replicas(t, pgtest.Start(t).Database(t), 2)
	a, b := all[0], all[1]
	if _, errs, err := a.signet(t, "", "keys", "reseal"); err != nil || !strings.Contains(errs, "copy "+a.dir+"/seal.key to every other server on this database now: without it they stop signing after 15s") {
		t.Fatalf("keys reseal: %v %s", err, errs)
	}
	b.waitLog(t, "if another replica has changed it (signet keys reseal), copy its file here")
	copySealKey(t, a.dir, b.dir)
	b.waitLog(t, "the private keys are sealed with a new sealing key, which was found in its file")
	rotateAtOne(t, a, b)
	if err := isReady(strings.TrimPrefix(b.base, "http://")); err != nil {
		t.Error(err)
	}
}

// TestNextCommandNamesTheDatabase: what a server that was told its database by a flag says
// to type next is about that database.
func TestNextCommandNamesTheDatabase(t *testing.T) {
	t.Parallel()
	url, dir, addr := pgtest.Start(t).Database(t), filepath.Join(t.TempDir(), "data"), mustAddress(t)
	cmd := exec.Command(binary, "serve", "--data", dir, "--listen", addr, "--issuer", "http://"+addr, "--store", url)
	cmd.Env = testEnv()
	launch(t, addr, cmd).waitLog(t, "signet users add NAME --data "+dir+" --store '"+url+"'")
}
