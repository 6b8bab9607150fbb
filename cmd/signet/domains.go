package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"signet/configs"
	"signet/internal/control"
	"signet/internal/store/boltstore"
	"signet/issuer"
	"signet/keystore"
	"signet/users"
)

// domains are the parts of an issuer, wired over one database.
type domains struct {
	store  *boltstore.Store
	keys   *keystore.Manager
	users  *users.Directory
	issuer *issuer.Issuer
	now    func() time.Time
}

// openDomains opens the database of cfg, or makes a new one, and wires the rest
// over it. now is the clock; nil means time.Now.
func openDomains(ctx context.Context, cfg *configs.Config, log *slog.Logger, now func() time.Time) (*domains, error) {
	store, err := boltstore.Open(cfg.DatabasePath(), boltstore.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	d := &domains{store: store, now: now}
	if err := d.wire(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return d, nil
}

func (d *domains) wire(ctx context.Context, cfg *configs.Config, log *slog.Logger) error {
	ring, err := d.store.LoadRing(ctx)
	if err != nil {
		return err
	}
	sealing, err := keystore.OpenSealingKey(cfg.SealKeyPath(), len(ring.Keys) == 0)
	if err != nil {
		return err
	}
	d.keys, err = keystore.Open(ctx, keystore.Options{
		Store: d.store, Sealing: sealing, Policy: keyPolicy(cfg), Now: d.now, Log: log,
	})
	if err != nil {
		return err
	}
	if d.users, err = users.New(d.store, hashParams(cfg), d.now); err != nil {
		return err
	}
	d.issuer = issuer.New(issuer.Options{
		Store: d.store, Users: d.users, Signer: d.keys, Keys: d.keys,
		Policy: tokenPolicy(cfg), Now: d.now, Log: log,
	})
	return nil
}

func (d *domains) operator() *control.Operator {
	return &control.Operator{Users: d.users, Keys: d.keys, Issuer: d.issuer, Now: d.now}
}

// ready reports whether the issuer can sign and store.
func (d *domains) ready(ctx context.Context) error {
	if _, _, err := d.keys.Sign("", issuer.TypJWT, []byte("{}")); err != nil {
		return fmt.Errorf("cannot sign: %w", err)
	}
	if err := d.store.CheckWritable(ctx); err != nil {
		return fmt.Errorf("cannot store: %w", err)
	}
	return nil
}

// apply puts the reloadable settings of cfg in force: the keys learn of longer
// lifetimes before any token has them.
func (d *domains) apply(ctx context.Context, cfg *configs.Config) error {
	if err := d.keys.SetPolicy(ctx, keyPolicy(cfg)); err != nil {
		return err
	}
	d.issuer.SetPolicy(tokenPolicy(cfg))
	return d.users.SetParams(hashParams(cfg))
}

func keyPolicy(cfg *configs.Config) keystore.Policy {
	return keystore.Policy{
		Algorithms: cfg.Keys.Algorithms, RSABits: cfg.Keys.RSABits,
		RotateEvery: cfg.Keys.RotateEvery, PublishAhead: cfg.Keys.PublishAhead, JWKSMaxAge: cfg.Keys.JWKSMaxAge,
		AccessLifetime: cfg.Tokens.Access, RefreshLifetime: cfg.Tokens.Refresh,
	}
}

func tokenPolicy(cfg *configs.Config) issuer.Policy {
	return issuer.Policy{
		URL: cfg.Issuer, Audience: cfg.Tokens.Audience,
		AccessLifetime: cfg.Tokens.Access, RefreshLifetime: cfg.Tokens.Refresh, SessionLifetime: cfg.Tokens.Session,
		Leeway: cfg.Tokens.Leeway, MaxTokenBytes: cfg.Tokens.MaxBytes,
		Rotate: cfg.Refresh.Rotate, ReuseWindow: cfg.Refresh.ReuseWindow,
	}
}

func hashParams(cfg *configs.Config) users.Params {
	return users.Params{
		MemoryKiB: uint32(cfg.Passwords.Memory / 1024), Time: uint32(cfg.Passwords.Time),
		Threads: uint8(cfg.Passwords.Threads), Queue: cfg.Passwords.Queue,
	}
}

// doorTimeout bounds how long a command waits for a server that is starting, or
// for another command, to let go of the database.
const doorTimeout = 10 * time.Second

// door reaches the running server or, if none runs, opens the database itself.
func (a *app) door(ctx context.Context) (control.Door, func() error, error) {
	cfg, err := a.load(a.changed())
	if err != nil {
		return nil, nil, err
	}
	deadline := time.Now().Add(doorTimeout)
	for {
		remote, err := control.Dial(ctx, cfg.SocketPath())
		if err == nil {
			return remote, remote.Close, nil
		}
		if !errors.Is(err, control.ErrNoServer) {
			return nil, nil, err
		}
		local, closeLocal, err := localDoor(ctx, cfg)
		if !errors.Is(err, boltstore.ErrInUse) || ctx.Err() != nil || time.Now().After(deadline) {
			return local, closeLocal, err
		}
	}
}

// localDoor opens the database of a server that does not run. It makes none: a
// mistyped directory must not look like an empty issuer.
func localDoor(ctx context.Context, cfg *configs.Config) (control.Door, func() error, error) {
	if _, err := os.Stat(cfg.DatabasePath()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, hintedError{
			fmt.Errorf("there is no database at %s", cfg.DatabasePath()),
			"signet serve    makes one at its first start; or name the right directory with --data DIR",
		}
	}
	d, err := openDomains(ctx, cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return nil, nil, err
	}
	return control.Local(d.operator()), d.store.Close, nil
}

// do sends one operation through the door.
func do[In, Out any](ctx context.Context, a *app, op control.Op[In, Out], in In) (out Out, err error) {
	door, closeDoor, err := a.door(ctx)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, closeDoor()) }()
	return op.Do(ctx, door, in)
}
