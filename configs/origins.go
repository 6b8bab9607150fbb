package configs

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// checkDelivery refuses a path that the attribute Path of a cookie cannot hold
// (RFC 6265bis §4.1.1).
func (c *Config) checkDelivery(r *report) {
	oneOf(r, "delivery", c.Delivery, "body", "cookie")
	if u, err := url.Parse(c.Issuer); err == nil && c.Delivery == "cookie" && strings.Contains(u.EscapedPath(), ";") {
		r.bothf("issuer", "delivery", "has a path with a semicolon, which a cookie cannot be bound to; choose another path, or write delivery: body")
	}
}

func (c *Config) checkOrigins(r *report) {
	const key = "origins"
	for _, origin := range c.Origins {
		if fault := originFault(origin); fault != "" {
			r.addf(key, "%s %s", quote(withoutPassword(origin)), fault)
		}
	}
	if o, twice := repeated(c.Origins); twice {
		r.addf(key, "%s stands in it twice; remove one", quote(o))
	}
}

func withoutPassword(origin string) string {
	if u, err := url.Parse(origin); err == nil && u.User != nil {
		return u.Redacted()
	}
	return origin
}

// originFault says why no browser sends the text as the Origin of a page
// (RFC 6454 §6.2): what is compared letter by letter would never match, or match too much.
func originFault(origin string) string {
	u, err := url.Parse(origin)
	switch {
	case origin == "":
		return "is empty; remove it"
	case origin == "null":
		return "is what every sandboxed page and every file sends; list the origin of the page"
	case strings.Contains(origin, "*"):
		return "has a *, and would let in pages of others; list each origin"
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "is not an origin; write https://app.example.com"
	case u.User != nil:
		return "holds a user name; remove it"
	case u.Path != "" || strings.ContainsAny(origin, "?#"):
		return "goes on behind the host; an origin ends there, without a slash"
	case u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || u.Port() != "" && !isPort(u.Port()):
		return "has no host, or a port that is none; write https://app.example.com or https://app.example.com:8443"
	case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80":
		return "has the port that browsers leave out; remove it"
	case !isOriginHost(u.Hostname()) || u.Scheme+"://"+u.Host != origin || strings.HasPrefix(u.Port(), "0"):
		return "is not written as a browser does; write it in lower case, and other letters than a to z as punycode (xn--)"
	}
	return ""
}

// isOriginHost says whether a browser would write the host so: an address in its
// shortest form, or a name.
func isOriginHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == "" && addr.String() == host
	}
	return !strings.ContainsFunc(host, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-._", c)
	})
}

// warnOrigins is for what a browser would not let work, or lets others use.
func (c *Config) warnOrigins() (w []string) {
	issuer, err := url.Parse(c.Issuer)
	if err != nil { // a fault, not a warning
		return nil
	}
	if c.Delivery == "cookie" && !c.Dialects.SimpleJWT {
		w = append(w, "delivery: cookie is for /api/token/, which dialects.simplejwt: false turns off")
	}
	for _, origin := range c.Origins {
		u, err := url.Parse(origin)
		if err != nil {
			continue
		}
		if u.Scheme == "http" && !isLoopback(u.Hostname()) {
			w = append(w, fmt.Sprintf("origins: %s is plain HTTP: whoever is on the way writes its scripts, and they may call the login", origin))
		}
		if c.Delivery == "cookie" && (u.Scheme != issuer.Scheme || otherSite(u.Hostname(), issuer.Hostname())) {
			w = append(w, fmt.Sprintf("origins: %s is another site than the issuer, and a browser sends no SameSite=Strict cookie from there; serve both below one domain, with one scheme", origin))
		}
	}
	return w
}

// otherSite reports hosts that cannot have one registrable domain: it has two labels
// at least. What it does not report may still be two sites, as a.co.uk and b.co.uk are.
func otherSite(a, b string) bool {
	if a == b {
		return false
	}
	return isAddress(a) || isAddress(b) || !slices.Equal(lastTwo(a), lastTwo(b)) || len(lastTwo(a)) < 2
}

func isAddress(host string) bool { return net.ParseIP(host) != nil }

func lastTwo(host string) []string {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	return labels[max(0, len(labels)-2):]
}
