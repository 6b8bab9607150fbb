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

// hintWhole says how a database becomes whole that a migration has not finished, and how
// one is opened that it has closed. Other errors stay as they are.
func (a *app) hintWhole(err error, cfg *configs.Config) error {
	filling, half := errors.AsType[*transfer.FillingError](err)
	moved, closed := errors.AsType[*transfer.MovedError](err)
	if !half && !closed {
		return err
	}
	own, wrong := placeOf(cfg, "to", "config")
	if wrong != nil {
		return errors.Join(err, wrong)
	}
	if half {
		return hintedError{err, a.migrateHint(filling.From, own.word()) + "  # goes on where it ended"}
	}
	return hintedError{err, a.reopenHint(own.word()) + "  # only to go back to it, with every server on " + moved.To + " stopped"}
}
