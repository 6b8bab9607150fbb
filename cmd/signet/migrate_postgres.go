package main

import (
	"context"
	"errors"
)

var errNoPostgres = errors.New("no PostgreSQL yet")

func (p *place) openPostgresSource(ctx context.Context) (source, error) { return nil, errNoPostgres }
func (p *place) openPostgresTarget(ctx context.Context, from string, anew bool) (target, error) {
	return nil, errNoPostgres
}
