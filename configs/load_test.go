package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// load reads text as the file signet.yaml.
func load(text string) (*Config, error) {
	return Load(Sources{Path: "signet.yaml", File: []byte(text)})
}

// faultsOf returns the lines of the error, which must be *Faults.
func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	var faults *Faults
	if !errors.As(err, &faults) {
		t.Fatalf("error is %T (%v), want *Faults", err, err)
	}
	var lines []string
	for _, f := range faults.List {
		lines = append(lines, f.String())
	}
	if got := strings.Join(lines, "\n"); got != err.Error() {
		t.Errorf("Error() is %q, and the list %q", err, got)
	}
	return lines
}

func TestLoadNothing(t *testing.T) {
	for name, src := range map[string]Sources{
		"no source":       {},
		"empty file":      {File: []byte{}},
		"comments":        {File: []byte("# nothing\n\n# here\n")},
		"document header": {File: []byte("---\n")},
		"document end":    {File: []byte("store: bolt\n...\n")},
		"byte order mark": {File: []byte("\uFEFFstore: bolt\n")},
		"null root":       {File: []byte("~\n")},
		"null settings":   {File: []byte("listen:\nissuer: ~\ntokens: {access: null, audience: }\n")},
		"null sections":   {File: []byte("tokens:\nkeys: ~\nrefresh: null\n")},
		"empty section":   {File: []byte("tokens: {}\n")},
		"other variables": {Env: []string{"HOME=/root", "SIGNETX=1", "SIGNET_CONFIG=/etc/signet.yaml"}},
		"service links": {Env: []string{
			"SIGNET_SERVICE_HOST=10.0.0.1", "SIGNET_SERVICE_PORT=80", "SIGNET_SERVICE_PORT_HTTP=80",
			"SIGNET_PORT=tcp://10.0.0.1:80", "SIGNET_PORT_80_TCP=tcp://10.0.0.1:80",
			"SIGNET_PORT_80_TCP_PROTO=tcp", "SIGNET_WEB_SERVICE_HOST=10.0.0.2",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Load(src)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Default(), got); diff != "" {
				t.Errorf("not the defaults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadEverySetting(t *testing.T) {
	got, err := load(`
issuer: https://login.example.com/realm
listen: "[::]:0"
ops_listen: ""
behind_proxy: [192.0.2.7]
tls: {cert: "", key: ~, acme_hosts: [], acme_email: admin@example.com, acme_directory: "https://ca.example/dir", acme_ca: roots.pem}
data: /var/lib/signet
seal_key: '/etc/signet/seal.key'
audit_file: /var/log/signet/audit.log
store: bolt
tokens:
  access: 90s
  refresh: 1d12h
  session: 60d
  audience:
    - orders   # one a line
    - "https://billing.example.com"
  typ:
    orders: at+jwt
    "https://billing.example.com": at+jwt
    ledger: JWT
  leeway: 0
  max_bytes: 8000
keys: {algorithms: [PS256, EdDSA], rsa_bits: 4096, rotate_every: 0, publish_ahead: 48h, jwks_max_age: 1h}
refresh: {rotate: false, reuse_window: 1m30s}
passwords: {memory: 65536KiB, time: 3, threads: 4, min_length: 64, queue: 0}
proxies: {trusted: [192.0.2.7, "2001:db8::/32"], header: Forwarded, traceparent: true}
claims:
  user_id_type: number
  include:
    "*": []
    orders:
      - groups
      - tenant
throttle: {pair: 0, address: 0, account: 0, max_wait: 24h}
dialects: {simplejwt: false, drf_jwt: true, drf_jwt_refresh: 60d}
delivery: cookie
origins: [https://app.example.com, "http://localhost:3000"]
log: {level: debug, format: json}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Issuer: "https://login.example.com/realm", Listen: "[::]:0", Data: "/var/lib/signet",
		SealKey: "/etc/signet/seal.key", Store: "bolt", AuditFile: "/var/log/signet/audit.log", BehindProxy: []string{"192.0.2.7"},
		Tokens: Tokens{
			Access: 90 * time.Second, Refresh: 36 * time.Hour, Session: 60 * day,
			Audience: []string{"orders", "https://billing.example.com"}, MaxBytes: 8000,
			Typ: map[string]string{"orders": "at+jwt", "https://billing.example.com": "at+jwt", "ledger": "JWT"},
		},
		Keys: Keys{
			Algorithms: []string{"PS256", "EdDSA"}, RSABits: 4096,
			PublishAhead: 48 * time.Hour, JWKSMaxAge: time.Hour,
		},
		Refresh:   Refresh{ReuseWindow: 90 * time.Second},
		Passwords: Passwords{Memory: 64 << 20, Time: 3, Threads: 4, MinLength: 64},
		TLS:       TLS{ACMEEmail: "admin@example.com", ACMEDirectory: "https://ca.example/dir", ACMECA: "roots.pem"},
		Proxies:   Proxies{Trusted: []string{"192.0.2.7", "2001:db8::/32"}, Header: "Forwarded", Traceparent: true},
		Claims:    Claims{Include: map[string][]string{"*": nil, "orders": {"groups", "tenant"}}, UserIDType: "number"},
		Dialects:  Dialects{DRFJWT: true, DRFJWTRefresh: 60 * day},
		Throttle:  Throttle{MaxWait: day},
		Delivery:  "cookie",
		Origins:   []string{"https://app.example.com", "http://localhost:3000"},
		Log:       Log{Level: "debug", Format: "json"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if a, b := want.AuditPath(), Default().AuditPath(); a != "/var/log/signet/audit.log" || b != "signet-data/audit.log" {
		t.Errorf("audit logs %q and %q", a, b)
	}
	if a, b := want.SealKeyPath(), Default().SealKeyPath(); a != "/etc/signet/seal.key" || b != "signet-data/seal.key" {
		t.Errorf("sealing keys are %s and %s", a, b)
	}
	if a, b := want.DatabasePath(), want.SocketPath(); a != "/var/lib/signet/signet.db" || b != "/var/lib/signet/control.sock" {
		t.Errorf("database and socket are %s and %s", a, b)
	}
}

// TestFile holds the faults that the text of a file may have, each by its line.
func TestFile(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"duration", "tokens:\n  access: 5 minutes\n",
			`signet.yaml:2: tokens.access: "5 minutes" is not a duration; write 5m, 24h or 30d`},
		{"bare number", "tokens: {leeway: 30}", `signet.yaml:1: tokens.leeway: "30" is not a duration; write 5m, 24h or 30d`},
		{"days not first", "tokens: {session: 12h30d}", `signet.yaml:1: tokens.session: "12h30d" is not a duration; write 5m, 24h or 30d`},
		{"number", "tokens: {max_bytes: 4k}", `signet.yaml:1: tokens.max_bytes: "4k" is not a whole number; write it in digits alone`},
		{"hexadecimal", "tokens: {max_bytes: 0x1000}", `signet.yaml:1: tokens.max_bytes: "0x1000" is not a whole number; write it in digits alone`},
		{"large number", "keys: {rsa_bits: 99999999999}", `signet.yaml:1: keys.rsa_bits: "99999999999" is too large a number`},
		{"size", "passwords: {memory: 19MB}", `signet.yaml:1: passwords.memory: "19MB" is not a size; write 19MiB, 64KiB or a number of bytes`},
		{"boolean", "refresh: {rotate: yes}", `signet.yaml:1: refresh.rotate: "yes" is neither true nor false; write one of the two`},
		{"empty text", `tokens: {access: ""}`, `signet.yaml:1: tokens.access: "" is not a duration; write 5m, 24h or 30d`},
		{"long text", "log: {level: " + strings.Repeat("é", 40) + "}",
			`signet.yaml:1: log.level: "` + strings.Repeat("é", 30) + `"…` + ` is not known; write debug, info, warn or error`},

		{"list for a value", "listen: [a, b]", "signet.yaml:1: listen: is one value, not a list; write listen: 127.0.0.1:8080"},
		{"mapping for a value", "seal_key:\n  file: x\n", `signet.yaml:1: seal_key: is one setting and holds no others; write seal_key: ""`},
		{"value for a list", "tokens: {audience: orders}", "signet.yaml:1: tokens.audience: is a list; write [orders]"},
		{"commas for a list", "keys: {algorithms: 'ES256,RS256'}", "signet.yaml:1: keys.algorithms: is a list; write [ES256, RS256]"},
		{"mapping in a list", "keys:\n  algorithms:\n  - {a: b}\n", "signet.yaml:2: keys.algorithms: has an entry that is not a plain value; write algorithms: [ES256, RS256]"},
		{"null in a list", "tokens: {audience: [~]}", "signet.yaml:1: tokens.audience: has an entry that is not a plain value; write audience: []"},
		{"value for a mapping", "tokens: {typ: JWT}", "signet.yaml:1: tokens.typ: is a mapping; write typ: {orders: at+jwt}"},
		{"list for a mapping", "tokens: {typ: [JWT]}", "signet.yaml:1: tokens.typ: is one value, not a list; write typ: {orders: at+jwt}"},
		{"mapping in a mapping", "tokens:\n  typ:\n    a: {b: c}\n", `signet.yaml:3: tokens.typ: "a" has no value of the right kind; write typ: {orders: at+jwt}`},
		{"null in a mapping", "tokens:\n  typ:\n    a:\n", `signet.yaml:3: tokens.typ: "a" has no value of the right kind; write typ: {orders: at+jwt}`},
		{"twice in a mapping", "tokens:\n  typ:\n    a: JWT\n    a: JWT\n", `signet.yaml:4: tokens.typ: "a" stands in it twice; remove one`},
		{"value for a mapping of lists", "claims: {include: {orders: email}}", `signet.yaml:1: claims.include: "orders" has no value of the right kind; write include: {orders: [groups, email]}`},
		{"mapping in a mapping of lists", "claims:\n  include:\n    orders: [{a: b}]\n", `signet.yaml:3: claims.include: "orders" has no value of the right kind; write include: {orders: [groups, email]}`},
		{"twice in a mapping of lists", "claims:\n  include:\n    a: []\n    a: []\n", `signet.yaml:4: claims.include: "a" stands in it twice; remove one`},
		{"key of a mapping", "tokens: {typ: {~: JWT}}", "signet.yaml:1: is not a plain key; write the name of a setting"},
		{"value for a section", "\ntokens: 5m\n", "signet.yaml:2: tokens: is a section; write its settings beneath it, indented"},
		{"list for a section", "keys: [ES256]", "signet.yaml:1: keys: is a section; write its settings beneath it, indented"},

		{"misspelled", "isuer: x", "signet.yaml:1: isuer: there is no such setting; did you mean issuer?"},
		{"misspelled in a section", "tokens:\n  # life\n  acess: 5m\n", "signet.yaml:3: tokens.acess: there is no such setting; did you mean tokens.access?"},
		{"misspelled section", "token: {access: 5m}", "signet.yaml:1: token: there is no such setting; did you mean tokens?"},
		{"dash", "keys: {publish-ahead: 24h}", "signet.yaml:1: keys.publish-ahead: there is no such setting; did you mean keys.publish_ahead?"},
		{"wrong section", "keys: {leeway: 30s}", "signet.yaml:1: keys.leeway: there is no such setting; did you mean tokens.leeway?"},
		{"no section", "reuse_window: 10s", "signet.yaml:1: reuse_window: there is no such setting; did you mean refresh.reuse_window?"},
		{"dotted", "tokens.access: 5m", "signet.yaml:1: tokens.access: is written in one; write tokens: and beneath it, indented, access:"},
		{"later version", "dialects: {saml: false}", "signet.yaml:1: dialects.saml: there is no such setting"},
		{"number as a key", "1: 2", "signet.yaml:1: 1: there is no such setting"},
		{"key of two lines", `"a\nb": 2`, `signet.yaml:1: "a\nb": there is no such setting`},
		{"null as a key", "~: 2", "signet.yaml:1: is not a plain key; write the name of a setting"},
		{"explicit key", "? listen\n: x\n", "signet.yaml:1: is not a plain key; write the name of a setting"},

		{"twice", "store: bolt\nlog:\n  level: info\nstore: bolt\n", "signet.yaml:4: store: is set twice, on line 1 before; remove one of the two"},
		{"section twice", "log: {level: info}\nlog: {format: text}\n", "signet.yaml:2: log: is set twice, on line 1 before; remove one of the two"},
		{"twice in a section", "log:\n  level: info\n  level: info\n", "signet.yaml:3: log.level: is set twice, on line 2 before; remove one of the two"},

		{"anchor", "store: &s bolt\n", "signet.yaml:1: store: has an anchor (&), which a configuration may not use; remove it"},
		{"alias", "store: *s\n", "signet.yaml:1: store: is an alias (*), which a configuration may not use; write the value itself"},
		{"merge", "log:\n  <<: {level: info}\n", "signet.yaml:2: is a merge key (<<), which a configuration may not use; write the settings themselves"},
		{"tag", "store: !!str bolt\n", "signet.yaml:1: store: has a tag (!), which a configuration may not use; remove it"},
		{"directive", "%YAML 1.2\n---\nstore: bolt\n", "signet.yaml:1: is a YAML directive; remove it\nsignet.yaml:2: begins a second document; a configuration is one document, remove the line ---"},
		{"second document", "store: bolt\n---\nlog: {level: info}\n", "signet.yaml:2: begins a second document; a configuration is one document, remove the line ---"},
		{"second empty document", "store: bolt\n---\n", "signet.yaml:2: begins a second document; a configuration is one document, remove the line ---"},
		{"text", "hello\n", "signet.yaml:1: is not a setting; write key: value, such as listen: 127.0.0.1:8080"},
		{"list", "- listen\n", "signet.yaml:1: is not a setting; write key: value, such as listen: 127.0.0.1:8080"},

		{"tab", "log:\n\tlevel: info\n", "signet.yaml:2: is not YAML: found character '\t' that cannot start any token"},
		{"open quote", "log:\n  level: \"info\n", "signet.yaml:2: is not YAML: could not find end character of double-quoted text"},
		{"open bracket", "keys:\n  algorithms: [ES256\n", "signet.yaml:2: is not YAML: sequence end token ']' not found"},
		{"not text", "store: \xff\n", "signet.yaml: is not UTF-8 text; save it as UTF-8"},
		{"long", strings.Repeat("# ", MaxFileBytes), "signet.yaml: is larger than 1MiB, which no configuration is; is it the right file?"},
		{"many lines", "store: |\n" + strings.Repeat("\n", maxLines), "signet.yaml: holds more than a configuration has; is it the right file?"},
		{"many keys", strings.Repeat("a: b\n", maxTokens/2), "signet.yaml: holds more than a configuration has; is it the right file?"},
		{"deep", strings.Repeat("[", maxTokens+1), "signet.yaml: holds more than a configuration has; is it the right file?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(tt.file)
			got := strings.Join(faultsOf(t, err), "\n")
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestEveryFaultAtOnce mixes faults of all places: each is reported, in order,
// and none twice.
func TestEveryFaultAtOnce(t *testing.T) {
	_, err := Load(Sources{
		Path: "/etc/signet.yaml",
		File: []byte(`# a file with a fault in nearly every line
issuer: https://login.example.com/
listen: 8080
store: mysql://signet:hunter2@db/signet
tokens:
  access: soon
  refresh: 40d
  audiences: [orders]
  leeway: 3m
keys:
  algorithms: [ES256, HS256]
  publish_ahead: 1m
log:
  level: loud
`),
		Env:   []string{"SIGNET_TOKENS_ACESS=5m", "SIGNET_KEYS_ROTATE_EVERY=never", "SIGNET_PORT=9000"},
		Flags: map[string]string{"passwords.memory": "1GB", "refresh.reuse_window": "1h", "log.colour": "true"},
	})
	want := []string{
		`/etc/signet.yaml:2: issuer: ends in a slash, and clients compare it letter by letter; remove the slash`,
		`/etc/signet.yaml:3: listen: "8080" is not host:port; write 127.0.0.1:8080, or :8080 for every address`,
		`/etc/signet.yaml:4: store: is neither bolt nor the URL of a PostgreSQL database; write bolt, or postgres://signet@db.example.com/signet?sslmode=verify-full`,
		`/etc/signet.yaml:6: tokens.access: "soon" is not a duration; write 5m, 24h or 30d`,
		`/etc/signet.yaml:7: tokens.session: 30d is shorter than tokens.refresh, 40d; make it at least as long`,
		`/etc/signet.yaml:8: tokens.audiences: there is no such setting; did you mean tokens.audience?`,
		`/etc/signet.yaml:9: tokens.leeway: 3m is outside its limits; write a value from 0s to 2m30s`,
		`/etc/signet.yaml:11: keys.algorithms: "HS256" is not an algorithm of this issuer; write some of RS256, PS256, ES256, ES384, EdDSA`,
		`/etc/signet.yaml:12: keys.publish_ahead: 1m is shorter than keys.jwks_max_age, 5m: a key would sign before every cache has it; make it at least as long`,
		`/etc/signet.yaml:14: log.level: "loud" is not known; write debug, info, warn or error`,
		`SIGNET_TOKENS_ACESS: there is no such setting; did you mean SIGNET_TOKENS_ACCESS?`,
		`SIGNET_KEYS_ROTATE_EVERY: keys.rotate_every: "never" is not a duration; write 5m, 24h or 30d`,
		`SIGNET_PORT: there is no such setting`,
		`--log-colour: there is no such setting`,
		`--passwords-memory: passwords.memory: "1GB" is not a size; write 19MiB, 64KiB or a number of bytes`,
		`--refresh-reuse-window: refresh.reuse_window: 1h is outside its limits; write a value from 0s to 5m`,
	}
	if diff := cmp.Diff(want, faultsOf(t, err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("the faults hold a password")
	}
}

func TestPrecedence(t *testing.T) {
	file := []byte("tokens: {access: 1m}\n")
	env := []string{"SIGNET_TOKENS_ACCESS=2m"}
	flags := map[string]string{"tokens.access": "3m"}
	for _, tt := range []struct {
		name string
		src  Sources
		want time.Duration
	}{
		{"default", Sources{}, 5 * time.Minute},
		{"file", Sources{File: file}, time.Minute},
		{"environment", Sources{File: file, Env: env}, 2 * time.Minute},
		{"flag", Sources{File: file, Env: env, Flags: flags}, 3 * time.Minute},
		{"flag without the rest", Sources{Flags: flags}, 3 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Load(tt.src)
			if err != nil {
				t.Fatal(err)
			}
			if c.Tokens.Access != tt.want {
				t.Errorf("tokens.access is %v, want %v", c.Tokens.Access, tt.want)
			}
		})
	}
}

// TestSameTextEverywhere sets each setting from each of its places.
func TestSameTextEverywhere(t *testing.T) {
	other := otherConfig()
	for _, s := range table {
		t.Run(s.key, func(t *testing.T) {
			text := s.get(other)
			if text == s.get(Default()) {
				t.Fatalf("no other value of %s to try: %q", s.key, text)
			}
			fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
			changed := Flags(fs)
			if err := fs.Parse([]string{"--" + flagName(s.key) + "=" + text}); err != nil {
				t.Fatal(err)
			}
			rest := companions(s, other)
			for place, src := range map[string]Sources{
				"file":        {File: []byte(yamlLine(s, text)), Env: rest},
				"environment": {Env: append(rest, envName(s.key)+"="+text)},
				"flag":        {Flags: changed(), Env: rest},
			} {
				c, err := Load(src)
				if err != nil {
					t.Fatalf("%s: %v", place, err)
				}
				if got := s.get(c); got != text {
					t.Errorf("%s: got %q, want %q", place, got, text)
				}
			}
		})
	}
}

// companions are the settings without which s cannot be set.
func companions(s setting, c *Config) (env []string) {
	const together = "keys.pkcs11_"
	needs := map[string][]string{"tls.cert": {"tls.key", "issuer"}, "tls.key": {"tls.cert", "issuer"}, "tls.acme_hosts": {"issuer"},
		"proxies.traceparent": {"proxies.trusted"}}
	for _, other := range table {
		if strings.HasPrefix(s.key, together) && strings.HasPrefix(other.key, together) && other.key != s.key {
			env = append(env, envName(other.key)+"="+other.get(c))
		}
		if slices.Contains(needs[s.key], other.key) {
			env = append(env, envName(other.key)+"="+other.get(c))
		}
	}
	return env
}

// otherConfig differs from the default in every setting.
func otherConfig() *Config {
	return &Config{
		Issuer: "https://login.example.com", Listen: "127.0.0.1:9000", OpsListen: "127.0.0.1:9001", Data: "/data", SealKey: "/seal", Store: "postgres://signet@db.example.com/signet", Replica: "two", AuditFile: "/audit",
		Tokens: Tokens{
			Access: time.Minute, Refresh: 12 * time.Hour, Session: 29 * day, Audience: []string{"a", "b"},
			Typ: map[string]string{"a": "at+jwt", "https://c/?d=e": "JWT"}, Leeway: time.Second, MaxBytes: 2048,
		},
		Keys: Keys{
			Algorithms: []string{"RS256"}, RSABits: 3072, RotateEvery: 30 * day,
			PublishAhead: 2 * time.Hour, JWKSMaxAge: time.Minute,
			PKCS11Module: "/lib/token.so", PKCS11Token: "token", PKCS11PINFile: "/pin",
		},
		// Together they are a fault; what needs another setting gets it from companions.
		BehindProxy: []string{"10.0.0.0/8", "::1"},
		TLS: TLS{
			Cert: "/cert.pem", Key: "/key.pem", ACMEHosts: []string{"login.example.com", "www.example.com"},
			ACMEEmail: "admin@example.com", ACMEDirectory: "https://ca.example/directory", ACMECA: "/roots.pem",
		},
		Proxies:  Proxies{Trusted: []string{"10.0.0.0/8", "::1"}, Header: "Forwarded", Traceparent: true},
		Claims:   Claims{Include: map[string][]string{"*": nil, "a": {"groups", "email"}}, UserIDType: "number"},
		Throttle: Throttle{Pair: 1, Address: 2, Account: 3, MaxWait: time.Minute},
		Delivery: "cookie", Origins: []string{"https://a.example.com", "https://b.example.com:8443"},
		Refresh:   Refresh{ReuseWindow: time.Second},
		Passwords: Passwords{Memory: 32 << 20, Time: 3, Threads: 2, MinLength: 8, Queue: 1},
		Dialects:  Dialects{DRFJWT: true, DRFJWTRefresh: 30 * day},
		Log:       Log{Level: "warn", Format: "json"},
	}
}

func yamlLine(s setting, text string) string {
	if s.setList != nil {
		text = "[" + text + "]"
	}
	if s.setLists != nil {
		text = "{" + strings.ReplaceAll(regexp.MustCompile(`([^,]*)=([^,=]*)`).ReplaceAllStringFunc(text, func(entry string) string {
			name, values, _ := strings.Cut(entry, "=")
			return fmt.Sprintf("%q: [%s]", name, strings.ReplaceAll(values, " ", "; "))
		}), ",", ", ") + "}"
		text = strings.ReplaceAll(text, "; ", ", ")
	}
	if s.setMap != nil {
		text = "{" + strings.ReplaceAll(regexp.MustCompile(`([^,]*)=([^,=]*)`).ReplaceAllString(text, `"$1": $2`), ",", ", ") + "}"
	}
	if section, leaf, ok := strings.Cut(s.key, "."); ok {
		return fmt.Sprintf("%s:\n  %s: %s\n", section, leaf, text)
	}
	return fmt.Sprintf("%s: %s\n", s.key, text)
}

func TestLists(t *testing.T) {
	c, err := Load(Sources{
		File:  []byte("tokens: {audience: [a, b]}\n"),
		Env:   []string{"SIGNET_TOKENS_AUDIENCE="},
		Flags: map[string]string{"keys.algorithms": "RS256, ES384"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tokens.Audience) != 0 {
		t.Errorf("an empty variable leaves the audience %q", c.Tokens.Audience)
	}
	if want := []string{"RS256", "ES384"}; !slices.Equal(c.Keys.Algorithms, want) {
		t.Errorf("algorithms are %q, want %q", c.Keys.Algorithms, want)
	}
}

// What a token can say about a user is for others to know; the fault is ours to report.
func TestClaimsThatNoTokenSays(t *testing.T) {
	file := []byte("claims:\n  include: {orders: [groups, sub], '*': [tenant]}\n")
	_, err := Load(Sources{Path: "signet.yaml", File: file, Claim: func(name string) bool { return name != "sub" }})
	want := []string{`signet.yaml:2: claims.include: "sub" of "orders" is a claim that Signet itself sets or that nobody may; leave it out`}
	if diff := cmp.Diff(want, faultsOf(t, err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Load(Sources{Path: "signet.yaml", File: file}); err != nil {
		t.Errorf("without the rule: %v", err)
	}
}

func TestMappings(t *testing.T) {
	for text, want := range map[string]string{
		"a=JWT":                     "",
		"":                          "",
		"a=JWT, b=c=at+jwt ":        "",
		"a":                         `--tokens-typ: tokens.typ: "a" is not name=value; write orders=at+jwt`,
		"a=JWT,a=at+jwt":            `--tokens-typ: tokens.typ: "a" stands in it twice; remove one`,
		"=JWT":                      "--tokens-typ: tokens.typ: has an empty entry; remove it",
		"a=":                        `--tokens-typ: tokens.typ: "" of "a" is not known; write JWT or at+jwt`,
		"orders=application/at+jwt": `--tokens-typ: tokens.typ: "application/at+jwt" of "orders" is not known; write JWT or at+jwt`,
	} {
		got := ""
		if _, err := Load(Sources{Flags: map[string]string{"tokens.typ": text}}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	fs.String("data", "", "a flag that every command has")
	changed := Flags(fs)
	if got := changed(); len(got) != 0 {
		t.Errorf("before parsing %v have changed", got)
	}
	args := []string{"--tokens-access", "soon", "--seal-key=/k", "--data", "/d", "--refresh-rotate", "--keys-rotate-every=0"}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"tokens.access": "soon", "seal_key": "/k", "data": "/d", "refresh.rotate": "true", "keys.rotate_every": "0",
	}
	if diff := cmp.Diff(want, changed()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"--keys-algorithms LIST", "(default ES256,RS256)", "--passwords-memory SIZE", "(default 19MiB)",
		"--dialects-simplejwt ", "(default true)", "--tokens-session DURATION", "(default 30d)",
	} {
		if usage := fs.FlagUsages(); !strings.Contains(usage, want) {
			t.Errorf("the usage lacks %q:\n%s", want, usage)
		}
	}
}

func TestFlagsOfSomeSettings(t *testing.T) {
	fs := pflag.NewFlagSet("users", pflag.ContinueOnError)
	Flags(fs, "data")
	count := 0
	fs.VisitAll(func(*pflag.Flag) { count++ })
	if count != 1 || fs.Lookup("data") == nil {
		t.Errorf("%d flags, want data alone", count)
	}
	defer func() {
		if recover() == nil {
			t.Error("a flag for no setting was registered")
		}
	}()
	Flags(fs, "no.such")
}

func TestLoadPath(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "signet.yaml")
	if err := os.WriteFile(path, []byte("store: bolt\nlog: {level: warn}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Level != "warn" {
		t.Errorf("log.level is %q", c.Log.Level)
	}

	missing := filepath.Join(dir, "missing.yaml")
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, []byte(strings.Repeat("#\n", MaxFileBytes)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		missing: ": there is no such file; name another, or leave the file out to use the defaults",
		dir:     ": cannot be read: is a directory",
		large:   ": is larger than 1MiB, which no configuration is; is it the right file?",
	} {
		_, err := Load(Sources{Path: path, Env: []string{"SIGNET_NO=1"}})
		got := faultsOf(t, err)
		if want := []string{path + want, "SIGNET_NO: there is no such setting"}; !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
