package pgstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"signet/keystore"
)

// Examined is what a look at a database finds.
type Examined struct {
	// Product is what the database calls itself.
	Product string
	// Schema is the version of its tables, 0 if there are none, and Known the newest that
	// this Signet knows.
	Schema, Known int
	// Ahead is how far its clock is ahead of the one here, to within RoundTrip, the time
	// that the fastest of some questions took.
	Ahead, RoundTrip time.Duration
	// TLS is the version in use, empty for plain text; Local: the connection does not leave
	// this machine.
	TLS   string
	Local bool
	// Unverified: TLS is used, and the other end has not proved who it is.
	Unverified bool
	// Ring are the keys as they are stored; its Version is 0 if there are none, or if the
	// tables are newer than this Signet.
	Ring keystore.Ring
	// Commit is when a commit is answered (synchronous_commit), empty if it does not say.
	Commit string
}

// questions is how many are asked: the first pays for what the others find ready.
const questions = 5

// Examine looks at the database with this URL, over a connection of its own, and changes
// nothing. Its errors are those of Open.
func Examine(ctx context.Context, url string) (found Examined, err error) {
	config, name, err := parse(url)
	if err != nil {
		return found, err
	}
	c, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return found, storageError("connect to", name, err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	found.Known = schemaVersion
	found.transport(c.PgConn().Conn())
	found.Unverified = found.TLS != "" && unverified(config.ConnConfig)
	if err := errors.Join(found.product(ctx, c), found.schema(ctx, c), found.keys(ctx, c), found.commit(ctx, c), found.time(ctx, c)); err != nil {
		return found, storageError("ask", name, err)
	}
	return found, nil
}

func (e *Examined) transport(c net.Conn) {
	if secure, ok := c.(*tls.Conn); ok {
		e.TLS = tls.VersionName(secure.ConnectionState().Version)
	}
	remote := c.RemoteAddr()
	host, _, err := net.SplitHostPort(remote.String())
	e.Local = remote.Network() == "unix" || err == nil && local(host)
}

// product takes the name and the version out of a sentence.
func (e *Examined) product(ctx context.Context, c *pgx.Conn) error {
	var sentence string
	err := c.QueryRow(ctx, `SELECT version()`).Scan(&sentence)
	e.Product, _, _ = strings.Cut(sentence, " (")
	e.Product, _, _ = strings.Cut(e.Product, " on ")
	return err
}

func (e *Examined) schema(ctx context.Context, c *pgx.Conn) error {
	err := c.QueryRow(ctx, readSchema).Scan(&e.Schema)
	if code(err) == undefinedTable || errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

func (e *Examined) keys(ctx context.Context, c *pgx.Conn) (err error) {
	if e.Schema == 0 || e.Schema > e.Known {
		return nil
	}
	e.Ring, err = readRing(ctx, c)
	return err
}

func (e *Examined) commit(ctx context.Context, c *pgx.Conn) error {
	err := c.QueryRow(ctx, readCommit).Scan(&e.Commit)
	if code(err) == undefinedFunction {
		return nil
	}
	return err
}

func (e *Examined) time(ctx context.Context, c *pgx.Conn) error {
	for i := range questions {
		var theirs time.Time
		asked := time.Now()
		if err := c.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
			return err
		}
		if took := time.Since(asked); i == 0 || took < e.RoundTrip {
			e.RoundTrip, e.Ahead = took, theirs.Sub(asked.Add(took/2))
		}
	}
	return nil
}
