package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"signet/configs"
	"signet/internal/audit"
	"signet/internal/control"
	"signet/internal/metrics"
	"signet/internal/store"
	"signet/internal/store/boltstore"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

// database is what the parts of an issuer keep their data in: boltstore.Store, for one
// process, or pgstore.Store, for many.
type database interface {
	keystore.Store
	users.Store
	issuer.Store
	oauth.Store
	audit.Marks
	metrics.Database
	DecoyKey(ctx context.Context) ([]byte, error)
	CheckWritable(ctx context.Context) error
	// Path is what people call it; there is no password in it.
	Path() string
	Close() error
}

// watcher is a database that others can harm while it is open.
type watcher interface{ Watch(ctx context.Context) }

// openDatabase opens the database of the configuration, or makes a new one.
func openDatabase(ctx context.Context, opts openOptions) (database, error) {
	if opts.config.Postgres() {
		return openPostgres(ctx, opts)
	}
	if err := refuseLostDatabase(opts.config); err != nil {
		return nil, err
	}
	store, err := boltstore.Open(opts.config.DatabasePath(), boltstore.Options{Timeout: opts.wait, Logger: opts.log, Committed: opts.committed(), Beside: opts.room.beside})
	if err != nil {
		return nil, err // and not a nil *Store in an interface
	}
	return store, nil
}

// snapshots is the database as what backup copies; nil if it is no file.
func (d *domains) snapshots() control.Database {
	copied, _ := d.store.(control.Database)
	return copied
}

// watch notices what others do to the database, until ctx ends.
func (d *domains) watch(ctx context.Context) {
	if w, ok := d.store.(watcher); ok {
		w.Watch(ctx)
	}
}

// databaseFailed reports an error of the storage that says nothing about the request.
func databaseFailed(err error) bool {
	return errors.Is(err, store.ErrStorage) || errors.Is(err, store.ErrClosed)
}

// mustExist refuses a database that no server has made.
func (a *app) mustExist(cfg *configs.Config) error {
	if cfg.Postgres() {
		return nil
	}
	if _, err := os.Stat(cfg.DatabasePath()); errors.Is(err, fs.ErrNotExist) {
		return hintedError{fmt.Errorf("there is no database at %s", cfg.DatabasePath()), a.noDatabaseHint(cfg)}
	}
	return nil
}
