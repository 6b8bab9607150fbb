package main

import (
	"errors"

	"signet/configs"
	"signet/internal/shell"
	"signet/internal/store/transfer"
)

// migrateHint is the command that copies one place into the other. What the configuration
// names with a password is named by it alone.
func (a *app) migrateHint(from, to string) string {
	return "signet migrate" + a.configFlag() + " " + shell.Command("--from", from, "--to", to)
}

// word is how a flag of migrate names the place.
func (p *place) word() string {
	if p.configured && configs.StorePassword(p.config.Store) {
		return "config"
	}
	return p.name
}

// hintWhole says how a database becomes whole that a migration has not finished. Other
// errors stay as they are.
func (a *app) hintWhole(err error, cfg *configs.Config) error {
	filling, ok := errors.AsType[*transfer.FillingError](err)
	if !ok {
		return err
	}
	to, wrong := placeOf(cfg, "to", "config")
	if wrong != nil {
		return errors.Join(err, wrong)
	}
	return hintedError{err, a.migrateHint(filling.From, to.word()) + "  # goes on where it ended"}
}
