package release

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const operationsPage = "docs/operations.md"

func readOperations(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, operationsPage))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// command is one line of the page behind "$ ", and what the page says that it prints.
type command struct{ line, prints string }

func commandsOf(t *testing.T, page string) (commands []command) {
	t.Helper()
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(block[1]) {
			if text, ok := strings.CutPrefix(line, "$ "); ok {
				commands = append(commands, command{line: strings.TrimSpace(text)})
				continue
			}
			commands[len(commands)-1].prints += line
		}
	}
	if len(commands) < 30 {
		t.Fatalf("%s has only %d commands", operationsPage, len(commands))
	}
	return commands
}

// TestOperations runs every command of the page, on a copy of this machine with the real
// package, and compares what each prints.
func TestOperations(t *testing.T) {
	needsProgram(t, "unshare", "dpkg", "setpriv", "runuser", "systemctl", "systemd-sysusers", "ip", "curl", "logrotate")
	err := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "true").Run()
	needs(t, os.Geteuid() == 0 && err == nil, "the tests run as root, and may mount and make networks")
	commands := commandsOf(t, readOperations(t))
	dir := t.TempDir()
	writeCertificates(t, dir)
	var script strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&script, "%s\necho \"<end $?>\"\n", c.line)
	}
	if err := os.WriteFile(filepath.Join(dir, "page.sh"), []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("timeout", "120", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", `exec sh testdata/operate.sh "$@" 2>&1`, "sh", dist(t), dir)
	cmd.Env = append(cleanEnv(), "LC_ALL=C.UTF-8")
	out, _ := run(t, cmd)
	end := regexp.MustCompile(`<end (\d+)>\n`)
	parts, codes := end.Split(out, -1), end.FindAllStringSubmatch(out, -1)
	if len(codes) != len(commands) {
		t.Fatalf("%d of %d commands ended:\n%s", len(codes), len(commands), out)
	}
	for i, c := range commands {
		pattern := `(?s)\A` + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(c.prints)), "…", ".*") + `\s*\z`
		if codes[i][1] != "0" || !regexp.MustCompile(pattern).MatchString(parts[i]) {
			t.Errorf("%s\nended with %s and printed\n%s\n%s says\n%s", c.line, codes[i][1], parts[i], operationsPage, c.prints)
		}
	}
}

// writeCertificates puts a CA that the machine trusts, and a certificate of it, into dir.
func writeCertificates(t *testing.T, dir string) {
	t.Helper()
	ca, caKey := issue(t, filepath.Join(dir, "ca.pem"), "", nil, nil)
	issue(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), ca, caKey)
}

// issue writes a certificate for the issuer of the page, or without a parent a CA.
func issue(t *testing.T, certFile, keyFile string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if parent != nil {
		cert.Subject, cert.IsCA, cert.KeyUsage = pkix.Name{CommonName: "login.example.com"}, false, x509.KeyUsageDigitalSignature
		cert.DNSNames, cert.ExtKeyUsage = []string{"login.example.com"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	} else {
		parent, parentKey = cert, key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", der)
	if keyFile != "" {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, keyFile, "PRIVATE KEY", der)
	}
	return cert, key
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOperationsTable: what the page says of the log, the program writes.
func TestOperationsTable(t *testing.T) {
	_, table, _ := strings.Cut(readOperations(t), "| in the log |")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(table, -1)
	if len(rows) < 8 {
		t.Fatalf("%d rows found", len(rows))
	}
	source := programText(t)
	for _, row := range rows {
		if !strings.Contains(source, row[1]) {
			t.Errorf("nothing logs %q", row[1])
		}
	}
}

// programText is the source of the program without its tests.
func programText(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := os.ReadFile(path)
		text.Write(file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}
