package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"signet/internal/control"
)

func jwksCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "jwks", Short: "Print the public key set, as it is served", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			published, err := do(cmd.Context(), a, control.GetKeySet, struct{}{})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%s\n", published.Set)
			return err
		},
	}
}
