package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"signet/keystore"
)

// toReplicas says, after a change of the keys, when servers elsewhere follow: accounts and
// sessions they read anew each time, the keys they have in memory.
func toReplicas(a *app, cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := run(cmd, args); err != nil {
			return err
		}
		if plan := cmd.Flags().Lookup("dry-run"); plan != nil && plan.Value.String() == "true" {
			return nil
		}
		cfg, err := a.load(a.changed())
		if err == nil && cfg.Postgres() {
			fmt.Fprintf(a.err, "other servers on this database follow within %s\n", span(keystore.PollInterval))
		}
		return err
	}
	return cmd
}
