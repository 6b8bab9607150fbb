package configs

import (
	"errors"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Bolt is the value of store for the file in the data directory.
const Bolt = "bolt"

// maxReplica bounds the name of a replica, in bytes: as long as the name of a host may be.
const maxReplica = 255

// IsPostgres reports whether text is the URL of a PostgreSQL database.
func IsPostgres(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// Postgres reports whether the data is in PostgreSQL.
func (c *Config) Postgres() bool { return IsPostgres(c.Store) }

// ReplicaName is the name of this process among those that share a database.
func (c *Config) ReplicaName() (string, error) {
	if c.Replica != "" {
		return c.Replica, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	dir, err := filepath.Abs(c.Data) // two on one host have two
	return host + ":" + dir, err
}

// CheckStore says what is wrong with a value of store, and never repeats it.
func CheckStore(text string) error {
	if text == Bolt {
		return nil
	}
	if !IsPostgres(text) {
		return errors.New("is neither bolt nor the URL of a PostgreSQL database; write bolt, or postgres://signet@db.example.com/signet?sslmode=verify-full")
	}
	u, err := url.Parse(text)
	if err != nil || strings.ContainsFunc(text, unicode.IsControl) {
		return errors.New("is not a URL; write postgres://signet@db.example.com/signet?sslmode=verify-full, and what a URL may not hold as %XX")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("has settings behind its ? that cannot be read; write name=value, with & between them")
	}
	if u.Fragment != "" {
		return errors.New("has a # in it; write it as %23")
	}
	return checkStoreURL(u, query)
}

// secretSettings are those that the query of a URL may have and nobody may see.
var secretSettings = []string{"password", "sslpassword"}

// StorePassword reports whether a value of store holds a password.
func StorePassword(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return strings.Contains(text, "@") // nobody knows what is before it
	}
	if _, has := u.User.Password(); has {
		return true
	}
	for _, name := range secretSettings {
		if u.Query().Has(name) {
			return true
		}
	}
	return false
}

// ShownStore is a value of store without its passwords, for people and logs.
func ShownStore(text string) string {
	if !StorePassword(text) {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "a URL with a fault in it"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	query := u.Query()
	for _, name := range secretSettings {
		query.Del(name)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// database is a text that may hold a password: not in a flag, which the list of processes
// shows to everyone on the machine, and not where a change is reported.
func database(at func(*Config) *string) value {
	v := text("KIND|URL", at)
	v.shown = func(c *Config) string { return ShownStore(*at(c)) }
	v.inFlag = func(text string) error {
		if IsPostgres(text) && StorePassword(text) {
			return errors.New("holds a password, and the list of processes shows flags to everyone on this machine; leave it out and set PGPASSWORD or PGPASSFILE, or write the URL to the file or to SIGNET_STORE")
		}
		return nil
	}
	return v
}

func (c *Config) checkStore(r *report) {
	if err := CheckStore(c.Store); err != nil {
		r.addf("store", "%v", err)
	}
	switch {
	case len(c.Replica) > maxReplica:
		r.addf("replica", "is longer than %d bytes; write a shorter name", maxReplica)
	case strings.ContainsFunc(c.Replica, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }):
		r.addf("replica", "%s holds a space or a control character; remove it", quote(c.Replica))
	}
}

// LibpqStore is ShownStore without what the programs of PostgreSQL refuse in a URL:
// settings of the pool, and of what libpq sets in other ways.
func LibpqStore(text string) string {
	shown := ShownStore(text)
	u, err := url.Parse(shown)
	if err != nil {
		return shown
	}
	query := u.Query()
	maps.DeleteFunc(query, func(name string, _ []string) bool { return !slices.Contains(libpqSettings, name) })
	if len(query) == len(u.Query()) {
		return shown
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// libpqSettings are those of a URL that libpq knows as well
// (https://www.postgresql.org/docs/13/libpq-connect.html).
var libpqSettings = []string{"host", "hostaddr", "port", "dbname", "user", "passfile", "connect_timeout", "client_encoding", "options",
	"application_name", "sslmode", "sslrootcert", "sslcert", "sslkey", "krbsrvname", "target_session_attrs"}
