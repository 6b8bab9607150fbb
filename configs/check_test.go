package configs

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCheck changes one thing of the defaults. want is the key and the beginning
// of each fault; none means that the value is good.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"access at least", func(c *Config) { c.Tokens.Access = time.Second }, nil},
		{"access too short", func(c *Config) { c.Tokens.Access = 0 }, []string{"tokens.access: 0s is outside"}},
		{"access negative", func(c *Config) { c.Tokens.Access = -time.Minute }, []string{"tokens.access: -1m is outside"}},
		{"access at most", func(c *Config) { c.Tokens.Access = day }, nil},
		{"access too long", func(c *Config) { c.Tokens.Access, c.Tokens.Refresh = 25*time.Hour, 2*day },
			[]string{"tokens.access: 25h is outside its limits; write a value from 1s to 24h"}},
		{"access of part seconds", func(c *Config) { c.Tokens.Access = 1500 * time.Millisecond },
			[]string{"tokens.access: 1.5s is not a whole number of seconds"}},
		{"refresh like access", func(c *Config) { c.Tokens.Refresh = 5 * time.Minute }, nil},
		{"refresh below access", func(c *Config) { c.Tokens.Refresh = 299 * time.Second },
			[]string{"tokens.refresh: 4m59s is shorter than tokens.access, 5m"}},
		{"session like refresh", func(c *Config) { c.Tokens.Session = day }, nil},
		{"session below refresh", func(c *Config) { c.Tokens.Session = 23 * time.Hour },
			[]string{"tokens.session: 23h is shorter than tokens.refresh, 24h"}},
		{"session beyond ten years", func(c *Config) { c.Tokens.Session = 3651 * day }, []string{"tokens.session: 3651d is outside"}},
		{"leeway none", func(c *Config) { c.Tokens.Leeway = 0 }, nil},
		{"leeway at most", func(c *Config) { c.Tokens.Leeway = 150 * time.Second }, nil},
		{"leeway too long", func(c *Config) { c.Tokens.Leeway = 151 * time.Second }, []string{"tokens.leeway: 2m31s is outside"}},
		{"reuse window none", func(c *Config) { c.Refresh.ReuseWindow = 0 }, nil},
		{"reuse window too long", func(c *Config) { c.Refresh.ReuseWindow = 301 * time.Second }, []string{"refresh.reuse_window: 5m1s is outside"}},
		{"max_bytes at least", func(c *Config) { c.Tokens.MaxBytes = 2048 }, nil},
		{"max_bytes too small", func(c *Config) { c.Tokens.MaxBytes = 2047 }, []string{"tokens.max_bytes: 2047 is outside"}},
		{"max_bytes too large", func(c *Config) { c.Tokens.MaxBytes = 65537 }, []string{"tokens.max_bytes: 65537 is outside"}},

		{"audience", func(c *Config) { c.Tokens.Audience = []string{"a", "https://b"} }, nil},
		{"audience empty", func(c *Config) { c.Tokens.Audience = []string{""} }, []string{"tokens.audience: has an empty entry"}},
		{"audience space", func(c *Config) { c.Tokens.Audience = []string{"a b"} }, []string{`tokens.audience: "a b" holds a space`}},
		{"audience control", func(c *Config) { c.Tokens.Audience = []string{"a\x00"} }, []string{`tokens.audience: "a\x00" holds a space or a control`}},
		{"audience comma", func(c *Config) { c.Tokens.Audience = []string{"a,b"} }, []string{`tokens.audience: "a,b" holds a comma`}},
		{"audience twice", func(c *Config) { c.Tokens.Audience = []string{"a", "b", "a"} }, []string{`tokens.audience: "a" stands in it twice`}},
		{"audience is the issuer", func(c *Config) { c.Tokens.Audience = []string{c.Issuer} }, []string{`tokens.audience: "http://127.0.0.1:8080" is the issuer`}},

		{"types", func(c *Config) {
			c.Tokens.Audience, c.Tokens.Typ = []string{"a", "b", "c"}, map[string]string{"a": "JWT", "c": "JWT", "d": "at+jwt"}
		}, nil},
		{"typ of a service", func(c *Config) { c.Tokens.Typ = map[string]string{"a b": "JWT"} }, []string{`tokens.typ: "a b" holds a space`}},
		{"typ unknown", func(c *Config) { c.Tokens.Typ = map[string]string{"a": "jwt"} }, []string{`tokens.typ: "jwt" of "a" is not known; write JWT or at+jwt`}},
		{"typ of the issuer", func(c *Config) { c.Tokens.Typ = map[string]string{c.Issuer: "JWT"} }, []string{`tokens.typ: "http://127.0.0.1:8080" is the issuer`}},
		{"two types for one token", func(c *Config) {
			c.Tokens.Audience, c.Tokens.Typ = []string{"a", "b", "c"}, map[string]string{"a": "JWT", "c": "at+jwt"}
		}, []string{`tokens.typ: "c" is not the typ of the others in tokens.audience`}},
		{"no listener for operators", func(c *Config) { c.OpsListen = "" }, nil},
		{"listener for operators", func(c *Config) { c.OpsListen = "9090" }, []string{`ops_listen: "9090" is not host:port; write 127.0.0.1:9090, or "" for none`}},
		{"one address for all", func(c *Config) { c.OpsListen = c.Listen }, []string{`ops_listen: "127.0.0.1:8080" is the public address`}},
		{"two free ports", func(c *Config) { c.Listen, c.OpsListen = "127.0.0.1:0", "127.0.0.1:0" }, nil},
		{"proxies", func(c *Config) { c.Proxies.Trusted = []string{"10.0.0.7", "10.0.0.0/8", "::1", "fd00::/8"} }, nil},
		{"proxy by name", func(c *Config) { c.Proxies.Trusted = []string{"proxy.local"} }, []string{`proxies.trusted: "proxy.local" is neither an address`}},
		{"proxy with a zone", func(c *Config) { c.Proxies.Trusted = []string{"fe80::1%eth0"} }, []string{`proxies.trusted: "fe80::1%eth0" has a zone`}},
		{"network with host bits", func(c *Config) { c.Proxies.Trusted = []string{"10.0.0.1/8"} }, []string{`proxies.trusted: "10.0.0.1/8" is an address in the network 10.0.0.0/8`}},
		{"everyone is a proxy", func(c *Config) { c.Proxies.Trusted = []string{"0.0.0.0/0"} }, []string{`proxies.trusted: "0.0.0.0/0"`}},
		{"proxy twice", func(c *Config) { c.Proxies.Trusted = []string{"::1", "::1"} }, []string{`proxies.trusted: "::1" stands in it twice`}},
		{"another header", func(c *Config) { c.Proxies.Header = "X-Real-IP" }, []string{`proxies.header: "X-Real-IP" is not known; write X-Forwarded-For or Forwarded`}},
		{"traceparent of no proxy", func(c *Config) { c.Proxies.Traceparent = true }, []string{"proxies.traceparent: no proxy is named"}},
		{"traceparent of a proxy", func(c *Config) { c.Proxies = Proxies{Trusted: []string{"::1"}, Header: "Forwarded", Traceparent: true} }, nil},
		{"claims", func(c *Config) { c.Claims.Include = map[string][]string{"*": nil, "orders": {"email", "tenant"}} }, nil},
		{"claims of the issuer", func(c *Config) { c.Claims.Include = map[string][]string{c.Issuer: nil} }, []string{`claims.include: "http://127.0.0.1:8080" is the issuer`}},
		{"claim with a space", func(c *Config) { c.Claims.Include = map[string][]string{"*": {"a b"}} }, []string{`claims.include: "a b" of "*" is no name of a claim`}},
		{"claim twice", func(c *Config) { c.Claims.Include = map[string][]string{"*": {"a", "a"}} }, []string{`claims.include: "a" stands in "*" twice`}},
		{"user_id of another type", func(c *Config) { c.Claims.UserIDType = "uuid" }, []string{`claims.user_id_type: "uuid" is not known; write string or number`}},
		{"short passwords", func(c *Config) { c.Passwords.MinLength = 7 }, []string{"passwords.min_length: 7 is outside its limits; write a value from 8 to 64"}},
		{"no throttle", func(c *Config) { c.Throttle = Throttle{MaxWait: time.Second} }, nil},
		{"negative throttle", func(c *Config) { c.Throttle.Pair, c.Throttle.Address, c.Throttle.Account = -1, -1, -1 },
			[]string{"throttle.pair: -1 is outside", "throttle.address: -1 is outside", "throttle.account: -1 is outside"}},
		{"long wait", func(c *Config) { c.Throttle.MaxWait = 25 * time.Hour }, []string{"throttle.max_wait: 25h is outside"}},
		{"refresh tokens in a cookie", func(c *Config) { c.Delivery = "cookie" }, nil},
		{"delivery unknown", func(c *Config) { c.Delivery = "header" }, []string{`delivery: "header" is not known; write body or cookie`}},
		{"a cookie for a path with a semicolon", func(c *Config) { c.Issuer, c.Delivery = "https://a.example/b;c", "cookie" },
			[]string{"issuer: has a path with a semicolon"}},
		{"the same path without cookies", func(c *Config) { c.Issuer = "https://a.example/b;c" }, nil},
		{"origins", func(c *Config) {
			c.Origins = []string{"https://app.example.com", "https://app.example.com:8443", "http://localhost:3000", "https://[2001:db8::1]:1", "https://xn--bcher-kva.example"}
		}, nil},
		{"origin with a password", func(c *Config) { c.Origins = []string{"https://kyoko:secret@app.example.com"} },
			[]string{`origins: "https://kyoko:xxxxx@app.example.com" holds a user name`}},
		{"origin twice", func(c *Config) { c.Origins = []string{"https://a", "https://a"} }, []string{`origins: "https://a" stands in it twice`}},
		{"every algorithm", func(c *Config) { c.Keys.Algorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} }, nil},
		{"no algorithm", func(c *Config) { c.Keys.Algorithms = nil }, []string{"keys.algorithms: is empty"}},
		{"shared secret", func(c *Config) { c.Keys.Algorithms = []string{"HS256"} }, []string{`keys.algorithms: "HS256" is not an algorithm`}},
		{"no signature", func(c *Config) { c.Keys.Algorithms = []string{"none"} }, []string{`keys.algorithms: "none" is not an algorithm`}},
		{"algorithm twice", func(c *Config) { c.Keys.Algorithms = []string{"ES256", "ES256"} }, []string{`keys.algorithms: "ES256" stands in it twice`}},
		{"small RSA", func(c *Config) { c.Keys.RSABits = 1024 }, []string{"keys.rsa_bits: 1024 is not a size"}},
		{"jwks_max_age none", func(c *Config) { c.Keys.JWKSMaxAge = 0 }, []string{"keys.jwks_max_age: 0s is outside"}},
		{"jwks_max_age too long", func(c *Config) { c.Keys.JWKSMaxAge, c.Keys.PublishAhead = 25*time.Hour, 2*day }, []string{"keys.jwks_max_age: 25h is outside"}},
		{"publish_ahead like jwks_max_age", func(c *Config) { c.Keys.PublishAhead = 5 * time.Minute }, nil},
		{"publish_ahead below jwks_max_age", func(c *Config) { c.Keys.PublishAhead = time.Minute }, []string{"keys.publish_ahead: 1m is shorter than keys.jwks_max_age, 5m"}},
		{"rotate never", func(c *Config) { c.Keys.RotateEvery = 0 }, nil},
		{"rotate like publish_ahead", func(c *Config) { c.Keys.RotateEvery = day }, []string{"keys.rotate_every: 24h is not longer than keys.publish_ahead, 24h; make it longer, or 0"}},
		{"token", func(c *Config) {
			c.Keys.PKCS11Module, c.Keys.PKCS11Token, c.Keys.PKCS11PINFile = "/lib/token.so", strings.Repeat("x", 32), "/pin"
		}, nil},
		{"part of a token", func(c *Config) { c.Keys.PKCS11Token = "token" }, []string{
			"keys.pkcs11_module: is empty, and keys.pkcs11_token is not; set all of", "keys.pkcs11_pin_file: is empty, and keys.pkcs11_token is not"}},
		{"label of a token", func(c *Config) {
			c.Keys.PKCS11Module, c.Keys.PKCS11Token, c.Keys.PKCS11PINFile = "/lib/\x00.so", strings.Repeat("x", 33), "/pin"
		}, []string{`keys.pkcs11_module: "/lib/\x00.so" holds a control character`, "keys.pkcs11_token: is longer than the 32 bytes"}},
		{"rotate negative", func(c *Config) { c.Keys.RotateEvery = -day }, []string{"keys.rotate_every: -24h is outside", "keys.rotate_every: -24h is not longer"}},

		{"memory too small", func(c *Config) { c.Passwords.Memory = 7 << 20 }, []string{"passwords.memory: 7MiB is outside its limits; write a value from 8MiB to 1GiB"}},
		{"memory too large", func(c *Config) { c.Passwords.Memory = 1025 << 20 }, []string{"passwords.memory: 1025MiB is outside"}},
		{"memory odd", func(c *Config) { c.Passwords.Memory = 20_000_000 }, []string{"passwords.memory: 20000000 is not a whole number of KiB"}},
		{"memory and time at most", func(c *Config) { c.Passwords.Memory, c.Passwords.Time = 1<<30, 4 }, nil},
		{"memory and time together", func(c *Config) { c.Passwords.Memory, c.Passwords.Time = 1<<30, 5 },
			[]string{"passwords.memory: 1GiB with passwords.time 5 is more work than a login may be"}},
		{"time none", func(c *Config) { c.Passwords.Time = 0 }, []string{"passwords.time: 0 is outside"}},
		{"threads too many", func(c *Config) { c.Passwords.Threads = 17 }, []string{"passwords.threads: 17 is outside"}},
		{"queue negative", func(c *Config) { c.Passwords.Queue = -1 }, []string{"passwords.queue: -1 is outside"}},

		{"no data", func(c *Config) { c.Data = "" }, []string{"data: is empty"}},
		{"data of two lines", func(c *Config) { c.Data = "a\nb" }, []string{`data: "a\nb" holds a control character`}},
		{"audit_file of two lines", func(c *Config) { c.AuditFile = "a\n" }, []string{`audit_file: "a\n" holds a control character`}},
		{"seal_key of two lines", func(c *Config) { c.SealKey = "a\n" }, []string{`seal_key: "a\n" holds a control character`}},
		{"store with a password", func(c *Config) { c.Store = "postgres://u:p@h/d" }, nil},
		{"store on a socket", func(c *Config) { c.Store = "postgresql:///d?host=/run/postgresql" }, nil},
		{"store of another kind", func(c *Config) { c.Store = "mysql://u:p@h/d" }, []string{"store: is neither bolt nor the URL of a PostgreSQL database"}},
		{"store that is no URL", func(c *Config) { c.Store = "postgres://u:p%@h/d" }, []string{"store: is not a URL; write"}},
		{"store of two lines", func(c *Config) { c.Store = "postgres://u@h/d\n" }, []string{"store: is not a URL; write"}},
		{"store with a broken query", func(c *Config) { c.Store = "postgres://h/d?a;b" }, []string{"store: has settings behind its ?"}},
		{"store with a password that was not escaped", func(c *Config) { c.Store = "postgres://h/d?password=a#b" }, []string{"store: has a # in it"}},
		{"replica with a space", func(c *Config) { c.Replica = "a b" }, []string{`replica: "a b" holds a space`}},
		{"replica too long", func(c *Config) { c.Replica = strings.Repeat("a", 256) }, []string{"replica: is longer than 255 bytes"}},
		{"log level", func(c *Config) { c.Log.Level = "INFO" }, []string{`log.level: "INFO" is not known; write debug, info, warn or error`}},
		{"log format", func(c *Config) { c.Log.Format = "xml" }, []string{`log.format: "xml" is not known; write text or json`}},
		{"renewal like the session", func(c *Config) { c.Dialects.DRFJWT, c.Dialects.DRFJWTRefresh = true, 30*day }, nil},
		{"renewal beyond the session", func(c *Config) { c.Dialects.DRFJWT, c.Dialects.DRFJWTRefresh = true, 31*day },
			[]string{"dialects.drf_jwt_refresh: 31d is longer than tokens.session, 30d; make it at most as long"}},
		{"renewal beyond the session, off", func(c *Config) { c.Tokens.Session = day }, nil},
		{"renewal below access", func(c *Config) { c.Dialects.DRFJWT, c.Dialects.DRFJWTRefresh = true, time.Minute },
			[]string{"dialects.drf_jwt_refresh: 1m is shorter than tokens.access, 5m; make it at least as long"}},
		{"no renewal", func(c *Config) { c.Dialects.DRFJWTRefresh = 0 }, []string{"dialects.drf_jwt_refresh: 0s is outside"}},
		{"nothing set", func(c *Config) { *c = Config{} }, []string{
			"issuer: is not an absolute URL", "listen: \"\" is not host:port", "tls.acme_directory: is not an https URL", "data: is empty", "store: is neither bolt",
			"tokens.access: 0s is outside", "tokens.refresh: 0s is outside", "tokens.session: 0s is outside",
			"tokens.max_bytes: 0 is outside", `delivery: "" is not known`, `proxies.header: "" is not known`, `claims.user_id_type: "" is not known`,
			"throttle.max_wait: 0s is outside", "keys.algorithms: is empty", "keys.rsa_bits: 0 is not", "keys.jwks_max_age: 0s is outside",
			"passwords.memory: 0 is outside", "passwords.time: 0 is outside", "passwords.threads: 0 is outside", "passwords.min_length: 0 is outside",
			"dialects.drf_jwt_refresh: 0s is outside", "log.level: \"\" is not known", "log.format: \"\" is not known",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			tt.change(c)
			expectFaults(t, c.Check(), tt.want)
		})
	}
}

// expectFaults compares the beginning of each fault.
func expectFaults(t *testing.T, faults []Fault, want []string) {
	t.Helper()
	var got []string
	for i, f := range faults {
		s := f.String()
		if i < len(want) && strings.HasPrefix(s, want[i]) {
			s = want[i]
		}
		got = append(got, s)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCheckIssuer(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://login.example.com":         "",
		"https://login.example.com:8443":    "",
		"https://login.example.com/realm/a": "",
		"http://localhost:8080":             "",
		"http://signet.localhost":           "",
		"http://127.1.2.3":                  "",
		"http://[::1]:8080":                 "",
		"":                                  "is not an absolute URL",
		"login.example.com":                 "is not an absolute URL",
		"//login.example.com":               "is not an absolute URL",
		"https:login.example.com":           "is not an absolute URL",
		"ftp://login.example.com":           "is not an absolute URL",
		"https://login.example.com:99x":     "is not an absolute URL",
		"https://a\n":                       "is not an absolute URL",
		"http://login.example.com":          "is http on a host other than this machine",
		"http://192.168.1.2":                "is http on a host other than this machine",
		"http://0.0.0.0:8080":               "is http on a host other than this machine",
		"http://localhost.example.com":      "is http on a host other than this machine",
		"https://login.example.com/":        "ends in a slash",
		"https://login.example.com?":        "has a query or a fragment",
		"https://login.example.com?a=b":     "has a query or a fragment",
		"https://login.example.com#":        "has a query or a fragment",
		"https://login.example.com/#a":      "has a query or a fragment",
		"https://u:hunter2@example.com":     "holds a user name or password",
		"https://@example.com":              "holds a user name or password",
		"https://:8443":                     "has no host, or a port that is none",
		"https://example.com:":              "has no host, or a port that is none",
		"https://example.com:99999":         "has no host, or a port that is none",
		"HTTPS://example.com":               "is not in its normal form",
		"https://Example.com":               "is not in its normal form",
		"https://example.com/a b":           "is not in its normal form",
	} {
		c := Default()
		c.Issuer = issuer
		var w []string
		if want != "" {
			w = []string{"issuer: " + want}
		}
		t.Run(issuer, func(t *testing.T) { expectFaults(t, c.Check(), w) })
	}
}

func TestCheckListen(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080":   "",
		"127.0.0.1:0":      "",
		":8080":            "",
		"[::]:80":          "",
		"[::1%lo]:80":      "",
		"signet-0.local:1": "",
		"8080":             `listen: "8080" is not host:port`,
		"127.0.0.1":        `listen: "127.0.0.1" is not host:port`,
		"::1:80":           `listen: "::1:80" is not host:port`,
		"http://a:80":      `listen: "http://a:80" is not host:port`,
		"a b:80":           `listen: "a b:80" is not host:port`,
		"127.0.0.1:":       `listen: "" is not a port`,
		"127.0.0.1:http":   `listen: "http" is not a port`,
		"127.0.0.1:65536":  `listen: "65536" is not a port`,
		"127.0.0.1:-1":     `listen: "-1" is not a port`,
	} {
		c := Default()
		c.Listen, c.BehindProxy = listen, []string{"10.0.0.7"}
		var w []string
		if want != "" {
			w = []string{want}
		}
		t.Run(listen, func(t *testing.T) { expectFaults(t, c.Check(), w) })
	}
}

// TestCheckPlaces asks where Load puts a fault between two settings.
func TestCheckPlaces(t *testing.T) {
	for _, tt := range []struct {
		name string
		src  Sources
		want string
	}{
		{"the setting itself", Sources{File: []byte("tokens:\n  refresh: 1m\n")},
			"signet.yaml:2: tokens.refresh: 1m is shorter"},
		{"the other setting", Sources{File: []byte("tokens:\n  refresh: 60d\n")},
			"signet.yaml:2: tokens.session: 30d is shorter than tokens.refresh, 60d"},
		{"the environment", Sources{Env: []string{"SIGNET_TOKENS_REFRESH=60d"}},
			"SIGNET_TOKENS_REFRESH: tokens.session: 30d is shorter"},
		{"the flag that won", Sources{File: []byte("log: {level: warn}"), Flags: map[string]string{"log.level": "x"}},
			`--log-level: log.level: "x" is not known`},
		{"no rule about a value that was not read", Sources{File: []byte("tokens:\n  access: x\n  refresh: 1m\n")},
			`signet.yaml:2: tokens.access: "x" is not a duration`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.src)
			if got := faultsOf(t, err); len(got) != 1 || !strings.HasPrefix(got[0], tt.want) {
				t.Errorf("got %q, want one that begins %q", got, tt.want)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"defaults", func(*Config) {}, nil},
		{"free port", func(c *Config) { c.Listen = "127.0.0.1:0" }, nil},
		{"https behind a proxy here", func(c *Config) { c.Issuer, c.Proxies.Trusted = "https://a.example", []string{"127.0.0.1"} }, nil},
		{"https behind nobody", func(c *Config) { c.Issuer = "https://a.example" }, []string{"proxies.trusted: is empty, though something in front terminates TLS"}},
		{"operators on every address", func(c *Config) { c.OpsListen = ":9090" }, []string{"ops_listen: :9090 is reached from other machines"}},
		{"no operators", func(c *Config) { c.OpsListen = "" }, nil},
		{"every address, issuer of this machine", func(c *Config) {
			c.Listen, c.BehindProxy, c.Proxies.Trusted = ":8080", []string{"10.0.0.7"}, []string{"10.0.0.7"}
		}, []string{"issuer: http://127.0.0.1:8080 means another machine"}},
		{"another port", func(c *Config) { c.Listen = "127.0.0.1:9000" }, []string{"issuer: http://127.0.0.1:8080 names another port"}},
		{"port 80", func(c *Config) { c.Listen, c.Issuer = "127.0.0.1:80", "http://localhost" }, nil},
		{"EdDSA", func(c *Config) { c.Keys.Algorithms = []string{"EdDSA"} }, []string{"keys.algorithms: EdDSA"}},
		{"publish_ahead", func(c *Config) { c.Keys.PublishAhead = 59 * time.Minute }, []string{"keys.publish_ahead: with 59m"}},
		{"rotate_every", func(c *Config) { c.Keys.RotateEvery = 0 }, []string{"keys.rotate_every: 0 means"}},
		{"access", func(c *Config) { c.Tokens.Access = 2 * time.Hour }, []string{"tokens.access: 2h is how long"}},
		{"rotate", func(c *Config) { c.Refresh.Rotate = false }, []string{"refresh.rotate: false"}},
		{"cheap", func(c *Config) { c.Passwords.Time = 1 }, []string{"passwords: memory 19MiB with time 1"}},
		{"other cost of that height", func(c *Config) { c.Passwords.Memory, c.Passwords.Time = 46<<20, 1 }, nil},
		{"origins for bodies", func(c *Config) { c.Origins = []string{"https://app.example.net", "http://localhost:3000"} }, nil},
		{"plain origin", func(c *Config) { c.Origins = []string{"http://app.example.net"} }, []string{"origins: http://app.example.net is plain HTTP"}},
		{"cookie on one site", func(c *Config) {
			c.Proxies.Trusted = []string{"127.0.0.1"}
			c.Issuer, c.Delivery, c.Origins = "https://login.example.com", "cookie", []string{"https://app.example.com:8443", "https://example.com"}
		}, nil},
		{"cookie on this machine", func(c *Config) {
			c.Issuer, c.Listen, c.Delivery, c.Origins = "http://localhost", "127.0.0.1:80", "cookie", []string{"http://localhost:3000"}
		}, nil},
		{"cookie across sites", func(c *Config) {
			c.Proxies.Trusted = []string{"127.0.0.1"}
			c.Issuer, c.Delivery, c.Origins = "https://login.example.com", "cookie", []string{"https://app.example.net", "https://192.0.2.1"}
		}, []string{"origins: https://app.example.net is another site", "origins: https://192.0.2.1 is another site"}},
		{"cookie across names of this machine", func(c *Config) { c.Delivery, c.Origins = "cookie", []string{"http://localhost:3000"} },
			[]string{"origins: http://localhost:3000 is another site"}},
		{"cookie across schemes", func(c *Config) {
			c.Proxies.Trusted = []string{"127.0.0.1"}
			c.Issuer, c.Delivery, c.Origins = "https://login.shop.localhost", "cookie", []string{"http://app.shop.localhost"}
		}, []string{"origins: http://app.shop.localhost is another site"}},
		{"cookie without its routes", func(c *Config) { c.Delivery, c.Dialects.SimpleJWT = "cookie", false }, []string{"delivery: cookie is for /api/token/"}},
		{"addresses that are faults", func(c *Config) { c.Listen, c.Issuer = "x", "%" }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			tt.change(c)
			got := c.Warnings()
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOriginsThatNoBrowserSendsAreRefused(t *testing.T) {
	for origin, want := range map[string]string{
		"":                                "is empty",
		"null":                            "is what every sandboxed page",
		"*":                               "has a *",
		"https://*.example.com":           "has a *",
		"app.example.com":                 "is not an origin",
		"app.example.com:443":             "is not an origin",
		"//app.example.com":               "is not an origin",
		"ftp://app.example.com":           "is not an origin",
		"capacitor://localhost":           "is not an origin",
		"https:app.example.com":           "is not an origin",
		"https://":                        "is not an origin",
		"https://app.example.com\r\nX: y": "is not an origin",
		"https://kyoko@app.example.com":   "holds a user name",
		"https://app.example.com/":        "goes on behind the host",
		"https://app.example.com/login":   "goes on behind the host",
		"https://app.example.com?":        "goes on behind the host",
		"https://app.example.com#a":       "goes on behind the host",
		"https://:8443":                   "has no host",
		"https://app.example.com:":        "has no host, or a port that is none",
		"https://app.example.com:0":       "has no host, or a port that is none",
		"https://app.example.com:65536":   "has no host, or a port that is none",
		"https://app.example.com:443":     "has the port that browsers leave out",
		"http://localhost:80":             "has the port that browsers leave out",
		"https://app.example.com:08443":   "is not written as a browser does",
		"https://App.example.com":         "is not written as a browser does",
		"HTTPS://app.example.com":         "is not written as a browser does",
		"https://bücher.example":          "is not written as a browser does",
		"https://b%C3%BCcher.example":     "is not written as a browser does",
		"https://a,b":                     "is not written as a browser does",
		"https://a b":                     "is not an origin",
		"https://[2001:DB8::1]":           "is not written as a browser does",
		"https://[2001:db8:0::1]":         "is not written as a browser does",
		"https://[fe80::1%25eth0]":        "is not written as a browser does",
	} {
		c := Default()
		c.Origins = []string{origin}
		faults := c.Check()
		if len(faults) != 1 || !strings.HasPrefix(faults[0].String(), "origins: "+quote(origin)+" "+want) {
			t.Errorf("%q: got %q, want %q", origin, faults, want)
		}
	}
}

func TestReloadedTakesOnlyWhatARunningServerCan(t *testing.T) {
	running, next := Default(), Default()
	next.Issuer, next.Listen = "https://login.example.com", "127.0.0.1:9999"
	next.Tokens.Access = 3 * time.Minute
	next.Keys.Algorithms = []string{"RS256"}
	merged := running.Reloaded(next)
	if merged.Issuer != running.Issuer || merged.Listen != running.Listen {
		t.Errorf("a reload changed the issuer or the listener: %+v", merged)
	}
	if merged.Tokens.Access != 3*time.Minute || len(merged.Keys.Algorithms) != 1 {
		t.Errorf("a reload did not take what it can: %+v", merged)
	}
	if running.Tokens.Access != 5*time.Minute || len(running.Keys.Algorithms) != 2 {
		t.Errorf("a reload altered the configuration it started from: %+v", running)
	}
}
