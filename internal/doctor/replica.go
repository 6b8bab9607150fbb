package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"
)

// Replica is the server of this machine, where the issuer's URL may lead to another one.
type Replica struct {
	// URL is the issuer's. Listen is the address of the listener here, TLS whether that
	// speaks TLS.
	URL, Listen string
	TLS         bool
	// Set is the key set that the server has in memory.
	Set []byte
	// Age is how long ago it read the keys from the database. Late: another read is overdue,
	// and Failing says why.
	Age     time.Duration
	Late    bool
	Failing string
}

// Checks asks its listener, whatever the URL leads to.
func (p Replica) Checks(ctx context.Context) []Check {
	r := &report{name: "this server"}
	if p.Late {
		r.fail("mend what the checks of the database server and the sealing key find; the log of the server has the rest",
			"it last read the keys from the database %s ago, and goes on with old ones: %s", span(p.Age), p.Failing)
	}
	p.listener(ctx, r)
	return r.orOK("%s answers, can sign and store, and has the keys of %s ago", p.Listen, span(p.Age))
}

func (p Replica) listener(ctx context.Context, r *report) {
	v := &visit{Outside: &Outside{URL: p.address()}, client: p.client()}
	defer v.client.CloseIdleConnections()
	ready, err := v.get(ctx, v.URL+"/readyz", nil)
	if err != nil {
		r.fail("look at the log of the server: whoever distributes requests has to reach this address", "its listener at %s does not answer: %v", p.Listen, cause(err))
		return
	}
	if ready.status != http.StatusOK {
		r.fail("look at the log of the server: its error says what is missing", "its listener at %s answers /readyz with %s: %.200s", p.Listen, ready.says(), bytes.TrimSpace(ready.body))
	}
	set, err := v.get(ctx, v.URL+pathJWKS, nil)
	if err == nil && set.status == http.StatusOK && !bytes.Equal(set.body, p.Set) {
		r.warn("ask again; if it stays so, see which program listens there", "its listener at %s serves other keys than the server has", p.Listen)
	}
}

// address names the issuer's host, for which a certificate is, by the scheme of the listener.
func (p Replica) address() string {
	_, rest, _ := strings.Cut(p.URL, "://")
	if p.TLS {
		return "https://" + rest
	}
	return "http://" + rest
}

// client connects to the listener alone, by no proxy.
func (p Replica) client() *http.Client {
	c := newClient()
	c.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", p.Listen)
		},
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
		MaxResponseHeaderBytes: maxHeader,
	}
	return c
}
