package configs

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"signet/internal/web/clientaddr"
)

const year = 365 * day

// A report collects the faults of a Config.
type report struct{ faults []Fault }

func (r *report) addf(key, format string, args ...any) {
	r.faults = append(r.faults, Fault{Key: key, Problem: fmt.Sprintf(format, args...)})
}

// bothf is addf for a rule between two settings.
func (r *report) bothf(key, also, format string, args ...any) {
	r.faults = append(r.faults, Fault{Key: key, also: also, Problem: fmt.Sprintf(format, args...)})
}

// Check applies the rules that hold for values and between them. [Load] has
// already done so.
func (c *Config) Check() []Fault {
	var r report
	c.checkIssuer(&r)
	c.checkListen(&r)
	c.checkTLS(&r)
	c.checkFiles(&r)
	c.checkTokens(&r)
	c.checkAudience(&r)
	c.checkTyp(&r)
	c.checkDelivery(&r)
	c.checkOrigins(&r)
	c.checkProxies(&r)
	c.checkClaims(&r)
	c.checkThrottle(&r)
	c.checkKeys(&r)
	c.checkPKCS11(&r)
	c.checkPasswords(&r)
	c.checkDialects(&r)
	oneOf(&r, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(&r, "log.format", c.Log.Format, "text", "json")
	return r.faults
}

// checkIssuer holds RFC 8414 §2: an https URL without query or fragment. Plain
// http is for trying it out on one machine. The sentences do not repeat the
// value: it may hold a password.
func (c *Config) checkIssuer(r *report) {
	const key = "issuer"
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		r.addf(key, "is not an absolute URL; write https://login.example.com")
	case u.User != nil:
		r.addf(key, "holds a user name or password, and is published; remove it")
	case strings.ContainsAny(c.Issuer, "?#"):
		r.addf(key, "has a query or a fragment; remove what begins with ? or # (RFC 8414 §2)")
	case strings.HasSuffix(c.Issuer, "/"):
		r.addf(key, "ends in a slash, and clients compare it letter by letter; remove the slash")
	case u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || u.Port() != "" && !isPort(u.Port()):
		r.addf(key, "has no host, or a port that is none; write https://login.example.com or https://login.example.com:8443")
	case u.String() != c.Issuer || strings.ToLower(u.Host) != u.Host:
		r.addf(key, "is not in its normal form, and clients compare it letter by letter; write scheme and host in lower case and escape what a URL may not hold")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		r.addf(key, "is http on a host other than this machine; write https:// (RFC 8414 §2)")
	}
}

func (c *Config) checkListen(r *report) {
	checkAddress(r, "listen", c.Listen, "127.0.0.1:8080, or :8080 for every address")
	if c.OpsListen != "" {
		checkAddress(r, "ops_listen", c.OpsListen, `127.0.0.1:9090, or "" for none`)
	}
	if c.OpsListen != "" && c.OpsListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		r.bothf("ops_listen", "listen", "%s is the public address; operators have one of their own", quote(c.OpsListen))
	}
}

func checkAddress(r *report, key, address, example string) {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil || !isHost(host):
		r.addf(key, "%s is not host:port; write %s", quote(address), example)
	case port != "0" && !isPort(port):
		r.addf(key, "%s is not a port; write a number from 1 to 65535, or 0 for a free one", quote(port))
	}
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// isHost says whether host is empty, an address, or could be a name.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return !strings.ContainsFunc(host, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("-._", c)
	})
}

// isLoopback says whether host means this machine to everyone (RFC 6761 §6.3).
func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func (c *Config) checkFiles(r *report) {
	if c.Data == "" {
		r.addf("data", "is empty; write a directory, such as ./signet-data")
	}
	checkPath(r, "data", c.Data)
	checkPath(r, "seal_key", c.SealKey)
	checkPath(r, "audit_file", c.AuditFile)
	c.checkStore(r)
}

func checkPath(r *report, key, path string) {
	if strings.ContainsFunc(path, unicode.IsControl) {
		r.addf(key, "%s holds a control character; write a path in one line", quote(path))
	}
}

func (c *Config) checkTokens(r *report) {
	t := &c.Tokens
	within(r, "tokens.access", t.Access, time.Second, day)
	within(r, "tokens.refresh", t.Refresh, time.Second, 10*year)
	within(r, "tokens.session", t.Session, time.Second, 10*year)
	if t.Refresh < t.Access {
		r.bothf("tokens.refresh", "tokens.access", "%s is shorter than tokens.access, %s; make it at least as long",
			formatDuration(t.Refresh), formatDuration(t.Access))
	}
	if t.Session < t.Refresh {
		r.bothf("tokens.session", "tokens.refresh", "%s is shorter than tokens.refresh, %s; make it at least as long",
			formatDuration(t.Session), formatDuration(t.Refresh))
	}
	within(r, "tokens.leeway", t.Leeway, 0, 150*time.Second)
	c.checkLeewayOfReplicas(r)
	between(r, "tokens.max_bytes", t.MaxBytes, 2048, 65536, formatInt)
	within(r, "refresh.reuse_window", c.Refresh.ReuseWindow, 0, 5*time.Minute)
}

func (c *Config) checkAudience(r *report) {
	const key = "tokens.audience"
	entries := c.Tokens.Audience
	for _, e := range entries {
		c.checkService(r, key, e)
	}
	if e, twice := repeated(entries); twice {
		r.addf(key, "%s stands in it twice; remove one", quote(e))
	}
}

// checkService refuses what cannot be the name of a service in an aud claim.
func (c *Config) checkService(r *report, key, name string) {
	switch {
	case name == "":
		r.addf(key, "has an empty entry; remove it")
	case strings.ContainsFunc(name, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }):
		r.addf(key, "%s holds a space or a control character; remove it", quote(name))
	case strings.Contains(name, ","):
		// A comma separates entries in the environment and in flags.
		r.addf(key, "%s holds a comma; write an entry for each audience", quote(name))
	case name == c.Issuer:
		r.bothf(key, "issuer", "%s is the issuer, the audience of refresh tokens alone; name the services instead", quote(name))
	}
}

// checkTyp refuses types that no token has, and a login whose token would need two.
func (c *Config) checkTyp(r *report) {
	const key = "tokens.typ"
	for _, name := range slices.Sorted(maps.Keys(c.Tokens.Typ)) {
		c.checkService(r, key, name)
		if typ := c.Tokens.Typ[name]; typ != "JWT" && typ != "at+jwt" {
			r.addf(key, "%s of %s is not known; write JWT or at+jwt", quote(typ), quote(name))
		}
	}
	one := ""
	for _, name := range c.Tokens.Audience {
		typ := c.Tokens.Typ[name]
		if one != "" && typ != "" && typ != one {
			r.bothf(key, "tokens.audience", "%s is not the typ of the others in tokens.audience, and one token of the login is for all of them; give them one", quote(name))
		}
		one = cmp.Or(one, typ)
	}
}

func (c *Config) checkProxies(r *report) {
	oneOf(r, "proxies.header", c.Proxies.Header, "X-Forwarded-For", "Forwarded")
	for _, entry := range c.Proxies.Trusted {
		if _, err := clientaddr.ParsePrefixes([]string{entry}); err != nil {
			r.addf("proxies.trusted", "%v", err)
		}
	}
	if e, twice := repeated(c.Proxies.Trusted); twice {
		r.addf("proxies.trusted", "%s stands in it twice; remove one", quote(e))
	}
	if c.Proxies.Traceparent && len(c.Proxies.Trusted) == 0 {
		r.addf("proxies.traceparent", "no proxy is named whose header could be taken; name it in proxies.trusted")
	}
}

func (c *Config) checkClaims(r *report) {
	const key = "claims.include"
	oneOf(r, "claims.user_id_type", c.Claims.UserIDType, "string", "number")
	for _, name := range slices.Sorted(maps.Keys(c.Claims.Include)) {
		c.checkService(r, key, name)
		parts := c.Claims.Include[name]
		if part, twice := repeated(parts); twice {
			r.addf(key, "%s stands in %s twice; remove one", quote(part), quote(name))
		}
		for _, part := range parts {
			if part == "" || strings.ContainsFunc(part, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) || c == ',' || c == '=' }) {
				r.addf(key, "%s of %s is no name of a claim; write groups, email, or another", quote(part), quote(name))
			}
		}
	}
}

// checkInclude refuses names that no token could ever say about a user.
func (c *Config) checkInclude(claim func(string) bool) []Fault {
	var r report
	for _, name := range slices.Sorted(maps.Keys(c.Claims.Include)) {
		for _, part := range c.Claims.Include[name] {
			if claim != nil && !claim(part) {
				r.addf("claims.include", "%s of %s is a claim that Signet itself sets or that nobody may; leave it out", quote(part), quote(name))
			}
		}
	}
	return r.faults
}

func (c *Config) checkThrottle(r *report) {
	t := &c.Throttle
	between(r, "throttle.pair", t.Pair, 0, 1000, formatInt)
	between(r, "throttle.address", t.Address, 0, 100_000, formatInt)
	between(r, "throttle.account", t.Account, 0, 100_000, formatInt)
	within(r, "throttle.max_wait", t.MaxWait, time.Second, day)
}

var algorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}

// checkPKCS11 takes the three settings of a token together, or none.
func (c *Config) checkPKCS11(r *report) {
	settings := []struct{ key, value string }{
		{"keys.pkcs11_module", c.Keys.PKCS11Module}, {"keys.pkcs11_token", c.Keys.PKCS11Token}, {"keys.pkcs11_pin_file", c.Keys.PKCS11PINFile},
	}
	set := ""
	for _, s := range settings {
		checkPath(r, s.key, s.value)
		if s.value != "" {
			set = s.key
		}
	}
	for _, s := range settings {
		if set != "" && s.value == "" {
			r.bothf(s.key, set, "is empty, and %s is not; set all of keys.pkcs11_module, keys.pkcs11_token and keys.pkcs11_pin_file, or none", set)
		}
	}
	if len(c.Keys.PKCS11Token) > 32 {
		r.addf("keys.pkcs11_token", "is longer than the 32 bytes of a label; write the one that the token has")
	}
}

func (c *Config) checkKeys(r *report) {
	k := &c.Keys
	c.checkAlgorithms(r)
	if !slices.Contains([]int{2048, 3072, 4096}, k.RSABits) {
		r.addf("keys.rsa_bits", "%d is not a size that is made; write 2048, 3072 or 4096", k.RSABits)
	}
	within(r, "keys.rotate_every", k.RotateEvery, 0, 10*year)
	within(r, "keys.publish_ahead", k.PublishAhead, 0, year)
	within(r, "keys.jwks_max_age", k.JWKSMaxAge, time.Second, day)
	if k.PublishAhead < k.JWKSMaxAge {
		r.bothf("keys.publish_ahead", "keys.jwks_max_age",
			"%s is shorter than keys.jwks_max_age, %s: a key would sign before every cache has it; make it at least as long",
			formatDuration(k.PublishAhead), formatDuration(k.JWKSMaxAge))
	}
	c.checkPublishedEverywhere(r)
	if k.RotateEvery != 0 && k.RotateEvery <= k.PublishAhead {
		r.bothf("keys.rotate_every", "keys.publish_ahead",
			"%s is not longer than keys.publish_ahead, %s; make it longer, or 0 to rotate by hand alone",
			formatDuration(k.RotateEvery), formatDuration(k.PublishAhead))
	}
}

func (c *Config) checkAlgorithms(r *report) {
	const key = "keys.algorithms"
	if len(c.Keys.Algorithms) == 0 {
		r.addf(key, "is empty, and something has to sign; write [ES256, RS256]")
	}
	for _, a := range c.Keys.Algorithms {
		if !slices.Contains(algorithms, a) {
			r.addf(key, "%s is not an algorithm of this issuer; write some of %s", quote(a), strings.Join(algorithms, ", "))
		}
	}
	if a, twice := repeated(c.Keys.Algorithms); twice {
		r.addf(key, "%s stands in it twice; remove one", quote(a))
	}
}

func (c *Config) checkPasswords(r *report) {
	p := &c.Passwords
	between(r, "passwords.memory", p.Memory, 8<<20, 1<<30, formatSize)
	if p.Memory%(1<<10) != 0 {
		r.addf("passwords.memory", "%d is not a whole number of KiB, in which argon2 counts; write 19MiB", p.Memory)
	}
	between(r, "passwords.time", p.Time, 1, 16, formatInt)
	if most := int64(4 << 30); p.Time >= 1 && p.Time <= 16 && p.Memory <= 1<<30 && p.Memory*int64(p.Time) > most {
		r.bothf("passwords.memory", "passwords.time", "%s with passwords.time %d is more work than a login may be; keep memory times passes within 4GiB",
			formatSize(p.Memory), p.Time)
	}
	between(r, "passwords.threads", p.Threads, 1, 16, formatInt)
	between(r, "passwords.min_length", p.MinLength, 8, 64, formatInt)
	between(r, "passwords.queue", p.Queue, 0, 65536, formatInt)
}

// checkDialects compares the limit of a renewal only where it is in force: its default
// must not be a fault of who does not use it.
func (c *Config) checkDialects(r *report) {
	const key = "dialects.drf_jwt_refresh"
	limit := c.Dialects.DRFJWTRefresh
	within(r, key, limit, time.Second, 10*year)
	switch {
	case !c.Dialects.DRFJWT:
	case limit > c.Tokens.Session:
		r.bothf(key, "tokens.session", "%s is longer than tokens.session, %s; make it at most as long",
			formatDuration(limit), formatDuration(c.Tokens.Session))
	case limit < c.Tokens.Access:
		r.bothf(key, "tokens.access", "%s is shorter than tokens.access, %s; make it at least as long",
			formatDuration(limit), formatDuration(c.Tokens.Access))
	}
}

func oneOf(r *report, key, got string, allowed ...string) {
	if !slices.Contains(allowed, got) {
		last := len(allowed) - 1
		r.addf(key, "%s is not known; write %s or %s", quote(got), strings.Join(allowed[:last], ", "), allowed[last])
	}
}

func between[T cmp.Ordered](r *report, key string, got, least, most T, format func(T) string) {
	if got < least || got > most {
		r.addf(key, "%s is outside its limits; write a value from %s to %s", format(got), format(least), format(most))
	}
}

// within is between for durations, which are whole seconds: tokens and HTTP
// headers carry no smaller unit (RFC 9111 §1.2.2).
func within(r *report, key string, got, least, most time.Duration) {
	between(r, key, got, least, most, formatDuration)
	if got%time.Second != 0 {
		r.addf(key, "%s is not a whole number of seconds; write it in s, m, h or d", formatDuration(got))
	}
}
