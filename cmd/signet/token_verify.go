package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signet/internal/compactjws"
	"signet/internal/control"
	"signet/internal/doctor"
)

// verifyFlags are those of token verify.
type verifyFlags struct {
	file, audience, url, authorities string
}

func tokenVerifyCommand(a *app) *cobra.Command {
	var flags verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [-]",
		Short: "Say whether a token is valid, and why not",
		Long: `Verify a token as a service does: algorithm, signature, type, issuer, times, and with
--audience that it is for that service. The issuer is asked what no service can know:
whether its session is alive, the account is enabled and the client is there. A refresh
token is not used up by that. It ends with 0 if the token is valid, and with 1 if not.

The token is read from standard input or from --file: an argument would show it in the
list of processes.

With --url it goes by the keys that this issuer publishes, from any machine and without
its configuration, as the library signet/verify does. It then knows nothing of the
session, and takes access tokens alone.`,
		Example: `  signet token issue --user kyoko | signet token verify
  signet token verify --file token.txt --audience orders
  signet token verify --url https://login.example.com --audience orders < token.txt`,
		Args: noTokenArgument,
	}
	cmd.Flags().StringVar(&flags.file, "file", "-", "read the token from `FILE`; - is standard input")
	cmd.Flags().StringVar(&flags.audience, "audience", "", "the `SERVICE` that the token must be for; any if none is named")
	cmd.Flags().StringVar(&flags.url, "url", "", "go by the keys that the issuer at this `URL` publishes")
	cmd.Flags().StringVar(&flags.authorities, "ca", "", "with --url: `FILE` with the certificates, in PEM, of the authorities to trust, in place of those of the system")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := flags.check(a, cmd.Flags().Changed("url"), cmd.Flags().Changed("audience")); err != nil {
			return err
		}
		text, err := a.presentedToken(flags.file)
		if err != nil {
			return err
		}
		verify := a.verifyHere
		if flags.url != "" {
			verify = a.verifyByURL
		}
		found, err := verify(cmd.Context(), flags, text)
		if err != nil {
			return err
		}
		return a.tell(found)
	}
	return cmd
}

// noTokenArgument repeats nothing of what was typed.
func noTokenArgument(_ *cobra.Command, args []string) error {
	if len(args) > 1 || len(args) == 1 && args[0] != "-" {
		return usageError{errors.New("it takes no argument: the token comes from standard input or --file, where no list of processes shows it")}
	}
	return nil
}

func (f *verifyFlags) check(a *app, url, audience bool) (err error) {
	switch {
	case audience && f.audience == "":
		return usageError{errors.New("--audience is empty: name a service, or leave it out")}
	case !url && f.authorities != "":
		return usageError{errors.New("--ca is for --url")}
	case !url:
		return nil
	case a.configPath != "" || len(a.changed()) > 0:
		return usageError{errors.New("--url asks from outside alone: it takes no --config, --data, --seal-key, --store or --replica")}
	}
	if f.url, err = doctor.ParseURL(f.url); err != nil {
		return usageError{fmt.Errorf("--url %w", err)}
	}
	return nil
}

// presentedToken reads one token. More than a token is not cut: that would be another.
func (a *app) presentedToken(file string) (string, error) {
	from := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, compactjws.MaxBytes+3)) // with a line break of Windows
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", usageError{errors.New("there is no token on standard input or in --file")}
	}
	return token, nil
}

func (a *app) verifyHere(ctx context.Context, flags verifyFlags, token string) (verification, error) {
	found, err := do(ctx, a, control.VerifyToken, control.TokenQuestion{Token: token, Audience: flags.audience})
	return verification{Verification: found, asked: flags, now: time.Now()}, err
}

// tell prints what is valid, and returns the rest as an error. Programs get both.
func (a *app) tell(v verification) error {
	if v.Valid {
		return a.print(v.Verification, v.write)
	}
	v.Detail = v.sentence()
	refusal := hintedError{errors.New(v.Detail), v.hint()}
	if a.output == "json" {
		return errors.Join(a.print(v.Verification, nil), refusal)
	}
	return refusal
}
