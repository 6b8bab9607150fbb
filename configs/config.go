// Package configs holds the settings of a Signet server: what there is to set,
// where a value may come from, and which values are refused.
//
// Start at [Load], which reads the file, the environment and the flags into a
// [Config], and at the table in table.go: each setting is one row there, and
// the keys of the file, the environment variables, the flags and the reload
// rules all follow from it. [Reference] is the commented file with every
// setting at its default.
//
// The package refuses whatever it does not understand: an unknown key or
// SIGNET_ variable, a key set twice, YAML beyond plain mappings, lists and
// scalars (anchors, aliases, merge keys, tags, several documents), and values
// that contradict each other. It reports every fault at once, each with the
// place it stands at. It opens nothing but the file: whether a directory can
// be written or an address bound is for those who do so.
package configs

import (
	_ "embed"
	"path/filepath"
	"slices"
	"time"
)

//go:embed signet.yaml
var reference []byte

// Reference returns the commented configuration file that holds every setting
// at its default. The caller may keep and change it.
func Reference() []byte { return slices.Clone(reference) }

// Config is one complete set of settings. signet.yaml explains each.
type Config struct {
	// Issuer is the iss claim and the base of every published URL.
	Issuer string
	// Listen is the host:port of the public listener.
	Listen string
	// OpsListen is the host:port of the listener for operators; empty is none.
	OpsListen string
	// BehindProxy are addresses and networks of what terminates TLS in front of a plain
	// listener.
	BehindProxy []string
	// Data is the directory of the database and the control socket.
	Data string
	// SealKey is the file of the sealing key; empty means seal.key in Data. Use
	// [Config.SealKeyPath].
	SealKey string
	// Store is bolt, or the URL of a PostgreSQL database, which may hold a password: see
	// [ShownStore].
	Store string
	// Replica names this process among those that share a database; empty means by its
	// host. Use [Config.ReplicaName].
	Replica string
	// AuditFile is the file of the audit log; empty means audit.log in Data. Use
	// [Config.AuditPath].
	AuditFile string

	TLS       TLS
	Proxies   Proxies
	Tokens    Tokens
	Claims    Claims
	Keys      Keys
	Refresh   Refresh
	Passwords Passwords
	Throttle  Throttle
	Dialects  Dialects
	// Delivery is where /api/token/ puts refresh tokens: body or cookie.
	Delivery string
	// Origins are those whose pages may call the login from a browser.
	Origins []string
	Log     Log
}

// Proxies are those in front of the issuer.
type Proxies struct {
	// Trusted are addresses and networks.
	Trusted []string
	// Header is the one that they write.
	Header string
	// Traceparent says that they write that header, too, and pass none on.
	Traceparent bool
}

// Claims rules what access tokens say about a user.
type Claims struct {
	// Include names parts of the profile by audience; "*" is every other one.
	Include map[string][]string
	// UserIDType is string or number.
	UserIDType string
}

// Throttle is how many failed logins are free before waits begin; 0 is any number.
type Throttle struct {
	// Pair is of one account from one address.
	Pair, Address, Account int
	// MaxWait is the longest wait.
	MaxWait time.Duration
}

// Tokens rules what is issued.
type Tokens struct {
	// Access is the life of an access token, Refresh that of a refresh token,
	// and Session that of a login, however often it is refreshed.
	Access, Refresh, Session time.Duration
	// Audience is the aud claim of access tokens.
	Audience []string
	// Typ is the typ of access tokens by audience, where it is not that of their route:
	// JWT for the login, at+jwt for OAuth.
	Typ map[string]string
	// Leeway is how far the clocks of others may be off.
	Leeway time.Duration
	// MaxBytes is the length above which a token is not issued.
	MaxBytes int
}

// Keys rules the signing keys and what is published of them.
type Keys struct {
	// Algorithms each have a chain of keys. The first signs where a client
	// asks for none.
	Algorithms []string
	// RSABits is the size of new RSA keys.
	RSABits int
	// RotateEvery is how long a key signs; 0 means until an operator rotates it.
	RotateEvery time.Duration
	// PublishAhead is how long a key is published before it signs.
	PublishAhead time.Duration
	// JWKSMaxAge is how long a client may cache the key set.
	JWKSMaxAge time.Duration
	// PKCS11Module is the library, PKCS11Token the label, PKCS11PINFile the file with the
	// PIN of the token in which private keys live; all are empty if there is none.
	PKCS11Module, PKCS11Token, PKCS11PINFile string
}

// Refresh rules what a refresh does to the refresh token.
type Refresh struct {
	// Rotate replaces the refresh token at each use.
	Rotate bool
	// ReuseWindow is how long the replaced token gets the same answer again.
	ReuseWindow time.Duration
}

// Passwords holds the cost of argon2id.
type Passwords struct {
	// Memory is in bytes, a whole number of KiB.
	Memory int64
	// Time is the number of passes over the memory.
	Time int
	// Threads is the degree of parallelism.
	Threads int
	// MinLength is the least length of a new password, in characters.
	MinLength int
	// Queue is how many logins may wait for a core before one is turned away.
	Queue int
}

// Dialects switches the wire formats beside OAuth.
type Dialects struct {
	SimpleJWT, DRFJWT bool
	// DRFJWTRefresh is how long after the login a token of DRFJWT can be traded for a
	// new one.
	DRFJWTRefresh time.Duration
}

// Log rules what the server writes to standard error.
type Log struct {
	// Level is debug, info, warn or error.
	Level string
	// Format is text or json.
	Format string
}

// letsEncrypt is the directory of a CA that issues to anyone.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// Default returns the settings of a server that was told nothing.
func Default() *Config {
	return &Config{
		Issuer:    "http://127.0.0.1:8080",
		Listen:    "127.0.0.1:8080",
		OpsListen: "127.0.0.1:9090",
		Data:      "./signet-data",
		Store:     Bolt,
		TLS:       TLS{ACMEDirectory: letsEncrypt},
		Proxies:   Proxies{Header: "X-Forwarded-For"},
		Claims:    Claims{Include: map[string][]string{"*": {"groups", "claims"}}, UserIDType: "string"},
		Tokens: Tokens{
			Access:   5 * time.Minute,
			Refresh:  day,
			Session:  30 * day,
			Leeway:   30 * time.Second,
			MaxBytes: 4096,
		},
		Keys: Keys{
			Algorithms:   []string{"ES256", "RS256"},
			RSABits:      2048,
			RotateEvery:  90 * day,
			PublishAhead: day,
			JWKSMaxAge:   5 * time.Minute,
		},
		Refresh:   Refresh{Rotate: true, ReuseWindow: 10 * time.Second},
		Passwords: Passwords{Memory: 19 << 20, Time: 2, Threads: 1, MinLength: 15, Queue: 64},
		Throttle:  Throttle{Pair: 5, Address: 50, Account: 50, MaxWait: 15 * time.Minute},
		Dialects:  Dialects{SimpleJWT: true, DRFJWTRefresh: 7 * day},
		Delivery:  "body",
		Log:       Log{Level: "info", Format: "text"},
	}
}

// SealKeyPath is the file that holds the sealing key.
func (c *Config) SealKeyPath() string {
	if c.SealKey != "" {
		return c.SealKey
	}
	return filepath.Join(c.Data, "seal.key")
}

// DatabasePath is the file that holds the database.
func (c *Config) DatabasePath() string { return filepath.Join(c.Data, "signet.db") }

// AuditPath is the file that holds the audit log.
func (c *Config) AuditPath() string {
	if c.AuditFile != "" {
		return c.AuditFile
	}
	return filepath.Join(c.Data, "audit.log")
}

// SocketPath is the unix socket that operators' commands speak to.
func (c *Config) SocketPath() string { return filepath.Join(c.Data, "control.sock") }
