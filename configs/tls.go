package configs

import (
	"cmp"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"signet/internal/web/clientaddr"
)

// TLS rules how the public listener is encrypted. It is plain if Cert and ACMEHosts are
// both empty.
type TLS struct {
	// Cert and Key are PEM files.
	Cert, Key string
	// ACMEHosts are the names for which a CA issues certificates.
	ACMEHosts []string
	// ACMEEmail is what the CA may write to.
	ACMEEmail string
	// ACMEDirectory is the URL of the CA's directory, ACMECA a PEM file with the roots
	// of that URL.
	ACMEDirectory, ACMECA string
}

// maxACMEHosts bounds the names: each is a certificate of its own.
const maxACMEHosts = 32

// ServesTLS says whether the public listener speaks TLS.
func (c *Config) ServesTLS() bool { return c.tlsSetting() != "" }

// tlsSetting is the setting that makes the listener speak TLS.
func (c *Config) tlsSetting() string {
	switch {
	case c.TLS.Cert != "":
		return "tls.cert"
	case c.TLS.Key != "":
		return "tls.key"
	case len(c.TLS.ACMEHosts) > 0:
		return "tls.acme_hosts"
	}
	return ""
}

func (c *Config) checkTLS(r *report) {
	c.checkPlain(r)
	c.checkTLSFiles(r)
	c.checkACME(r)
	c.checkBehindProxy(r)
	issuer, err := url.Parse(c.Issuer)
	if by := c.tlsSetting(); by != "" && err == nil && issuer.Scheme == "http" {
		r.bothf("issuer", by, "is http, and %s makes the listener speak TLS; write %s", by, c.httpsIssuer(issuer))
	}
}

// httpsIssuer is what to write in place of an issuer that is http, which is of this machine.
func (c *Config) httpsIssuer(plain *url.URL) string {
	host, port, err := net.SplitHostPort(c.Listen)
	switch {
	case len(c.TLS.ACMEHosts) > 0:
		return "https://" + c.TLS.ACMEHosts[0]
	case err != nil || !isLoopback(host) || port == "0":
		return "https:// and the name by which clients reach it, such as https://login.example.com"
	case port == "443":
		return "https://" + strings.TrimSuffix(plain.Host, ":"+plain.Port())
	}
	return "https://" + net.JoinHostPort(plain.Hostname(), port)
}

// checkPlain refuses passwords in the clear on a network (RFC 6749 §1.6, RFC 9700 §2.6).
func (c *Config) checkPlain(r *report) {
	host, _, err := net.SplitHostPort(c.Listen)
	faulty := slices.ContainsFunc(r.faults, func(f Fault) bool { return f.Key == "listen" })
	if err != nil || faulty || isLoopback(host) || c.ServesTLS() || len(c.BehindProxy) > 0 {
		return
	}
	r.bothf("listen", "behind_proxy", "%s is reached from other machines, and over plain HTTP anyone on the way reads the passwords; "+
		"set tls.cert and tls.key, or tls.acme_hosts, or behind_proxy to the addresses of what terminates TLS in front of it", c.Listen)
}

func (c *Config) checkTLSFiles(r *report) {
	checkPath(r, "tls.cert", c.TLS.Cert)
	checkPath(r, "tls.key", c.TLS.Key)
	switch {
	case c.TLS.Cert != "" && c.TLS.Key == "":
		r.bothf("tls.key", "tls.cert", "is empty, and tls.cert is not; name the file of the private key")
	case c.TLS.Cert == "" && c.TLS.Key != "":
		r.bothf("tls.cert", "tls.key", "is empty, and tls.key is not; name the file of the certificate")
	}
	if len(c.TLS.ACMEHosts) > 0 && c.TLS.Cert+c.TLS.Key != "" {
		r.bothf("tls.acme_hosts", "tls.cert", "is set beside tls.cert or tls.key; have a CA issue certificates, or name files")
	}
}

func (c *Config) checkACME(r *report) {
	c.checkACMEHosts(r)
	checkPath(r, "tls.acme_ca", c.TLS.ACMECA)
	if at, err := mail.ParseAddress(c.TLS.ACMEEmail); c.TLS.ACMEEmail != "" && (err != nil || at.Address != c.TLS.ACMEEmail) {
		r.addf("tls.acme_email", "%s is not an address; write admin@example.com", quote(c.TLS.ACMEEmail))
	}
	if u, err := url.Parse(c.TLS.ACMEDirectory); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		// The value is left out: it may hold a password.
		r.addf("tls.acme_directory", "is not an https URL without a user; write the one that the CA gives, such as %s", letsEncrypt)
	}
}

func (c *Config) checkACMEHosts(r *report) {
	const key = "tls.acme_hosts"
	for _, host := range c.TLS.ACMEHosts {
		if fault := hostFault(host); fault != "" {
			r.addf(key, "%s %s", quote(host), fault)
		}
	}
	if h, twice := repeated(c.TLS.ACMEHosts); twice {
		r.addf(key, "%s stands in it twice; remove one", quote(h))
	}
	if n := len(c.TLS.ACMEHosts); n > maxACMEHosts {
		r.addf(key, "has %d names; write %d at most", n, maxACMEHosts)
	}
	u, err := url.Parse(c.Issuer)
	if err == nil && u.Scheme == "https" && len(c.TLS.ACMEHosts) > 0 && !slices.Contains(c.TLS.ACMEHosts, u.Hostname()) {
		r.bothf(key, "issuer", "does not have %s, the host of the issuer, and clients would find no certificate there; add it", quote(u.Hostname()))
	}
}

// hostFault says why a CA issues no certificate for a name by tls-alpn-01 (RFC 8737 §3).
func hostFault(host string) string {
	_, err := netip.ParseAddr(host)
	switch {
	case host == "":
		return "is empty; remove it"
	case err == nil:
		return "is an address; write the name by which clients reach it"
	case strings.Contains(host, "*"):
		return "has a *, which needs a proof that Signet does not have; list each name"
	case !isOriginHost(host) || len(host) > 253 || strings.Contains(host, "_"):
		return "is no name of a host; write it in lower case, and other letters than a to z as punycode (xn--)"
	case !strings.Contains(host, ".") || slices.Contains(strings.Split(host, "."), ""):
		return "is not a whole name; write one such as login.example.com"
	}
	return ""
}

func (c *Config) checkBehindProxy(r *report) {
	const key = "behind_proxy"
	for _, entry := range c.BehindProxy {
		if _, err := clientaddr.ParsePrefixes([]string{entry}); err != nil {
			r.addf(key, "%v", err)
		}
	}
	if e, twice := repeated(c.BehindProxy); twice {
		r.addf(key, "%s stands in it twice; remove one", quote(e))
	}
	if by := c.tlsSetting(); by != "" && len(c.BehindProxy) > 0 {
		r.bothf(key, by, "says that TLS ends in front of the listener, and %s that it ends here; remove one of them", by)
	}
}

// warnTLS is for what works and is seldom meant.
func (c *Config) warnTLS() (w []string) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil { // a fault, not a warning
		return nil
	}
	if len(c.BehindProxy) > 0 && isLoopback(host) {
		w = append(w, fmt.Sprintf("behind_proxy: only this machine reaches %s, and it always may; remove the setting, or listen elsewhere", c.Listen))
	}
	proxied := len(c.BehindProxy) > 0 || strings.HasPrefix(c.Issuer, "https://") && !c.ServesTLS()
	if proxied && len(c.Proxies.Trusted) == 0 {
		w = append(w, "proxies.trusted: is empty, though something in front terminates TLS, so that all clients count as one, and the failed logins of any make the others wait; name the proxies there")
	}
	if len(c.TLS.ACMEHosts) > 0 && port != "443" {
		w = append(w, fmt.Sprintf("tls.acme_hosts: the CA looks for its proof on port 443; pass that on to %s", c.Listen))
	}
	if unused := cmp.Or(c.TLS.ACMEEmail, c.TLS.ACMECA); unused != "" && len(c.TLS.ACMEHosts) == 0 {
		w = append(w, "tls.acme_hosts: is empty, so that no CA is asked, and the settings of one do nothing")
	}
	return w
}
