// Package pgstore keeps everything Signet stores in PostgreSQL, or in a database that
// speaks its protocol and its SQL: CockroachDB, YugabyteDB. Any number of replicas share
// one database.
//
// Start at [Open]. A Store implements the same contracts as boltstore, which package
// storetest tests. Each method is one statement wherever it can be, and a refresh is one
// with the account in it (refresh.go): one round trip. run.go says what is tried again
// and what is not, migrate.go how the tables come to be, url.go which connections are
// refused.
//
// The package uses no advisory lock, no LISTEN, no extension, no stored procedure and no
// trigger: not every engine has them. It refuses to send secrets over a network in plain
// text, and no error of it holds a password or a value that was stored.
package pgstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"signet/internal/audit"
	"signet/internal/store"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

var (
	_ keystore.Store = (*Store)(nil)
	_ users.Store    = (*Store)(nil)
	_ issuer.Store   = (*Store)(nil)
	_ oauth.Store    = (*Store)(nil)
	_ audit.Marks    = (*Store)(nil)

	_ issuer.Refresher = (*Store)(nil)
)

// Errors a caller branches on, besides those of the domains.
var (
	// ErrStorage: the storage failed. Whether the change was made is unknown.
	ErrStorage = store.ErrStorage
	// ErrClosed: the store was closed.
	ErrClosed = store.ErrClosed
	// ErrURL: the URL names no database, or a connection that is refused.
	ErrURL = errors.New("the database URL cannot be used")
	// ErrSchemaNewer: the tables belong to a newer Signet. They were not changed.
	ErrSchemaNewer = errors.New("the database belongs to a newer signet")
	// ErrSchemaOlder: the tables belong to an older Signet, and KeepTables was asked for.
	ErrSchemaOlder = errors.New("the database belongs to an older signet")
	// ErrNoTables: the database has no tables of Signet, and none were to be made.
	ErrNoTables = errors.New("the database has no tables of signet")
)

// Tables is what Open may do to the tables.
type Tables int

// From the most on.
const (
	// MakeTables makes them, and brings those of an older Signet up to date.
	MakeTables Tables = iota
	// UpgradeTables makes none.
	UpgradeTables
	// KeepTables changes none.
	KeepTables
)

// Options configure a Store.
type Options struct {
	// Logger hears of migrations and of what the database does besides answering; nil
	// means slog.Default().
	Logger *slog.Logger
	// Committed hears of each write: how long it took, how many requests shared it (one),
	// and its error if the database is to blame. Nil tells nobody.
	Committed func(took time.Duration, requests int, err error)
	// Replica names this process among those that share the database: its audit log has a
	// mark of its own.
	Replica string
	// Application is what connections are called in the server; empty means signet.
	Application string
	// Tables is what may be done to the tables.
	Tables Tables
	// Moved opens a database that was copied elsewhere, too; see Store.Leave.
	Moved bool

	// filling opens a database that is being filled, too; see OpenTarget.
	filling bool
}

// Store is a pool of connections to one database. Its methods may be called concurrently.
type Store struct {
	pool *pgxpool.Pool
	own  *pgxpool.Pool // see openOwn
	name string        // the URL without its password
	opts Options
	log  *slog.Logger
	// acquireLimit and callLimit are the constants, except in tests.
	acquireLimit, callLimit time.Duration
	warnings                []string    // see Warnings
	guarded                 atomic.Bool // see admitConnection
	short                   shortage

	mu     sync.RWMutex // guards closed, and calls.Add against calls.Wait
	closed bool
	calls  sync.WaitGroup
}

// Open connects to the database with this URL and brings its tables up to date, as far as
// Options.Tables lets it. ErrURL if the URL cannot be used; ErrSchemaNewer, ErrSchemaOlder
// or ErrNoTables if the tables are not this Signet's; ErrStorage if the database cannot be
// reached.
func Open(ctx context.Context, url string, opts Options) (*Store, error) {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	config, name, err := parse(url)
	if err != nil {
		return nil, err
	}
	if opts.Application != "" {
		config.ConnConfig.RuntimeParams["application_name"] = opts.Application
	}
	return open(ctx, config, name, opts)
}

func open(ctx context.Context, config *pgxpool.Config, name string, opts Options) (*Store, error) {
	s := &Store{name: name, opts: opts, log: opts.Logger, acquireLimit: acquireLimit, callLimit: callLimit}
	config.AfterConnect = s.admitConnection
	var err error
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, storageError("connect to", name, err)
	}
	if s.own, err = openOwn(ctx, config); err != nil {
		s.pool.Close()
		return nil, storageError("connect to", name, err)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare warns, brings the tables up to date, and refuses what a migration has not
// finished, or has left.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.warn(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil || s.opts.filling {
		return err
	}
	if err := s.refuseFilling(ctx); err != nil || s.opts.Moved {
		return err
	}
	s.guarded.Store(true)
	return s.refuseMoved(ctx)
}

// Path returns the URL of the database without its password.
func (s *Store) Path() string { return s.name }

// Close waits for the calls under way and closes the connections. Calls that come later
// get ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	s.calls.Wait()
	s.pool.Close()
	s.own.Close()
	return nil
}

// enter registers a call that Close waits for; it ends with s.calls.Done.
func (s *Store) enter() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return false
	}
	s.calls.Add(1)
	return true
}
