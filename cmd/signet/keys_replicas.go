package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"signet/configs"
	"signet/keystore"
)

// toReplicas says, after a change of the keys that does not say so itself, when servers elsewhere follow: accounts and
// sessions they read anew each time, the keys they have in memory.
func toReplicas(a *app, cmd *cobra.Command) *cobra.Command {
	return tellReplicas(a, cmd, func(*configs.Config) string {
		return "other servers on this database follow within " + span(keystore.PollInterval)
	})
}

// toReplicasByHand is toReplicas for a sealing key, which is in no database.
func toReplicasByHand(a *app, cmd *cobra.Command) *cobra.Command {
	return tellReplicas(a, cmd, func(cfg *configs.Config) string {
		return fmt.Sprintf("copy %s to every other server on this database now: without it they stop signing after %s", cfg.SealKeyPath(), span(keystore.StaleAfter))
	})
}

func tellReplicas(a *app, cmd *cobra.Command, sentence func(*configs.Config) string) *cobra.Command {
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
			fmt.Fprintln(a.err, sentence(cfg))
		}
		return err
	}
	return cmd
}
