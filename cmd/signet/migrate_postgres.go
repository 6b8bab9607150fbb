package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"signet/internal/store/pgstore"
)

// migrating is what the connections of a migration are called: those of servers are
// called signet, and are looked for.
const migrating = "signet-migrate"

// postgresSource is a database that several may have open.
type postgresSource struct{ *pgstore.Store }

// afterEnd is how long connections of a process that has just ended may still be listed.
const afterEnd = 3 * time.Second

// Unused implements source.
func (p postgresSource) Unused(ctx context.Context) error {
	began := time.Now()
	others, err := p.Others(ctx)
	for err == nil && len(others) > 0 && time.Since(began) < afterEnd {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollDatabase):
		}
		others, err = p.Others(ctx)
	}
	if err != nil || len(others) == 0 {
		return err
	}
	return hintedError{fmt.Errorf("signet has %s open from %s", p.Path(), strings.Join(others, ", ")),
		"stop every server and command on it, and give this command again; a pooler may keep their connections for a while"}
}

func (p *place) postgresOptions() (pgstore.Options, error) {
	replica, err := p.config.ReplicaName()
	return pgstore.Options{Logger: discarded(), Replica: replica, Application: migrating}, err
}

// openPostgresSource opens a database that no server has open.
func (p *place) openPostgresSource(ctx context.Context) (source, error) {
	opts, err := p.postgresOptions()
	if err != nil {
		return nil, err
	}
	opts.Tables, opts.Moved = pgstore.KeepTables, true
	store, err := pgstore.Open(ctx, p.config.Store, opts)
	if errors.Is(err, pgstore.ErrNoTables) {
		return nil, p.nobodys()
	}
	if err != nil {
		return nil, hintPostgres(err, p.config)
	}
	s := postgresSource{store}
	if err := s.Unused(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openPostgresTarget opens a database that is empty, or that a migration from the same
// source has begun to fill.
func (p *place) openPostgresTarget(ctx context.Context, from string, anew bool) (target, error) {
	opts, err := p.postgresOptions()
	if err != nil {
		return nil, err
	}
	store, err := pgstore.OpenTarget(ctx, p.config.Store, from, anew, opts)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, hintedError{fmt.Errorf("%s holds data of signet already", p.name), "createdb NAME  # makes an empty one: name it with --" + p.flag}
	case err != nil:
		return nil, hintPostgres(err, p.config)
	}
	return store, nil
}

// warnOfDatabase prints what is unsafe in the way a database is reached or keeps what it is told.
func (a *app) warnOfDatabase(database any) {
	unsafe, ok := database.(interface{ Warnings() []string })
	if !ok {
		return
	}
	for _, warning := range unsafe.Warnings() {
		fmt.Fprintf(a.err, "warning: %s\n", warning)
	}
}
