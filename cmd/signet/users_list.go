package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"signet/internal/control"
)

func usersListCommand(a *app) *cobra.Command {
	var hashes bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the accounts", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := everyUser(cmd.Context(), a, hashes)
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) { tableOfUsers(w, list, hashes) })
		},
	}
	cmd.Flags().BoolVar(&hashes, "hash", false, "show the scheme and the cost of each password's hash, and count them")
	return cmd
}

func everyUser(ctx context.Context, a *app, hashes bool) (control.UserList, error) {
	var kinds map[string]int
	all, err := everyPage(ctx, a, func(door control.Door, after string) ([]control.User, string, error) {
		list, err := control.ListUsers.Do(ctx, door, control.UserQuery{Hashes: hashes, Page: control.Page{After: after}})
		if after == "" {
			kinds = list.HashKinds
		}
		return list.Users, list.Next, err
	})
	return control.UserList{Users: all, HashKinds: kinds}, err
}

func tableOfUsers(w io.Writer, list control.UserList, hashes bool) {
	heading := "NAME | SUB | STATE | CREATED"
	if hashes {
		heading += " | HASH"
	}
	columns(w, heading, func(row func(...any)) {
		for _, u := range list.Users {
			cells := []any{u.Name, u.ID, userState(u), clock(u.Created)}
			if hashes {
				cells = append(cells, u.HashKind)
			}
			row(cells...)
		}
	})
	if hashes {
		summary(w, list.HashKinds)
	}
}

// summary counts hashes: those that logins have yet to replace are told apart.
func summary(w io.Writer, kinds map[string]int) {
	of := map[string]map[string]int{}
	total := 0
	for kind, n := range kinds {
		what := "have a hash of argon2id"
		switch {
		case kind == control.NoHash:
			what = "have no password"
		case control.ForeignHash(kind):
			what = "still have a hash of another system"
		}
		if of[what] == nil {
			of[what] = map[string]int{}
		}
		of[what][kind] = n
		total += n
	}
	for _, what := range slices.Sorted(maps.Keys(of)) {
		n, each := 0, []string{}
		for _, kind := range slices.Sorted(maps.Keys(of[what])) {
			n += of[what][kind]
			each = append(each, kind+" "+grouped(of[what][kind]))
		}
		fmt.Fprintf(w, "%s of %s %s: %s\n", grouped(n), grouped(total), what, strings.Join(each, ", "))
	}
}

// grouped writes a number as people read it: 99,980.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
