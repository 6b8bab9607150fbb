package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"signet/configs"
	"signet/internal/control"
	"signet/internal/store/boltstore"
	"signet/keystore"
)

func backupCommand(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the database, as it is now, to a new file",
		Long: `Write a consistent copy of the database to a new file that only its owner can
read, while the server runs or without one, and check the copy. FILE is missing or
whole, whatever happens on the way; - is standard output, after a check of a
temporary file ($TMPDIR). The sealing key is not in it, and it is worth nothing
without: keep a copy of that file, and keep it apart. The audit log is not in it
either: it is a file of its own (audit_file), and is copied as such.

With PostgreSQL (store: postgres://…) it refuses and prints the pg_dump command for that
database. seal.key is not in such a dump either.`,
		Example: `  signet backup /var/backups/signet-$(date +%F).db
  signet backup - | age -r RECIPIENT > signet.db.age`,
		Args: oneArgument("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err := a.backup(ctx, args[0], force)
			if err != nil && ctx.Err() != nil {
				return interruptedBackup(args[0])
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE, once the new backup is whole")
	return cmd
}

func interruptedBackup(path string) error {
	if path == "-" {
		return errors.New("interrupted: what was written, if anything, is not whole")
	}
	return errors.New("interrupted: nothing was written")
}

// held is what a backup, or a restored database, holds and needs.
type held struct {
	File     string    `json:"file"`
	Bytes    int64     `json:"bytes"`
	Taken    time.Time `json:"taken,omitzero"`
	Users    int       `json:"users"`
	Sessions int       `json:"sessions"`
	Clients  int       `json:"clients"`
	Keys     int       `json:"keys"`
	// SealingKey names the sealing key that opens the private keys.
	SealingKey string `json:"sealing_key,omitempty"`
	// SealingKeyFile is where it is; empty if it is not where the configuration says.
	SealingKeyFile string `json:"sealing_key_file,omitempty"`
	// Unchecked says why the keys were not authenticated.
	Unchecked string `json:"unchecked,omitempty"`
}

func (h held) count(w io.Writer) {
	fmt.Fprintf(w, "%s; %s, %s, %s, %s", bytesOf(h.Bytes), countUsers(h.Users), plural(h.Sessions, "session", "sessions"),
		plural(h.Clients, "client", "clients"), plural(h.Keys, "key", "keys"))
}

// sealedBy names a sealing key.
func (h held) sealedBy() string {
	if h.SealingKey == "" {
		return "the sealing key of its day"
	}
	return "the sealing key " + h.SealingKey
}

func bytesOf(n int64) string {
	const k = 1 << 10
	switch {
	case n < k*k:
		return fmt.Sprintf("%d KiB", (n+k-1)/k)
	case n < k*k*k:
		return fmt.Sprintf("%.1f MiB", float64(n)/(k*k))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(k*k*k))
}

func (a *app) backup(ctx context.Context, path string, force bool) error {
	cfg, err := a.load(a.changed())
	if err != nil {
		return err
	}
	if cfg.Postgres() {
		return refuseBackup(cfg)
	}
	if path == "-" {
		return a.backupToPipe(ctx, cfg)
	}
	if err := mayWrite(cfg, path, force); err != nil {
		return err
	}
	made, err := a.writeBackup(ctx, cfg, path, path)
	if err != nil {
		return err
	}
	defer made.discard()
	if err := made.place(force); errors.Is(err, fs.ErrExist) {
		return thereAlready(path)
	} else if err != nil {
		return fmt.Errorf("%s was not written: %w", path, err)
	}
	return a.print(made.held, func(w io.Writer) { writeBackedUp(w, made.held) })
}

// mayWrite refuses to replace a file and, even with force, what the issuer lives on.
func mayWrite(cfg *configs.Config, path string, force bool) error {
	info, err := os.Stat(path)
	if _, lerr := os.Lstat(path); errors.Is(lerr, fs.ErrNotExist) {
		return nil
	} else if !force {
		return thereAlready(path)
	} else if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return hintedError{fmt.Errorf("%s is not a regular file", path), "signet backup ANOTHER-FILE"}
	}
	for _, own := range []string{cfg.DatabasePath(), cfg.SealKeyPath(), cfg.AuditPath(), cfg.TLS.Cert, cfg.TLS.Key, cfg.Keys.PKCS11PINFile} {
		if theirs, err := os.Stat(own); err == nil && os.SameFile(info, theirs) {
			return hintedError{fmt.Errorf("%s is %s of the issuer itself", path, filepath.Base(own)), "signet backup ANOTHER-FILE"}
		}
	}
	return nil
}

func thereAlready(path string) error {
	return hintedError{fmt.Errorf("%s is there already", path), "signet backup ANOTHER-FILE  # or --force, which replaces it"}
}

// backupFile is a backup that is whole and checked, and has no name yet.
type backupFile struct {
	*partial
	held held
}

// writeBackup writes a backup beside path. name is how the server's log calls it.
func (a *app) writeBackup(ctx context.Context, cfg *configs.Config, path, name string) (_ *backupFile, err error) {
	file, err := newPartial(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.discard())
		}
	}()
	if err := a.snapshotInto(ctx, file, name); err != nil {
		return nil, err
	}
	contents, err := boltstore.ReadBackup(file.Name(), path)
	if err != nil {
		return nil, fmt.Errorf("what was written is not whole, and was removed: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	made := &backupFile{file, holding(contents)}
	made.held.File, made.held.Bytes = name, info.Size()
	return made, made.held.authenticate(cfg.SealKeyPath(), contents.Ring)
}

// snapshotInto writes the snapshot, and puts it on the disk.
func (a *app) snapshotInto(ctx context.Context, file *partial, name string) (err error) {
	door, closeDoor, err := a.door(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDoor()) }()
	out := boltstore.NewBackupWriter(file.File)
	taken, err := control.Backup(ctx, door, name, out)
	if err == nil {
		err = out.Finish(taken)
	}
	if of := (*fs.PathError)(nil); errors.As(err, &of) && of.Path == file.Name() {
		return fmt.Errorf("%s was not written: %w", file.final, of.Err)
	}
	return err
}

func holding(c boltstore.Contents) held {
	return held{
		Bytes: c.Size, Taken: c.Taken, Users: c.Users, Sessions: c.Sessions, Clients: c.Clients,
		Keys: len(c.Ring.Keys), SealingKey: c.Ring.SealedBy,
	}
}

// authenticate checks the keys with the sealing key at path. That it is not there, or
// another one, is not an error of the backup: it may be the server's own elsewhere.
func (h *held) authenticate(path string, ring keystore.Ring) error {
	_, err := keystore.SealingKeyFor(path, ring)
	switch {
	case err == nil:
		h.SealingKeyFile = path
	case errors.Is(err, keystore.ErrSealingKey):
		h.Unchecked = err.Error()
	default:
		return err
	}
	return nil
}

func writeBackedUp(w io.Writer, h held) {
	fmt.Fprintf(w, "backed up to %s: ", h.File)
	h.count(w)
	fmt.Fprintf(w, ", as of %s\n", clock(h.Taken))
	where := "its file"
	if h.Unchecked == "" {
		where = h.SealingKeyFile
		fmt.Fprintln(w, "checked: every page and record and, with the sealing key, the keys")
	} else {
		fmt.Fprintf(w, "checked: every page and record; the keys could not be: %s\n", h.Unchecked)
	}
	fmt.Fprintf(w, "it needs %s, which is not in it: keep a copy of %s, apart from this one\n", h.sealedBy(), where)
}

// backupToPipe checks the backup before the first byte leaves. The temporary file loses
// its name then: a reader that goes away ends the process.
func (a *app) backupToPipe(ctx context.Context, cfg *configs.Config) error {
	if screen, ok := a.out.(*os.File); ok && term.IsTerminal(int(screen.Fd())) {
		return usageError{errors.New("standard output is a terminal, and a backup is no text")}
	}
	made, err := a.writeBackup(ctx, cfg, filepath.Join(os.TempDir(), "signet-backup"), "-")
	if err != nil {
		return err
	}
	defer made.Close()
	if err := os.Remove(made.Name()); err != nil {
		return err
	}
	if _, err := made.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := copyUntil(ctx, a.out, made.File); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	made.held.File = "standard output"
	aside := &app{terminal: &terminal{out: a.err}, output: a.output}
	return aside.print(made.held, func(w io.Writer) { writeBackedUp(w, made.held) })
}
