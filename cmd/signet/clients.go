package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signet/internal/control"
	"signet/issuer/oauth"
)

func clientsCommand(a *app) *cobra.Command {
	return group("clients", "Register services that get tokens of their own",
		clientsAddCommand(a), clientsListCommand(a), clientsShowCommand(a), clientsSecretCommand(a), clientsRemoveCommand(a))
}

func clientsAddCommand(a *app) *cobra.Command {
	var request control.Registration
	var keyFile string
	cmd := &cobra.Command{
		Use:   "add ID",
		Short: "Register a client and print its secret, this once",
		Long: `Register an OAuth client: a service that gets tokens of its own at /oauth2/token. Its
secret is printed this once; only a hash of it is kept. With --key it has no secret and
signs its requests instead (private_key_jwt).

  signet clients add billing --audience orders --scope orders:read`,
		Args: oneArgument("client id"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			request.ID, request.Alg, request.Grants = args[0], algorithm(request.Alg), grantTypes(request.Grants)
			if request.Keys, err = readKeyFile(keyFile); err != nil {
				return err
			}
			added, err := do(cmd.Context(), a, control.AddClient, request)
			if err != nil {
				return err
			}
			return a.print(added, func(w io.Writer) {
				if added.Secret == "" {
					fmt.Fprintf(w, "added client %s, which authenticates with its key\n", added.Client.ID)
					return
				}
				fmt.Fprintf(w, "added client %s; its secret is shown this once:\n%s\n", added.Client.ID, added.Secret)
			})
		},
	}
	cmd.Flags().StringSliceVar(&request.Grants, "grant", []string{oauth.ClientCredentials}, "`GRANT` types that it may use: client_credentials, token-exchange")
	cmd.Flags().StringSliceVar(&request.Scopes, "scope", nil, "`SCOPES` that it may ask for")
	cmd.Flags().StringSliceVar(&request.Audiences, "audience", nil, "`SERVICES` that it may ask tokens for")
	cmd.Flags().StringVar(&request.Alg, "alg", "", "`ALGORITHM` that signs its tokens; the first of keys.algorithms if none is named")
	keyFlag(cmd, &keyFile)
	return cmd
}

// grantTypes are the registered names of grants that were typed without their prefix.
func grantTypes(typed []string) []string {
	names := make([]string, len(typed))
	for i, name := range typed {
		names[i] = name
		for _, grant := range oauth.Registrable {
			if strings.HasSuffix(grant, ":"+name) {
				names[i] = grant
			}
		}
	}
	return names
}

func keyFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "key", "", "`FILE` with the client's public keys: a JWK, a JWK Set or PEM")
}

// readKeyFile reads what is bounded where it is parsed.
func readKeyFile(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the client's keys: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", fmt.Errorf("the client's keys: %w", err)
	}
	if len(text) == 0 {
		return "", fmt.Errorf("the client's keys: %s is empty", path)
	}
	return string(text), nil
}

func clientsListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the clients", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := everyClient(cmd.Context(), a)
			if err != nil {
				return err
			}
			return a.print(control.ClientList{Clients: all}, func(w io.Writer) {
				columns(w, "CLIENT | GRANTS | SCOPES | AUDIENCES | SECRETS", func(row func(...any)) {
					for _, c := range all {
						row(c.ID, orDash(c.Grants), orDash(c.Scopes), orDash(c.Audiences), len(c.Secrets))
					}
				})
			})
		},
	}
}

func everyClient(ctx context.Context, a *app) ([]control.Client, error) {
	return everyPage(ctx, a, func(door control.Door, after string) ([]control.Client, string, error) {
		list, err := control.ListClients.Do(ctx, door, control.Page{After: after})
		return list.Clients, list.Next, err
	})
}

func clientsShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a client", Args: oneArgument("client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := do(cmd.Context(), a, control.ShowClient, control.ClientID{ID: args[0]})
			if err != nil {
				return err
			}
			return a.print(c, func(w io.Writer) {
				columns(w, "CLIENT | "+c.ID, func(row func(...any)) {
					row("grants", orDash(c.Grants))
					row("scopes", orDash(c.Scopes))
					row("audiences", orDash(c.Audiences))
					row("algorithm", orDash(strings.Fields(c.Alg)))
					row("created", clock(c.Created))
					for _, made := range c.Secrets {
						row("secret of", clock(made))
					}
					for _, k := range keysOf(c) {
						row("key", k.Alg+" "+k.KID)
					}
				})
			})
		},
	}
}

// clientKey is what names a key of a client.
type clientKey struct {
	KID string `json:"kid"`
	Alg string `json:"alg"`
}

func keysOf(c control.Client) []clientKey {
	var set struct {
		Keys []clientKey `json:"keys"`
	}
	if len(c.Keys) > 0 && json.Unmarshal(c.Keys, &set) != nil {
		return nil
	}
	return set.Keys
}

func orDash(values []string) string {
	if len(values) == 0 {
		return "-"
	}
	return strings.Join(values, " ")
}

func clientsSecretCommand(a *app) *cobra.Command {
	var only bool
	var keyFile string
	cmd := &cobra.Command{
		Use:   "secret ID",
		Short: "Make a client another secret and print it, this once",
		Long: `Make a client another secret. The one before stays in force, so that the client can
change over without an outage; --only ends it at once. At most two are in force: a third
ends the oldest. --key replaces secrets and keys by the public keys of a file.`,
		Args: oneArgument("client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if only && keyFile != "" {
				return usageError{errors.New("--only and --key exclude each other: keys are alone in any case")}
			}
			keys, err := readKeyFile(keyFile)
			if err != nil {
				return err
			}
			made, err := do(cmd.Context(), a, control.NewSecret, control.SecretRequest{ID: args[0], Only: only, Keys: keys})
			if err != nil {
				return err
			}
			return a.print(made, func(w io.Writer) {
				if made.Secret == "" {
					fmt.Fprintf(w, "client %s authenticates with the new keys; what it had before is in force no more\n", made.Client.ID)
					return
				}
				fmt.Fprintf(w, "a secret for client %s, shown this once; %s:\n%s\n", made.Client.ID, stillInForce(made.Client.Secrets), made.Secret)
			})
		},
	}
	cmd.Flags().BoolVar(&only, "only", false, "end the secrets before it at once")
	keyFlag(cmd, &keyFile)
	return cmd
}

func clientsRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Delete a client", Args: oneArgument("client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			removed, err := do(cmd.Context(), a, control.RemoveClient, control.ClientID{ID: args[0]})
			if err != nil {
				return err
			}
			return a.print(removed, func(w io.Writer) {
				fmt.Fprintf(w, "removed client %s; tokens that are out verify until they expire (tokens.access)\n", removed.ID)
			})
		},
	}
}

// stillInForce says which of a client's secrets work, the newest being the last: an
// operator who makes a third must see that the first has ended.
func stillInForce(made []time.Time) string {
	if len(made) < 2 {
		return "it alone is in force"
	}
	return fmt.Sprintf("it and the one of %s are in force, none before", clock(made[len(made)-2]))
}
