package configs

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// storeExample is shown where a URL cannot be used.
const storeExample = "postgres://signet@db.example.com/signet?sslmode=verify-full"

// sslModes are those of libpq. A unix socket has no TLS, but a mistyped one may lead to a
// host tomorrow.
var sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// storeSettings are the settings of a URL that bound what a connection may take.
var storeSettings = []struct {
	name, want string
	good       func(string) bool
}{
	{"sslmode", "one of " + strings.Join(sslModes, ", "), func(v string) bool { return slices.Contains(sslModes, v) }},
	{"pool_max_conns", "a number of connections from 1 to 10000", number(1, 10_000)},
	{"pool_min_conns", "a number of connections from 0 to 10000", number(0, 10_000)},
	{"pool_min_idle_conns", "a number of connections from 0 to 10000", number(0, 10_000)},
	{"connect_timeout", "a number of seconds from 0 to 3600", number(0, 3600)},
	{"statement_timeout", "a time such as 5s", limit.MatchString},
	{"lock_timeout", "a time such as 3s", limit.MatchString},
	{"idle_in_transaction_session_timeout", "a time such as 10s", limit.MatchString},
}

// limit is a time as PostgreSQL reads it (documentation, section 20.1.1).
var limit = regexp.MustCompile(`\A *[0-9]+(\.[0-9]+)? *(us|ms|s|min|h|d)? *\z`)

func number(least, most int) func(string) bool {
	return func(text string) bool {
		n, err := strconv.Atoi(text)
		return err == nil && n >= least && n <= most
	}
}

// checkStoreURL says what is wrong with what the URL of a database names.
func checkStoreURL(u *url.URL, query url.Values) error {
	if !namesDatabase(u, query) {
		return fmt.Errorf("names no database; write %s", storeExample)
	}
	for _, s := range storeSettings {
		if query.Has(s.name) && !s.good(query.Get(s.name)) {
			return fmt.Errorf("has a wrong %s; write %s", s.name, s.want)
		}
	}
	return nil
}

// namesDatabase: without one the name of the user would be taken, which nobody means.
func namesDatabase(u *url.URL, query url.Values) bool {
	return strings.Trim(u.Path, "/") != "" || query.Get("dbname") != "" || query.Get("database") != "" || query.Get("service") != "" ||
		os.Getenv("PGDATABASE") != "" || os.Getenv("PGSERVICE") != ""
}
