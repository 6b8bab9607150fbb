package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"signet/internal/control"
)

func sessionsCommand(a *app) *cobra.Command {
	return group("sessions", "List and end sessions", sessionsListCommand(a), sessionsEndCommand(a))
}

func sessionsListCommand(a *app) *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use: "list", Short: "List the sessions", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := everySession(cmd.Context(), a, user)
			if err != nil {
				return err
			}
			return a.print(control.SessionList{Sessions: all}, func(w io.Writer) {
				columns(w, "SESSION | USER | CREATED | REFRESHED | EXPIRES", func(row func(...any)) {
					for _, s := range all {
						expires := clock(s.Expires)
						if s.Expired {
							expires = "expired"
						}
						row(s.ID, cmp.Or(s.User, s.Subject), clock(s.Created),
							fmt.Sprintf("%s (%d×)", clock(s.Refreshed), s.Generation), expires)
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "only the sessions of the account `NAME`")
	return cmd
}

func everySession(ctx context.Context, a *app, user string) ([]control.Session, error) {
	return everyPage(ctx, a, func(door control.Door, after string) ([]control.Session, string, error) {
		list, err := control.ListSessions.Do(ctx, door, control.SessionQuery{User: user, Page: control.Page{After: after}})
		return list.Sessions, list.Next, err
	})
}

func sessionsEndCommand(a *app) *cobra.Command {
	var request control.SessionEnd
	cmd := &cobra.Command{
		Use:   "end [SESSION | --user NAME | --all]",
		Short: "End one session, those of a user, or all",
		Long:  "End sessions: their refresh tokens get nothing more. Access tokens that are out\nalready verify at services until they expire.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{errors.New("it takes one session at most")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				request.ID = args[0]
			}
			if !oneOf(request.ID != "", request.User != "", request.All) {
				return usageError{errors.New("name one session, or --user NAME, or --all")}
			}
			ended, err := do(cmd.Context(), a, control.EndSessions, request)
			if err != nil {
				return err
			}
			return a.print(ended, func(w io.Writer) {
				fmt.Fprintf(w, "%s ended\n", plural(ended.Sessions, "session", "sessions"))
			})
		},
	}
	cmd.Flags().StringVar(&request.User, "user", "", "end all sessions of the account `NAME`")
	cmd.Flags().BoolVar(&request.All, "all", false, "end every session")
	return cmd
}

func oneOf(choices ...bool) bool {
	n := 0
	for _, c := range choices {
		if c {
			n++
		}
	}
	return n == 1
}
