package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"signet/configs"
	"signet/internal/metrics"
	"signet/internal/shell"
	"signet/internal/store/pgstore"
	"signet/keystore"
)

// postgres is a pgstore.Store whose connections are counted.
type postgres struct{ *pgstore.Store }

// Connections implements metrics.Connections.
func (p postgres) Connections() metrics.Pool { return metrics.Pool(p.Pool()) }

// errNoIssuer: no server has made keys in the database, so that a command finds nothing
// to do anything with.
var errNoIssuer = errors.New("there is no issuer in the database yet")

// openPostgres opens the database of the configuration. A server makes the tables that it
// lacks; a command does not: a mistyped URL must not look like an empty issuer.
func openPostgres(ctx context.Context, opts openOptions) (database, error) {
	replica, err := replicaName(opts.config)
	if err != nil {
		return nil, err
	}
	tables := pgstore.MakeTables
	switch {
	case opts.stored:
		tables = pgstore.KeepTables
	case begunHere(opts.config):
		tables = pgstore.UpgradeTables
	}
	store, err := pgstore.Open(ctx, opts.config.Store, pgstore.Options{Logger: opts.log, Committed: opts.committed(), Replica: replica, Tables: tables})
	if errors.Is(err, pgstore.ErrNoTables) {
		return nil, noIssuer(opts)
	}
	if err != nil {
		return nil, hintPostgres(err, opts.config)
	}
	return postgres{store}, nil
}

func replicaName(cfg *configs.Config) (string, error) {
	name, err := cfg.ReplicaName()
	if err != nil {
		return "", fmt.Errorf("name this replica by its host: %w; or set replica", err)
	}
	return name, nil
}

// begunHere reports whether an issuer has run on this data directory: its sealing key is
// there, and its audit log is not empty. A sealing key alone may have been put there first.
func begunHere(cfg *configs.Config) bool {
	_, key := os.Stat(cfg.SealKeyPath())
	log, err := os.Stat(cfg.AuditPath())
	return key == nil && err == nil && log.Size() > 0
}

// noIssuer refuses a database without an issuer: to a command, and to a server whose issuer
// is in another one. A new and empty issuer would look like a working one.
func noIssuer(opts openOptions) error {
	cfg := opts.config
	switch {
	case opts.stored:
		return errNoIssuer
	case !begunHere(cfg):
		return nil
	}
	hint := "see that store names the database of that issuer, and that it is whole"
	if _, err := os.Stat(cfg.DatabasePath()); err == nil {
		hint += "; signet migrate copies " + cfg.DatabasePath() + " into it"
	}
	return hintedError{
		fmt.Errorf("%w: %s is empty, but the sealing key and the audit log of an issuer are here", errNoIssuer, configs.ShownStore(cfg.Store)),
		fmt.Sprintf("%s; or, to begin anew with no users, move %s and %s away", hint, cfg.SealKeyPath(), cfg.AuditPath()),
	}
}

// hintSealing says where the sealing key is that a replica lacks: each has a copy of the
// one with which the keys in their database are sealed.
func hintSealing(err error, cfg *configs.Config) error {
	if !cfg.Postgres() || !errors.Is(err, keystore.ErrSealingKey) || errors.Is(err, keystore.ErrSealingKeyOpen) {
		return err
	}
	path := cfg.SealKeyPath()
	return hintedError{err, shell.Command("scp", "HOST:DATA-DIRECTORY/seal.key", path) + " && " + shell.Command("chmod", "600", path) + "  # from a server that works on this database"}
}

// hintPostgres says what to type where the database cannot be opened.
func hintPostgres(err error, cfg *configs.Config) error {
	switch {
	case errors.Is(err, pgstore.ErrSchemaNewer), errors.Is(err, pgstore.ErrURL):
		return err // the sentence says what to do
	case errors.Is(err, pgstore.ErrSchemaOlder):
		return hintedError{err, "signet serve  # the newer one brings them up to date; or use the signet that its servers have"}
	case errors.Is(err, pgstore.ErrStorage):
		return hintedError{err, shell.Command("psql", configs.LibpqStore(cfg.Store), "-c", "SELECT 1") + "  # shows whether this machine and user get in; the password is in PGPASSWORD, PGPASSFILE or the URL"}
	}
	return err
}
