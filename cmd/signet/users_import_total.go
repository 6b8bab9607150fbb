package main

import (
	"fmt"
	"io"
	"strings"

	"signet/internal/control"
	accounts "signet/users"
)

// importTotal is the result of an import.
type importTotal struct {
	File        string   `json:"file"`
	DryRun      bool     `json:"dry_run"`
	Imported    int      `json:"imported"`
	Created     int      `json:"created"`
	Updated     int      `json:"updated"`
	Enabled     int      `json:"enabled"`           // of those that were updated
	Disabled    int      `json:"disabled"`          // likewise
	NoPassword  int      `json:"passwords_removed"` // likewise
	Unchanged   int      `json:"unchanged"`
	Differ      int      `json:"differ"`
	Refused     int      `json:"refused"`
	RefusedFile string   `json:"refused_file,omitempty"`
	Foreign     int      `json:"foreign_hashes"`
	Warnings    []string `json:"warnings,omitempty"`
	TooLong     int      `json:"too_long"` // accounts that cannot log in as they are

	tooLong string // the first of them, and why
}

func (t *importTotal) add(answer control.Imported) {
	for _, r := range answer.Results {
		t.Enabled, t.Disabled, t.NoPassword = t.Enabled+one(r.Enabled), t.Disabled+one(r.Disabled), t.NoPassword+one(r.PasswordRemoved)
		switch r.Outcome {
		case accounts.Created:
			t.Created++
		case accounts.Updated:
			t.Updated++
		case accounts.Unchanged:
			t.Unchanged++
		case accounts.Differs:
			t.Differ++
		}
	}
	t.Imported = t.Created + t.Updated + t.Unchanged
	t.Foreign += answer.Foreign
}

func (t *importTotal) table(w io.Writer) {
	did := "imported"
	if t.DryRun {
		did = "would import"
	}
	fmt.Fprintf(w, "%s %s from %s: %s created, %s updated%s, %s unchanged", did, countUsers(t.Imported), t.File,
		grouped(t.Created), grouped(t.Updated), t.effects(), grouped(t.Unchanged))
	if t.Differ > 0 {
		fmt.Fprintf(w, ", %s left as they are", grouped(t.Differ))
	}
	fmt.Fprintf(w, "; %s refused", grouped(t.Refused))
	if t.Refused > 0 {
		fmt.Fprintf(w, ", see %s", t.RefusedFile)
	}
	fmt.Fprintln(w)
	if t.Foreign > 0 {
		fmt.Fprintf(w, "%s %s given a hash of another system, which the first login replaces\n", grouped(t.Foreign), t.were(t.Foreign))
	}
	if t.Differ > 0 {
		fmt.Fprintf(w, "%s unlike the file %s left alone; --update takes over what the file says\n", grouped(t.Differ), t.were(t.Differ))
	}
}

// effects are what an operator may not expect of an update.
func (t *importTotal) effects() string {
	var list []string
	for _, e := range []struct {
		n    int
		what string
	}{{t.Enabled, "enabled"}, {t.Disabled, "disabled"}, {t.NoPassword, "left without a password"}} {
		if e.n > 0 {
			list = append(list, grouped(e.n)+" "+e.what)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// one counts what is so.
func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// warn counts an account that cannot log in, and keeps the first.
func (t *importTotal) warn(name, why string) {
	if t.TooLong++; t.TooLong == 1 {
		t.tooLong = fmt.Sprintf("%q: %s", name, why)
	}
}

// were is the verb for n users.
func (t *importTotal) were(n int) string {
	switch {
	case t.DryRun:
		return "would be"
	case n == 1:
		return "was"
	}
	return "were"
}
