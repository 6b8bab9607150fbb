package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"signet/internal/store/pgstore"
)

// migrating is what the connections of a migration are called: those of servers are
// called signet, and are looked for.
const migrating = "signet-migrate"

// postgresSource is a database that several may have open.
type postgresSource struct{ *pgstore.Store }

// Unused implements source.
func (p postgresSource) Unused(ctx context.Context) error {
	others, err := p.Others(ctx)
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
	store, err := pgstore.Open(ctx, p.config.Store, opts)
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
