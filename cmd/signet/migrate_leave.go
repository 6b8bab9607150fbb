package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"signet/internal/event"
	"signet/internal/shell"
	"signet/internal/store/transfer"
)

// unchanged is a target that is not finished if its source was in use meanwhile, or cannot
// be closed. The source is closed before it is read for the last time: else what a command
// changes in between would be lost. A crash before the end leaves no database that a server
// opens, and the same command goes on.
type unchanged struct {
	transfer.Target
	source source
	to     *place
}

var _ transfer.Closer = unchanged{}

// CloseSource implements transfer.Closer.
func (u unchanged) CloseSource(ctx context.Context) error {
	if err := u.source.Unused(ctx); err != nil {
		return err
	}
	if err := u.source.Leave(ctx, transfer.Moved{To: u.to.name, At: time.Now().UTC()}); err != nil {
		return hintedError{fmt.Errorf("the old database cannot be closed to servers, so that none opens the copy yet: %w", err),
			"let signet write to the old database, and give this command again: it goes on where it ended"}
	}
	if err := u.source.Unused(ctx); err != nil { // a server that opened it before the mark
		return errors.Join(err, u.ReopenSource(context.WithoutCancel(ctx)))
	}
	return nil
}

// ReopenSource implements transfer.Closer.
func (u unchanged) ReopenSource(ctx context.Context) error { return u.source.Return(ctx) }

// refuseMoved refuses a source that was copied to another place than this one. To the
// same one an earlier run may not have come to its end.
func refuseMoved(ctx context.Context, from *place, source source, to string) error {
	m, err := source.Moved(ctx)
	if err == nil && m != nil && m.To != to {
		return &transfer.MovedError{Database: from.name, Moved: *m}
	}
	return err
}

// reopenHint is the command that goes back to a database that was copied.
func (a *app) reopenHint(word string) string {
	return "signet migrate" + a.configFlag() + " " + shell.Command("--reopen", word)
}

// reopened is the result of migrate --reopen.
type reopened struct {
	Database string    `json:"database"`
	CopiedTo string    `json:"copied_to"`
	CopiedAt time.Time `json:"copied_at"`

	next string // starts a server
}

// reopen takes the mark of a migration off a database.
func (a *app) reopen(ctx context.Context, text string) error {
	cfg, err := a.load(a.changed())
	if err != nil {
		return err
	}
	p, err := placeOf(cfg, "reopen", text)
	if err != nil {
		return err
	}
	done, err := a.takeBack(ctx, p)
	if err != nil {
		return err
	}
	if cfg.Postgres() && !p.config.Postgres() {
		done.next += " --store bolt"
	}
	return a.print(done, func(w io.Writer) {
		fmt.Fprintf(w, `servers open %s again
start none on %s any more: what was done there since %s is not in it, and sessions that were refreshed there end here
next: %s
`, done.Database, done.CopiedTo, done.CopiedAt.UTC().Format("2006-01-02 15:04 MST"), done.next)
	})
}

func (a *app) takeBack(ctx context.Context, p *place) (done *reopened, err error) {
	source, err := p.openSource(ctx)
	if err != nil {
		return nil, a.hintWhole(err, p.config)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	m, err := source.Moved(ctx)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, fmt.Errorf("%s was not closed: servers open it", p.name)
	}
	if err := source.Return(ctx); err != nil {
		return nil, err
	}
	err = recordOwn(ctx, p, source, event.Event{Kind: event.Command, Outcome: event.Done, Action: "reopen", Target: p.name})
	return &reopened{p.name, m.To, m.At, "signet serve" + a.configFlag() + p.flags(p)}, err
}

// recordOwn puts what a command did on record beside the database of a place. Like a
// backup it does not depend on it.
func recordOwn(ctx context.Context, p *place, source source, e event.Event) error {
	log, err := openAudit(ctx, source, openOptions{config: p.config, log: discarded(), stored: true})
	if err != nil {
		return err
	}
	ctx = event.WithCaller(ctx, event.Caller{Operator: strconv.Itoa(os.Geteuid())})
	_ = log.Record(ctx, e)
	return log.Close()
}
