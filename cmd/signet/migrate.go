package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"signet/configs"
	"signet/internal/event"
	"signet/internal/shell"
	"signet/internal/store/transfer"
	"signet/keystore"
)

// migration is what the command line asks for.
type migration struct {
	From, To string
	Anew     bool
	Reopen   string
}

func migrateCommand(a *app) *cobra.Command {
	var asked migration
	cmd := &cobra.Command{
		Use:   "migrate --from DATABASE --to DATABASE | --reopen DATABASE",
		Short: "Copy all data into another database: from bbolt to PostgreSQL, or back",
		Long: `Copy accounts, sessions, clients, used assertions and the keys, sealed as they are,
into an empty database. Nobody is logged out. A DATABASE is bolt:DIR, the file in that
data directory; the URL of a PostgreSQL database; or config, what the configuration
has in store.

Stop every server on the source first. No server opens the target before every record
in it has been read back and compared. Then the source is closed, and read and compared
once more: its data stays, and no server or command opens it, since two issuers of one
history would end each other's sessions. If it differs, it is open again. A copy that was interrupted goes on where it
ended: give the same command again. --reopen goes back to a source, without what was
done in the copy since: stop the servers there first.

A flag shows in the list of processes, so a URL here has no password: set PGPASSWORD
or PGPASSFILE, or write the URL to the configuration and say config.`,
		Example: `  signet migrate --from bolt:signet-data --to 'postgres://signet@db.example.com/signet?sslmode=verify-full'
  signet migrate --from config --to bolt:/var/lib/signet-new
  signet migrate --reopen bolt:/var/lib/signet`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if cmd.Flags().Changed("reopen") {
				if asked != (migration{Reopen: asked.Reopen}) {
					return usageError{errors.New("--reopen goes without --from, --to and --anew")}
				}
				return a.reopen(ctx, asked.Reopen)
			}
			err := a.migrate(ctx, asked)
			if err != nil && ctx.Err() != nil {
				return errors.New("interrupted: the same command goes on where it ended")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&asked.From, "from", "", "the `DATABASE` that is copied: bolt:DIR, a PostgreSQL URL, or config")
	cmd.Flags().StringVar(&asked.To, "to", "", "the `DATABASE` that is filled: bolt:DIR, a PostgreSQL URL, or config")
	cmd.Flags().BoolVar(&asked.Anew, "anew", false, "empty a target that an interrupted migration has left, and begin anew")
	cmd.Flags().StringVar(&asked.Reopen, "reopen", "", "the `DATABASE` that was copied elsewhere and that servers shall open again")
	return cmd
}

// migrated is the result.
type migrated struct {
	From   string             `json:"from"`
	To     string             `json:"to"`
	Copied []transfer.Counted `json:"copied"`
	// SealingKey names the sealing key that opens the private keys, and SealingKeyFile is
	// where it is; empty if it is not where the next server would look.
	SealingKey     string `json:"sealing_key,omitempty"`
	SealingKeyFile string `json:"sealing_key_file,omitempty"`
	// Replica is by what name a PostgreSQL knows the audit log.
	Replica string `json:"replica,omitempty"`

	wanted  string // where the next server looks for it
	copyKey string // puts it there; empty if it is not known where it is
	audit   string // what becomes of the audit log; may be empty
	marks   string // and of what the database knows of it; may be empty
	next    string // starts a server
	after   string // goes back to the source
}

func (a *app) migrate(ctx context.Context, asked migration) error {
	cfg, err := a.load(a.changed())
	if err != nil {
		return err
	}
	from, err := placeOf(cfg, "from", asked.From)
	if err != nil {
		return err
	}
	to, err := placeOf(cfg, "to", asked.To)
	if err != nil {
		return err
	}
	if from.name == to.name {
		return usageError{fmt.Errorf("--from and --to are one database, %s", from.name)}
	}
	to.goesOn(from)
	done, err := a.copyDatabase(ctx, from, to, asked.Anew)
	if err != nil {
		return err
	}
	return a.print(done, func(w io.Writer) { writeMigrated(w, done) })
}

func (a *app) copyDatabase(ctx context.Context, from, to *place, anew bool) (done *migrated, err error) {
	source, err := from.openSource(ctx)
	if err != nil {
		return nil, a.hintWhole(err, from.config)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := refuseMoved(ctx, from, source, to.name); err != nil {
		return nil, a.hintWhole(err, from.config)
	}
	if err := refuseNothing(ctx, from, source); err != nil {
		return nil, err
	}
	a.warnOfDatabase(source)
	target, err := to.openTarget(ctx, from.name, anew)
	if err != nil {
		return nil, a.hintMigration(err, from, to)
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	a.warnOfDatabase(target)
	if err := recordMigration(ctx, from, to, source, target); err != nil {
		return nil, err
	}
	progress := a.migrationProgress()
	copied, err := transfer.Copy(ctx, to.readerFor(source), unchanged{target, source, to}, progress.tell)
	progress.end()
	if err != nil {
		return nil, a.hintMigration(err, from, to)
	}
	ring, err := source.LoadRing(ctx)
	if err != nil {
		return nil, err
	}
	done = &migrated{From: from.name, To: to.name, Copied: copied, SealingKey: ring.SealedBy}
	done.next, done.after, done.wanted = "signet serve"+a.configFlag()+to.flags(from), a.reopenHint(from.word()), to.config.SealKeyPath()
	if opensRing(done.wanted, ring) {
		done.SealingKeyFile = done.wanted
	} else if opensRing(from.config.SealKeyPath(), ring) {
		done.copyKey = shell.Command("cp", "-p", from.config.SealKeyPath(), done.wanted)
	}
	done.audit = movedAudit(from, to)
	done.Replica, done.marks, err = movedMarks(ctx, source, to)
	return done, err
}

func opensRing(path string, ring keystore.Ring) bool {
	_, err := keystore.SealingKeyFor(path, ring)
	return err == nil
}

// movedAudit says that the audit log is not where the next server has its own.
func movedAudit(from, to *place) string {
	if from.config.AuditPath() == to.config.AuditPath() {
		return ""
	}
	return "the audit log stays in " + from.config.AuditPath() + ", and the next server begins a new file where it ends"
}

// recordMigration puts on record, once, that hashes and sealed keys leave. Like a backup
// a migration does not depend on it.
func recordMigration(ctx context.Context, from, to *place, source source, target transfer.Target) error {
	at, err := target.Place(ctx)
	if err != nil || at != (transfer.Place{}) {
		return err
	}
	return recordOwn(ctx, from, source, event.Event{Kind: event.Command, Outcome: event.Done, Action: "migrate", Target: to.name})
}

// hintMigration says what to type after an error.
func (a *app) hintMigration(err error, from, to *place) error {
	same := a.migrateHint(from.word(), to.word()) + " --anew"
	var filling *transfer.FillingError
	switch {
	case errors.As(err, &filling):
		return hintedError{err, same + "  # empties it, and fills it from this one"}
	case errors.Is(err, transfer.ErrDiffers):
		return hintedError{fmt.Errorf("%w: a server has used the source since the copying began", err), same}
	}
	return err
}

func writeMigrated(w io.Writer, m *migrated) {
	fmt.Fprintf(w, "copied %s to %s\n", m.From, m.To)
	columns(w, "KIND | COUNT | DIGEST", func(row func(...any)) {
		for _, c := range m.Copied {
			row(c.Kind, c.Count, c.Digest)
		}
	})
	fmt.Fprintln(w, "every record was read back, and is as it was; nobody is logged out")
	key := held{SealingKey: m.SealingKey}
	switch {
	case m.SealingKey == "":
	case m.SealingKeyFile == "" && m.copyKey != "":
		fmt.Fprintf(w, "missing: %s: %s\n", key.sealedBy(), m.copyKey)
	case m.SealingKeyFile == "":
		fmt.Fprintf(w, "missing: %s. Copy its file to %s, with mode 0600\n", key.sealedBy(), m.wanted)
	default:
		fmt.Fprintf(w, "it needs %s, which is in %s: keep a copy apart from the database\n", key.sealedBy(), m.SealingKeyFile)
	}
	for _, told := range []string{m.audit, m.marks} {
		if told != "" {
			fmt.Fprintln(w, told)
		}
	}
	fmt.Fprintf(w, "no server opens the old database any more; to go back to it: %s\nnext: %s\n", m.after, m.next)
}

// configOf is the configuration of a server on a data directory.
func configOf(cfg *configs.Config, dir string) *configs.Config {
	there := *cfg
	there.Store, there.Data = configs.Bolt, dir
	return &there
}
