package configs

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// A setting is one row of the table.
type setting struct {
	// key is the path in the file, "tokens.access".
	key string
	// reload says that a running server can take a new value.
	reload bool
	help   string
	value
}

// A value is how a setting's text gets into a Config and out again.
type value struct {
	// kind is the word for it in the usage of a flag.
	kind string
	get  func(*Config) string
	set  func(*Config, string) error
	// setList takes the entries of a YAML sequence; nil if the setting is not a list.
	setList func(*Config, []string)
	// setMap takes the entries of a YAML mapping, setLists those of one whose values are
	// lists; nil if the setting is not such a mapping.
	setMap   func(*Config, map[string]string)
	setLists func(*Config, map[string][]string)
	// shown is what may be shown of it, and inFlag says why a text may not be in a flag; nil
	// if the setting is no secret.
	shown  func(*Config) string
	inFlag func(string) error
}

func (v value) isMapping() bool { return v.setMap != nil || v.setLists != nil }

const (
	fixed  = false
	reload = true
)

// table lists every setting, in the order of signet.yaml.
var table = []setting{
	{"issuer", fixed, "base URL of this issuer and the iss claim of its tokens",
		text("URL", func(c *Config) *string { return &c.Issuer })},
	{"listen", fixed, "address to listen on; port 0 takes a free one",
		text("HOST:PORT", func(c *Config) *string { return &c.Listen })},
	{"ops_listen", fixed, "address of the listener for operators, with /metrics, /healthz and /readyz; empty is none",
		text("HOST:PORT", func(c *Config) *string { return &c.OpsListen })},
	{"behind_proxy", fixed, "addresses and networks of what terminates TLS in front of a plain listener, comma separated; others are not let in",
		list(func(c *Config) *[]string { return &c.BehindProxy })},
	{"tls.cert", fixed, "PEM file of the listener's certificate and its chain, read again when it changes; empty means plain HTTP, or ACME",
		text("FILE", func(c *Config) *string { return &c.TLS.Cert })},
	{"tls.key", fixed, "PEM file of its private key",
		text("FILE", func(c *Config) *string { return &c.TLS.Key })},
	{"tls.acme_hosts", fixed, "names for which a CA issues certificates by ACME, comma separated; empty means none",
		list(func(c *Config) *[]string { return &c.TLS.ACMEHosts })},
	{"tls.acme_email", fixed, "address that the CA may write to",
		text("ADDRESS", func(c *Config) *string { return &c.TLS.ACMEEmail })},
	{"tls.acme_directory", fixed, "ACME directory of the CA",
		text("URL", func(c *Config) *string { return &c.TLS.ACMEDirectory })},
	{"tls.acme_ca", fixed, "PEM file with the roots of that URL; empty means those of the system",
		text("FILE", func(c *Config) *string { return &c.TLS.ACMECA })},
	{"proxies.trusted", fixed, "addresses and networks of the proxies whose word about a client's address is taken, comma separated",
		list(func(c *Config) *[]string { return &c.Proxies.Trusted })},
	{"proxies.header", fixed, "header in which they give it: X-Forwarded-For or Forwarded",
		text("NAME", func(c *Config) *string { return &c.Proxies.Header })},
	{"proxies.traceparent", fixed, "take the traces of requests from the traceparent header of trusted proxies, which must write it themselves",
		boolean(func(c *Config) *bool { return &c.Proxies.Traceparent })},
	{"data", fixed, "directory of the database and the control socket",
		text("DIR", func(c *Config) *string { return &c.Data })},
	{"seal_key", fixed, "file of the key that seals the private keys; empty means seal.key in the data directory",
		text("FILE", func(c *Config) *string { return &c.SealKey })},
	{"store", fixed, "database: bolt, or postgres://USER@HOST/NAME without a password, which a flag would show to others",
		database(func(c *Config) *string { return &c.Store })},
	{"replica", fixed, "name of this process among those that share a PostgreSQL database; empty means its host and data directory",
		text("NAME", func(c *Config) *string { return &c.Replica })},
	{"audit_file", fixed, "file of the audit log; empty means audit.log in the data directory",
		text("FILE", func(c *Config) *string { return &c.AuditFile })},

	{"tokens.access", reload, "life of an access token",
		duration(func(c *Config) *time.Duration { return &c.Tokens.Access })},
	{"tokens.refresh", reload, "life of a refresh token that is not used",
		duration(func(c *Config) *time.Duration { return &c.Tokens.Refresh })},
	{"tokens.session", reload, "life of a login, however often it is refreshed",
		duration(func(c *Config) *time.Duration { return &c.Tokens.Session })},
	{"tokens.audience", reload, "aud claim of access tokens, comma separated",
		list(func(c *Config) *[]string { return &c.Tokens.Audience })},
	{"tokens.typ", reload, "typ of access tokens for a service: AUDIENCE=JWT or AUDIENCE=at+jwt, comma separated",
		mapping(func(c *Config) *map[string]string { return &c.Tokens.Typ })},
	{"tokens.leeway", reload, "how far the clocks of others may be off",
		duration(func(c *Config) *time.Duration { return &c.Tokens.Leeway })},
	{"tokens.max_bytes", reload, "length in bytes above which a token is not issued",
		integer(func(c *Config) *int { return &c.Tokens.MaxBytes })},

	{"claims.include", reload, "what access tokens say about a user: AUDIENCE=PART PART, comma separated; * is every other audience",
		lists(func(c *Config) *map[string][]string { return &c.Claims.Include })},
	{"claims.user_id_type", reload, "how a user_id of digits is written: string or number",
		text("TYPE", func(c *Config) *string { return &c.Claims.UserIDType })},

	{"keys.algorithms", reload, "signature algorithms, comma separated; the first one is used where a client asks for none",
		list(func(c *Config) *[]string { return &c.Keys.Algorithms })},
	{"keys.rsa_bits", reload, "size of new RSA keys: 2048, 3072 or 4096",
		integer(func(c *Config) *int { return &c.Keys.RSABits })},
	{"keys.rotate_every", reload, "how long a key signs; 0 means until it is rotated by hand",
		duration(func(c *Config) *time.Duration { return &c.Keys.RotateEvery })},
	{"keys.publish_ahead", reload, "how long a key is published before it signs",
		duration(func(c *Config) *time.Duration { return &c.Keys.PublishAhead })},
	{"keys.jwks_max_age", reload, "how long a client may cache the key set",
		duration(func(c *Config) *time.Duration { return &c.Keys.JWKSMaxAge })},
	{"keys.pkcs11_module", fixed, "PKCS #11 library of the token in which private keys live; empty means sealed in the database",
		text("FILE", func(c *Config) *string { return &c.Keys.PKCS11Module })},
	{"keys.pkcs11_token", fixed, "label of that token",
		text("LABEL", func(c *Config) *string { return &c.Keys.PKCS11Token })},
	{"keys.pkcs11_pin_file", fixed, "file with the PIN of that token, readable by its owner alone",
		text("FILE", func(c *Config) *string { return &c.Keys.PKCS11PINFile })},

	{"refresh.rotate", reload, "replace the refresh token at each use",
		boolean(func(c *Config) *bool { return &c.Refresh.Rotate })},
	{"refresh.reuse_window", reload, "how long a replaced refresh token gets the same answer again",
		duration(func(c *Config) *time.Duration { return &c.Refresh.ReuseWindow })},

	{"passwords.memory", reload, "memory of one argon2id hash",
		size(func(c *Config) *int64 { return &c.Passwords.Memory })},
	{"passwords.time", reload, "passes of argon2id over its memory",
		integer(func(c *Config) *int { return &c.Passwords.Time })},
	{"passwords.threads", reload, "threads of one argon2id hash",
		integer(func(c *Config) *int { return &c.Passwords.Threads })},
	{"passwords.min_length", reload, "least length of a new password, in characters",
		integer(func(c *Config) *int { return &c.Passwords.MinLength })},
	{"passwords.queue", reload, "logins that may wait for a core before one is turned away with 503",
		integer(func(c *Config) *int { return &c.Passwords.Queue })},

	{"throttle.pair", reload, "failed logins of one account from one address before waits begin; 0 never",
		integer(func(c *Config) *int { return &c.Throttle.Pair })},
	{"throttle.address", reload, "failed logins from one address before waits begin; 0 never",
		integer(func(c *Config) *int { return &c.Throttle.Address })},
	{"throttle.account", reload, "failed logins of one account before waits begin; 0 never",
		integer(func(c *Config) *int { return &c.Throttle.Account })},
	{"throttle.max_wait", reload, "longest wait between failed logins",
		duration(func(c *Config) *time.Duration { return &c.Throttle.MaxWait })},

	{"dialects.simplejwt", fixed, "serve /api/token/, the wire format of djangorestframework-simplejwt",
		boolean(func(c *Config) *bool { return &c.Dialects.SimpleJWT })},
	{"dialects.drf_jwt", fixed, "serve /api-token-auth/, the wire format of the older django-rest-framework-jwt",
		boolean(func(c *Config) *bool { return &c.Dialects.DRFJWT })},
	{"dialects.drf_jwt_refresh", reload, "how long after the login a token of that dialect can be traded for a new one",
		duration(func(c *Config) *time.Duration { return &c.Dialects.DRFJWTRefresh })},

	{"delivery", fixed, "where /api/token/ puts refresh tokens: body or cookie",
		text("WHERE", func(c *Config) *string { return &c.Delivery })},
	{"origins", fixed, "origins whose pages may call the login from a browser, comma separated",
		list(func(c *Config) *[]string { return &c.Origins })},

	{"log.level", reload, "least level that is logged: debug, info, warn or error",
		text("LEVEL", func(c *Config) *string { return &c.Log.Level })},
	{"log.format", fixed, "text or json",
		text("FORMAT", func(c *Config) *string { return &c.Log.Format })},
}

// lookup returns the setting with this key.
func lookup(key string) (setting, bool) {
	i := slices.IndexFunc(table, func(s setting) bool { return s.key == key })
	if i < 0 {
		return setting{}, false
	}
	return table[i], true
}

// isSection says whether key is a mapping that holds settings.
func isSection(key string) bool {
	return slices.ContainsFunc(table, func(s setting) bool { return strings.HasPrefix(s.key, key+".") })
}

// envName is the environment variable of a setting.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// flagName is the flag of a setting, without the dashes.
func flagName(key string) string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(key)
}

// of makes a value from the place of a field and the two directions of its text.
func of[T any](kind string, at func(*Config) *T, parse func(string) (T, error), format func(T) string) value {
	return value{
		kind: kind,
		get:  func(c *Config) string { return format(*at(c)) },
		set: func(c *Config, s string) error {
			v, err := parse(s)
			if err == nil {
				*at(c) = v
			}
			return err
		},
	}
}

func text(kind string, at func(*Config) *string) value {
	same := func(s string) string { return s }
	return of(kind, at, func(s string) (string, error) { return s, nil }, same)
}

func duration(at func(*Config) *time.Duration) value {
	return of("DURATION", at, ParseDuration, formatDuration)
}

func size(at func(*Config) *int64) value { return of("SIZE", at, parseSize, formatSize) }

func integer(at func(*Config) *int) value { return of("NUMBER", at, parseInt, formatInt) }

func boolean(at func(*Config) *bool) value { return of(boolKind, at, parseBool, formatBool) }

func list(at func(*Config) *[]string) value {
	v := of("LIST", at, parseList, formatList)
	v.setList = func(c *Config, entries []string) { *at(c) = entries }
	return v
}

func mapping(at func(*Config) *map[string]string) value {
	v := of("NAME=VALUE", at, parseMapping, formatMapping)
	v.setMap = func(c *Config, entries map[string]string) { *at(c) = entries }
	return v
}

func lists(at func(*Config) *map[string][]string) value {
	v := of("NAME=VALUE", at, parseLists, formatLists)
	v.setLists = func(c *Config, entries map[string][]string) { *at(c) = entries }
	return v
}

// boolKind is the word that pflag leaves out of a usage line.
const boolKind = "bool"

// Flags registers a flag for each of the named settings, or for every setting
// if none is named, with its help and its default. A flag that fs already has is used
// as it is. The function it returns gives what was set on the command line, by
// setting, for [Sources]; call it after parsing. Flags panics on a key that is no
// setting.
func Flags(fs *pflag.FlagSet, keys ...string) (changed func() map[string]string) {
	if len(keys) == 0 {
		for _, s := range table {
			keys = append(keys, s.key)
		}
	}
	flags := make(map[string]*pflag.Flag, len(keys))
	for _, key := range keys {
		flags[key] = addFlag(fs, key)
	}
	return func() map[string]string {
		set := map[string]string{}
		for key, f := range flags {
			if f.Changed {
				set[key] = f.Value.String()
			}
		}
		return set
	}
}

func addFlag(fs *pflag.FlagSet, key string) *pflag.Flag {
	s, ok := lookup(key)
	if !ok {
		panic("configs: no setting " + key)
	}
	name := flagName(key)
	if f := fs.Lookup(name); f != nil {
		return f
	}
	v := &flagText{text: s.get(Default()), kind: s.kind}
	f := fs.VarPF(v, name, "", s.help)
	if s.kind == boolKind {
		f.NoOptDefVal = "true"
	}
	return f
}

// flagText is a flag that keeps its text: [Load] reads it, so that a fault of a
// flag is reported together with the faults of the file.
type flagText struct{ text, kind string }

func (f *flagText) String() string     { return f.text }
func (f *flagText) Set(s string) error { f.text = s; return nil }
func (f *flagText) Type() string       { return f.kind }
