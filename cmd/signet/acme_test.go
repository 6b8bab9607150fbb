package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"signet/internal/transport/transporttest"
)

// pebble is a CA of its own, the test server of Let's Encrypt, and a DNS in which every
// name is this machine.
type pebble struct {
	directory string
	dns       string // where the DNS is told of names
	trust     string // file with the roots of the directory
	client    *http.Client
	manage    string
}

// needsPebble builds it; where that cannot be done the test is skipped, and fails in CI.
func needsPebble(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const cmd = "github.com/letsencrypt/pebble/v2/cmd/"
	build := exec.CommandContext(t.Context(), "go", "build", "-modfile=../../scripts/tools/pebble.mod", "-o", dir+"/", cmd+"pebble", cmd+"pebble-challtestsrv")
	out, err := build.CombinedOutput()
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("pebble cannot be built: %v: %s", err, out)
	}
	if err != nil {
		t.Skipf("SKIPPED: ACME is not tested against a CA, pebble cannot be built: %v: %s", err, out)
	}
	return dir
}

// startPebble starts it with certificates of a short life, for a server that listens on addr.
func startPebble(t *testing.T, addr string, life time.Duration) *pebble {
	t.Helper()
	dir := needsPebble(t)
	ca := transporttest.NewCA(t)
	cert, key := ca.Issue(time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "127.0.0.1").Write(t, dir)
	p := &pebble{trust: filepath.Join(dir, "roots.pem"), client: tlsClient(ca.Pool(), "")}
	transporttest.Replace(t, p.trust, ca.PEM())
	var at [4]string
	for i := range at {
		var err error
		if at[i], err = freeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	p.directory, p.manage, p.dns = "https://"+at[0]+"/dir", "https://"+at[1], "http://"+at[2]
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`{"pebble": {"listenAddress": %q, "managementListenAddress": %q, "certificate": %q, "privateKey": %q,
		"httpPort": 1, "tlsPort": %s, "keyAlgorithm": "ecdsa", "retryAfter": {"authz": 1, "order": 1},
		"profiles": {"default": {"description": "short", "validityPeriod": %d}}}}`, at[0], at[1], cert, key, port, int(life.Seconds()))
	transporttest.Replace(t, filepath.Join(dir, "config.json"), []byte(config))
	background(t, filepath.Join(dir, "pebble-challtestsrv"), "-http01", "", "-https01", "", "-doh", "", "-tlsalpn01", "",
		"-dnsserver", at[3], "-management", at[2], "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "")
	background(t, filepath.Join(dir, "pebble"), "-config", filepath.Join(dir, "config.json"), "-dnsserver", at[3])
	if err := waitFor(20*time.Second, func() error { _, err := p.roots(); return err }); err != nil {
		t.Fatal(err)
	}
	return p
}

// background runs a program until the test ends.
func background(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	log := new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(name), log)
		}
	})
}

// roots are those of the certificates that it issues.
func (p *pebble) roots() (*x509.CertPool, error) {
	resp, err := p.client.Get(p.manage + "/roots/0")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("no root")
	}
	return pool, nil
}

// resolve tells the DNS where a name is.
func (p *pebble) resolve(t *testing.T, host, address string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"host": host, "addresses": []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	if err := waitFor(20*time.Second, func() error {
		resp, err := client.Post(p.dns+"/add-a", "application/json", strings.NewReader(string(body)))
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestACME has a CA prove the name on the listener itself, serves what it issues, takes it
// from the cache after a restart, renews it while serving, and says which name the CA
// could not reach.
func TestACME(t *testing.T) {
	const name, elsewhere = "login.signet.test", "elsewhere.signet.test"
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	// Two thirds of it are over before the renewal; everything before that takes a few seconds.
	p := startPebble(t, addr, 30*time.Second)
	p.resolve(t, elsewhere, "127.0.0.2") // nobody listens there
	roots, err := p.roots()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	start := func() *process {
		cmd := exec.Command(binary, "serve", "--data", data, "--listen", addr, "--issuer", "https://"+name,
			"--tls-acme-hosts", name+","+elsewhere, "--tls-acme-email", "admin@signet.test", "--tls-acme-directory", p.directory, "--tls-acme-ca", p.trust)
		cmd.Env = testEnv()
		c := tlsClient(roots, addr)
		return launchAt(t, "https://"+name, cmd, func() error { return isAlive(c, "https://"+name) })
	}
	serving := start()
	first, err := servedAt(addr, name, roots)
	if err != nil {
		t.Fatal(err)
	}
	serving.waitLog(t, "the certificate is in force")
	log := serving.waitLog(t, "the CA issued no certificate, and connections for this host are refused until it does")
	for _, want := range []string{"host=" + elsewhere, "directory=" + p.directory, "Failed to connect to 127.0.0.2", "next_try_in=1m0s"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not hold %q: %s", want, log)
		}
	}
	for _, stranger := range []string{elsewhere, "other.signet.test", "", addr} {
		if _, err := servedAt(addr, stranger, roots); err == nil || !strings.Contains(err.Error(), "internal error") {
			t.Errorf("a handshake for %q: %v", stranger, err)
		}
	}
	private(t, filepath.Join(data, "acme"))

	serving.kill()
	serving = start()
	again, err := servedAt(addr, name, roots)
	if err != nil || !again.Equal(first) {
		t.Errorf("after a restart another certificate is served: %v", err)
	}
	if err := waitFor(60*time.Second, func() error {
		renewed, err := servedAt(addr, name, roots)
		if err == nil && renewed.Equal(first) {
			err = fmt.Errorf("still the certificate that ends %s", first.NotAfter)
		}
		return err
	}); err != nil {
		t.Errorf("not renewed: %v\n%s", err, serving.stderr)
	}
	if time.Now().After(first.NotAfter) {
		t.Error("the renewal came too late")
	}
	if err := serving.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-serving.done:
		if serving.err != nil {
			t.Errorf("ended with %v", serving.err)
		}
	case <-time.After(15 * time.Second):
		t.Error("does not end")
	}
}

// private checks that a directory with keys is for its owner alone.
func private(t *testing.T, root string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		if !d.IsDir() {
			files++
		}
		return nil
	})
	if err != nil || files < 2 { // an account and a certificate
		t.Errorf("%d files in %s: %v", files, root, err)
	}
}
