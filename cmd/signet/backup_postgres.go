package main

import (
	"errors"

	"signet/configs"
	"signet/internal/shell"
)

// errElsewhere: PostgreSQL knows better how its data is copied while it is in use.
var errElsewhere = errors.New("the database is in PostgreSQL, which has backups of its own")

func refuseBackup(cfg *configs.Config) error {
	return hintedError{errElsewhere, "pg_dump --format=custom --file=FILE " + shell.Word(configs.LibpqStore(cfg.Store)) +
		"  # seal.key and the audit log are not in it; or, with every server stopped: signet migrate --from config --to bolt:DIR"}
}

func refuseRestore(cfg *configs.Config) error {
	return hintedError{errElsewhere, "pg_restore --exit-on-error --dbname=" + shell.Word(configs.LibpqStore(cfg.Store)) +
		" FILE  # into an empty database, with every server stopped; what was done since is undone"}
}
