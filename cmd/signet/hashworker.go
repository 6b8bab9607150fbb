package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"signet/internal/hashpool"
)

// hashWorkerCommand is what a server starts for its password hashes. It is in no help.
func hashWorkerCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: hashpool.Command, Short: "Compute password hashes for a server", Hidden: true, Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if keyboard, ok := a.in.(*os.File); ok && term.IsTerminal(int(keyboard.Fd())) {
				return hintedError{errors.New("it is a part of signet serve, which starts it by itself"), "signet serve"}
			}
			// A terminal and a service manager send these to both processes. The server ends
			// when it has answered what is under way, and this one with it.
			signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			hashpool.Rename()
			return hashpool.Work(a.in, a.out)
		},
	}
}
