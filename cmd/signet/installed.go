package main

import (
	"os"

	"signet/configs"
)

// installedConfig is the configuration of the service that a package installs. No
// command reads it by itself: signet serve with nothing given is a trial in ./signet-data,
// also where a service runs.
const installedConfig = "/etc/signet/signet.yaml"

// noDatabaseHint is what to type where a command found no database.
func noDatabaseHint(cfg *configs.Config) string {
	_, err := os.Stat(installedConfig)
	switch installed := err == nil; {
	case installed && cfg.Data == configs.Default().Data:
		return "sudo -u signet signet … --config " + installedConfig + "  # the service of this machine"
	case installed && cfg.Data == "/var/lib/signet":
		return "sudo systemctl enable --now signet  # its first start makes one"
	}
	return "signet serve  # makes one at its first start; --data DIR names another directory"
}
