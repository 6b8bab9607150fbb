package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"signet/internal/control"
	"signet/users"
)

func usersCommand(a *app) *cobra.Command {
	return group("users", "Add, list, change, import and export accounts",
		usersAddCommand(a), usersListCommand(a), usersShowCommand(a), usersSetCommand(a), usersPasswdCommand(a),
		usersEnableCommand(a), usersDisableCommand(a), usersRemoveCommand(a), usersImportCommand(a), usersExportCommand(a))
}

func usersAddCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add an account",
		Long:  "Add an account. The password is asked for twice, without echo; --password-stdin takes\none line from standard input instead. Names are the same in upper and lower case.",
		Args:  oneArgument("user name"),
	}
	stdin, profile := passwordFlag(cmd), profileFlagsOf(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		change, err := profile.change()
		if err != nil {
			return err
		}
		password, err := a.password(cmd.Context(), *stdin)
		if err != nil {
			return err
		}
		u, err := do(cmd.Context(), a, control.AddUser, control.Credentials{Name: args[0], Password: password, Profile: change})
		if err != nil {
			return err
		}
		a.warnOf("users add", u)
		return a.print(u, func(w io.Writer) {
			fmt.Fprintf(w, "added %s, sub %s; the account can log in now\n", u.Name, u.ID)
		})
	}
	return cmd
}

func userState(u control.User) string {
	if u.Disabled {
		return "disabled"
	}
	return "enabled"
}

func usersPasswdCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "passwd NAME", Short: "Give an account another password; its sessions end", Args: oneArgument("user name"),
	}
	stdin := passwordFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		password, err := a.password(cmd.Context(), *stdin)
		if err != nil {
			return err
		}
		changed, err := do(cmd.Context(), a, control.SetPassword, control.NewPassword{Name: args[0], Password: password})
		return a.printChanged(changed, err, "changed the password of")
	}
	return cmd
}

func usersEnableCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "enable NAME", Short: "Let an account log in again", Args: oneArgument("user name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := do(cmd.Context(), a, control.EnableUser, control.UserName{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(u, func(w io.Writer) { fmt.Fprintf(w, "enabled %s; the account can log in now\n", u.Name) })
		},
	}
}

func usersDisableCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "disable NAME", Short: "Refuse an account logins and refreshes; its sessions end", Args: oneArgument("user name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			changed, err := do(cmd.Context(), a, control.DisableUser, control.UserName{Name: args[0]})
			return a.printChanged(changed, err, "disabled")
		},
	}
}

func usersRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Delete an account; its sessions end", Args: oneArgument("user name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			changed, err := do(cmd.Context(), a, control.RemoveUser, control.UserName{Name: args[0]})
			return a.printChanged(changed, err, "removed")
		},
	}
}

// printChanged says what was done to an account and what that means for tokens
// that are out already.
func (a *app) printChanged(changed control.ChangedUser, err error, done string) error {
	if err != nil {
		return err
	}
	return a.print(changed, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s; %s ended\n", done, changed.User.Name, plural(changed.SessionsEnded, "session", "sessions"))
		if changed.SessionsEnded > 0 {
			fmt.Fprintln(w, "access tokens that are out already verify until they expire (tokens.access)")
		}
	})
}

func passwordFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("password-stdin", false, "read the password from standard input, one line")
}

// password asks for a new password. It is never an argument: arguments show in
// process lists and in shell histories.
func (a *app) password(ctx context.Context, fromStdin bool) (string, error) {
	if fromStdin {
		return readPasswordLine(a.in)
	}
	file, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return "", hintedError{errors.New("standard input is not a terminal, so the password cannot be asked for"),
			"add --password-stdin and give the password as one line on standard input"}
	}
	// Whoever types a password twice is not told afterwards that there is nobody
	// to take it.
	_, closeDoor, err := a.door(ctx)
	if err != nil {
		return "", err
	}
	if err := closeDoor(); err != nil {
		return "", err
	}
	first, err := a.prompt(file, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := a.prompt(file, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, users.CheckPassword(first)
}

// prompt reads without echo. A signal gives the terminal its echo back before it
// ends the process.
func (a *app) prompt(file *os.File, text string) (string, error) {
	state, err := term.GetState(int(file.Fd()))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	answered := make(chan struct{})
	defer close(answered)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			term.Restore(int(file.Fd()), state)
			fmt.Fprintln(a.err)
			os.Exit(exitInterrupted)
		case <-answered:
		}
	}()
	fmt.Fprint(a.err, text)
	password, err := term.ReadPassword(int(file.Fd()))
	fmt.Fprintln(a.err)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(password), nil
}

// readPasswordLine takes the first line, without its end. It reads more than the
// longest password and a line end, so that a longer one is refused and never cut.
func readPasswordLine(r io.Reader) (string, error) {
	in := bufio.NewReader(io.LimitReader(r, users.MaxPasswordBytes+3))
	line, err := in.ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if in.Buffered() > 0 { // a program's password with a line break would be stored cut
		return "", errors.New("standard input has more than one line, and a password is one")
	}
	password := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	return password, users.CheckPassword(password)
}
