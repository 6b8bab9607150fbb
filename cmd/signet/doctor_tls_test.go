package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signet/internal/doctor"
)

// TestDoctorOnCertificateFiles: what the next start would read, while the server goes on
// with what it has.
func TestDoctorOnCertificateFiles(t *testing.T) {
	s := serveTLS(t)
	cert, key := filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem")
	look := func(listen string) examination {
		t.Helper()
		return doctorOf(t, []string{"SIGNET_DATA=" + s.data, "SIGNET_LISTEN=" + listen, "SIGNET_ISSUER=https://" + s.addr,
			"SIGNET_TLS_CERT=" + cert, "SIGNET_TLS_KEY=" + key}).only("certificate files")
	}
	found := func(e examination, want string) {
		t.Helper()
		if len(e.checks) != 1 || e.checks[0].Result != doctor.OK || !strings.Contains(e.checks[0].Found, want) {
			t.Errorf("%+v, want %q", e.checks, want)
		}
	}
	found(look(s.addr), "and they are what is served")
	found(look(":0"), "was not compared: listen has no port of its own")

	other := tlsServer{ca: s.ca, dir: t.TempDir()}
	other.pair(-1, 90).Write(t, other.dir)
	served := cert
	cert, key = filepath.Join(other.dir, "cert.pem"), filepath.Join(other.dir, "key.pem")
	look(s.addr).wants(t, exitFailed, "warn certificate files: the server shows another certificate than the files have -> log says why")
	cert, key = served, filepath.Join(s.dir, "key.pem")

	if err := os.WriteFile(cert, []byte("junk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const hint = "see what the files hold: openssl x509 -noout -subject -in "
	junk := "fail certificate files: the next start refuses them: TLS certificate: " + cert + " with " + key + ": failed to find any PEM data"
	look(s.addr).wants(t, exitFailed, junk+" -> "+hint+cert)
	for _, args := range [][]string{{"serve", "--check"}, {"serve"}} {
		cmd := s.command(t.Context())
		cmd.Args = append(cmd.Args, args[1:]...)
		cmd.Env = testEnv()
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(out), "signet: serve: TLS certificate: "+cert) || !strings.Contains(string(out), "  try: "+hint) {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	if err := waitFor(5*time.Second, func() error {
		if _, err := s.served(); err != nil {
			return errors.Join(errors.New("the server stopped to serve"), err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
