package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"signet/configs"
)

// warnings are those on the configuration, and on its file.
func (a *app) warnings(cfg *configs.Config) []string {
	return slices.Concat(cfg.Warnings(), a.warnPassword(cfg))
}

// warnPassword is for a configuration file that holds the password of the database and
// that others may read. Its group may: that is how root lets a server read it.
func (a *app) warnPassword(cfg *configs.Config) []string {
	path := a.config()
	fromEnv := slices.ContainsFunc(a.env, func(entry string) bool { return strings.HasPrefix(entry, "SIGNET_STORE=") })
	if path == "" || fromEnv || !cfg.Postgres() || !configs.StorePassword(cfg.Store) {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o037 == 0 {
		return nil
	}
	return []string{fmt.Sprintf("store: %s holds the password of the database, and others may read or change it (mode %04o): chmod 640 it, or move the password to the file that PGPASSFILE names",
		path, info.Mode().Perm())}
}
