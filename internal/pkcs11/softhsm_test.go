//go:build pkcs11

package pkcs11

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	testPIN   = "a PIN of the tests"
	testLabel = "signet tests"
)

// modules are where distributions put SoftHSM.
var modules = []string{
	"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so",
	"/usr/local/lib/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so",
}

// softHSM makes a token and says how to reach it, and where its objects are.
func softHSM(t *testing.T) (Options, string) {
	t.Helper()
	module := ""
	for _, path := range modules {
		if _, err := os.Stat(path); err == nil {
			module = path
			break
		}
	}
	if _, err := exec.LookPath("softhsm2-util"); err != nil || module == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("softhsm2-util is missing")
		}
		t.Skip("SKIPPED: softhsm2-util is missing (apt-get install softhsm2)")
	}
	dir := t.TempDir()
	tokens := filepath.Join(dir, "tokens")
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, conf, "directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	t.Setenv("SOFTHSM2_CONF", conf)
	initToken(t, testLabel)
	pin := filepath.Join(dir, "pin")
	write(t, pin, testPIN+"\n")
	return Options{Module: module, Token: testLabel, PINFile: pin}, tokens
}

func initToken(t *testing.T, label string) {
	t.Helper()
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", testPIN, "--so-pin", "a PIN of an officer").CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v: %s", err, out)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, opts Options) *Token {
	t.Helper()
	token, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := token.Close(); err != nil {
			t.Error(err)
		}
	})
	return token
}
