package main

import (
	"context"
	"time"

	"signet/configs"
	"signet/internal/doctor"
	"signet/internal/store/pgstore"
)

// databasePatience is how long doctor waits for a database that does not answer.
const databasePatience = 10 * time.Second

// databaseChecks asks the database over a connection of its own; that of a file is one of
// the files. told says that another check has told that it cannot be opened.
func databaseChecks(ctx context.Context, cfg *configs.Config, told bool) []doctor.Check {
	if !cfg.Postgres() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, databasePatience)
	defer cancel()
	found, err := pgstore.Examine(ctx, cfg.Store)
	if told && err != nil {
		return nil
	}
	return doctor.Database{
		Err: err, Product: found.Product, Schema: found.Schema, Known: found.Known,
		Ahead: found.Ahead, RoundTrip: found.RoundTrip, TLS: found.TLS, Local: found.Local, Unverified: found.Unverified, Commit: found.Commit,
	}.Checks()
}

// databaseFile is the file of the database; empty if it is elsewhere.
func databaseFile(cfg *configs.Config) string {
	if cfg.Postgres() {
		return ""
	}
	return cfg.DatabasePath()
}
