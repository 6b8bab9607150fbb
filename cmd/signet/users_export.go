package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"signet/internal/control"
	"signet/internal/userfile"
)

func usersExportCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "export FILE",
		Short: "Write all accounts with their password hashes to a new file",
		Long: `Write all accounts, with their password hashes, to a new file that only its owner can
read; - is standard output. It has one JSON object a line, and signet users import takes
it. Accounts that change meanwhile are written as they were before or after.`,
		Args: oneArgument("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if args[0] == "-" {
				_, err := exportUsers(ctx, a, a.out)
				return err
			}
			n, err := exportToFile(ctx, a, args[0])
			if err != nil {
				return err
			}
			return a.print(exported{args[0], n}, func(w io.Writer) {
				fmt.Fprintf(w, "exported %s to %s; it holds password hashes: keep it as the database is kept\n", countUsers(n), args[0])
			})
		},
	}
}

type exported struct {
	File  string `json:"file"`
	Users int    `json:"users"`
}

func countUsers(n int) string {
	if n == 1 {
		return "1 user"
	}
	return grouped(n) + " users"
}

// exportToFile makes the file, and removes it if it cannot be completed.
func exportToFile(ctx context.Context, a *app, path string) (n int, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return 0, hintedError{fmt.Errorf("%s is there already", path), "signet users export ANOTHER-FILE"}
	}
	if err != nil {
		return 0, err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("interrupted: %s was not written", path)
			}
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if n, err = exportUsers(ctx, a, file); err != nil {
		return n, err
	}
	return n, file.Sync()
}

// exportUsers writes page by page, through one door.
func exportUsers(ctx context.Context, a *app, to io.Writer) (n int, err error) {
	door, closeDoor, err := a.door(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, closeDoor()) }()
	out := bufio.NewWriterSize(to, 64<<10)
	lines := userfile.NewWriter(out)
	for page := (control.Page{}); ; {
		got, err := control.ExportUsers.Do(ctx, door, page)
		if err != nil {
			return n, err
		}
		for _, account := range got.Accounts {
			if err := lines.Write(account); err != nil {
				return n, err
			}
		}
		n += len(got.Accounts)
		if page.After = got.Next; got.Next == "" {
			return n, out.Flush()
		}
	}
}
