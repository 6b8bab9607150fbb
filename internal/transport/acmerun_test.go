package transport

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"signet/internal/transport/transporttest"
)

// cached puts a certificate where a run before has left it.
func cached(t *testing.T, a *ACME, pair transporttest.Pair) {
	t.Helper()
	block, _ := pem.Decode(pair.Key)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Join([][]byte{pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), pair.Cert}, nil)
	if err := a.newManager(a.hosts[0].name).Cache.Put(t.Context(), a.hosts[0].name, text); err != nil {
		t.Fatal(err)
	}
}

// TestCachedCertificate is served without a word to the CA, also if Reload asks for it,
// and is for that CA alone.
func TestCachedCertificate(t *testing.T) {
	opts, asked, log := refusingCA(t)
	a, err := NewACME(opts)
	if err != nil {
		t.Fatal(err)
	}
	pair := transporttest.NewCA(t).Issue(time.Now().Add(-day), time.Now().Add(89*day), "login.example.com")
	cached(t, a, pair)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { a.Run(ctx); close(done) }()
	a.Reload()
	eventually(t, func() error {
		if !strings.Contains(log.String(), "every certificate of tls.acme_hosts is there") {
			return errors.New(log.String())
		}
		return nil
	})
	cert, err := a.TLSConfig().GetCertificate(&tls.ClientHelloInfo{ServerName: "LOGIN.example.com"})
	if err != nil || !cert.Leaf.Equal(pair.Leaf) || !a.NotAfter().Equal(pair.Leaf.NotAfter) {
		t.Errorf("another certificate is served: %v", err)
	}
	cancel()
	<-done
	if n := asked.Load(); n != 0 {
		t.Errorf("the CA was asked %d times", n)
	}

	opts.Directory += "/other"
	other, err := NewACME(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.obtain(other.hosts[0]); err == nil || !strings.Contains(err.Error(), "not you") {
		t.Errorf("a certificate of one CA is served as that of another: %v", err)
	}
}

// TestRenewalsAreTold: what autocert keeps to itself, at most once an hour, and the end of
// a certificate that was not renewed.
func TestRenewalsAreTold(t *testing.T) {
	opts, _, log := refusingCA(t)
	a, err := NewACME(opts)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ca := transporttest.NewCA(t)
	cached(t, a, ca.Issue(now.Add(-day), now.Add(89*day), "login.example.com"))
	if err := a.obtain(a.hosts[0]); err != nil {
		t.Fatal(err)
	}
	said := 0
	expect := func(what string, lines ...string) {
		t.Helper()
		all := log.String()
		got := strings.Split(strings.TrimSuffix(all[said:], "\n"), "\n")
		said = len(all)
		if len(lines) == 0 {
			lines = []string{""}
		}
		if len(got) != len(lines) {
			t.Fatalf("%s: %q, want %q", what, got, lines)
		}
		for i := range lines {
			if !strings.Contains(got[i], lines[i]) {
				t.Errorf("%s: %q, want %q", what, got[i], lines[i])
			}
		}
	}
	told := a.report(now, time.Time{})
	expect("nothing happened")
	a.journal.note(fmt.Errorf("rateLimited: too many"))
	told = a.report(now, told)
	expect("a renewal failed", `level=WARN msg="a certificate was not renewed; it is tried again within the hour"`)
	if !strings.Contains(log.String(), `error="rateLimited: too many"`) {
		t.Errorf("without its cause: %s", log)
	}
	a.journal.note(os.ErrDeadlineExceeded)
	told = a.report(now.Add(lastRetry-time.Second), told)
	expect("again within the hour")
	told = a.report(now.Add(lastRetry), told)
	expect("again after an hour", "was not renewed")
	told = a.report(now.Add(80*day), told)
	expect("near the end", "ends soon")

	renewed := ca.Issue(now.Add(-day), now.Add(88*day), "login.example.com")
	cached(t, a, renewed)
	a.hosts[0].manager.Store(a.newManager("login.example.com")) // reads the cache, as after a renewal
	a.journal.note(errors.New("before it went well"))
	a.report(now, told)
	expect("renewed", `level=INFO msg="the certificate was renewed" host=login.example.com expires=`+stamp(renewed.Leaf.NotAfter))
}
