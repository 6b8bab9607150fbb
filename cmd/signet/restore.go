package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"signet/configs"
	"signet/internal/control"
	"signet/internal/shell"
	"signet/internal/store/boltstore"
	"signet/keystore"
)

func restoreCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Make the database anew from a backup, where there is none",
		Long: `Make the database anew from a backup, in a data directory that has none and that no
server uses; - is standard input. Run it as the user that the server runs as. The
backup is checked first, and so is the sealing key: another one than it needs is
refused, and one that is missing is asked for. The database is missing or whole,
whatever happens on the way. What was done since the backup is undone: the command
says what that means.

With PostgreSQL (store: postgres://…) it refuses and prints the pg_restore command: into an
empty database, with every server stopped. Each server needs its seal.key as before.`,
		Args: oneArgument("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err := a.restore(ctx, args[0])
			if err != nil && ctx.Err() != nil {
				return errors.New("interrupted: nothing was restored")
			}
			return err
		},
	}
}

// restored is the result: what is there now, and what it needs.
type restored struct {
	held
	Database string `json:"database"`
	// SealingKeyMissing is where the sealing key belongs, if there is none.
	SealingKeyMissing string `json:"sealing_key_missing,omitempty"`
	// Token: private keys live in a PKCS #11 token.
	Token bool `json:"token,omitempty"`
	// Stops: the schedule of the keys waits for signet keys resume.
	Stops bool `json:"schedule_stops,omitempty"`

	serve string // starts a server on it
}

func (a *app) restore(ctx context.Context, path string) error {
	cfg, err := a.load(a.changed())
	if err != nil {
		return err
	}
	if cfg.Postgres() {
		return refuseRestore(cfg)
	}
	if err := refuseLive(ctx, cfg); err != nil {
		return err
	}
	from, err := a.openBackup(cfg, path)
	if err != nil {
		return err
	}
	defer from.Close()
	if path == "-" {
		path = "standard input"
	}
	done, err := restoreFrom(ctx, cfg, from, path)
	if err != nil {
		return err
	}
	done.serve = a.serveHint(cfg)
	return a.print(done, func(w io.Writer) { writeRestored(w, done, time.Now()) })
}

// refuseLive refuses a directory that a server uses, or that has a database.
func refuseLive(ctx context.Context, cfg *configs.Config) error {
	running, err := control.Dial(ctx, cfg.SocketPath())
	if err == nil {
		running.Close()
		return hintedError{fmt.Errorf("a server is running on %s", cfg.Data), "stop it first, or name another directory with --data DIR"}
	}
	if !errors.Is(err, control.ErrNoServer) {
		return err
	}
	database := cfg.DatabasePath()
	if _, err := os.Lstat(database); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := boltstore.CheckFree(database); err != nil {
		return err
	}
	return databaseThere(database)
}

func databaseThere(path string) error {
	return hintedError{fmt.Errorf("there is a database already, %s", path), shell.Command("mv", path, path+".old")}
}

// openBackup checks a file before anything is written. A pipe is read once.
func (a *app) openBackup(cfg *configs.Config, path string) (io.ReadCloser, error) {
	if path != "-" {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", path, cause(err))
		}
		if _, err := judge(cfg, path, path); err != nil {
			return nil, err
		}
		return os.Open(path)
	}
	if keyboard, ok := a.in.(*os.File); ok && term.IsTerminal(int(keyboard.Fd())) {
		return nil, usageError{errors.New("standard input is a terminal, and a backup is no text")}
	}
	return io.NopCloser(a.in), nil
}

// judge says what the backup at path holds, or why a server could not start on it. name
// is what people call it.
func judge(cfg *configs.Config, path, name string) (restored, error) {
	contents, err := boltstore.ReadBackup(path, name)
	if err != nil {
		return restored{}, err
	}
	out := restored{held: holding(contents), Database: cfg.DatabasePath(), Token: contents.Ring.InVault(), Stops: contents.Ring.StopsAt(time.Now())}
	out.File = name
	seal := cfg.SealKeyPath()
	_, err = keystore.SealingKeyFor(seal, contents.Ring)
	switch {
	case err == nil:
		out.SealingKeyFile = seal
	case errors.Is(err, keystore.ErrSealingKey) && errors.Is(err, fs.ErrNotExist):
		if out.Keys > 0 {
			out.SealingKeyMissing = seal
		}
	case errors.Is(err, keystore.ErrSealingKey):
		return out, hintedError{err, fmt.Sprintf("put %s at %s, or name its place with --seal-key FILE", out.sealedBy(), seal)}
	default:
		return out, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

func restoreFrom(ctx context.Context, cfg *configs.Config, from io.Reader, name string) (done restored, err error) {
	if err := makeDataDir(cfg.Data); err != nil {
		return done, err
	}
	file, err := newPartial(cfg.DatabasePath())
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, file.discard()) }()
	if err := copyUntil(ctx, file, from); err != nil {
		return done, fmt.Errorf("%s was not restored: %w", file.final, cause(err))
	}
	if done, err = judge(cfg, file.Name(), name); err != nil {
		return done, err
	}
	// What is behind the pages belongs to the backup.
	if err := errors.Join(file.Truncate(done.Bytes), file.Sync()); err != nil {
		return done, fmt.Errorf("%s was not restored: %w", file.final, cause(err))
	}
	return done, file.placeNoted(done)
}

// placeNoted gives the database its name, with a note of it for the audit log.
func (p *partial) placeNoted(done restored) error {
	note, err := noteRestore(p.final, p.Name()[len(p.final+".partial-"):], done)
	if err == nil {
		err = p.place(false)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		err = databaseThere(p.final)
	default:
		err = fmt.Errorf("%s was not restored: %w", p.final, cause(err))
	}
	if note != "" {
		err = errors.Join(err, os.Remove(note))
	}
	return err
}

func writeRestored(w io.Writer, r restored, now time.Time) {
	fmt.Fprintf(w, "restored %s from %s: ", r.Database, r.File)
	r.count(w)
	fmt.Fprintln(w)
	when := "it was not written by signet backup, or was in use since: when it was taken is not known"
	if !r.Taken.IsZero() {
		when = "it was taken " + in(r.Taken, now)
	}
	fmt.Fprintf(w, `%s; what was done since is undone:
  accounts and clients are as they were: disable and remove again what had to be (signet users disable NAME, signet clients remove ID)
  sessions that ended since live again, and whoever refreshed since logs in again; signet sessions end --all ends them all
  keys that were revoked since are in force again: signet keys revoke KID, before a server starts
  keys that were made since are gone, and tokens that they signed are refused
`, when)
	if r.Token {
		fmt.Fprintln(w, "private keys live in a PKCS #11 token: a server does not start if they were rotated since, since the token has destroyed these")
	}
	if r.Stops {
		fmt.Fprintln(w, "the schedule of the keys will be stopped, as after a leap of the clock: signet keys resume")
	}
	switch {
	case r.SealingKeyMissing != "":
		fmt.Fprintf(w, "missing: %s. Put its file at %s, with mode 0600; then: %s\n", r.sealedBy(), r.SealingKeyMissing, r.serve)
	case r.SealingKeyFile == "":
		fmt.Fprintf(w, "ready: %s\n", r.serve)
	default:
		fmt.Fprintf(w, "ready, the sealing key in %s is the right one: %s\n", r.SealingKeyFile, r.serve)
	}
}
