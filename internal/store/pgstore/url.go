package pgstore

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What holds unless the URL says otherwise.
const (
	defaultConnections = 16
	connectTimeout     = 5 * time.Second
)

// sessionSettings bound what a statement may wait for in the server, so that one that
// hangs gives its connection back.
var sessionSettings = map[string]string{
	"statement_timeout":                   "5s",
	"lock_timeout":                        "3s",
	"idle_in_transaction_session_timeout": "10s",
}

// application is what connections are called: by it a migration sees that its source is in
// use, so that neither the URL nor PGAPPNAME can call them otherwise.
const application = "signet"

// example is shown where a URL cannot be used.
const example = "postgres://user@host:5432/name?sslmode=verify-full&sslrootcert=ca.pem"

// CheckURL says what Open would say of the URL without a connection: ErrURL, or warnings
// of what is allowed and unsafe.
func CheckURL(text string) (warnings []string, err error) {
	config, _, err := parse(text)
	if err != nil {
		return nil, err
	}
	return warnWay(config.ConnConfig), nil
}

// parse reads the URL, and returns it without its password too.
func parse(text string) (*pgxpool.Config, string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" {
		// Not with the cause: it may hold a part of the password.
		return nil, "", fmt.Errorf("%w: it is not of the form %s", ErrURL, example)
	}
	if u.Fragment != "" || strings.ContainsAny(u.Path, "@#") {
		return nil, "", fmt.Errorf("%w: write characters such as / @ # ? in a user name or password as %%2F %%40 %%23 %%3F", ErrURL)
	}
	name := redacted(u)
	// The error of a URL without a password tells none.
	if _, err := pgxpool.ParseConfig(name); err != nil {
		return nil, name, fmt.Errorf("%w: %w", ErrURL, cause(err))
	}
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, name, fmt.Errorf("%w: its password cannot be read: write reserved characters as %%XX", ErrURL)
	}
	if err := refusePlain(config.ConnConfig); err != nil {
		return nil, name, err
	}
	if err := keepOffStandbys(config.ConnConfig, u.Query()); err != nil {
		return nil, name, err
	}
	if named := u.Query().Get("application_name"); named != "" && named != application {
		return nil, name, fmt.Errorf("%w: remove application_name from it: connections are called %s, by which signet migrate sees that the database is in use", ErrURL, application)
	}
	setDefaults(config, u.Query())
	return config, name, nil
}

// redacted is u without its passwords.
func redacted(u *url.URL) string {
	shown := *u
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	query := u.Query()
	query.Del("password")
	query.Del("sslpassword")
	shown.RawQuery = query.Encode()
	if shown.Host == "" && shown.Path == "" {
		shown.Path = "/" // or it is written without its //, and is no URL of a database
	}
	return shown.String()
}

// cause is what is wrong with a URL, without the URL.
func cause(err error) error {
	if parse, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		_, text, found := strings.Cut(parse.Error(), "`: ")
		if found {
			return errors.New(text)
		}
	}
	return err
}

func setDefaults(config *pgxpool.Config, query url.Values) {
	if !query.Has("pool_max_conns") {
		config.MaxConns = defaultConnections
	}
	if config.ConnConfig.ConnectTimeout == 0 || !query.Has("connect_timeout") {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	config.PingTimeout = connectTimeout
	config.ConnConfig.RuntimeParams["application_name"] = application
	for name, value := range sessionSettings {
		if _, set := config.ConnConfig.RuntimeParams[name]; !set {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
}

// keepOffStandbys has each new connection asked whether it takes writes. A standby would
// answer reads with what is past: a key that was revoked, a session that was ended.
func keepOffStandbys(config *pgx.ConnConfig, query url.Values) error {
	switch asked := cmp.Or(query.Get("target_session_attrs"), os.Getenv("PGTARGETSESSIONATTRS")); asked {
	case "":
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	case "any", "read-write", "primary":
	default:
		return fmt.Errorf("%w: target_session_attrs=%s leads to a standby, which takes no writes: leave it out, or say read-write", ErrURL, asked)
	}
	return nil
}

// way is one way in which a connection may be made.
type way struct {
	host string
	tls  *tls.Config
}

func ways(config *pgx.ConnConfig) []way {
	all := []way{{config.Host, config.TLSConfig}}
	for _, f := range config.Fallbacks {
		all = append(all, way{f.Host, f.TLSConfig})
	}
	return all
}

// refusePlain refuses a connection that may go over a network without TLS: sealed keys,
// password hashes and identifiers of refresh tokens are on it. The default sslmode=prefer
// falls back to plain text in silence, which who is in between can bring about.
func refusePlain(config *pgx.ConnConfig) error {
	for _, w := range ways(config) {
		if w.tls == nil && !local(w.host) {
			return fmt.Errorf("%w: the connection to %s could be in plain text: add sslmode=verify-full and sslrootcert=FILE to the URL, or at least sslmode=require", ErrURL, w.host)
		}
	}
	return nil
}

// local reports whether host is this machine.
func local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
