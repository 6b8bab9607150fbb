package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"signet/configs"
	"signet/internal/doctor"
	"signet/internal/store/pgstore"
	"signet/keystore"
)

// databasePatience is how long doctor waits for a database that does not answer.
const databasePatience = 10 * time.Second

// examinedDatabase is a PostgreSQL, asked over a connection of its own. That of a file is one
// of the files, and nil here.
type examinedDatabase struct {
	cfg   *configs.Config
	found pgstore.Examined
	err   error
}

func examineDatabase(ctx context.Context, cfg *configs.Config) *examinedDatabase {
	if !cfg.Postgres() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, databasePatience)
	defer cancel()
	found, err := pgstore.Examine(ctx, cfg.Store)
	return &examinedDatabase{cfg, found, err}
}

// checks judges how the database is reached. told says that another check has told that it
// cannot be opened.
func (d *examinedDatabase) checks(told bool) []doctor.Check {
	if d == nil || told && d.err != nil {
		return nil
	}
	found := d.found
	return doctor.Database{
		Err: d.err, Product: found.Product, Schema: found.Schema, Known: found.Known,
		Ahead: found.Ahead, RoundTrip: found.RoundTrip, TLS: found.TLS, Local: found.Local, Unverified: found.Unverified, Commit: found.Commit,
	}.Checks()
}

func (d *examinedDatabase) hasKeys() bool {
	return d != nil && d.err == nil && d.found.Ring.Version > 0
}

// sealingKey compares the file on this machine with the keys in the database, as a start does:
// another server may have changed them since this one started.
func (d *examinedDatabase) sealingKey(name string) doctor.Check {
	path, ring := d.cfg.SealKeyPath(), d.found.Ring
	_, err := keystore.SealingKeyFor(path, ring)
	switch {
	case err == nil:
		return doctor.Passed(name, path+" opens the private keys in the database")
	case errors.Is(err, keystore.ErrSealingKeyOpen):
		return doctor.Failed(name, err.Error(), "chmod 600 "+path)
	case !errors.Is(err, keystore.ErrSealingKey):
		return doctor.Failed(name, "the keys in the database cannot be taken: "+err.Error(), "signet keys list  # says more; see docs/worst-day.md if somebody may have changed them")
	}
	advice := hintOf(hintSealing(err, d.cfg))
	if here, unread := keystore.ReadSealingKey(path); unread == nil && ring.SealedBy != "" && here.ID() != ring.SealedBy {
		return doctor.Failed(name, fmt.Sprintf("%s is the sealing key %s, and the keys in the database are sealed with %s: a server does not start with it, and one that runs stops signing",
			path, here.ID(), ring.SealedBy), advice)
	}
	return doctor.Failed(name, err.Error(), advice)
}

// opening is the name of the check that a command can open the database.
func (d *examinedDatabase) opening() string {
	switch {
	case d == nil:
		return "database"
	case d.err != nil:
		return "database server"
	}
	return "database contents"
}

// replica asks the server of this machine itself, where others may answer at the issuer's URL.
func (in *examined) replica(ctx context.Context) []doctor.Check {
	read := in.keys.Read
	if in.err != nil || in.stopped || read == nil || in.about.Listen == "" {
		return nil
	}
	return doctor.Replica{
		URL: in.about.Issuer, Listen: in.about.Listen, TLS: in.about.TLS, Set: in.set.Set,
		Age: seconds(read.AgeSeconds), Late: read.Late, Failing: read.Failing,
	}.Checks(ctx)
}

// databaseFile is the file of the database; empty if it is elsewhere.
func databaseFile(cfg *configs.Config) string {
	if cfg.Postgres() {
		return ""
	}
	return cfg.DatabasePath()
}
