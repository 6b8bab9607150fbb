package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"signet/internal/control"
)

func tokenIssueCommand(a *app) *cobra.Command {
	var order control.TokenOrder
	cmd := &cobra.Command{
		Use:   "issue --user NAME | --client ID",
		Short: "Print an access token for a user or a client, without a password",
		Long: `Print an access token as a login of the user gives it, or as the client gets it by
client_credentials. It asks for no password and no secret: who may give commands here
can change them anyway. The audit log says who asked, and for whom.

A user's token begins a session, which signet sessions list shows and signet sessions
end ends; services believe the token until it expires all the same. The session ends
with the token. With --refresh it is one as a login begins it, and the refresh token
is the second line.

--audience, --scope and --expires-in ask for less; nothing asks for more than the
settings and the registration of the client give. Without a server the settings are
those of this command: give it the server's --config.`,
		Example: `  curl -H "Authorization: Bearer $(signet token issue --user kyoko)" https://orders.example.com/
  signet token issue --client billing --audience orders --scope orders:read -o json`,
		Args: noArguments,
	}
	flags := cmd.Flags()
	flags.StringVar(&order.User, "user", "", "the account `NAME` that the token is for")
	flags.StringVar(&order.Client, "client", "", "the client `ID` that the token is for")
	flags.StringSliceVar(&order.Audience, "audience", nil, "`SERVICES` that the token is for; a user's is for tokens.audience if none is named")
	flags.StringSliceVar(&order.Scope, "scope", nil, "`SCOPES` of a client's token; all of the client's if none is named")
	flags.DurationVar(&order.ExpiresIn, "expires-in", 0, "`TIME` for which it is valid, such as 30s; no longer than tokens.access, which is the default")
	flags.BoolVar(&order.Refresh, "refresh", false, "print a refresh token too, which keeps a user's session going")
	if err := cmd.RegisterFlagCompletionFunc("client", running(a, clientIDs)); err != nil {
		panic(err) // the flag is there
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOrder(order, flags.Changed("expires-in")); err != nil {
			return err
		}
		issued, err := do(cmd.Context(), a, control.IssueToken, order)
		if err != nil {
			return err
		}
		return a.print(issued.TokenResponse, func(w io.Writer) {
			fmt.Fprintln(w, issued.AccessToken)
			if issued.RefreshToken != "" {
				fmt.Fprintln(w, issued.RefreshToken)
			}
		})
	}
	return cmd
}

// checkOrder refuses flags that do not go together.
func checkOrder(order control.TokenOrder, lifetime bool) error {
	switch {
	case !oneOf(order.User != "", order.Client != ""):
		return usageError{errors.New("say whose token: --user NAME or --client ID")}
	case order.User != "" && len(order.Scope) > 0:
		return usageError{errors.New("--scope is for --client: the tokens of users have none")}
	case order.Client != "" && order.Refresh:
		return usageError{errors.New("--refresh is for --user: a client asks for another token")}
	case order.Refresh && (lifetime || len(order.Audience) > 0):
		return usageError{errors.New("--refresh begins a session as a login does: --audience and --expires-in would last until the first refresh")}
	case lifetime && order.ExpiresIn <= 0:
		return usageError{fmt.Errorf("--expires-in %v: it is a time such as 30s", order.ExpiresIn)}
	}
	return nil
}
