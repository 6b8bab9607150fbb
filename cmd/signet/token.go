package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signet/internal/compactjws"
	"signet/internal/control"
)

func tokenCommand(a *app) *cobra.Command {
	return group("token", "Issue, inspect and verify tokens", tokenIssueCommand(a), tokenInspectCommand(a), tokenVerifyCommand(a))
}

// inspection is what can be said of a token.
type inspection struct {
	Header compactjws.Header `json:"header"`
	Claims json.RawMessage   `json:"claims"`
	control.Verdict
}

func tokenInspectCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect [TOKEN]",
		Short: "Show what a token says, and whether the issuer honours it",
		Long: `Show the header and the claims of a token, and whether the issuer honours it now:
its signature, its times, its session. Controls in it are written as \u escapes. Without an argument, or with -, the token is
read from standard input, where no process list shows it.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{errors.New("it takes one token")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.tokenText(args)
			if err != nil {
				return err
			}
			found, err := a.inspect(cmd.Context(), text)
			if err != nil {
				return err
			}
			return a.print(found, func(w io.Writer) { writeInspection(w, found) })
		},
	}
}

func (a *app) tokenText(args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	text, err := io.ReadAll(io.LimitReader(a.in, compactjws.MaxBytes+2))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (a *app) inspect(ctx context.Context, text string) (inspection, error) {
	if text == "" {
		return inspection{}, usageError{errors.New("there is no token to look at")}
	}
	token, err := compactjws.Parse(text, compactjws.MaxBytes)
	if err != nil {
		return inspection{}, err
	}
	if _, err := compactjws.Object(token.Payload); err != nil {
		return inspection{}, fmt.Errorf("claims: %w", err)
	}
	found := inspection{Header: token.Header, Claims: token.Payload}
	found.Verdict, err = do(ctx, a, control.JudgeToken, control.TokenText{Token: text})
	return found, err
}

func writeInspection(w io.Writer, found inspection) {
	fmt.Fprintf(w, "header  alg %s, kid %s, typ %s\n", shown(found.Header.Alg), shown(found.Header.KID), shown(found.Header.Typ))
	var pretty bytes.Buffer
	if json.Indent(&pretty, found.Claims, "        ", "  ") == nil {
		fmt.Fprintf(w, "claims  %s\n", escapeJSON(pretty.Bytes()))
	}
	var times struct {
		Expires *int64 `json:"exp"`
	}
	if json.Unmarshal(found.Claims, &times) == nil && times.Expires != nil {
		fmt.Fprintf(w, "expires %s\n", in(time.Unix(*times.Expires, 0), time.Now()))
	}
	if found.Valid {
		fmt.Fprintln(w, "valid   yes: the issuer honours it")
		return
	}
	fmt.Fprintf(w, "valid   no: %s\n", found.Reason)
}
