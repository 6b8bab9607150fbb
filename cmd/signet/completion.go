package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"signet/internal/control"
	"signet/keystore"
)

// shells are those that completion writes a script for.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func completionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script with which a shell completes commands and flags",
		Long: `Print a script for bash, zsh, fish or powershell. With it the Tab key completes commands,
flags and their values; kids and client IDs too, while a server runs. A package has
installed it already. In the shell that is open:

  source <(signet completion bash)         needs the package bash-completion
  source <(signet completion zsh)
  signet completion fish | source
  signet completion powershell | Out-String | Invoke-Expression

For every shell from now on, write it to where the shell looks:

  bash   ~/.local/share/bash-completion/completions/signet
  zsh    a directory of $fpath, as _signet
  fish   ~/.config/fish/completions/signet.fish`,
		Args:      oneShell,
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			}
			return root.GenPowerShellCompletionWithDesc(a.out)
		},
	}
}

func oneShell(_ *cobra.Command, args []string) error {
	switch {
	case len(args) != 1:
		return usageError{fmt.Errorf("it takes one argument, the shell: %s", alternatives(shells))}
	case !slices.Contains(shells, args[0]):
		return usageError{fmt.Errorf("%.40q: it is %s", args[0], alternatives(shells))}
	}
	return nil
}

func alternatives(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// flagValues are the values of flags that take one of a few, by name; those of one
// command alone by its path and the name.
var flagValues = map[string][]string{
	"output":              {"table", "json"},
	"alg":                 keystore.Algorithms,
	"grant":               {"client_credentials", "token-exchange"},
	"log-level":           {"debug", "info", "warn", "error"},
	"log-format":          {"text", "json"},
	"delivery":            {"body", "cookie"},
	"store":               {"bolt"},
	"claims-user-id-type": {"string", "number"},
	"proxies-header":      {"X-Forwarded-For", "Forwarded"},

	"signet keys export format":  {"pem", "jwk", "jwks"},
	"signet users import format": {"django", "csv", "jsonl"},
}

func valuesOf(cmd *cobra.Command, f *pflag.Flag) []string {
	if values := flagValues[cmd.CommandPath()+" "+f.Name]; values != nil {
		return values
	}
	return flagValues[f.Name]
}

// completeAll lets every command of a tree complete what it takes. What has no words of
// its own gets files only where its usage says FILE, and directories where it says DIR.
func completeAll(a *app, cmd *cobra.Command) {
	completeArguments(a, cmd)
	cmd.Flags().VisitAll(func(f *pflag.Flag) { completeFlag(cmd, f) })
	cmd.PersistentFlags().VisitAll(func(f *pflag.Flag) { completeFlag(cmd, f) })
	for _, sub := range cmd.Commands() {
		completeAll(a, sub)
	}
}

// unquoteUsages takes the backquotes from the usages of flags, which mark a word for
// --help and which a shell would show as they are.
func unquoteUsages(cmd *cobra.Command) {
	plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	cmd.Flags().VisitAll(plain)
	cmd.PersistentFlags().VisitAll(plain)
	for _, sub := range cmd.Commands() {
		unquoteUsages(sub)
	}
}

func completeFlag(cmd *cobra.Command, f *pflag.Flag) {
	if _, has := cmd.GetFlagCompletionFunc(f.Name); has {
		return
	}
	complete := cobra.NoFileCompletions
	values := valuesOf(cmd, f)
	switch name, _ := pflag.UnquoteUsage(f); {
	case values != nil:
		complete = cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	case name == "FILE":
		complete = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	case name == "DIR":
		complete = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	}
	if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
		panic(err) // there is no such flag, or it has one: neither can be
	}
}

func completeArguments(a *app, cmd *cobra.Command) {
	if cmd.ValidArgs != nil || cmd.ValidArgsFunction != nil {
		return
	}
	first := "" // what the usage calls the first argument
	if words := strings.Fields(cmd.Use); len(words) > 1 {
		first = strings.Trim(words[1], "[]")
	}
	switch {
	case first == "FILE":
		cmd.ValidArgsFunction = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	case first == "DIR":
		cmd.ValidArgsFunction = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	case first == "KID":
		cmd.ValidArgsFunction = running(a, kids)
	case first == "ID" && cmd.Parent().Name() == "clients" && cmd.Name() != "add":
		cmd.ValidArgsFunction = running(a, clientIDs)
	default:
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
}

// completionPatience is how long a person who presses Tab waits for a server.
const completionPatience = 500 * time.Millisecond

// running completes the first argument by what a running server answers at once. It
// never opens the database: a key press must not hold up a server that starts.
func running(a *app, list func(context.Context, control.Door) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		cfg, err := a.load(a.changed())
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		door, err := control.Dial(ctx, cfg.SocketPath())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer door.Close()
		return list(ctx, door), cobra.ShellCompDirectiveNoFileComp
	}
}

func kids(ctx context.Context, door control.Door) (found []string) {
	known, err := control.ListKeys.Do(ctx, door, struct{}{})
	if err != nil {
		return nil
	}
	for _, k := range known.Keys {
		found = append(found, cobra.CompletionWithDesc(k.KID, k.Alg+", "+string(k.State)))
	}
	return found
}

func clientIDs(ctx context.Context, door control.Door) (found []string) {
	known, err := control.ListClients.Do(ctx, door, control.Page{})
	if err != nil {
		return nil
	}
	for _, c := range known.Clients {
		found = append(found, c.ID)
	}
	return found
}
