package main

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"net/http/httputil"
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

	"signet/internal/consumers"
	"signet/internal/doctor"
)

// examination is one run of signet doctor.
type examination struct {
	checks []doctor.Check
	exit   int
	stderr string
}

// doctorOf runs it with a configuration of its own.
func doctorOf(t *testing.T, env []string, args ...string) examination {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"doctor", "-o", "json"}, args...)...)
	cmd.Env = append(testEnv("SIGNET_PASSWORDS_MEMORY=19MiB", "SIGNET_PASSWORDS_TIME=2"), env...) // nothing to warn of
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	e := examination{exit: cmd.ProcessState.ExitCode(), stderr: errs.String()}
	if err := json.Unmarshal([]byte(out.String()), &e.checks); err != nil && e.exit != exitUsage {
		t.Fatalf("%v: %s%s", err, out.String(), errs.String())
	}
	return e
}

// wants checks the exit code, and that the findings are exactly these, written as
// "result name: part of what was found -> part of the advice"; disks may warn anywhere.
func (e examination) wants(t *testing.T, exit int, findings ...string) {
	t.Helper()
	if e.exit != exit {
		t.Errorf("exit %d, want %d: %s", e.exit, exit, e.stderr)
	}
	for _, c := range e.checks {
		if c.Result == doctor.OK || c.Result == doctor.Skipped || c.Name == "disk" && c.Result == doctor.Warn {
			continue
		}
		i := slices.IndexFunc(findings, func(want string) bool {
			what, text, _ := strings.Cut(want, ": ")
			found, advice, _ := strings.Cut(text, " -> ")
			return what == string(c.Result)+" "+c.Name && strings.Contains(c.Found, found) && strings.Contains(c.Advice, advice)
		})
		if i < 0 {
			t.Errorf("not asked for: %+v", c)
			continue
		}
		findings = slices.Delete(findings, i, i+1)
	}
	if len(findings) > 0 {
		t.Errorf("missing: %q in %+v", findings, e.checks)
	}
}

// only leaves the checks of one name.
func (e examination) only(name string) examination {
	e.checks = slices.DeleteFunc(e.checks, func(c doctor.Check) bool { return c.Name != name })
	return e
}

// issuerEnv is the configuration of a server on addr.
func issuerEnv(dir, addr string) []string {
	return []string{"SIGNET_DATA=" + dir, "SIGNET_LISTEN=" + addr, "SIGNET_ISSUER=http://" + addr, "SIGNET_KEYS_ALGORITHMS=ES256"}
}

func runningIssuer(t *testing.T) (dir, addr string, p *process) {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "data")
	return dir, addr, serveBinary(t, dir, addr, "SIGNET_KEYS_ALGORITHMS=ES256")
}

var outsideChecks = []string{"issuer url", "ready", "certificate", "port 80", "key set", "caching", "discovery", "login", "headers", "clock"}

func TestDoctorOnAHealthyIssuer(t *testing.T) {
	t.Parallel()
	dir, addr, _ := runningIssuer(t)
	env := issuerEnv(dir, addr)
	healthy := doctorOf(t, env)
	healthy.wants(t, exitDone)
	var names []string
	for _, c := range healthy.checks {
		names = append(names, c.Name)
	}
	want := slices.Concat([]string{"server", "settings"}, outsideChecks, []string{"files", "certificate files", "sealing key", "disk", "audit log", "open files", "keys"})
	if !slices.Equal(names, want) || healthy.stderr != "" {
		t.Errorf("checks %q, want %q; %s", names, want, healthy.stderr)
	}
	outside := doctorOf(t, nil, "--url", "http://"+addr+"/")
	outside.wants(t, exitDone)
	if len(outside.checks) != len(outsideChecks) {
		t.Errorf("%d checks, want %d", len(outside.checks), len(outsideChecks))
	}
	if out := mustSignet(t, "", "doctor", "--url", "http://"+addr); !strings.Contains(out, "ok       key set      1 key, well formed") {
		t.Errorf("as a table:\n%s", out)
	}
	if out := mustSignet(t, "", "keys", "consumers", "--data", dir); strings.Contains(out, consumers.Doctor) {
		t.Errorf("a rotation would wait for the doctor:\n%s", out)
	}
	doctorOf(t, append(env, "SIGNET_REFRESH_ROTATE=false")).wants(t, exitDone, "warn settings: refresh.rotate -> change the setting")
	strict := doctorOf(t, append(env, "SIGNET_REFRESH_ROTATE=false"), "--strict")
	strict.wants(t, exitFailed, "warn settings: refresh.rotate -> change the setting")
	if !strings.HasPrefix(strict.stderr, "signet: doctor: ") || !strings.HasSuffix(strict.stderr, " warned, and --strict is set\n") {
		t.Errorf("%q", strict.stderr)
	}
}

func TestDoctorOnFaults(t *testing.T) {
	t.Parallel()
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		dir, addr, p := runningIssuer(t)
		p.kill() // and its socket stays
		stopped := doctorOf(t, issuerEnv(dir, addr))
		stopped.wants(t, exitFailed, "fail server: nothing answers at "+dir+"/control.sock -> start it: signet serve --data "+dir,
			"fail issuer url: connection refused -> start signet serve")
		for _, c := range stopped.checks {
			if (c.Name == "keys" || c.Name == "sealing key") && c.Result != doctor.OK {
				t.Errorf("the database can be asked: %+v", c)
			}
		}
		if want := "signet: doctor: 2 checks failed\n"; stopped.stderr != want {
			t.Errorf("%q, want %q", stopped.stderr, want)
		}
		if err := os.Chmod(filepath.Join(dir, "seal.key"), 0o644); err != nil {
			t.Fatal(err)
		}
		doctorOf(t, issuerEnv(dir, addr)).wants(t, exitFailed, "fail server: nothing answers", "fail issuer url: refused",
			"fail database: others may read or change -> chmod 600 "+dir+"/seal.key", "fail files: seal.key (mode 0644) -> chmod 600 ")
	})
	t.Run("no directory", func(t *testing.T) {
		t.Parallel()
		addr, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "none")
		doctorOf(t, issuerEnv(dir, addr)).wants(t, exitFailed, "fail server: nothing answers", "fail database: there is no database at -> signet serve",
			"fail issuer url: refused", "fail files: no such file -> --data DIR")
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the doctor made %s: %v", dir, err)
		}
	})
	t.Run("another port", func(t *testing.T) {
		t.Parallel()
		dir, addr, _ := runningIssuer(t)
		env := append(issuerEnv(dir, addr), "SIGNET_ISSUER=http://127.0.0.1:1")
		doctorOf(t, env).wants(t, exitDone, "warn settings: issuer: ", "warn server: it runs with the issuer http://"+addr+" -> restart")
		other, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary, "serve")
		wrong := issuerEnv(filepath.Join(t.TempDir(), "data"), addr)
		wrong = append(wrong, "SIGNET_LISTEN="+other) // its issuer is the other server
		cmd.Env = testEnv(wrong...)
		launch(t, other, cmd)
		doctorOf(t, wrong).wants(t, exitFailed, "warn settings: issuer: ", "fail key set: those of another deployment -> leads to another signet")
	})
	t.Run("sealing key gone", func(t *testing.T) {
		t.Parallel()
		dir, addr, _ := runningIssuer(t)
		if err := os.Remove(filepath.Join(dir, "seal.key")); err != nil {
			t.Fatal(err)
		}
		doctorOf(t, issuerEnv(dir, addr)).wants(t, exitFailed, "fail files: seal.key: no such file -> restore", "fail sealing key: the next start needs the file -> signet keys reseal")
	})
	t.Run("sealing key open to others", func(t *testing.T) {
		t.Parallel()
		dir, addr, _ := runningIssuer(t)
		key := filepath.Join(dir, "seal.key")
		if err := os.Chmod(key, 0o644); err != nil {
			t.Fatal(err)
		}
		open := doctorOf(t, issuerEnv(dir, addr))
		open.wants(t, exitFailed, "fail files: seal.key (mode 0644) -> chmod 600 "+key, "fail sealing key: the next start refuses the file as it is -> chmod 600 "+key)
		for _, c := range open.checks {
			if text := c.Found + c.Advice; strings.Contains(text, "restore") || strings.Contains(text, "reseal") {
				t.Errorf("chmod mends it, and %+v says otherwise", c)
			}
		}
	})
	t.Run("database removed under the server", func(t *testing.T) {
		t.Parallel()
		dir, addr, _ := runningIssuer(t)
		if err := os.Remove(filepath.Join(dir, "signet.db")); err != nil {
			t.Fatal(err)
		}
		doctorOf(t, issuerEnv(dir, addr)).only("files").wants(t, exitFailed, "fail files: signet.db: no such file -> signet backup FILE --data "+dir+", while the server runs; then stop it, signet restore FILE --data "+dir)
	})
	t.Run("database truncated", func(t *testing.T) {
		t.Parallel()
		dir, addr, p := runningIssuer(t)
		p.kill()
		database := filepath.Join(dir, "signet.db")
		if err := os.Truncate(database, 20000); err != nil {
			t.Fatal(err)
		}
		doctorOf(t, issuerEnv(dir, addr)).only("database").wants(t, exitFailed,
			"fail database: truncated: it has 20000 bytes -> mv "+database+" "+database+".bad; signet restore FILE --data "+dir)
	})
	t.Run("few files", func(t *testing.T) {
		t.Parallel()
		addr, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		env := issuerEnv(filepath.Join(t.TempDir(), "data"), addr)
		cmd := exec.Command("sh", "-c", `ulimit -n 256; exec "$0" serve`, binary)
		cmd.Env = testEnv(env...)
		launch(t, addr, cmd)
		doctorOf(t, env).wants(t, exitDone, "warn open files: may open 256 -> LimitNOFILE=")
	})
}

// TestDoctorOfAnotherUser is told who to be.
func TestDoctorOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("only root can become another user")
		}
		t.Skip("SKIPPED: only root can become another user")
	}
	dir, addr, _ := runningIssuer(t)
	for _, path := range []string{filepath.Dir(filepath.Dir(dir)), filepath.Dir(dir), filepath.Dir(binary)} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binary, "doctor")
	cmd.Env = testEnv(issuerEnv(dir, addr)...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	for _, want := range []string{"control.sock belongs to another user", "-> run the command as the user that the server runs as", "ok       issuer url"} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, without %q:\n%s", err, want, out)
		}
	}
	if strings.Contains(string(out), "nothing answers") {
		t.Errorf("a server that answers others is taken for none:\n%s", out)
	}
}

// TestDoctorOfAnotherVersion: an upgrade without a restart.
func TestDoctorOfAnotherVersion(t *testing.T) {
	newer := filepath.Join(t.TempDir(), "signet")
	if out, err := exec.Command("go", "build", "-ldflags", "-X main.version=99.0.0", "-o", newer, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	dir, addr, _ := runningIssuer(t)
	cmd := exec.Command(newer, "doctor")
	cmd.Env = testEnv(issuerEnv(dir, addr)...)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "warn     server") || !strings.Contains(string(out), "and this command is 99.0.0 ") || !strings.Contains(string(out), "-> restart signet serve") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDoctorOnAStoppedSchedule: the clock leaps under a server.
func TestDoctorOnAStoppedSchedule(t *testing.T) {
	var offset atomic.Int64
	began := time.Now()
	cfg := testConfig(t)
	cfg.Keys.Algorithms = []string{"ES256"}
	s := startLeaping(t, serverOptions{Config: cfg, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }, Elapsed: func() time.Duration { return time.Since(began) }})
	offset.Add(int64(40 * 24 * time.Hour))
	if _, err := s.domains.keys.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	doctorOf(t, nil, "--data", cfg.Data).only("keys").wants(t, exitFailed, "fail keys: the clock is 40 days ahead of what it should be -> signet keys resume")
}

// TestDoctorBehindTLS: a proxy with a certificate of a private authority.
func TestDoctorBehindTLS(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0)
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ErrorLog: quiet})
	front.Config.ErrorLog = quiet
	front.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	front.StartTLS()
	t.Cleanup(front.Close)
	env := append(issuerEnv(filepath.Join(t.TempDir(), "data"), addr), "SIGNET_ISSUER="+front.URL, "SIGNET_PROXIES_TRUSTED=127.0.0.1")
	cmd := exec.Command(binary, "serve")
	cmd.Env = testEnv(env...)
	launch(t, addr, cmd)

	doctorOf(t, env).wants(t, exitFailed, "fail certificate: signed -> --ca FILE")
	authority := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	doctorOf(t, env, "--ca", authority).wants(t, exitDone)
	doctorOf(t, nil, "--ca", authority, "--url", front.URL).wants(t, exitDone)
}

// TestDoctorOnAFullDisk runs the server and the doctor on a small file system.
func TestDoctorOnAFullDisk(t *testing.T) {
	unshare := needsNamespace(t)
	dir := t.TempDir()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "disk"), 0o700); err != nil {
		t.Fatal(err)
	}
	const script = `
mount -t tmpfs -o size=2m,mode=700 tmpfs "$DIR/disk"
"$BINARY" serve & server=$!
read step <"$DIR/step"
cat /dev/zero >"$DIR/disk/filler" 2>/dev/null
"$BINARY" doctor -o json >"$DIR/report.new" 2>/dev/null; echo $? >"$DIR/exit"; mv "$DIR/report.new" "$DIR/report"
wait $server`
	if err := syscall.Mkfifo(filepath.Join(dir, "step"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(unshare[0], append(unshare[1:], "sh", "-c", script)...)
	cmd.Env = testEnv(append(issuerEnv(filepath.Join(dir, "disk", "data"), addr), "DIR="+dir, "BINARY="+binary)...)
	launch(t, addr, cmd)
	if err := os.WriteFile(filepath.Join(dir, "step"), []byte("now\n"), 0o600); err != nil { // returns when the shell reads
		t.Fatal(err)
	}
	e := examination{}
	if err := waitFor(60*time.Second, func() error {
		text, err := os.ReadFile(filepath.Join(dir, "report"))
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &e.checks)
	}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "exit"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Sscan(string(text), &e.exit)
	e.only("disk").wants(t, exitFailed, "fail disk: 0 bytes free at "+dir+" -> make room")
}

func TestDoctorUsedWrongly(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"--url", "login.example.com"}, exitUsage, "--url is not an absolute URL"},
		{[]string{"--url", "https://kyoko:hunter2@login.example.com"}, exitUsage, "--url holds a user name or password"},
		{[]string{"--url", ""}, exitUsage, "--url is not an absolute URL"},
		{[]string{"--url", "http://127.0.0.1:1", "--data", "x"}, exitUsage, "it takes no --config, --data, --seal-key, --store or --replica"},
		{[]string{"all"}, exitUsage, `"all" is not a command or an argument here`},
		{[]string{"--ca", "/none", "--url", "http://127.0.0.1:1"}, exitFailed, "--ca: open /none: no such file"},
		{[]string{"--ca", empty, "--url", "http://127.0.0.1:1"}, exitFailed, "has no certificate in PEM"},
		{[]string{"--config", "/none"}, exitFailed, "there is no such file"},
	} {
		_, stderr, err := signet(t, "", append([]string{"doctor"}, c.args...)...)
		var failed *exec.ExitError
		if !errors.As(err, &failed) || failed.ExitCode() != c.exit || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "hunter2") {
			t.Errorf("%q: %v, %s", c.args, err, stderr)
		}
	}
}
