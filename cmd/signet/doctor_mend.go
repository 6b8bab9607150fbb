package main

import (
	"errors"
	"fmt"

	"signet/configs"
	"signet/internal/shell"
	"signet/internal/store/boltstore"
	"signet/keystore"
)

// lostHint is for a database file that was removed under the server, which still has all
// that was in it.
func (a *app) lostHint(cfg *configs.Config) string {
	same := a.sameFlags(cfg)
	return fmt.Sprintf("signet backup FILE%s, while the server runs; then stop it, signet restore FILE%s, and start it", same, same)
}

// openHint is what to type where the database cannot be opened for err; empty if the
// error says it all.
func (a *app) openHint(cfg *configs.Config, err error) string {
	switch database := cfg.DatabasePath(); {
	case errors.Is(err, keystore.ErrSealingKeyOpen):
		return shell.Command("chmod", "600", cfg.SealKeyPath())
	case errors.Is(err, boltstore.ErrDamaged):
		return shell.Command("mv", database, database+".bad") + "; signet restore FILE" + a.sameFlags(cfg)
	}
	return ""
}
