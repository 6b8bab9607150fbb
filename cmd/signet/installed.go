package main

import (
	"os"
	"strings"

	"signet/configs"
)

// installedConfig is the configuration of the service that a package installs. No
// command reads it by itself: signet serve with nothing given is a trial in ./signet-data,
// also where a service runs.
const installedConfig = "/etc/signet/signet.yaml"

// installedData is the data directory of that service.
const installedData = "/var/lib/signet"

func isInstalled() bool {
	_, err := os.Stat(installedConfig)
	return err == nil
}

// noDatabaseHint is what to type where a command found no database.
func (a *app) noDatabaseHint(cfg *configs.Config) string {
	same := a.sameFlags(cfg)
	switch {
	case isInstalled() && cfg.Data == configs.Default().Data:
		return "sudo -u signet signet … --config " + installedConfig + "  # the service of this machine"
	case isInstalled() && cfg.Data == installedData:
		return "sudo systemctl enable --now signet  # its first start makes one"
	case same != "":
		return "signet serve" + same + "  # makes one at its first start"
	}
	return "signet serve  # makes one at its first start; --data DIR names another directory"
}

// serveHint starts the server that a command was about.
func (a *app) serveHint(cfg *configs.Config) string {
	if isInstalled() && cfg.Data == installedData {
		return "sudo systemctl start signet"
	}
	return "signet serve" + a.sameFlags(cfg)
}

// sameFlags are those with which another command is about the issuer of this one.
func (a *app) sameFlags(cfg *configs.Config) (flags string) {
	data, seal, store := cfg.Data, cfg.SealKey, cfg.Store
	if a.configPath != "" {
		given := a.changed()
		flags, data, seal, store = " --config "+a.configPath, given["data"], given["seal_key"], given["store"]
	}
	if data != "" && data != configs.Default().Data {
		flags += " --data " + data
	}
	if seal != "" {
		flags += " --seal-key " + seal
	}
	if configs.IsPostgres(store) {
		flags += " --store " + quoted(configs.ShownStore(store))
	}
	return flags
}

// quoted is a word for a shell, which reads & and ? of a URL otherwise.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
