package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"signet/configs"
	"signet/internal/audit"
	"signet/internal/control"
	"signet/internal/shell"
	"signet/internal/store/boltstore"
	"signet/internal/store/transfer"
	"signet/keystore"
)

// boltPrefix begins the name of a database in a data directory.
const boltPrefix = "bolt:"

// place is a database that a migration reads or fills.
type place struct {
	flag string
	// name is what people call it, without a password.
	name string
	// config is that of a server on it.
	config *configs.Config
	// configured: it is what the configuration has.
	configured bool
}

// source is a database that is read.
type source interface {
	transfer.Source
	audit.Marks
	LoadRing(ctx context.Context) (keystore.Ring, error)
	// Unused says which server uses it, if it can be known.
	Unused(ctx context.Context) error
	Close() error
}

// target is a database that is filled.
type target interface {
	transfer.Target
	Close() error
}

func discarded() *slog.Logger { return slog.New(slog.DiscardHandler) }

// placeOf reads the value of a flag.
func placeOf(cfg *configs.Config, flag, text string) (*place, error) {
	dir, bolt := strings.CutPrefix(text, boltPrefix)
	switch {
	case text == "config" && cfg.Postgres():
		return &place{flag, configs.ShownStore(cfg.Store), cfg, true}, nil
	case text == "config":
		return boltPlace(cfg, flag, cfg.Data)
	case bolt && dir != "":
		return boltPlace(cfg, flag, dir)
	case !configs.IsPostgres(text):
		return nil, usageError{fmt.Errorf("--%s names no database: it is bolt:DIR, a PostgreSQL URL, or config", flag)}
	case configs.StorePassword(text):
		return nil, hintedError{fmt.Errorf("--%s holds a password, and the list of processes shows flags to everyone on this machine", flag),
			"write the URL to store in the configuration, and say --" + flag + " config; or leave the password out, and set PGPASSFILE"}
	}
	if err := configs.CheckStore(text); err != nil {
		return nil, usageError{fmt.Errorf("--%s %w", flag, err)}
	}
	there := *cfg
	there.Store = text
	return &place{flag, text, &there, false}, nil
}

// boltPlace names the directory so that it is the same one from everywhere.
func boltPlace(cfg *configs.Config, flag, dir string) (*place, error) {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return &place{flag: flag, name: boltPrefix + whole, config: configOf(cfg, dir)}, nil
}

// boltSource is a file that nobody else has open: its lock says so.
type boltSource struct{ *boltstore.Store }

// Unused implements source.
func (boltSource) Unused(context.Context) error { return nil }

// openSource opens a database that no server uses.
func (p *place) openSource(ctx context.Context) (source, error) {
	if p.config.Postgres() {
		return p.openPostgresSource(ctx)
	}
	if err := p.refuseServer(ctx); err != nil {
		return nil, err
	}
	if _, err := os.Stat(p.config.DatabasePath()); errors.Is(err, fs.ErrNotExist) {
		return nil, hintedError{fmt.Errorf("there is no database at %s", p.config.DatabasePath()), "name its data directory: --" + p.flag + " bolt:DIR"}
	}
	store, err := boltstore.Open(p.config.DatabasePath(), boltstore.Options{Logger: discarded(), Moved: true})
	if err != nil {
		return nil, err
	}
	return boltSource{store}, nil
}

// refuseNothing refuses a source in which no server has begun an issuer: it is another
// database than was meant.
func refuseNothing(ctx context.Context, from *place, source source) error {
	ring, err := source.LoadRing(ctx)
	if err != nil || ring.Version > 0 {
		return err
	}
	for _, kind := range []transfer.Kind{transfer.Users, transfer.Sessions, transfer.Clients} {
		if n, err := source.Count(ctx, kind); err != nil || n > 0 {
			return err
		}
	}
	return from.nobodys()
}

// nobodys refuses a source in which there is no issuer.
func (p *place) nobodys() error {
	return hintedError{fmt.Errorf("there is no issuer in %s: it holds no keys and no accounts", p.name), "name the database that a server has used: --" + p.flag + " DATABASE"}
}

// refuseServer refuses a data directory that a server uses.
func (p *place) refuseServer(ctx context.Context) error {
	running, err := control.Dial(ctx, p.config.SocketPath())
	if err == nil {
		running.Close()
		return hintedError{fmt.Errorf("a server is running on %s", p.config.Data), "stop it, and give this command again"}
	}
	if !errors.Is(err, control.ErrNoServer) {
		return err
	}
	return nil
}

// openTarget opens a database that is empty, or that a migration from the same source
// has begun to fill.
func (p *place) openTarget(ctx context.Context, from string, anew bool) (target, error) {
	if p.config.Postgres() {
		return p.openPostgresTarget(ctx, from, anew)
	}
	if err := p.refuseServer(ctx); err != nil {
		return nil, err
	}
	if err := makeDataDir(p.config.Data); err != nil {
		return nil, err
	}
	store, err := boltstore.OpenTarget(p.config.DatabasePath(), from, anew, boltstore.Options{Logger: discarded()})
	if errors.Is(err, fs.ErrExist) {
		return nil, hintedError{fmt.Errorf("there is a database already, %s", p.config.DatabasePath()), "name a new directory: --" + p.flag + " bolt:DIR"}
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}

// goesOn leaves the sealing key and the audit log in the data directory that they are in,
// where a place has none of its own.
func (p *place) goesOn(from *place) {
	if p.config.Postgres() && !from.config.Postgres() {
		there := *p.config
		there.Data = from.config.Data
		p.config = &there
	}
}

// flags start a server on the place that was filled from another.
func (p *place) flags(from *place) (flags string) {
	if data := p.config.Data; data != configs.Default().Data {
		flags = " --data " + shell.Word(data)
	}
	switch {
	case p.config.Postgres() && !p.configured:
		flags += " --store " + shell.Word(p.name)
	case !p.config.Postgres() && from.configured && from.config.Postgres():
		flags += " --store bolt"
	}
	return flags
}
