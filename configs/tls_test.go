package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// withTLS is a server on every address that speaks TLS by files.
func withTLS(c *Config) {
	c.Issuer, c.Listen = "https://login.example.com", ":443"
	c.TLS.Cert, c.TLS.Key = "cert.pem", "key.pem"
}

// withACME is the same by ACME.
func withACME(c *Config) {
	c.Issuer, c.Listen = "https://login.example.com:8443", ":443"
	c.TLS.ACMEHosts = []string{"www.example.com", "login.example.com"}
}

// behindProxy is a server on every address that does not.
func behindProxy(c *Config) {
	c.Issuer, c.Listen = "https://login.example.com", ":8080"
	c.BehindProxy, c.Proxies.Trusted = []string{"10.0.0.7", "fd00::/8"}, []string{"10.0.0.7", "fd00::/8"}
}

func TestCheckTLS(t *testing.T) {
	for _, tt := range []struct {
		name   string
		base   func(*Config)
		change func(*Config)
		want   []string
	}{
		{"files", withTLS, func(*Config) {}, nil},
		{"files on this machine", withTLS, func(c *Config) { c.Issuer, c.Listen = "https://localhost:8443", "127.0.0.1:8443" }, nil},
		{"acme", withACME, func(*Config) {}, nil},
		{"proxy", behindProxy, func(*Config) {}, nil},
		{"loopback by name", behindProxy, func(c *Config) { c.Listen, c.BehindProxy = "localhost:8080", nil }, nil},

		{"plain on every address", behindProxy, func(c *Config) { c.BehindProxy = nil }, []string{
			"listen: :8080 is reached from other machines, and over plain HTTP anyone on the way reads the passwords; set tls.cert and tls.key, or tls.acme_hosts, or behind_proxy"}},
		{"plain on one address", behindProxy, func(c *Config) { c.Listen, c.BehindProxy = "192.0.2.1:8080", nil }, []string{"listen: 192.0.2.1:8080 is reached"}},
		{"plain on IPv6", behindProxy, func(c *Config) { c.Listen, c.BehindProxy = "[::]:8080", nil }, []string{"listen: [::]:8080 is reached"}},
		{"plain on a name", behindProxy, func(c *Config) { c.Listen, c.BehindProxy = "signet:8080", nil }, []string{"listen: signet:8080 is reached"}},
		{"no port", behindProxy, func(c *Config) { c.Listen, c.BehindProxy = ":http", nil }, []string{`listen: "http" is not a port`}},

		{"certificate alone", withTLS, func(c *Config) { c.TLS.Key = "" }, []string{"tls.key: is empty, and tls.cert is not"}},
		{"key alone", withTLS, func(c *Config) { c.TLS.Cert = "" }, []string{"tls.cert: is empty, and tls.key is not"}},
		{"paths of two lines", withTLS, func(c *Config) { c.TLS.Cert, c.TLS.Key, c.TLS.ACMECA = "a\nb", "c\n", "d\n" }, []string{
			`tls.cert: "a\nb" holds a control`, `tls.key: "c\n" holds a control`, `tls.acme_ca: "d\n" holds a control`}},
		{"files and acme", withACME, func(c *Config) { c.TLS.Cert, c.TLS.Key = "a", "b" }, []string{"tls.acme_hosts: is set beside tls.cert"}},
		{"http with files", withTLS, func(c *Config) { c.Issuer = "http://localhost:8443" }, []string{
			"issuer: is http, and tls.cert makes the listener speak TLS; write https:// and the name by which clients reach it, such as"}},
		{"http with files on this machine", withTLS, func(c *Config) { c.Issuer, c.Listen = Default().Issuer, "127.0.0.1:9443" }, []string{"issuer: is http, and tls.cert makes the listener speak TLS; write https://127.0.0.1:9443"}},
		{"http with files on IPv6", withTLS, func(c *Config) { c.Issuer, c.Listen = "http://[::1]:8080", "[::1]:443" }, []string{"issuer: is http, and tls.cert makes the listener speak TLS; write https://[::1]"}},
		{"http with files on a free port", withTLS, func(c *Config) { c.Issuer, c.Listen = Default().Issuer, "127.0.0.1:0" }, []string{"issuer: is http, and tls.cert makes the listener speak TLS; write https:// and the name"}},
		{"http with acme", withACME, func(c *Config) { c.Issuer = "http://localhost" }, []string{"issuer: is http, and tls.acme_hosts makes the listener speak TLS; write https://www.example.com"}},

		{"acme for others", withACME, func(c *Config) { c.TLS.ACMEHosts = []string{"www.example.com"} }, []string{
			`tls.acme_hosts: does not have "login.example.com", the host of the issuer`}},
		{"name twice", withACME, func(c *Config) { c.TLS.ACMEHosts = slices.Repeat([]string{"login.example.com"}, 2) }, []string{
			`tls.acme_hosts: "login.example.com" stands in it twice`}},
		{"many names", withACME, func(c *Config) {
			for i := range 31 {
				c.TLS.ACMEHosts = append(c.TLS.ACMEHosts, fmt.Sprintf("a%d.example.com", i))
			}
		}, []string{"tls.acme_hosts: has 33 names; write 32 at most"}},
		{"email", withACME, func(c *Config) { c.TLS.ACMEEmail = "admin@example.com" }, nil},
		{"no email", withACME, func(c *Config) { c.TLS.ACMEEmail = "Admin <admin@example.com>" }, []string{"tls.acme_email:"}},
		{"plain directory", withACME, func(c *Config) { c.TLS.ACMEDirectory = "http://ca.example/dir" }, []string{"tls.acme_directory: is not an https URL"}},
		{"directory with a password", withACME, func(c *Config) { c.TLS.ACMEDirectory = "https://u:hunter2@ca.example/dir" }, []string{"tls.acme_directory: is not an https URL without a user"}},

		{"proxy by name", behindProxy, func(c *Config) { c.BehindProxy = []string{"proxy.local"} }, []string{`behind_proxy: "proxy.local" is neither an address`}},
		{"proxy twice", behindProxy, func(c *Config) { c.BehindProxy = []string{"10.0.0.7", "10.0.0.7"} }, []string{`behind_proxy: "10.0.0.7" stands in it twice`}},
		{"everyone is a proxy", behindProxy, func(c *Config) { c.BehindProxy = []string{"0.0.0.0/0"} }, []string{`behind_proxy: "0.0.0.0/0" trusts everyone`}},
		{"proxy and files", withTLS, func(c *Config) { c.BehindProxy = []string{"10.0.0.7"} }, []string{"behind_proxy: says that TLS ends in front of the listener, and tls.cert that it ends here"}},
		{"proxy and acme", withACME, func(c *Config) { c.BehindProxy = []string{"10.0.0.7"} }, []string{"behind_proxy: says that TLS ends in front of the listener, and tls.acme_hosts"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			tt.base(c)
			tt.change(c)
			expectFaults(t, c.Check(), tt.want)
		})
	}
}

func TestNamesThatNoCAProves(t *testing.T) {
	for name, want := range map[string]string{
		"":                                "is empty",
		"192.0.2.1":                       "is an address",
		"::1":                             "is an address",
		"*.example.com":                   "has a *",
		"Login.example.com":               "is no name of a host",
		"login_1.example.com":             "is no name of a host",
		"login.example.com:443":           "is no name of a host",
		"bücher.example":                  "is no name of a host",
		strings.Repeat("a.", 130) + "com": "is no name of a host",
		"localhost":                       "is not a whole name",
		"login.example.com.":              "is not a whole name",
		"login..example.com":              "is not a whole name",
		"xn--bcher-kva.example":           "",
	} {
		if got := hostFault(name); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%.50q: %q, want %q", name, got, want)
		}
	}
}

func TestWarningsOfTLS(t *testing.T) {
	for _, tt := range []struct {
		name   string
		base   func(*Config)
		change func(*Config)
		want   []string
	}{
		{"files", withTLS, func(*Config) {}, nil},
		{"acme", withACME, func(*Config) {}, nil},
		{"proxy", behindProxy, func(*Config) {}, nil},
		{"no trusted proxy", behindProxy, func(c *Config) { c.Proxies.Trusted = nil }, []string{"proxies.trusted: is empty, though something in front terminates TLS"}},
		{"proxy on this machine", behindProxy, func(c *Config) { c.Listen = "127.0.0.1:8080" }, []string{"behind_proxy: only this machine reaches 127.0.0.1:8080"}},
		{"acme on another port", withACME, func(c *Config) { c.Listen = ":8443" }, []string{"tls.acme_hosts: the CA looks for its proof on port 443; pass that on to :8443"}},
		{"a CA and no names", withTLS, func(c *Config) { c.TLS.ACMECA = "ca.pem" }, []string{"tls.acme_hosts: is empty, so that no CA is asked"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			tt.base(c)
			tt.change(c)
			if got := c.Warnings(); !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
