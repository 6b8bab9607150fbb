package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"

	"signet/configs"
	"signet/internal/store/pgstore"
)

// checked is the result of serve --check; a faulty configuration is an error.
type checked struct {
	Good     bool     `json:"good"`
	Warnings []string `json:"warnings,omitempty"`
}

// check says what a start would say of the configuration and of the files that it names.
// It opens no database, asks no CA, and writes nothing.
func (a *app) check(cfg *configs.Config) error {
	if _, err := openCertificates(cfg, newLog(a.err, cfg, new(slog.LevelVar)), nil); err != nil {
		return err
	}
	warnings, err := checkStoreURL(cfg)
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		fmt.Fprintf(a.err, "warning: %s\n", warning)
	}
	return a.print(checked{Good: true, Warnings: slices.Concat(a.warnings(cfg), warnings)}, func(w io.Writer) {
		fmt.Fprintln(w, "the configuration is good")
	})
}

// checkStoreURL looks at how the database would be reached.
func checkStoreURL(cfg *configs.Config) (warnings []string, err error) {
	if !cfg.Postgres() {
		return nil, nil
	}
	if _, err := replicaName(cfg); err != nil {
		return nil, err
	}
	return pgstore.CheckURL(cfg.Store)
}
