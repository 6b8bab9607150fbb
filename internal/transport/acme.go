package transport

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// Why a handshake gets no certificate. The texts do not repeat what a stranger sent.
var (
	ErrNoName      = errors.New("the client names no host (SNI)")
	ErrUnknownName = errors.New("the client names a host that is not in tls.acme_hosts")
	ErrNotIssued   = errors.New("the CA has not issued the certificate yet")
)

// ACMEOptions say for whom certificates are had, and where.
type ACMEOptions struct {
	// Hosts are the names, in lower case.
	Hosts []string
	// Email is what the CA may write to; may be empty.
	Email string
	// Directory is the URL of the CA's directory (RFC 8555 §7.1.1).
	Directory string
	// CA is a PEM file with the roots of that URL; empty means those of the system.
	CA string
	// Cache is the directory in which each CA has one of its own, made for the owner alone:
	// with the account key, the certificates and their keys.
	Cache string
	// Log hears what the CA says.
	Log *slog.Logger
}

// ACME has certificates from a CA, one for each host, and renews them when a third of
// their life is left. The CA looks for its proof on this listener (tls-alpn-01, RFC 8737).
// A certificate is asked for by Run alone: strangers cannot spend what the CA allows.
type ACME struct {
	opts    ACMEOptions
	hosts   []*acmeHost // never changed
	client  *http.Client
	journal *journal
	hurry   chan struct{}
}

// acmeHost is one name. An attempt that fails has a manager of its own, which keeps
// the failure for a minute.
type acmeHost struct {
	name    string
	manager atomic.Pointer[autocert.Manager] // of the attempt under way, or that succeeded
	held    atomic.Bool
	leaf    *x509.Certificate // as Run saw it last
	expires reminder
}

// NewACME asks nobody yet.
func NewACME(opts ACMEOptions) (*ACME, error) {
	roots, err := readRoots(opts.CA)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	a := &ACME{opts: opts, journal: &journal{next: transport}, hurry: make(chan struct{}, 1)}
	a.client = &http.Client{Transport: a.journal, Timeout: 30 * time.Second}
	for _, name := range opts.Hosts {
		a.hosts = append(a.hosts, &acmeHost{name: name})
	}
	return a, nil
}

func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := readLimited(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}

func (a *ACME) newManager(host string) *autocert.Manager {
	return &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(filepath.Join(a.opts.Cache, url.PathEscape(strings.TrimPrefix(a.opts.Directory, "https://")))),
		HostPolicy: autocert.HostWhitelist(host),
		Client:     &acme.Client{DirectoryURL: a.opts.Directory, HTTPClient: a.client, UserAgent: "signet"},
		Email:      a.opts.Email,
	}
}

// TLSConfig serves the certificates, and the proofs that the CA asks for.
func (a *ACME) TLSConfig() *tls.Config { return config(a.certificate, acme.ALPNProto) }

func (a *ACME) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	h, err := a.host(hello.ServerName)
	if err != nil {
		return nil, err
	}
	manager := h.manager.Load()
	switch {
	case manager == nil:
		return nil, ErrNotIssued
	case slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}):
		return manager.GetCertificate(hello) // the proof, which is there or not
	case !h.held.Load():
		return nil, ErrNotIssued
	}
	return manager.GetCertificate(usual(h.name))
}

// host finds the name of a handshake. A name that is no key of the DNS for its length
// alone (RFC 1035 §2.3.4) is not compared.
func (a *ACME) host(name string) (*acmeHost, error) {
	if name == "" {
		return nil, ErrNoName
	}
	if len(name) > 253 {
		return nil, ErrUnknownName
	}
	name = strings.ToLower(name)
	for _, h := range a.hosts {
		if h.name == name {
			return h, nil
		}
	}
	return nil, ErrUnknownName
}

// usual is the handshake of a client that takes ECDSA with P-256, as all do that speak
// TLS 1.2. For others autocert would ask the CA for a second certificate, of RSA.
func usual(host string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{ServerName: host, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
}

// Leaf is the certificate that expires first; nil if there is none.
func (a *ACME) Leaf() *x509.Certificate {
	var first *x509.Certificate
	for _, h := range a.hosts {
		if leaf := h.served(); leaf != nil && (first == nil || leaf.NotAfter.Before(first.NotAfter)) {
			first = leaf
		}
	}
	return first
}

// NotAfter is when the first of the certificates expires; zero if there is none.
func (a *ACME) NotAfter() time.Time {
	if first := a.Leaf(); first != nil {
		return first.NotAfter
	}
	return time.Time{}
}

// served is the certificate in force, nil if there is none.
func (h *acmeHost) served() *x509.Certificate {
	if !h.held.Load() {
		return nil
	}
	cert, err := h.manager.Load().GetCertificate(usual(h.name))
	if err != nil {
		return nil
	}
	return cert.Leaf
}

// obtain takes the certificate of a host from the cache, or asks the CA for it.
func (a *ACME) obtain(h *acmeHost) error {
	a.journal.take()
	manager := a.newManager(h.name)
	h.manager.Store(manager)
	cert, err := manager.GetCertificate(usual(h.name))
	if err != nil {
		// autocert names the step at which it gave up, and not why the CA refused it.
		return cmp.Or(a.journal.take(), err)
	}
	h.leaf = cert.Leaf
	h.held.Store(true)
	return nil
}
