package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"signet/internal/control"
	"signet/jwks"
)

// The formats of an export: of one key and of all, first the one that is meant
// where none is named.
var (
	formatsOfOne = []string{"pem", "jwk"}
	formatsOfAll = []string{"jwks", "pem"}
)

func keysExportCommand(a *app) *cobra.Command {
	var public bool
	var format string
	cmd := &cobra.Command{
		Use:   "export [KID] --public",
		Short: "Print published keys for programs that read them from files",
		Long: `Print the public half of a published key, or of all of them, for programs that
read keys from files. Private halves never leave the database. PEM says neither
the kid nor the algorithm of a key: where both matter, write a file for each kid.
A file does not learn that its key was revoked: write it again after each
rotation and revocation.`,
		Args: atMostOneKID,
		RunE: func(cmd *cobra.Command, kid []string) error {
			format, err := exportFormat(kid, public, format)
			if err != nil {
				return err
			}
			text, err := exportKeys(cmd.Context(), a, kid, format)
			if err != nil {
				return err
			}
			_, err = a.out.Write(text)
			return err
		},
	}
	cmd.Flags().BoolVar(&public, "public", false, "print public halves; nothing else can be exported")
	cmd.Flags().StringVar(&format, "format", "", "`FORMAT`: pem or jwk for one key (default pem), jwks or pem for all (default jwks)")
	return cmd
}

func atMostOneKID(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{errors.New("it takes one kid, or none for all published keys")}
	}
	return nil
}

// exportFormat is the format that was asked for, if there is such an export.
func exportFormat(kid []string, public bool, format string) (string, error) {
	formats := formatsOfAll
	if len(kid) == 1 {
		formats = formatsOfOne
	}
	if format != "" && !slices.Contains(formats, format) {
		return "", usageError{fmt.Errorf("--format %q: it is %s here", format, strings.Join(formats, " or "))}
	}
	if !public {
		command := append([]string{"signet keys export"}, kid...)
		return "", hintedError{errors.New("private keys are never exported; --public prints public ones"),
			strings.Join(append(command, "--public"), " ")}
	}
	if format == "" {
		format = formats[0]
	}
	return format, nil
}

func exportKeys(ctx context.Context, a *app, kid []string, format string) ([]byte, error) {
	published, err := do(ctx, a, control.GetKeySet, struct{}{})
	if err != nil {
		return nil, err
	}
	if format == "jwks" {
		return append(published.Set, '\n'), nil
	}
	entries, err := jwks.Entries(published.Set)
	if err != nil {
		return nil, fmt.Errorf("the key set cannot be read: %w", err)
	}
	if len(kid) == 1 {
		if entries, err = entryOf(ctx, a, entries, kid[0]); err != nil {
			return nil, err
		}
	}
	return encodeEntries(entries, format)
}

// entryOf is the one entry with the kid. What is known but not published is not
// exported: a file would go on trusting a key that is out of the set.
func entryOf(ctx context.Context, a *app, entries []jwks.Entry, kid string) ([]jwks.Entry, error) {
	for _, e := range entries {
		if e.KID == kid {
			return []jwks.Entry{e}, nil
		}
	}
	known, err := do(ctx, a, control.ShowKey, control.KeyID{KID: kid})
	if err != nil {
		return nil, err
	}
	return nil, hintedError{fmt.Errorf("key %s is %s and not published any more", known.KID, known.State),
		"signet keys list  # shows the keys"}
}

func encodeEntries(entries []jwks.Entry, format string) ([]byte, error) {
	var out bytes.Buffer
	for _, e := range entries {
		text := append(bytes.Clone(e.JWK), '\n')
		if format == "pem" {
			var err error
			if text, err = e.PEM(); err != nil {
				return nil, err
			}
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}
