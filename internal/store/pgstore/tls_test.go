package pgstore

import (
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signet/internal/child"
	"signet/internal/pgtest"
	"signet/internal/transport/transporttest"
)

// TestTLS: a server that takes nothing but TLS, and who is believed to be it.
func TestTLS(t *testing.T) {
	ca, other := transporttest.NewCA(t), transporttest.NewCA(t)
	pair := ca.Issue(time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "localhost")
	address, err := child.FreeAddress()
	must(t, err)
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	pgtest.New(t, pgtest.Options{
		Settings: map[string]string{"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key", "listen_addresses": "127.0.0.1", "port": port},
		HBA:      "hostssl all all 127.0.0.1/32 trust\n",
		Files:    map[string][]byte{"server.crt": pair.Cert, "server.key": pair.Key},
	})
	dir := t.TempDir()
	for name, of := range map[string]*transporttest.CA{"ca.pem": ca, "other.pem": other} {
		must(t, os.WriteFile(filepath.Join(dir, name), of.PEM(), 0o600))
	}
	for _, c := range []struct {
		host, mode, root, want, warning string
	}{
		{"localhost", "verify-full", "ca.pem", "", ""},
		{"127.0.0.1", "verify-ca", "ca.pem", "", ""},
		{"localhost", "require", "", "", "the certificate of the database is not verified"},
		{"localhost", "verify-full", "other.pem", "its certificate is not trusted; name the CA that signed it with sslrootcert=FILE", ""},
		{"127.0.0.1", "verify-full", "ca.pem", "its certificate is not trusted", ""},
		{"localhost", "disable", "", "no encryption", ""},
	} {
		query := url.Values{"sslmode": {c.mode}}
		if c.root != "" {
			query.Set("sslrootcert", filepath.Join(dir, c.root))
		}
		var told strings.Builder
		began := time.Now()
		text := "postgres://signet@" + net.JoinHostPort(c.host, port) + "/postgres?" + query.Encode()
		s, err := Open(t.Context(), text, Options{Logger: slog.New(slog.NewTextHandler(&told, nil))})
		if found, err := Examine(t.Context(), text); (err == nil) != (c.want == "") || found.Unverified != (c.warning != "") {
			t.Errorf("a look by %s to %s: unverified %v, %v", c.mode, c.host, found.Unverified, err)
		}
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrStorage) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s to %s with %s: got %v, want %q", c.mode, c.host, c.root, err, c.want)
		}
		if warned := strings.Contains(told.String(), "not verified"); warned != (c.warning != "") {
			t.Errorf("%s to %s: the log says %q", c.mode, c.host, told.String())
		}
		t.Logf("%s to %s with %q, %v: %v", c.mode, c.host, c.root, time.Since(began).Round(time.Millisecond), err)
		if s != nil {
			must(t, s.CheckWritable(t.Context()))
			must(t, s.Close())
		}
	}
}
