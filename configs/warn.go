package configs

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"
)

// Warnings are sentences about what is allowed and seldom meant. The defaults
// have none.
func (c *Config) Warnings() []string {
	return slices.Concat(c.warnAddress(), c.warnOps(), c.warnTLS(), c.warnOrigins(), c.warnTokens(), c.warnKeys(), c.warnPasswords())
}

func (c *Config) warnAddress() (w []string) {
	host, port, err := net.SplitHostPort(c.Listen)
	u, err2 := url.Parse(c.Issuer)
	if err != nil || err2 != nil { // a fault, not a warning
		return nil
	}
	local := u.Scheme == "http"
	switch {
	case !isLoopback(host) && local:
		w = append(w, fmt.Sprintf("issuer: %s means another machine to whoever is not on this one; set the https URL by which clients reach it", c.Issuer))
	case local && port != "0" && port != issuerPort(u):
		w = append(w, fmt.Sprintf("issuer: %s names another port than listen, %s; clients look for the keys there", c.Issuer, c.Listen))
	}
	return w
}

func (c *Config) warnOps() []string {
	host, _, err := net.SplitHostPort(c.OpsListen)
	if err != nil || isLoopback(host) {
		return nil
	}
	return []string{fmt.Sprintf("ops_listen: %s is reached from other machines; /metrics asks nobody who they are, and is not encrypted: let a firewall admit Prometheus alone", c.OpsListen)}
}

func issuerPort(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return "80"
}

func (c *Config) warnTokens() (w []string) {
	if c.Tokens.Access > time.Hour {
		w = append(w, fmt.Sprintf("tokens.access: %s is how long a service accepts the tokens of a user who was disabled; an hour is long already",
			formatDuration(c.Tokens.Access)))
	}
	if !c.Refresh.Rotate {
		w = append(w, "refresh.rotate: false means that a stolen refresh token is not noticed")
	}
	return append(w, c.warnReuseWindow()...)
}

func (c *Config) warnKeys() (w []string) {
	if slices.Contains(c.Keys.Algorithms, "EdDSA") {
		w = append(w, "keys.algorithms: EdDSA makes some clients refuse the whole key set; leave it out unless every service is known to read it")
	}
	if c.Keys.PublishAhead < time.Hour {
		w = append(w, fmt.Sprintf("keys.publish_ahead: with %s, services that fetch the key set seldom refuse new tokens for as long as they cache it; an hour or more is safe with most",
			formatDuration(c.Keys.PublishAhead)))
	}
	if c.Keys.RotateEvery == 0 {
		w = append(w, "keys.rotate_every: 0 means that keys are replaced only by signet keys rotate")
	}
	return w
}

// warnPasswords holds the least cost that OWASP recommends for argon2id.
func (c *Config) warnPasswords() []string {
	const least = 2 * (19 << 20)
	p := c.Passwords
	if p.Memory*int64(p.Time) >= least {
		return nil
	}
	return []string{fmt.Sprintf(
		"passwords: memory %s with time %d costs an attacker less than OWASP recommends; take at least 19MiB with 2, or more of the one for less of the other",
		formatSize(p.Memory), p.Time)}
}
