package doctor

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"
)

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-1000 * day), NotAfter: time.Now().Add(1000 * day),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return &authority{certificate, key, pool}
}

// leaf is what a certificate says; the zero value is a good one of 90 days.
type leaf struct {
	from, until time.Duration // from now
	host        string
	selfSigned  bool
}

func (a *authority) issue(t *testing.T, l leaf) tls.Certificate {
	t.Helper()
	if l.until == 0 {
		l.until = 90*day - time.Hour
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(l.from), NotAfter: time.Now().Add(l.until),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}; l.host != "" {
		template.IPAddresses, template.DNSNames = nil, []string{l.host}
	}
	parent, signer := a.certificate, a.key
	if l.selfSigned {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestCertificates(t *testing.T) {
	d := deploy(t)
	stranger := newAuthority(t)
	for _, c := range []struct {
		name string
		by   *authority
		leaf leaf
		want []finding
	}{
		{"good", d.authority, leaf{}, nil},
		{"expired", d.authority, leaf{from: -90 * day, until: -time.Hour}, []finding{{"certificate", Fail, "has expired at", "renew"}}},
		{"expires in 6 days", d.authority, leaf{from: -84 * day, until: 6*day + time.Hour}, []finding{{"certificate", Fail, "in 6 days", "renew"}}},
		{"expires in 20 days", d.authority, leaf{from: -70 * day, until: 20*day + time.Hour}, []finding{{"certificate", Warn, "in 20 days", "renew"}}},
		{"a short one, new", d.authority, leaf{from: -time.Hour, until: 6 * day}, nil},
		{"a short one, late", d.authority, leaf{from: -5 * day, until: day}, []finding{{"certificate", Warn, "in 23 hours", "renew"}}},
		{"not valid yet", d.authority, leaf{from: time.Hour, until: 90 * day}, []finding{{"certificate", Fail, "valid only from", "clock"}}},
		{"of another host", d.authority, leaf{host: "other.test"}, []finding{{"certificate", Fail, "it is for another host", "correct issuer"}}},
		{"of a hostile name", d.authority, leaf{host: "x\x1b[2J.test"}, []finding{{"certificate", Fail, "it is for another host", ""}}},
		{"of an unknown authority", stranger, leaf{}, []finding{{"certificate", Fail, "no authority that is trusted here", "--ca FILE"}}},
		{"signed by itself", d.authority, leaf{selfSigned: true}, []finding{{"certificate", Fail, "signed by itself", "--ca FILE"}}},
		{"everything wrong", stranger, leaf{from: -90 * day, until: -time.Hour, host: "other.test"}, []finding{
			{"certificate", Fail, "expired", ""}, {"certificate", Fail, "no authority", ""}, {"certificate", Fail, "another host", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			certificate := c.by.issue(t, c.leaf)
			d.front.TLS.Certificates = nil
			d.front.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }
			wantOnly(t, d.outside().Checks(t.Context()), c.want...)
		})
	}
}

// TestIssuerWithoutTLS: http is for this machine alone.
func TestIssuerWithoutTLS(t *testing.T) {
	for address, want := range map[string]Result{
		"http://127.0.0.1:8080": Skipped, "http://[::1]:8080": Skipped, "http://localhost": Skipped, "http://login.example.com": Fail, "http://10.0.0.7": Fail,
	} {
		v := &visit{Outside: &Outside{URL: address}, set: &answer{}}
		if got := v.certificate(t.Context()); len(got) != 1 || got[0].Result != want {
			t.Errorf("%s: %+v, want %s", address, got, want)
		}
	}
}
