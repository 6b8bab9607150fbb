package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func manCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages to a directory",
		Long: `Write a manual page for every command to a directory, which is made if it is missing.
Pages that are there already are replaced. They have the date of SOURCE_DATE_EPOCH, so
that two builds make the same pages, and otherwise that of today.

  signet man /usr/local/share/man/man1
  man signet-users-add`,
		Args: oneArgument("directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			date, err := sourceDate(a.env)
			if err != nil {
				return err
			}
			pages, err := writePages(cmd.Root(), date, args[0])
			if err != nil {
				return err
			}
			return a.print(manPages{args[0], pages}, func(w io.Writer) {
				fmt.Fprintf(w, "wrote %s to %s\n", plural(len(pages), "page", "pages"), args[0])
			})
		},
	}
}

// manPages is the result of man.
type manPages struct {
	Directory string   `json:"directory"`
	Pages     []string `json:"pages"`
}

// sourceDate is the time of the source, of which a build has no other:
// https://reproducible-builds.org/specs/source-date-epoch/
func sourceDate(env []string) (time.Time, error) {
	for _, entry := range env {
		text, ok := strings.CutPrefix(entry, "SOURCE_DATE_EPOCH=")
		if !ok {
			continue
		}
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds < 0 {
			return time.Time{}, hintedError{fmt.Errorf("SOURCE_DATE_EPOCH=%.40q is no number of seconds since 1970", text),
				"SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) signet man DIR"}
		}
		return time.Unix(seconds, 0).UTC(), nil
	}
	return time.Now().UTC(), nil
}

// writePages writes the page of a command and those of the commands below it, and
// returns their names.
func writePages(cmd *cobra.Command, date time.Time, dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	name := pageName(cmd) + ".1"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(manPage(cmd, date)), 0o644); err != nil {
		return nil, err
	}
	names := []string{name}
	for _, sub := range documented(cmd) {
		below, err := writePages(sub, date, dir)
		if err != nil {
			return nil, err
		}
		names = append(names, below...)
	}
	return names, nil
}

// pageName is what stands behind man: signet-users-add.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// documented are the commands below one that have a page.
func documented(cmd *cobra.Command) (commands []*cobra.Command) {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			commands = append(commands, sub)
		}
	}
	return commands
}
