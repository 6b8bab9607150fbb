package main

import (
	"context"
	"log/slog"

	"signet/configs"
	"signet/internal/store/pgstore"
	"signet/internal/throttle"
)

// replicated is a database over which servers tell each other of failed logins.
type replicated interface {
	throttle.Exchange
	// ThrottleKey is the same for all of them.
	ThrottleKey(ctx context.Context) ([]byte, error)
}

var _ replicated = (*pgstore.Store)(nil)

// limiter counts failed logins, together with other servers where there may be some.
func (d *domains) limiter(ctx context.Context, cfg *configs.Config) (*throttle.Limiter, error) {
	shared, ok := d.store.(replicated)
	if !ok {
		return throttle.New(throttleRules(cfg), d.now), nil
	}
	key, err := shared.ThrottleKey(ctx)
	if err != nil {
		return nil, err
	}
	return throttle.NewShared(throttleRules(cfg), d.now, key), nil
}

// shareLimits tells other servers of failed logins, and hears of theirs, until ctx ends.
func (d *domains) shareLimits(ctx context.Context, log *slog.Logger) {
	if shared, ok := d.store.(replicated); ok {
		d.limits.Share(ctx, shared, log)
	}
}
