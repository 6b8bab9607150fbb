package main

import (
	"context"
	"log/slog"

	"signet/configs"
	"signet/internal/consumers"
	"signet/internal/control"
	"signet/internal/peers"
	"signet/internal/store/pgstore"
)

var _ peers.Store = (*pgstore.Store)(nil)

// sharer tells other servers who fetches the key set here; nil where the database is this
// server's alone.
func (d *domains) sharer(cfg *configs.Config, table *consumers.Table, log *slog.Logger) (*peers.Sharer, error) {
	store, ok := d.store.(peers.Store)
	if !ok {
		return nil, nil
	}
	name, err := cfg.ReplicaName()
	if err != nil {
		return nil, err
	}
	return peers.New(peers.Options{Store: store, Name: name, Table: table, Uses: d.keyUses, Now: d.now, Log: log}), nil
}

func (d *domains) keyUses() map[string]peers.Use {
	uses := make(map[string]peers.Use)
	for _, k := range d.keys.Keys() {
		if u := d.issuer.KeyUse(k.KID); u.AccessTokens+u.RefreshTokens > 0 {
			uses[k.KID] = peers.Use{Access: u.AccessTokens, Refresh: u.RefreshTokens, AccessExpires: u.AccessExpires, RefreshExpires: u.RefreshExpires}
		}
	}
	return uses
}

// apart is the operator of a command that has opened the database itself. It tells no
// server of itself, and hears what they told.
func (d *domains) apart(cfg *configs.Config) (*control.Operator, error) {
	operator := d.operator()
	told, err := d.sharer(cfg, consumers.New(), slog.New(slog.DiscardHandler))
	if told != nil {
		operator.Others = told
	}
	return operator, err
}

// tellPeers tells them until ctx ends.
func (s *server) tellPeers(ctx context.Context) {
	if s.peers != nil {
		s.peers.Run(ctx)
	}
}
