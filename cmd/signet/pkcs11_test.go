package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"signet/internal/control"
	"signet/keystore"
	"signet/verify"
)

// withToken is an issuer whose private keys live in SoftHSM.
type withToken struct {
	t           *testing.T
	binary      string // built with the tag pkcs11
	dir, addr   string
	tokens, pin string
	env         []string
}

func newWithToken(t *testing.T) *withToken {
	t.Helper()
	w := &withToken{t: t, binary: buildWithToken(t), dir: filepath.Join(t.TempDir(), "data")}
	dir := t.TempDir()
	w.tokens, w.pin = filepath.Join(dir, "tokens"), filepath.Join(dir, "pin")
	conf := filepath.Join(dir, "softhsm2.conf")
	w.write(conf, "directories.tokendir = "+w.tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	w.write(w.pin, "1234 of the tests\n")
	if err := os.Mkdir(w.tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	initialise := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "issuer", "--pin", "1234 of the tests", "--so-pin", "an officer")
	initialise.Env = append(os.Environ(), "SOFTHSM2_CONF="+conf)
	if out, err := initialise.CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util: %v: %s", err, out)
	}
	var err error
	if w.addr, err = freeAddress(); err != nil {
		t.Fatal(err)
	}
	w.env = []string{
		"SOFTHSM2_CONF=" + conf, "SIGNET_KEYS_PKCS11_MODULE=" + softHSMModule(t),
		"SIGNET_KEYS_PKCS11_TOKEN=issuer", "SIGNET_KEYS_PKCS11_PIN_FILE=" + w.pin,
	}
	return w
}

// softHSMModule is where distributions put it. Without it the test is skipped.
func softHSMModule(t *testing.T) string {
	t.Helper()
	_, util := exec.LookPath("softhsm2-util")
	_, compiler := exec.LookPath("gcc")
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil && util == nil && compiler == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("softhsm2 or gcc is missing")
	}
	t.Skip("SKIPPED: softhsm2 or gcc is missing (apt-get install softhsm2 gcc)")
	return ""
}

func buildWithToken(t *testing.T) string {
	t.Helper()
	softHSMModule(t)
	path := filepath.Join(t.TempDir(), "signet")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "pkcs11", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with PKCS #11: %v\n%s", err, out)
	}
	return path
}

func (w *withToken) write(path, text string) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *withToken) serve(env ...string) *process {
	w.t.Helper()
	cmd := exec.Command(w.binary, "serve", "--data", w.dir, "--listen", w.addr, "--issuer", "http://"+w.addr)
	cmd.Env = testEnv(append(slices.Clone(w.env), env...)...)
	return launch(w.t, w.addr, cmd)
}

// run runs a command of a binary, and says what it printed.
func (w *withToken) run(binary, stdin string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(w.t.Context(), binary, append(args, "--data", w.dir)...)
	cmd.Env = testEnv(env...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *withToken) must(stdin string, args ...string) string {
	w.t.Helper()
	out, err := w.run(w.binary, stdin, w.env, args...)
	if err != nil {
		w.t.Fatalf("signet %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (w *withToken) refuses(binary string, env []string, want string, args ...string) {
	w.t.Helper()
	out, err := w.run(binary, "", env, args...)
	if err == nil || !strings.Contains(out, want) {
		w.t.Errorf("signet %s: %v\n%s\nwant %q", strings.Join(args, " "), err, out, want)
	}
}

func (w *withToken) keys() control.KeyList {
	w.t.Helper()
	var list control.KeyList
	if err := json.Unmarshal([]byte(w.must("", "keys", "list", "-o", "json")), &list); err != nil {
		w.t.Fatal(err)
	}
	return list
}

// expectKeys holds the token to the ring: two objects for each key with a private half.
func (w *withToken) expectKeys() {
	w.t.Helper()
	want, got := 0, 0
	for _, k := range w.keys().Keys {
		if k.PrivateHalf != strings.HasPrefix(k.Vault, "pkcs11:token=issuer;id=%") {
			w.t.Errorf("key %s, with a private half: %v, lives at %q", k.KID, k.PrivateHalf, k.Vault)
		}
		if k.PrivateHalf {
			want += 2
		}
	}
	err := filepath.WalkDir(w.tokens, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".object") && filepath.Base(path) != "token.object" {
			got++
		}
		return err
	})
	if err != nil || got != want {
		w.t.Errorf("the token has %d objects, want %d (%v)", got, want, err)
	}
}

// expectLogin logs in and verifies the token with the published keys alone.
func (w *withToken) expectLogin(alg string) map[string]string {
	w.t.Helper()
	base := "http://" + w.addr
	pair, err := login(w.t.Context(), client, base, "kyoko", doorPassword)
	if err != nil {
		w.t.Fatal(err)
	}
	v := verify.New(base, base+"/api")
	defer v.Close()
	v.Algorithms = []string{alg}
	if _, err := v.Verify(w.t.Context(), pair["access"]); err != nil {
		w.t.Errorf("%s: %v", alg, err)
	}
	return pair
}

// TestKeysInAToken makes, uses, rotates, revokes and destroys keys in SoftHSM with the
// real binary.
func TestKeysInAToken(t *testing.T) {
	t.Parallel()
	w := newWithToken(t)
	algs := []string{"ES256", "ES384", "RS256", "PS256"}
	server := w.serve("SIGNET_KEYS_ALGORITHMS=" + strings.Join(algs, ","))
	w.must(doorPassword, "users", "add", "kyoko", "--password-stdin")
	pair := w.expectLogin("ES256")
	w.expectKeys()

	w.must("", "keys", "rotate", "--now", "--dry-run")
	w.expectKeys()
	before := activeKey(t, w.keys(), "ES256")
	w.must("", "keys", "rotate", "--now")
	w.expectKeys()
	if out := w.must("", "keys", "show", before); !strings.Contains(out, "destroyed") {
		t.Errorf("the private half of a rotated key:\n%s", out)
	}
	if _, err := refresh(t.Context(), client, server.base, pair["refresh"]); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	w.must("", "keys", "revoke", activeKey(t, w.keys(), "ES256"))
	w.expectKeys()
	pair = w.expectLogin("ES256")
	w.refuses(w.binary, w.env, "none is taken from a file", "keys", "import", newKeyFile(t))
	w.must("", "keys", "reseal")

	server.kill()
	if out := w.must("", "keys", "show", activeKey(t, w.keys(), "PS256")); !strings.Contains(out, "pkcs11:token=issuer;id=%") {
		t.Errorf("where the key lives:\n%s", out)
	}
	for range algs {
		algs = append(algs[1:], algs[0])
		server = w.serve("SIGNET_KEYS_ALGORITHMS=" + strings.Join(algs, ","))
		if _, err := refresh(t.Context(), client, server.base, pair["refresh"]); err != nil {
			t.Errorf("after a restart: %v", err)
		}
		pair = w.expectLogin(algs[0])
		if log := server.stderr.String(); strings.Contains(log, "of the tests") {
			t.Errorf("the log holds the PIN:\n%s", log)
		}
		server.kill()
	}
	w.expectKeys()
}

// TestTokenGoesAndComesBack takes the token away from a running server: logins are told
// to come back, nothing else ends, and it needs no restart.
func TestTokenGoesAndComesBack(t *testing.T) {
	t.Parallel()
	w := newWithToken(t)
	server := w.serve(keysUnderTest)
	w.must(doorPassword, "users", "add", "kyoko", "--password-stdin")
	w.expectLogin("ES256")
	if err := os.Rename(w.tokens, w.tokens+".away"); err != nil {
		t.Fatal(err)
	}
	_, err := login(t.Context(), client, server.base, "kyoko", doorPassword)
	if status, ok := errors.AsType[*statusError](err); !ok || status.status != http.StatusServiceUnavailable || status.retryAfter == "" {
		t.Errorf("without the token: %v", err)
	}
	w.refuses(w.binary, w.env, "PKCS #11 token", "keys", "rotate")
	if err := os.Rename(w.tokens+".away", w.tokens); err != nil {
		t.Fatal(err)
	}
	err = waitFor(10*time.Second, func() error {
		_, err := login(t.Context(), client, server.base, "kyoko", doorPassword)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.expectLogin("ES256")
	w.must("", "keys", "rotate", "--now")
	w.expectKeys()
}

// TestTokenThatCannotBeUsed starts without what a token needs: each is named.
func TestTokenThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	w := newWithToken(t)
	serve := []string{"serve", "--listen", w.addr, "--issuer", "http://" + w.addr}
	with := func(change string) []string { return append(slices.Clone(w.env), change) }
	wrong := filepath.Join(t.TempDir(), "pin")
	w.write(wrong, "0000")
	without := slices.DeleteFunc(slices.Clone(w.env), func(entry string) bool { return strings.HasPrefix(entry, "SIGNET_") })
	for range 2 { // before there are keys, and after
		w.refuses(w.binary, with("SIGNET_KEYS_PKCS11_PIN_FILE="+wrong), "was refused", serve...)
		w.refuses(w.binary, with("SIGNET_KEYS_PKCS11_TOKEN=other"), `PKCS #11 token "other": it is not there`, serve...)
		w.refuses(w.binary, with("SIGNET_KEYS_PKCS11_MODULE="+wrong+".so"), "no such file", serve...)
		w.refuses(w.binary, with("SIGNET_KEYS_PKCS11_MODULE="), "set all of keys.pkcs11_module", serve...)
		w.refuses(binary, w.env, "this build has no PKCS #11", serve...)
		w.refuses(binary, w.env, "CGO_ENABLED=1 go build -tags pkcs11 ./cmd/signet", serve...)
		w.serve().kill()
	}
	for _, program := range []string{binary, w.binary} {
		w.refuses(program, without, "set keys.pkcs11_module, keys.pkcs11_token and keys.pkcs11_pin_file", serve...)
	}
	for _, k := range w.keys().Keys {
		if k.State != keystore.Active {
			t.Errorf("key %s is %s", k.KID, k.State)
		}
	}
}

// TestDefaultBuildIsStatic builds what the README runs without a C compiler.
func TestDefaultBuildIsStatic(t *testing.T) {
	t.Parallel()
	env := append(os.Environ(), "CGO_ENABLED=0")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(t.TempDir(), "signet"), ".")
	build.Env = env
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("without cgo: %v\n%s", err, out)
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	out, err := list.Output()
	if err != nil || !strings.Contains(string(out), "signet/keystore\n") {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "pkcs11") {
		t.Errorf("the default build imports PKCS #11:\n%s", out)
	}
}
