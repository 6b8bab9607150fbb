package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"signet/internal/audit"
	"signet/internal/control"
)

func auditCommand(a *app) *cobra.Command {
	return group("audit", "Check the audit log", auditVerifyCommand(a))
}

func auditVerifyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify [FILE...]",
		Short: "Check that no record was changed or cut out",
		Long: `Check that each record of the audit log follows the one before, and that the last one
the issuer wrote is there. Of files that were moved away, name all, the oldest first.
Without the issuer's database, or for older files alone, what was cut off at the end
does not show.

The head that is printed stands for all records up to it: keep it somewhere else, and
nobody can write another history.`,
		RunE: func(cmd *cobra.Command, files []string) error {
			log, err := do(cmd.Context(), a, control.ShowAudit, struct{}{})
			if err != nil && len(files) == 0 {
				return err
			}
			if len(files) == 0 {
				files = []string{log.Path}
			}
			checked, verr := verifyAudit(cmd.Context(), files, log.Head)
			checked.Files, checked.Compared = files, err == nil
			if verr != nil {
				return verr
			}
			return a.print(checked, checked.show)
		},
	}
}

// verifiedAudit is the result of audit verify.
type verifiedAudit struct {
	Files []string `json:"files"`
	// Compared reports that the database's mark was known.
	Compared bool `json:"compared"`
	audit.Report
}

// verifyAudit reads the files in the order given.
func verifyAudit(ctx context.Context, files []string, mark audit.Head) (verifiedAudit, error) {
	var sources []audit.Source
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return verifiedAudit{}, err
		}
		defer f.Close()
		sources = append(sources, audit.Source{Name: path, Reader: interruptible{ctx, f}})
	}
	report, err := audit.Verify(sources, mark)
	var fault *audit.Fault
	switch {
	case errors.As(err, &fault) && fault.Missing:
		err = hintedError{err, "signet audit verify OLDER-FILE... " + files[0] + "  # if records were moved away, name those files too, the oldest first"}
	case errors.As(err, &fault):
		err = hintedError{err, "keep the file as it is, and compare it with a copy; records before that place are as they were written"}
	}
	return verifiedAudit{Report: report}, err
}

// interruptible ends a long read with its context.
type interruptible struct {
	ctx context.Context
	io.Reader
}

func (r interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

func (v verifiedAudit) show(w io.Writer) {
	if v.Last == 0 {
		fmt.Fprintln(w, "the audit log holds no record yet")
		return
	}
	fmt.Fprintf(w, "records %d to %d follow each other, from %s to %s\n", v.First, v.Last, clock(v.From), clock(v.To))
	switch {
	case v.Marked:
		fmt.Fprintln(w, "the end is as the issuer knows it")
	case v.Compared:
		fmt.Fprintln(w, "the issuer's own mark is of an earlier record, before these files")
	default:
		fmt.Fprintln(w, "not compared with the issuer: whether records were cut off at the end is not known")
	}
	fmt.Fprintf(w, "head    record %d, %s\n", v.Head.Seq, v.Head.Hash)
}
