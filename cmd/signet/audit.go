package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"signet/internal/audit"
	"signet/internal/control"
	"signet/internal/shell"
)

func auditCommand(a *app) *cobra.Command {
	return group("audit", "Check the audit log", auditVerifyCommand(a))
}

func auditVerifyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify [FILE...]",
		Short: "Check that no record was changed or cut out",
		Long: `Check that each record of the audit log follows the one before, that the file begins
where the issuer began it, and that the last record that the issuer wrote is there.
Of files that were moved away, name all, the oldest first. Without the issuer's
database, what was cut off at either end does not show.

The head that is printed stands for all records up to it: keep it somewhere else, and
nobody can write another history.`,
		Example: `  signet audit verify
  signet audit verify audit.log.2 audit.log.1 signet-data/audit.log`,
		RunE: func(cmd *cobra.Command, files []string) error {
			log, err := do(cmd.Context(), a, control.ShowAudit, struct{}{})
			if err != nil && len(files) == 0 {
				return err
			}
			if len(files) == 0 {
				files = []string{log.Path}
			}
			report, faulty := verifyAudit(cmd.Context(), files, log.Mark)
			checked := verifiedAudit{Files: files, Compared: err == nil, Report: report}
			switch {
			case faulty == nil:
				return a.print(checked, checked.show)
			case report.Fault != nil && a.output == "json": // the fault is in it
				return errors.Join(a.print(checked, nil), faulty)
			}
			return faulty
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
func verifyAudit(ctx context.Context, files []string, mark audit.Mark) (audit.Report, error) {
	var sources []audit.Source
	for _, path := range files {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return audit.Report{}, hintedError{fmt.Errorf("there is no audit log at %s", path),
				"signet audit verify FILE  # where it was moved to; if nobody moved it, it was removed"}
		}
		if err != nil {
			return audit.Report{}, err
		}
		defer f.Close()
		sources = append(sources, audit.Source{Name: path, Reader: interruptible{ctx, f}})
	}
	report, err := audit.Verify(sources, mark)
	if report.Fault != nil {
		err = hintedError{err, faultHint(report.Fault, files)}
	}
	return report, err
}

// faultHint is the command with the file that may have what is missing, in its place.
func faultHint(f *audit.Fault, files []string) string {
	verify := func(files []string) string {
		return shell.Command(append([]string{"signet", "audit", "verify"}, files...)...)
	}
	at := slices.Index(files, f.File)
	switch {
	case f.Missing && f.Line == 0:
		return verify(append(slices.Clone(files), "NEWER-FILE")) + "  # if there is one; if not, they were cut off"
	case f.Missing && f.Line == 1 && at >= 0:
		return verify(slices.Insert(slices.Clone(files), at, "OLDER-FILE")) + "  # if they were moved away; if not, they were cut out"
	}
	return "keep the file as it is, and compare it with a copy from elsewhere"
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
	switch {
	case v.Last == 0:
		fmt.Fprintln(w, "the audit log holds no record yet")
		return
	case v.First == v.Last:
		fmt.Fprintf(w, "record %d, of %s\n", v.First, clock(v.From))
	default:
		fmt.Fprintf(w, "records %d to %d follow each other, from %s to %s\n", v.First, v.Last, clock(v.From), clock(v.To))
	}
	if v.First > 1 {
		fmt.Fprintf(w, "the %d before are not in what was named\n", v.First-1)
	}
	if v.Compared {
		fmt.Fprintln(w, "the end is as the issuer knows it")
	} else {
		fmt.Fprintln(w, "not compared with the issuer: whether records were cut off at either end is not known")
	}
	fmt.Fprintf(w, "head    record %d, %s\n", v.Head.Seq, v.Head.Hash)
}
