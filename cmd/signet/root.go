package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"signet/configs"
	"signet/internal/control"
	"signet/issuer"
)

// Exit codes: done, refused or failed, wrong use.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2

	exitInterrupted = 130 // as shells say of SIGINT
)

// terminal is what a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	env      []string
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// hintedError carries what to type next.
type hintedError struct {
	error
	hint string
}

func (e hintedError) Unwrap() error { return e.error }

// run does what args ask for and returns the exit code.
func run(ctx context.Context, term *terminal, args []string) int {
	root := newRoot(term)
	root.SetArgs(args)
	if len(args) > 0 && args[0] == cobra.ShellCompRequestCmd {
		unquoteUsages(root)
	}
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	return report(term.err, cmd, err)
}

// report prints an error in one line, with a hint below it where there is one.
func report(w io.Writer, cmd *cobra.Command, err error) int {
	var faults *configs.Faults
	if errors.As(err, &faults) {
		fmt.Fprintf(w, "signet: configuration: %s\n%s\n", plural(len(faults.List), "fault", "faults"), faults)
		return exitFailed
	}
	what := "signet: "
	if _, command, ok := strings.Cut(cmd.CommandPath(), " "); ok {
		what += command + ": "
	}
	fmt.Fprintf(w, "%s%s\n", what, visible(err.Error()))
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(w, "  try: %s --help\n", cmd.CommandPath())
		return exitUsage
	}
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w, "  try: %s\n", visible(hint))
	}
	return exitFailed
}

func hintOf(err error) string {
	var refused *control.Error
	var hinted hintedError
	switch {
	case errors.As(err, &refused):
		return refused.Hint
	case errors.As(err, &hinted):
		return hinted.hint
	}
	return ""
}

// app is what all commands share: the terminal and the common flags.
type app struct {
	*terminal
	configPath string
	output     string
	changed    func() map[string]string
}

func newRoot(term *terminal) *cobra.Command {
	a := &app{terminal: term}
	root := &cobra.Command{
		Use:   "signet",
		Short: "Login and token issuer for microservices",
		Long: `Signet is the central login and token issuer of a set of microservices.

A user proves a password once and gets an access and a refresh token, signed with
a private key that never leaves the server. Every service verifies them with the
public keys at /.well-known/jwks.json. Keys rotate while everything runs.

  signet serve                         run the issuer
  signet users add NAME                add an account
  signet keys rotate                   replace the signing keys; nobody is logged out
  signet backup FILE                   copy the database while it runs`,
		Args:              noArguments,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.checkOutput() },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(term.in)
	root.SetOut(term.out)
	root.SetErr(term.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags := root.PersistentFlags()
	flags.StringVar(&a.configPath, "config", "", "configuration `FILE` (also $SIGNET_CONFIG); signet serve --reference shows every setting")
	flags.StringVarP(&a.output, "output", "o", "table", "`FORMAT` of results: table for people, json for programs")
	a.changed = configs.Flags(flags, "data", "seal_key", "store", "replica")
	root.AddCommand(
		serveCommand(a), usersCommand(a), keysCommand(a), clientsCommand(a), sessionsCommand(a),
		jwksCommand(a), tokenCommand(a), backupCommand(a), restoreCommand(a), migrateCommand(a), auditCommand(a), doctorCommand(a),
		completionCommand(a), manCommand(a), versionCommand(a), hashWorkerCommand(a),
	)
	completeAll(a, root)
	return root
}

func (a *app) checkOutput() error {
	if a.output != "table" && a.output != "json" {
		return usageError{fmt.Errorf("--output %q: it is table or json", a.output)}
	}
	return nil
}

// load reads the configuration that the flags, the environment and the file make.
func (a *app) load(flags map[string]string) (*configs.Config, error) {
	return configs.Load(configs.Sources{Path: a.config(), Env: a.env, Flags: flags, Claim: issuer.MayInclude})
}

func (a *app) config() string {
	if a.configPath != "" {
		return a.configPath
	}
	for _, entry := range a.env {
		if path, ok := strings.CutPrefix(entry, "SIGNET_CONFIG="); ok {
			return path
		}
	}
	return ""
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("say what to do")}
		},
	}
	g.AddCommand(commands...)
	return g
}

// noArguments is cobra.NoArgs with a word that fits a mistyped command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is not a command or an argument here", args[0])}
	}
	return nil
}

// oneArgument takes exactly one argument, which what names.
func oneArgument(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("it takes one argument, the %s", what)}
		}
		if args[0] == "" { // as of a variable of a script that is not set
			return usageError{fmt.Errorf("it takes one argument, the %s, and that is empty", what)}
		}
		return nil
	}
}
