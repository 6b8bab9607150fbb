package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"signet/configs"
	"signet/internal/shell"
	"signet/internal/transport"
	"signet/internal/web/clientaddr"
)

// certificates are what the public listener shows in a TLS handshake.
type certificates interface {
	TLSConfig() *tls.Config
	// Run keeps them fresh until the context ends.
	Run(context.Context)
	// Reload looks now for what has changed, and says in the log what came of it.
	Reload()
	// NotAfter is when the first of them expires; zero if there is none yet.
	NotAfter() time.Time
	// Leaf is that one; nil if there is none yet.
	Leaf() *x509.Certificate
}

// openCertificates returns nil if the listener is plain.
func openCertificates(cfg *configs.Config, log *slog.Logger, now func() time.Time) (certificates, error) {
	switch {
	case len(cfg.TLS.ACMEHosts) > 0:
		return openACME(cfg, log)
	case cfg.ServesTLS():
		files, err := openPair(cfg, log, now)
		if err != nil {
			return nil, err // and not a nil *Files, which is no nil certificates
		}
		return files, nil
	}
	return nil, nil
}

func openPair(cfg *configs.Config, log *slog.Logger, now func() time.Time) (*transport.Files, error) {
	host := ""
	if u, err := url.Parse(cfg.Issuer); err == nil {
		host = u.Hostname()
	}
	files, err := transport.OpenFiles(transport.FilesOptions{Cert: cfg.TLS.Cert, Key: cfg.TLS.Key, Host: host, Now: now, Log: log})
	if err != nil {
		return nil, hintedError{fmt.Errorf("TLS certificate: %w", err), pairHint(err, cfg)}
	}
	return files, nil
}

// pairHint is a command that shows what is wrong, or the step that mends it.
func pairHint(err error, cfg *configs.Config) string {
	cert, key := shell.Word(cfg.TLS.Cert), shell.Word(cfg.TLS.Key)
	switch {
	case errors.Is(err, transport.ErrEncrypted):
		return fmt.Sprintf("openssl pkey -in %s -out FILE, keep FILE to its owner alone, and name it in tls.key", key)
	case errors.Is(err, transport.ErrExpired), errors.Is(err, transport.ErrNotYetValid):
		return fmt.Sprintf("renew it, or see what the file holds: openssl x509 -noout -subject -dates -in %s", cert)
	case errors.Is(err, transport.ErrMismatch):
		return fmt.Sprintf("compare what these print: openssl x509 -noout -pubkey -in %s; openssl pkey -pubout -in %s", cert, key)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("ls -l %s %s, as the user who runs signet; paths count from where it is started", cert, key)
	}
	return fmt.Sprintf("see what the files hold: openssl x509 -noout -subject -in %s; openssl pkey -noout -in %s", cert, key)
}

// acmePath is the directory of what a CA has issued, with the private keys.
func acmePath(cfg *configs.Config) string { return filepath.Join(cfg.Data, "acme") }

func openACME(cfg *configs.Config, log *slog.Logger) (certificates, error) {
	acme, err := transport.NewACME(transport.ACMEOptions{
		Hosts: cfg.TLS.ACMEHosts, Email: cfg.TLS.ACMEEmail, Directory: cfg.TLS.ACMEDirectory, CA: cfg.TLS.ACMECA,
		Cache: acmePath(cfg), Log: log,
	})
	if err != nil {
		return nil, hintedError{fmt.Errorf("tls.acme_ca: %w", err), "name a PEM file with the roots of the directory's URL, or leave the setting out"}
	}
	return acme, nil
}

// listenPublic takes the public address; behind a proxy only that one is let in.
func listenPublic(cfg *configs.Config, log *slog.Logger) (net.Listener, error) {
	l, err := listen(cfg.Listen)
	if err != nil || len(cfg.BehindProxy) == 0 {
		return l, err
	}
	from, err := clientaddr.ParsePrefixes(cfg.BehindProxy)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return transport.Admit(l, from, log), nil
}

// serve answers on the public listener until it is closed.
func (s *server) serve() error {
	if s.certificates == nil {
		return s.http.Serve(s.listener)
	}
	return s.http.ServeTLS(s.listener, "", "") // the files are those of TLSConfig
}
