package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"signet/internal/control"
	"signet/internal/shell"
	"signet/internal/userfile"
	accounts "signet/users"
)

// importOptions are the flags of users import.
type importOptions struct {
	file, format, model, refused string
	update, passwords, dryRun    bool
}

func usersImportCommand(a *app) *cobra.Command {
	var opts importOptions
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Add the accounts of a file, with the password hashes they have",
		Long: `Add the accounts of a file, with the password hashes they have: nobody needs a new password,
and hashes of other systems are replaced at the first login. The file is one of

  django  manage.py dumpdata auth.user auth.group auth.permission contenttypes
  csv     with a header: username, password (the hash), user_id, email, first_name, last_name,
          is_active, is_staff, is_superuser, groups and permissions (separated by ;), claims
          (a JSON object), date_joined; in double quotes what has a comma, as argon2 hashes do
  jsonl   what signet users export has written

Accounts that are there already are left alone; --update takes over all but their passwords,
--update-passwords their passwords, which ends the sessions of those that change. Neither touches
what the file cannot tell: CSV its missing columns, a dump of Django the claims. Rows that are
refused are listed in another file, and the rest is imported. To import a file twice changes
nothing.`,
		Args: oneArgument("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			opts.file = args[0]
			return a.importUsers(ctx, opts)
		},
	}
	cmd.Flags().StringVar(&opts.format, "format", "", "`FORMAT` of the file: django, csv or jsonl (default: as it looks)")
	cmd.Flags().StringVar(&opts.model, "model", "auth.user", "Django's `MODEL` of an account")
	cmd.Flags().StringVar(&opts.refused, "refused", "", "`FILE` for the rows that are refused (default: FILE.refused)")
	cmd.Flags().BoolVar(&opts.update, "update", false, "also change accounts that are there already, but for their passwords")
	cmd.Flags().BoolVar(&opts.passwords, "update-passwords", false, "also replace the passwords of accounts that are there already")
	cmd.Flags().BoolVar(&opts.dryRun, "dry-run", false, "only say what would be done")
	return cmd
}

func (a *app) importUsers(ctx context.Context, opts importOptions) error {
	if opts.format != "" && !slices.Contains(userfile.Formats, opts.format) {
		return usageError{fmt.Errorf("--format %q: it is %s", opts.format, strings.Join(userfile.Formats, ", "))}
	}
	file, err := openRegular(opts.file)
	if err != nil {
		return err
	}
	defer file.Close()
	if opts.refused == "" {
		opts.refused = opts.file + ".refused"
	}
	door, closeDoor, err := a.door(ctx)
	if err != nil {
		return err
	}
	run := importRun{app: a, opts: opts, door: door, total: importTotal{File: opts.file, DryRun: opts.dryRun}}
	err = errors.Join(run.all(ctx, file), closeDoor())
	if err != nil {
		return run.broken(ctx, err)
	}
	return run.report()
}

// openRegular opens what can be read twice.
func openRegular(path string) (*os.File, error) {
	if path == "-" {
		return nil, hintedError{errors.New("accounts are not read from standard input: the file is read twice"),
			"signet users import FILE"}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, hintedError{fmt.Errorf("%s is not a regular file", path), "write it to a file first"}
	}
	return os.Open(path)
}

// importRun is one import under way.
type importRun struct {
	app     *app
	opts    importOptions
	door    control.Door
	refused *refusedList
	total   importTotal
}

// all reads the next batch while the one before is imported.
func (r *importRun) all(ctx context.Context, file *os.File) (err error) {
	if r.refused, err = newRefusedList(r.opts.refused); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.refused.close()) }()
	reader, done, err := r.open(file)
	if err != nil {
		return err
	}
	defer done()
	batches := make(chan *batch)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		return fill(ctx, reader, batches)
	})
	group.Go(func() error {
		for b := range batches {
			if err := r.send(ctx, b); err != nil {
				return err
			}
		}
		return nil
	})
	err = group.Wait()
	r.total.Warnings = reader.Warnings()
	return err
}

// open finds out the format, and shows progress where somebody looks.
func (r *importRun) open(file *os.File) (*userfile.Reader, func(), error) {
	format := r.opts.format
	if format == "" {
		var err error
		if format, err = userfile.Detect(file); err != nil {
			return nil, nil, err
		}
	}
	bar := r.app.progress(file, format)
	done := func() {
		if bar != nil {
			bar.Finish()
		}
	}
	reader, err := userfile.Open(&watchedFile{file, bar}, format, r.opts.model)
	if err != nil {
		done()
		return nil, nil, r.cannotRead(err)
	}
	if r.opts.passwords && reader.Absent().Has(accounts.PartHash) {
		done()
		return nil, nil, errors.New(`its accounts have no "password", which --update-passwords takes over`)
	}
	return reader, done, nil
}

// cannotRead says what else to type.
func (r *importRun) cannotRead(err error) error {
	var missing *userfile.ModelError
	if errors.As(err, &missing) && len(missing.Accounts) > 0 {
		return hintedError{err, shell.Command("signet", "users", "import", r.opts.file, "--model", missing.Accounts[0])}
	}
	return err
}

// batch is what goes to the server at a time, and what was refused meanwhile.
type batch struct {
	rows    []userfile.Row
	size    int
	refused []refusal
}

// refusal is a row that was not imported.
type refusal struct {
	line             int
	pk, name, reason string // pk for Django alone
}

// fill reads the file into batches.
func fill(ctx context.Context, reader *userfile.Reader, batches chan<- *batch) error {
	next := &batch{}
	give := func() error {
		select {
		case batches <- next:
			next = &batch{}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		row, err := reader.Next()
		if err == io.EOF {
			return give()
		}
		size := 0
		if err == nil {
			size, err = sizeOf(row)
		}
		if refused := (*userfile.RowError)(nil); errors.As(err, &refused) {
			next.refused = append(next.refused, refusal{refused.Line, refused.PK, refused.Name, refused.Reason})
		} else if err != nil {
			return err
		}
		if len(next.rows) == control.MaxImportRows || next.size+size > control.MaxImportBytes || len(next.refused) >= control.MaxImportRows {
			if err := give(); err != nil {
				return err
			}
		}
		if err == nil {
			next.rows, next.size = append(next.rows, row), next.size+size
		}
	}
}

// sizeOf is what a row takes of a request.
func sizeOf(row userfile.Row) (int, error) {
	text, err := json.Marshal(importRow(row))
	if err != nil || len(text) >= control.MaxImportBytes {
		return 0, &userfile.RowError{Line: row.Line, PK: row.PK, Name: row.Name, Reason: "it is too large for an account"}
	}
	return len(text) + 1, nil
}

func importRow(row userfile.Row) control.ImportRow {
	return control.ImportRow{Account: row.Account, Absent: row.Absent}
}

func (r *importRun) send(ctx context.Context, b *batch) error {
	if len(b.rows) > 0 {
		request := control.ImportRequest{Update: r.opts.update, Passwords: r.opts.passwords, DryRun: r.opts.dryRun}
		for _, row := range b.rows {
			request.Rows = append(request.Rows, importRow(row))
		}
		answer, err := control.ImportUsers.Do(ctx, r.door, request)
		if err != nil {
			return err
		}
		for i, result := range answer.Results {
			if result.Refusal != "" {
				b.refused = append(b.refused, refusal{b.rows[i].Line, b.rows[i].PK, b.rows[i].Name, result.Refusal})
			}
			if result.Warning != "" {
				r.total.warn(b.rows[i].Name, result.Warning)
			}
		}
		r.total.add(answer)
	}
	r.total.Refused += len(b.refused)
	return r.refused.add(b.refused)
}

// broken says what an import that ended early has done.
func (r *importRun) broken(ctx context.Context, err error) error {
	done := "nothing was imported"
	if n := r.total.Imported; n > 0 && !r.opts.dryRun {
		done = "at least " + countUsers(n) + " were imported before; to import the file again goes on from there"
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %s", done)
	}
	return fmt.Errorf("%s: %w; %s", r.opts.file, err, done)
}

// report prints the result; refused rows make the command fail.
func (r *importRun) report() error {
	t := &r.total
	if t.Refused > 0 {
		t.RefusedFile = r.opts.refused
	}
	if t.TooLong > 0 {
		t.Warnings = append(t.Warnings, fmt.Sprintf("%s more to say than a token takes; %s",
			plural(t.TooLong, "account has", "accounts have"), t.tooLong))
	}
	for _, warning := range t.Warnings {
		fmt.Fprintf(r.app.err, "signet: users import: warning: %s\n", warning)
	}
	if err := r.app.print(t, t.table); err != nil {
		return err
	}
	if t.Refused == 0 {
		return nil
	}
	return fmt.Errorf("%s refused; see %s", plural(t.Refused, "row was", "rows were"), t.RefusedFile)
}

// progress is a bar on a terminal, and nil elsewhere.
func (a *app) progress(file *os.File, format string) *progressbar.ProgressBar {
	screen, ok := a.err.(*os.File)
	info, err := file.Stat()
	if !ok || err != nil || !term.IsTerminal(int(screen.Fd())) {
		return nil
	}
	size := info.Size()
	if format == userfile.Django {
		size *= 2 // read twice
	}
	return progressbar.NewOptions64(size, progressbar.OptionSetWriter(screen), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription(file.Name()), progressbar.OptionClearOnFinish(), progressbar.OptionUseANSICodes(true))
}

// watchedFile tells the bar what was read.
type watchedFile struct {
	*os.File
	bar *progressbar.ProgressBar
}

func (f *watchedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if f.bar != nil {
		f.bar.Add(n)
	}
	return n, err
}
