//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"signet/internal/control"
	"signet/internal/store/boltstore"
)

const (
	doorPassword  = "correct horse battery staple"
	otherPassword = "incorrect donkey capacitor"
)

// operatorCommands is one working day of an operator. $NAME stands for what the
// listings or the logins before it gave.
var operatorCommands = []struct {
	args  string
	stdin string
	exit  int
	want  string // in the output, as a table; of refused commands in any form
	live  bool   // a running server knows more
}{
	{args: "users add kyoko --password-stdin", stdin: doorPassword, exit: 1, want: `signet: users add: "kyoko": a user with this name exists already`},
	{args: "users add mori --password-stdin", stdin: otherPassword, want: "added mori, sub <sub>; the account can log in now"},
	{args: "users add mori --password-stdin", exit: 1, want: "signet: users add: this password cannot be used: it is empty"},
	{args: "users add two\tnames --password-stdin", stdin: doorPassword, exit: 1, want: "signet: users add: this is not a valid user name: "},
	{args: "users list", want: "mori"},
	{args: "users show KYOKO", want: "enabled"},
	{args: "users show nobody", exit: 1, want: "try: signet users list"},
	{args: "token inspect $ACCESS", want: "valid   yes: the issuer honours it"},
	{args: "token verify", stdin: "$ACCESS", want: "valid   yes: an access token for <issuer>/api"},
	{args: "token verify", exit: 2, want: "there is no token on standard input or in --file"},
	{args: "token issue --user mori", want: "<kid>.<kid>.<kid>"},
	{args: "token issue --user mori --expires-in 6m", exit: 1, want: "signet: token issue: it would be more than a login gives: 6m0s is longer than tokens.access (5m0s)"},
	{args: "token issue --user nobody", exit: 1, want: `signet: token issue: "nobody": no such user`},
	{args: "sessions end --user mori", want: "1 session ended"},
	{args: "sessions list --user kyoko", want: "kyoko"},
	{args: "sessions list --user mori", want: "SESSION"},
	{args: "sessions list --user nobody", exit: 1, want: `signet: sessions list: "nobody": no such user`},
	{args: "sessions end $SESSION", want: "1 session ended"},
	{args: "sessions end $SESSION", exit: 1, want: "no such session, or it has ended"},
	{args: "sessions end", exit: 2, want: "name one session, or --user NAME, or --all"},
	{args: "sessions end $SESSION --all", exit: 2, want: "name one session, or --user NAME, or --all"},
	{args: "users passwd kyoko --password-stdin", stdin: otherPassword, want: "changed the password of kyoko; 2 sessions ended"},
	{args: "users passwd nobody --password-stdin", stdin: otherPassword, exit: 1, want: `signet: users passwd: "nobody": no such user`},
	{args: "users disable kyoko", want: "disabled kyoko; 0 sessions ended"},
	{args: "users list", want: "disabled"},
	{args: "users enable kyoko", want: "enabled kyoko"},
	{args: "users remove mori", want: "removed mori; 0 sessions ended"},
	{args: "users remove mori", exit: 1, want: `signet: users remove: "mori": no such user`},
	{args: "token inspect $ACCESS", want: "valid   no: the session has ended"},
	{args: "token inspect a.b", exit: 1, want: "signet: token inspect: "},
	{args: "keys list", want: "signs, since <time>"},
	{args: "keys show $KID", want: "sealed in the database", live: true},
	{args: "keys consumers all", exit: 2, want: `"all" is not a command or an argument here`},
	{args: "keys show nothing", exit: 1, want: `signet: keys show: no such key: "nothing"`},
	{args: "keys rotate --dry-run", want: "plan only; nothing was changed"},
	{args: "keys rotate --in 1m", exit: 1, want: "too soon for the caches that hold the key set"},
	{args: "keys rotate --alg HS256", exit: 1, want: `no such signing algorithm: "HS256"`},
	{args: "keys rotate --alg ES256 --in 48h", want: "nobody is logged out"},
	{args: "keys list", want: "signs until <time>"},
	{args: "keys rotate", exit: 1, want: "ES256: a rotation is under way: key <kid> signs from <time>, in <span>"},
	{args: "keys rotate --alg ES256 --now", want: "services that cache the key set refuse new tokens until they fetch it again"},
	{args: "keys list", want: "signs no more; published until <time>"},
	{args: "keys revoke $KID --dry-run", want: "plan only; nothing was changed"},
	{args: "keys revoke $KID", want: "0 sessions ended whose refresh token it had signed"},
	{args: "keys revoke $KID", exit: 1, want: "the key is revoked already: <kid>, since <time>"},
	{args: "keys show $KID", want: "destroyed", live: true},
	{args: "keys list", want: "revoked <time>"},
	{args: "jwks", want: `"kty":"EC"`},
	{args: "sessions end --all", want: "0 sessions ended"},
	{args: "sessions list", want: "SESSION"},
	{args: "users list", want: "kyoko"},
	{args: "clients list", want: "CLIENT  GRANTS  SCOPES  AUDIENCES  SECRETS"},
	{args: "clients add billing --audience orders --scope orders:read,orders:write --alg es384", want: "added client billing; its secret is shown this once:\n<kid>"},
	{args: "clients add orders", want: "added client orders; "},
	{args: "clients add billing", exit: 1, want: `signet: clients add: "billing": a client with this id exists already`},
	{args: "clients add first-party", exit: 1, want: "is the id of the issuer's own login"},
	{args: "clients add Payroll", exit: 1, want: "signet: clients add: this client cannot be registered: an id has 1 to 64 of a-z"},
	{args: "clients add payroll --grant password", exit: 1, want: `unknown grant "password"; there is [client_credentials`},
	{args: "clients add payroll --scope a,a", exit: 1, want: `scope "a" is named twice`},
	{args: "clients add payroll --audience $ISSUER", exit: 1, want: "the issuer is the audience of refresh tokens alone"},
	{args: "clients add payroll --alg RS256", exit: 1, want: `"RS256" is not among keys.algorithms ([ES256 ES384])`},
	{args: "clients add", exit: 2, want: "it takes one argument, the client id"},
	{args: "clients", exit: 2, want: "signet: clients: say what to do"},
	{args: "clients list", want: "billing  client_credentials  orders:read orders:write  orders     1"},
	{args: "clients show billing", want: "ES384"},
	{args: "clients show payroll", exit: 1, want: "try: signet clients list"},
	{args: "clients show", exit: 2, want: "it takes one argument, the client id"},
	{args: "clients secret billing", want: "a secret for client billing, shown this once; it and the one of "},
	{args: "clients secret billing", want: "are in force, none before:\n<kid>"},
	{args: "clients show billing", want: "secret of  <time>\nsecret of  <time>"},
	{args: "clients secret billing --only", want: "it alone is in force"},
	{args: "clients secret payroll", exit: 1, want: `signet: clients secret: "payroll": no such client`},
	{args: "clients secret billing --now", exit: 2, want: "unknown flag: --now"},
	{args: "clients remove billing", want: "removed client billing; tokens that are out verify until they expire"},
	{args: "clients remove billing", exit: 1, want: `signet: clients remove: "billing": no such client`},
	{args: "clients list all", exit: 2, want: `"all" is not a command or an argument here`},
	{args: "clients list", want: "orders"},
}

// algorithms keeps the making of keys cheap.
const algorithms = "SIGNET_KEYS_ALGORITHMS=ES256,ES384"

// TestOutputIsTheSameThroughBothDoors runs the commands against a server and
// against the database alone, in both forms.
func TestOutputIsTheSameThroughBothDoors(t *testing.T) {
	for _, form := range []string{"table", "json"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			remote := workingDay(t, form, true)
			local := workingDay(t, form, false)
			if len(remote) == 0 || len(remote) != len(local) {
				t.Fatalf("%d and %d results", len(remote), len(local))
			}
			for i, c := range operatorCommands {
				if remote[i] != local[i] && !c.live {
					t.Errorf("%s: with a server\n%s\nwithout\n%s", c.args, remote[i], local[i])
				}
			}
		})
	}
}

// workingDay runs the commands on a new directory and returns what each gave. It
// checks what does not depend on the door.
func workingDay(t *testing.T, form string, withServer bool) []string {
	t.Helper()
	d := newDoor(t)
	d.mustRun(doorPassword, "users", "add", "kyoko", "--password-stdin")
	var tokens map[string]string
	for range 3 {
		var err error
		if tokens, err = login(t.Context(), client, d.server.base, "kyoko", doorPassword); err != nil {
			t.Fatal(err)
		}
	}
	known := map[string]string{
		"$ACCESS": tokens["access"], "$KID": d.signingKey("ES256"), "$SESSION": claimsOf(t, tokens["access"]).Session,
		"$ISSUER": d.issuer,
	}
	if !withServer {
		d.stop()
	}
	var results []string
	for _, c := range operatorCommands {
		args := strings.Split(c.args, " ")
		for i, arg := range args {
			if value, ok := known[arg]; ok {
				args[i] = value
			}
		}
		stdin := c.stdin
		if value, ok := known[stdin]; ok {
			stdin = value
		}
		stdout, stderr, exit := d.run(stdin, append(args, "-o", form)...)
		result := fmt.Sprintf("exit %d\n%s%s", exit, d.normalize(stdout), d.normalize(stderr))
		checkCommand(t, c.args, form, stdout, stderr)
		if exit != c.exit || (form == "table" || exit != 0) && !strings.Contains(result, c.want) {
			t.Errorf("%s: want exit %d and %q, got %s", c.args, c.exit, c.want, result)
		}
		results = append(results, result)
	}
	if withServer {
		noPassword(t, "the server's log", d.server.stderr.String())
	}
	return results
}

// checkCommand: a result or a refusal and not both, JSON where it was asked for,
// and no secret.
func checkCommand(t *testing.T, args, form, stdout, stderr string) {
	t.Helper()
	if (stdout == "") == (stderr == "") {
		t.Errorf("%s: standard output %q beside standard error %q", args, stdout, stderr)
	}
	if stderr != "" && !strings.HasPrefix(stderr, "signet: ") {
		t.Errorf("%s: standard error %q", args, stderr)
	}
	if form == "json" && stdout != "" && !json.Valid([]byte(stdout)) {
		t.Errorf("%s: the output is no JSON: %q", args, stdout)
	}
	noPassword(t, args, stdout+stderr)
}

func noPassword(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range []string{doorPassword, otherPassword, "$argon2", `"d":`} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows %q: %s", where, secret, text)
		}
	}
}

// door is a data directory and the server on it.
type door struct {
	t      *testing.T
	dir    string
	issuer string
	server *process
}

func newDoor(t *testing.T) *door {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	d := &door{t: t, dir: filepath.Join(t.TempDir(), "data"), issuer: "http://" + addr}
	d.server = serveBinary(t, d.dir, addr, algorithms, "SIGNET_LOG_LEVEL=debug")
	return d
}

// stop ends the server as an operator does.
func (d *door) stop() {
	d.t.Helper()
	if err := d.server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	<-d.server.done
	if d.server.err != nil {
		d.t.Fatalf("the server ended with %v\n%s", d.server.err, d.server.stderr)
	}
	if _, err := os.Lstat(filepath.Join(d.dir, "control.sock")); !errors.Is(err, os.ErrNotExist) {
		d.t.Errorf("the socket of a stopped server: %v, want %v", err, os.ErrNotExist)
	}
}

func (d *door) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.t.Context(), binary, append(args, "--data", d.dir)...)
	cmd.Env = testEnv(algorithms, "SIGNET_ISSUER="+d.issuer)
	return cmd
}

func (d *door) run(stdin string, args ...string) (stdout, stderr string, exit int) {
	d.t.Helper()
	cmd := d.command(args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (d *door) mustRun(stdin string, args ...string) string {
	d.t.Helper()
	stdout, stderr, exit := d.run(stdin, args...)
	if exit != 0 {
		d.t.Fatalf("signet %s: exit %d: %s", strings.Join(args, " "), exit, stderr)
	}
	return stdout
}

func (d *door) signingKey(alg string) string {
	d.t.Helper()
	var list struct {
		Keys []struct{ KID, Alg, State string }
	}
	if err := json.Unmarshal([]byte(d.mustRun("", "keys", "list", "-o", "json")), &list); err != nil {
		d.t.Fatal(err)
	}
	for _, k := range list.Keys {
		if k.Alg == alg && k.State == "active" {
			return k.KID
		}
	}
	d.t.Fatalf("no active %s key in %+v", alg, list)
	return ""
}

func (d *door) userNames() []string {
	d.t.Helper()
	var list struct{ Users []struct{ Name string } }
	if err := json.Unmarshal([]byte(d.mustRun("", "users", "list", "-o", "json")), &list); err != nil {
		d.t.Fatal(err)
	}
	names := []string{}
	for _, u := range list.Users {
		names = append(names, u.Name)
	}
	return names
}

// variable is what differs from run to run, in the order of replacement.
var variable = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( UTC|Z)`), "<time>"},
	{regexp.MustCompile(`\((in \w+|\w+ ago)\)`), "(<span>)"},
	{regexp.MustCompile(`, in (\d+h)?(\d+m)?\d+s`), ", in <span>"},
	{regexp.MustCompile(`another (\d+m)?\d+s`), "another <span>"},
	{regexp.MustCompile(`[A-Za-z0-9_-]{43,}`), "<kid>"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "<session>"},
	{regexp.MustCompile(`\b[A-Z2-7]{26}\b`), "<sub>"},
	{regexp.MustCompile(`"(exp|iat|nbf|session_exp)": ?\d+`), `"$1": <time>`},
	// The private half of a retired key is destroyed by the schedule of a server,
	// soon after the change or at the next start.
	{regexp.MustCompile(`"private_half": (true|false)`), `"private_half": <bool>`},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "<issuer>"},
}

func (d *door) normalize(text string) string {
	text = strings.ReplaceAll(text, d.dir, "<dir>")
	for _, v := range variable {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	return text
}

// TestKilledServerLeavesTheDoorOpen: the socket that is left over is in nobody's way.
func TestKilledServerLeavesTheDoorOpen(t *testing.T) {
	d := newDoor(t)
	d.server.kill()
	if info, err := os.Lstat(filepath.Join(d.dir, "control.sock")); err != nil || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("a killed server left no socket: %v", err)
	}
	d.mustRun(doorPassword, "users", "add", "kyoko", "--password-stdin")
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	d.server = serveBinary(t, d.dir, addr, algorithms)
	d.mustRun(doorPassword, "users", "add", "mori", "--password-stdin")
	if got := d.userNames(); !slices.Equal(got, []string{"kyoko", "mori"}) {
		t.Errorf("accounts %v", got)
	}
	if !strings.Contains(d.mustRun("", "keys", "list"), d.signingKey("ES256")) {
		t.Error("the keys were lost")
	}
}

// TestCommandsWaitForEachOther: without a server each command opens the database,
// and another that comes meanwhile waits.
func TestCommandsWaitForEachOther(t *testing.T) {
	d := newDoor(t)
	d.stop()
	for round := range 3 {
		var group errgroup.Group
		for i := range 8 {
			cmd := d.command("users", "add", fmt.Sprintf("user%d%d", round, i), "--password-stdin")
			cmd.Stdin = strings.NewReader(doorPassword)
			group.Go(func() error {
				if out, err := cmd.CombinedOutput(); err != nil {
					return fmt.Errorf("%s: %w: %s", cmd.Args[3], err, out)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := d.userNames(); len(got) != 24 {
		t.Errorf("%d accounts: %v", len(got), got)
	}
}

// TestCommandWaitsForTheDatabase: it is done once the other lets go; and refused,
// with the name of the other, if that takes too long.
func TestCommandWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.stop()
	path := filepath.Join(d.dir, "signet.db")
	hold := func() *boltstore.Store {
		db, err := boltstore.Open(path, boltstore.Options{Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := hold()
	cmd := d.command("users", "add", "kyoko", "--password-stdin")
	cmd.Stdin = strings.NewReader(doorPassword)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := waitFor(10*time.Second, func() error { return hasOpen(cmd.Process.Pid, path) }); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.HasPrefix(output.String(), "added kyoko") {
		t.Errorf("after the database was let go: %v: %s", err, output.String())
	}

	db = hold()
	defer db.Close()
	began := time.Now()
	_, stderr, exit := d.run("", "users", "list")
	want := fmt.Sprintf("signet: users list: %s is in use by process %d", path, os.Getpid())
	if exit != exitFailed || !strings.HasPrefix(stderr, want) {
		t.Errorf("exit %d, %q, want %q", exit, stderr, want)
	}
	if waited := time.Since(began); waited < doorTimeout || waited > doorTimeout+5*time.Second {
		t.Errorf("it waited for %s, want %s", waited, doorTimeout)
	}
}

// hasOpen reports whether the process has opened the file.
func hasOpen(pid int, path string) error {
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(fds)
	for _, e := range entries {
		if target, _ := os.Readlink(filepath.Join(fds, e.Name())); target == path {
			return nil
		}
	}
	return errors.Join(err, fmt.Errorf("process %d has not opened %s", pid, path))
}

// TestServerThatComesIsFound: commands that wait for the database of a server that
// starts go to the server once it listens.
func TestServerThatComesIsFound(t *testing.T) {
	d := newDoor(t)
	d.stop()
	cfg := testConfig(t)
	cfg.Data = d.dir
	starting, err := openDomains(t.Context(), openOptions{config: cfg, log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer starting.store.Close()
	const commands = 4
	var waiting errgroup.Group
	for i := range commands {
		cmd := d.command("users", "add", fmt.Sprintf("user%d", i), "--password-stdin")
		cmd.Stdin = strings.NewReader(doorPassword)
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := waitFor(10*time.Second, func() error { return hasOpen(cmd.Process.Pid, cfg.DatabasePath()) }); err != nil {
			t.Error(err)
		}
		waiting.Go(func() error {
			if err := cmd.Wait(); err != nil {
				return fmt.Errorf("%w: %s", err, output.String())
			}
			return nil
		})
	}
	listening, err := control.Listen(cfg.SocketPath(), starting.operator(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- listening.Serve() }()
	if err := waiting.Wait(); err != nil {
		t.Error(err)
	}
	if got := d.userNames(); len(got) != commands {
		t.Errorf("accounts %v", got)
	}
	if err := errors.Join(listening.Shutdown(t.Context()), <-served); err != nil {
		t.Error(err)
	}
}

// terminalSession is a command at a terminal of its own.
type terminalSession struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	shown  *lockedBuffer
	stdout bytes.Buffer
	seen   int // how much of shown was waited for already
}

func atTerminal(t *testing.T, cmd *exec.Cmd) *terminalSession {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	s := &terminalSession{t: t, cmd: cmd, master: master, shown: new(lockedBuffer)}
	var number int
	s.control(func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) })
	s.control(func(fd int) (err error) { number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); return err })
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, &s.stdout, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go io.Copy(s.shown, master)
	return s
}

// control calls the terminal; the file stays one that a Close interrupts.
func (s *terminalSession) control(call func(fd int) error) {
	s.t.Helper()
	raw, err := s.master.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	var failed error
	if err := errors.Join(raw.Control(func(fd uintptr) { failed = call(int(fd)) }), failed); err != nil {
		s.t.Fatal(err)
	}
}

func (s *terminalSession) echoes() (on bool) {
	s.t.Helper()
	s.control(func(fd int) error {
		state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			on = state.Lflag&unix.ECHO != 0
		}
		return err
	})
	return on
}

// answer waits for a prompt with echo off, looks at the process, and types a line.
func (s *terminalSession) answer(prompt, line string) {
	s.t.Helper()
	err := waitFor(20*time.Second, func() error {
		text := s.shown.String()
		i := strings.Index(text[s.seen:], prompt)
		switch {
		case i < 0:
			return fmt.Errorf("no prompt %q in %q", prompt, text)
		case s.echoes():
			return fmt.Errorf("the terminal echoes after %q", prompt)
		}
		s.seen += i + len(prompt)
		return nil
	})
	if err != nil {
		s.cmd.Process.Kill()
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(s.master, line+"\n"); err != nil {
		s.t.Fatal(err)
	}
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file))
		if err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, os.ErrNotExist) {
			s.t.Fatal(err) // that it has ended already is no fault
		}
		noPassword(s.t, file, string(text))
	}
}

// end waits for the command and returns its exit code.
func (s *terminalSession) end() int {
	s.t.Helper()
	if err := s.cmd.Wait(); err != nil && s.cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	if !s.echoes() {
		s.t.Error("the terminal is left without echo")
	}
	noPassword(s.t, "the terminal", s.shown.String()+s.stdout.String())
	return s.cmd.ProcessState.ExitCode()
}

// TestPasswordAtTheTerminal is asked for twice, without echo, and shows nowhere.
func TestPasswordAtTheTerminal(t *testing.T) {
	d := newDoor(t)
	for _, c := range []struct {
		name, command string
		entries       []string
		exit          int
		shown, stdout string
	}{
		{"two different", "users add kyoko", []string{doorPassword, otherPassword}, exitFailed,
			"signet: users add: the two passwords differ; nothing was changed", ""},
		{"none", "users add kyoko", []string{"", ""}, exitFailed, "signet: users add: this password cannot be used: it is empty", ""},
		{"the same twice", "users add kyoko", []string{doorPassword, doorPassword}, exitDone, "The same again: ", "added kyoko, sub "},
		{"another", "users passwd kyoko", []string{otherPassword, otherPassword}, exitDone, "The same again: ", "changed the password of kyoko"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := d.userNames()
			s := atTerminal(t, d.command(strings.Split(c.command, " ")...))
			for i, prompt := range []string{"Password: ", "The same again: "} {
				s.answer(prompt, c.entries[i])
			}
			if exit := s.end(); exit != c.exit {
				t.Errorf("exit %d, want %d", exit, c.exit)
			}
			if err := waitFor(10*time.Second, func() error {
				if !strings.Contains(s.shown.String(), c.shown) {
					return fmt.Errorf("the terminal shows no %q: %q", c.shown, s.shown)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if !strings.HasPrefix(s.stdout.String(), c.stdout) {
				t.Errorf("standard output %q, want %q", s.stdout.String(), c.stdout)
			}
			if after := d.userNames(); c.exit != exitDone && !slices.Equal(before, after) {
				t.Errorf("a refused command made accounts %v of %v", after, before)
			}
		})
	}
	if _, err := login(t.Context(), client, d.server.base, "kyoko", otherPassword); err != nil {
		t.Errorf("login with the password that was typed: %v", err)
	}
	noPassword(t, "the server's log", d.server.stderr.String())
}

// TestPasswordIsNoArgument: whoever gives one as an argument is not shown it again.
func TestPasswordIsNoArgument(t *testing.T) {
	d := &door{t: t, dir: t.TempDir(), issuer: "http://127.0.0.1:8080"}
	tried := map[string]string{
		"kyoko\x00" + doorPassword:                     "it takes one argument, the user name",
		"kyoko\x00--password=" + doorPassword:          "unknown flag: --password",
		"kyoko\x00--password-stdin\x00" + doorPassword: "it takes one argument, the user name",
	}
	for _, args := range slices.Sorted(maps.Keys(tried)) {
		stdout, stderr, exit := d.run("", append([]string{"users", "add"}, strings.Split(args, "\x00")...)...)
		if exit != exitUsage || stdout != "" || !strings.Contains(stderr, tried[args]) {
			t.Errorf("%q: exit %d, %q, %q", args, exit, stdout, stderr)
		}
		noPassword(t, "the refusal", stderr)
	}
}

// TestInterruptAtThePasswordPrompt ends the command at once and gives the terminal
// its echo back.
func TestInterruptAtThePasswordPrompt(t *testing.T) {
	d := newDoor(t)
	s := atTerminal(t, d.command("users", "add", "kyoko"))
	if err := waitFor(20*time.Second, func() error {
		if !strings.Contains(s.shown.String(), "Password: ") || s.echoes() {
			return fmt.Errorf("no prompt without echo: %q", s.shown)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if exit := s.end(); exit != exitInterrupted {
		t.Errorf("exit %d, want %d", exit, exitInterrupted)
	}
	if names := d.userNames(); len(names) != 0 {
		t.Errorf("an interrupted command made %v", names)
	}
}
