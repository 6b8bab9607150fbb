package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"signet/internal/control"
)

func usersShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show an account and its profile", Args: oneArgument("user name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := do(cmd.Context(), a, control.ShowUser, control.UserName{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(u, func(w io.Writer) { tableOfUser(w, u) })
		},
	}
}

func tableOfUser(w io.Writer, u control.User) {
	p := u.Profile
	columns(w, "USER | "+u.Name, func(row func(...any)) {
		row("sub", u.ID)
		row("state", userState(u))
		row("created", clock(u.Created))
		row("password changed", clock(u.PasswordChanged))
		for _, line := range []struct{ what, value string }{
			{"user_id", u.UserID}, {"email", p.Email}, {"given name", p.GivenName}, {"family name", p.FamilyName},
			{"staff", yes(p.Staff)}, {"superuser", yes(p.Superuser)},
			{"groups", strings.Join(p.Groups, ", ")}, {"permissions", strings.Join(p.Permissions, ", ")}, {"claims", string(p.Claims)},
		} {
			if line.value != "" {
				row(line.what, line.value)
			}
		}
	})
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return ""
}

func usersSetCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change what tokens say about an account",
		Long: `Change what tokens say about an account, from the next token on. What is not named stays
as it is; an empty value clears it.

  signet users set kyoko --group editors,staff --email= --superuser=false`,
		Args: oneArgument("user name"),
	}
	profile := profileFlagsOf(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		change, err := profile.change()
		if err != nil {
			return err
		}
		if !profile.any() {
			return usageError{errors.New("name what to change, such as --email or --group")}
		}
		u, err := do(cmd.Context(), a, control.SetProfile, control.ProfileRequest{Name: args[0], Change: change})
		if err != nil {
			return err
		}
		a.warnOf("users set", u)
		return a.print(u, func(w io.Writer) {
			fmt.Fprintf(w, "changed %s; its next token says so\n", u.Name)
		})
	}
	return cmd
}

// warnOf tells why an account cannot log in as it is.
func (a *app) warnOf(what string, u control.User) {
	if u.Warning != "" {
		fmt.Fprintf(a.err, "signet: %s: warning: %s: %s\n", what, u.Name, u.Warning)
	}
}

// profileFlags are those that make a profile.
type profileFlags struct {
	flags                                    *pflag.FlagSet
	userID, email, givenName, family, claims string
	staff, superuser                         bool
	groups, permissions                      []string
}

var profileFlagNames = []string{"user-id", "email", "given-name", "family-name", "group", "permission", "staff", "superuser", "claims"}

func profileFlagsOf(cmd *cobra.Command) *profileFlags {
	p := &profileFlags{flags: cmd.Flags()}
	p.flags.StringVar(&p.userID, "user-id", "", "`ID` by which services know the account from another system; unique")
	p.flags.StringVar(&p.email, "email", "", "e-mail `ADDRESS`")
	p.flags.StringVar(&p.givenName, "given-name", "", "given `NAME`")
	p.flags.StringVar(&p.family, "family-name", "", "family `NAME`")
	p.flags.StringSliceVar(&p.groups, "group", nil, "`GROUPS` that it is in, in place of those before")
	p.flags.StringSliceVar(&p.permissions, "permission", nil, "`PERMISSIONS` that it has, in place of those before")
	p.flags.BoolVar(&p.staff, "staff", false, "a member of the staff")
	p.flags.BoolVar(&p.superuser, "superuser", false, "a superuser")
	p.flags.StringVar(&p.claims, "claims", "", "further claims, as a `JSON` object")
	return p
}

// any reports whether one was given.
func (p *profileFlags) any() bool {
	for _, name := range profileFlagNames {
		if p.flags.Changed(name) {
			return true
		}
	}
	return false
}

// change says what was given.
func (p *profileFlags) change() (control.ProfileChange, error) {
	claims, err := p.claimsObject()
	return control.ProfileChange{
		UserID: given(p, "user-id", &p.userID), Email: given(p, "email", &p.email),
		GivenName: given(p, "given-name", &p.givenName), FamilyName: given(p, "family-name", &p.family),
		Staff: given(p, "staff", &p.staff), Superuser: given(p, "superuser", &p.superuser),
		Groups: given(p, "group", &p.groups), Permissions: given(p, "permission", &p.permissions),
		Claims: claims,
	}, err
}

// given is nil where the flag is not on the command line.
func given[T any](p *profileFlags, name string, value *T) *T {
	if !p.flags.Changed(name) {
		return nil
	}
	return value
}

func (p *profileFlags) claimsObject() (json.RawMessage, error) {
	text := strings.TrimSpace(p.claims)
	switch {
	case !p.flags.Changed("claims"):
		return nil, nil
	case text == "":
		return json.RawMessage("{}"), nil
	case text[0] != '{' || !json.Valid([]byte(text)):
		return nil, usageError{errors.New(`--claims is not a JSON object, such as {"plan":"gold"}`)}
	}
	return json.RawMessage(text), nil
}
