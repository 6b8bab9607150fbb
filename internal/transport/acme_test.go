package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// refusingCA answers every request with a problem, and counts them.
func refusingCA(t *testing.T) (opts ACMEOptions, asked *atomic.Int64, log *syncBuffer) {
	t.Helper()
	asked, log = new(atomic.Int64), new(syncBuffer)
	ca := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"type":"urn:ietf:params:acme:error:unauthorized","detail":"not you","status":403}`)
	}))
	t.Cleanup(ca.Close)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return ACMEOptions{
		Hosts: []string{"login.example.com"}, Directory: ca.URL + "/dir", CA: roots,
		Cache: filepath.Join(t.TempDir(), "acme"), Log: slog.New(slog.NewTextHandler(log, nil)),
	}, asked, log
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestStrangersAskNoCA: no handshake makes the CA be asked, whatever it names.
func TestStrangersAskNoCA(t *testing.T) {
	opts, asked, _ := refusingCA(t)
	a, err := NewACME(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, attempted := range []bool{false, true} {
		if attempted {
			if err := a.obtain(a.hosts[0]); err == nil {
				t.Fatal("a CA that refuses issues")
			}
			asked.Store(0)
		}
		for name, want := range map[string]error{
			"":                          ErrNoName,
			"www.example.com":           ErrUnknownName,
			"example.com":               ErrUnknownName,
			"a.login.example.com":       ErrUnknownName,
			"login.example.com.":        ErrUnknownName,
			"../login.example.com":      ErrUnknownName,
			"127.0.0.1":                 ErrUnknownName,
			strings.Repeat("a.", 32000): ErrUnknownName,
			"login.example.com":         ErrNotIssued,
			"LOGIN.example.com":         ErrNotIssued,
		} {
			for _, protocols := range [][]string{nil, {"h2"}, {acme.ALPNProto, "h2"}} {
				hello := &tls.ClientHelloInfo{ServerName: name, SupportedProtos: protocols}
				if _, err := a.TLSConfig().GetCertificate(hello); !errors.Is(err, want) {
					t.Errorf("%.40q with %q: %v, want %v", name, protocols, err, want)
				}
			}
			proof := &tls.ClientHelloInfo{ServerName: name, SupportedProtos: []string{acme.ALPNProto}}
			if _, err := a.TLSConfig().GetCertificate(proof); err == nil || len(err.Error()) > 300 {
				t.Errorf("%.40q: a proof is shown that nobody asked for: %v", name, err)
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the CA was asked %d times", n)
	}
	if !a.NotAfter().IsZero() {
		t.Error("expires without a certificate")
	}
}

// TestRefusalIsOneLine, and a reload asks again at once.
func TestRefusalIsOneLine(t *testing.T) {
	opts, asked, log := refusingCA(t)
	a, err := NewACME(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { a.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	for i := 1; i <= 2; i++ {
		eventually(t, func() error {
			if n := strings.Count(log.String(), "\n"); n != i {
				return fmt.Errorf("%d lines, want %d: %s", n, i, log)
			}
			return nil
		})
		if asked.Swap(0) == 0 {
			t.Error("the CA was not asked")
		}
		a.Reload()
	}
	line, _, _ := strings.Cut(log.String(), "\n")
	for _, want := range []string{"level=ERROR", "the CA issued no certificate", "host=login.example.com", `error="unauthorized: not you"`, "next_try_in=1m0s"} {
		if !strings.Contains(line, want) {
			t.Errorf("the line does not hold %q: %s", want, line)
		}
	}
}

func eventually(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func TestRootsOfTheCA(t *testing.T) {
	opts, _, _ := refusingCA(t)
	opts.CA = filepath.Join(t.TempDir(), "none.pem")
	if _, err := NewACME(opts); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(opts.CA, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewACME(opts); err == nil || !strings.Contains(err.Error(), "none.pem holds no certificate in PEM") {
		t.Errorf("a file without a certificate: %v", err)
	}
	opts.CA = ""
	a, err := NewACME(opts) // the roots of the system do not know the CA of the test
	if err != nil {
		t.Fatal(err)
	}
	if err := a.obtain(a.hosts[0]); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("a CA that nobody knows: %v", err)
	}
}

func TestObjections(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"directory", 200, `{"newOrder":"https://ca/order"}`, ""},
		{"certificate", 200, "-----BEGIN CERTIFICATE-----", ""},
		{"nothing", 200, "", ""},
		{"valid order", 200, `{"status":"valid","error":null}`, ""},
		{"nonce", 400, `{"type":"urn:ietf:params:acme:error:badNonce","detail":"x","status":400}`, ""},
		{"problem", 429, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates","status":429}`, "rateLimited: too many certificates"},
		{"page of a proxy", 502, "<html>", "the CA answered with status 502"},
		{"authorization", 200, `{"status":"invalid","challenges":[{"type":"dns-01"},{"type":"tls-alpn-01","error":{"type":"urn:ietf:params:acme:error:connection","detail":"refused"}}]}`, "connection: refused"},
		{"order", 200, `{"status":"invalid","error":{"type":"urn:ietf:params:acme:error:caa","detail":"forbidden"}}`, "caa: forbidden"},
		{"long", 400, `{"type":"a","detail":"` + strings.Repeat("x", 1000) + `"}`, "a: " + strings.Repeat("x", 297)},
	} {
		got := ""
		if err := objection(tt.status, []byte(tt.body)); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
