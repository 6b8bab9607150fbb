package main

import (
	"os"
	"slices"
	"strings"

	"signet/configs"
	"signet/internal/shell"
)

// installedConfig is the configuration of the service that a package installs. No
// command reads it by itself: signet serve with nothing given is a trial in ./signet-data,
// also where a service runs.
const installedConfig = "/etc/signet/signet.yaml"

// installedData is the data directory of that service.
const installedData = "/var/lib/signet"

// untold reports a command that nobody told which issuer it is about, on a machine with
// the service of a package.
func (a *app) untold() bool {
	named := a.config() != "" || len(a.changed()) > 0 ||
		slices.ContainsFunc(a.env, func(entry string) bool { return strings.HasPrefix(entry, "SIGNET_") })
	return !named && isInstalled()
}

func isInstalled() bool {
	_, err := os.Stat(installedConfig)
	return err == nil
}

// noDatabaseHint is what to type where a command found no database.
func (a *app) noDatabaseHint(cfg *configs.Config) string {
	same := a.sameFlags(cfg)
	switch {
	case a.untold():
		return "sudo -u signet signet … --config " + installedConfig + "  # the service of this machine"
	case isInstalled() && cfg.Data == installedData:
		return "sudo systemctl enable --now signet  # its first start makes one"
	case same != "":
		return "signet serve" + same + "  # makes one at its first start"
	}
	return "signet serve  # makes one at its first start; --data DIR names another directory"
}

// startHint is what to type where nothing runs.
func (a *app) startHint(cfg *configs.Config) string {
	if a.untold() {
		return "signet serve; the service of this machine is asked with --config " + installedConfig
	}
	return a.serveHint(cfg)
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
	data, seal, given := cfg.Data, cfg.SealKey, a.changed()
	if flags = a.configFlag(); flags != "" {
		data, seal = given["data"], given["seal_key"]
	}
	if data != "" && data != configs.Default().Data {
		flags += " --data " + shell.Word(data)
	}
	if seal != "" {
		flags += " --seal-key " + shell.Word(seal)
	}
	return flags + a.storeFlag()
}

// configFlag is --config where it was given.
func (a *app) configFlag() string {
	if a.configPath == "" {
		return ""
	}
	return " --config " + shell.Word(a.configPath)
}

// storeFlag is --store where it was given so. From the environment it may have a password
// that the flag must not have.
func (a *app) storeFlag() string {
	if store, given := a.changed()["store"]; given {
		return " --store " + shell.Word(store)
	}
	return ""
}
