package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"signet/configs"
	"signet/internal/audit"
	"signet/internal/control"
	"signet/internal/event"
	"signet/internal/metrics"
	"signet/internal/shell"
	"signet/internal/store/boltstore"
	"signet/internal/throttle"
	"signet/internal/tracing"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

// domains are the parts of an issuer, wired over one database.
type domains struct {
	store   database
	keys    *keystore.Manager
	users   *users.Directory
	issuer  *issuer.Issuer
	limits  *throttle.Limiter
	clients *oauth.Clients
	audit   *audit.Log
	token   io.Closer // in which private keys live; nil if there is none
	now     func() time.Time
}

// openOptions say how the domains are opened.
type openOptions struct {
	config *configs.Config
	log    *slog.Logger
	now    func() time.Time // the clock; nil means time.Now
	// elapsed is the clock that nobody sets; see keystore.Options.
	elapsed func() time.Duration
	// wait is how long another process may take to let go of the database.
	wait time.Duration
	// events hears of what the domains do, beside the audit log; may be nil.
	events event.Recorder
	// stored leaves the keys under the policy that the last server stored with
	// them: a command's own configuration need not be the server's.
	stored bool
	// traces follows requests into the domains; nil does not.
	traces *tracing.Provider
	// room is for durable writes beside requests; may be nil.
	room *room
	// hasher computes password hashes; nil does that in this process.
	hasher users.Hasher
	// metrics counts commits and hashes; may be nil.
	metrics *metrics.Metrics
}

// openDomains opens the database, or makes a new one, and wires the rest over it.
func openDomains(ctx context.Context, opts openOptions) (*domains, error) {
	store, err := openDatabase(ctx, opts)
	if err != nil {
		return nil, err
	}
	d := &domains{store: store, now: opts.now}
	if err := d.wire(ctx, opts); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// close closes the database last: whoever opens it next finds the token free.
func (d *domains) close() error {
	var err error
	if d.audit != nil {
		err = d.audit.Close()
	}
	if d.token != nil {
		err = errors.Join(err, d.token.Close())
	}
	return errors.Join(err, d.store.Close())
}

// refuseLostDatabase refuses to begin anew beside the sealing key of a database that
// is gone: an empty issuer would look like a working one. A sealing key that lives
// elsewhere may have been put there first.
func refuseLostDatabase(cfg *configs.Config) error {
	_, database := os.Stat(cfg.DatabasePath())
	_, key := os.Stat(filepath.Join(cfg.Data, "seal.key"))
	if !errors.Is(database, fs.ErrNotExist) || key != nil {
		return nil
	}
	return hintedError{
		fmt.Errorf("%s is missing, but the sealing key of a database is there", cfg.DatabasePath()),
		"signet restore FILE  # from a backup; or, to begin anew with no users, move seal.key out of " + cfg.Data,
	}
}

func (d *domains) wire(ctx context.Context, opts openOptions) error {
	cfg, log := opts.config, opts.log
	ring, err := d.store.LoadRing(ctx)
	if err != nil {
		return err
	}
	if ring.Version == 0 && cfg.Postgres() {
		if err := noIssuer(opts); err != nil {
			return err
		}
	}
	vault, token, err := openVault(cfg)
	if err != nil {
		return err
	}
	d.token = token
	sealing, err := keystore.SettleSealingKey(ctx, keystore.Settling{
		Store: d.store, Path: cfg.SealKeyPath(), Own: !opts.stored || !cfg.Postgres(), Fresh: !opts.stored, Log: log,
	})
	if err != nil {
		return hintSealing(err, cfg)
	}
	if d.audit, err = openAudit(ctx, d.store, opts); err != nil {
		return err
	}
	recordRestores(ctx, cfg, d.audit, log)
	events := event.All(d.audit, opts.events)
	keys := keystore.Options{Store: d.store, Shared: cfg.Postgres(), Sealing: sealing, Vault: vault, Now: d.now, Elapsed: opts.elapsed, Events: events, Log: log}
	if !opts.stored {
		policy := keyPolicy(cfg)
		keys.Policy = &policy
	}
	if d.keys, err = keystore.Open(ctx, keys); err != nil {
		return hintSealing(err, cfg)
	}
	decoys, err := d.store.DecoyKey(ctx)
	if err != nil {
		return err
	}
	if d.users, err = users.New(users.Options{
		Store: opts.traces.Accounts(d.store), Params: hashParams(cfg), Now: d.now, DecoyKey: decoys, Hashed: opts.hashed(), Slots: opts.room.cores(), Hasher: opts.hasher,
	}); err != nil {
		return err
	}
	if d.limits, err = d.limiter(ctx, cfg); err != nil {
		return err
	}
	d.issuer = issuer.New(issuer.Options{
		Store: opts.traces.Sessions(d.store), Users: opts.traces.Passwords(d.users), Signer: d.keys, Keys: d.keys,
		Policy: tokenPolicy(cfg), Throttle: d.limits, Events: events, Now: d.now, Passed: d.keys.Passed, Log: log,
	})
	d.clients = oauth.NewClients(opts.traces.Clients(d.store), issuer.FirstParty, d.now)
	d.clients.Tell(events)
	d.clients.SweepBy(d.keys.Passed)
	return nil
}

// operator has no Live: that of a server has.
func (d *domains) operator() *control.Operator {
	return &control.Operator{Users: d.users, Keys: d.keys, Issuer: d.issuer, Clients: d.clients, Audit: d.audit,
		Database: d.snapshots(), Build: thisBuild().String(), Now: d.now}
}

// openAudit opens the audit log; for a command of its own only if there is something to
// record.
func openAudit(ctx context.Context, marks audit.Marks, opts openOptions) (*audit.Log, error) {
	path := opts.config.AuditPath()
	log, err := audit.Open(ctx, audit.Options{Path: path, Marks: marks, Lazy: opts.stored, Now: opts.now, Log: opts.log})
	switch {
	case errors.Is(err, audit.ErrForeign):
		return nil, hintedError{err, shell.Command("signet", "audit", "verify", path) + "  # shows where it was changed; move it away to go on with a new file"}
	case errors.Is(err, audit.ErrInUse):
		return nil, hintedError{err, "stop that process first, or choose another data directory with --data DIR"}
	case err != nil:
		return nil, hintedError{fmt.Errorf("open the audit log: %w", err), "see to " + path + ", or name another file with --audit-file"}
	}
	return log, nil
}

// ready reports whether the issuer can sign and store.
func (d *domains) ready(ctx context.Context) error {
	if _, _, err := d.keys.Sign("", issuer.TypJWT, []byte("{}")); err != nil {
		return cannotSign(err)
	}
	if err := d.store.CheckWritable(ctx); err != nil {
		return fmt.Errorf("cannot store: %w", err)
	}
	return nil
}

// apply puts the reloadable settings of cfg in force: the keys learn of longer
// lifetimes before any token has them. A sealing key that a restart could not open is
// to be seen now.
func (d *domains) apply(ctx context.Context, cfg *configs.Config) error {
	if err := d.keys.CheckSealingKey(); err != nil {
		return err
	}
	if err := d.keys.SetPolicy(ctx, keyPolicy(cfg)); err != nil {
		return err
	}
	d.issuer.SetPolicy(tokenPolicy(cfg))
	d.limits.SetRules(throttleRules(cfg))
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
		URL: cfg.Issuer, Audience: cfg.Tokens.Audience, Types: cfg.Tokens.Typ,
		AccessLifetime: cfg.Tokens.Access, RefreshLifetime: cfg.Tokens.Refresh,
		SessionLifetime: cfg.Tokens.Session, RenewLifetime: cfg.Dialects.DRFJWTRefresh,
		Leeway: cfg.Tokens.Leeway, MaxTokenBytes: cfg.Tokens.MaxBytes,
		Rotate: cfg.Refresh.Rotate, ReuseWindow: cfg.Refresh.ReuseWindow,
		Include: cfg.Claims.Include, NumericUserID: cfg.Claims.UserIDType == "number",
	}
}

func throttleRules(cfg *configs.Config) throttle.Rules {
	t := cfg.Throttle
	return throttle.Rules{Pair: t.Pair, Address: t.Address, Account: t.Account, MaxWait: t.MaxWait}
}

func hashParams(cfg *configs.Config) users.Params {
	return users.Params{
		MemoryKiB: uint32(cfg.Passwords.Memory / 1024), Time: uint32(cfg.Passwords.Time),
		Threads: uint8(cfg.Passwords.Threads), Queue: cfg.Passwords.Queue, MinLength: cfg.Passwords.MinLength,
	}
}

// doorTimeout bounds how long a command waits for a server that is starting, or
// for another command, to let go of the database.
const doorTimeout = 10 * time.Second

// pollDatabase is how long it waits before it looks for a server again.
const pollDatabase = 250 * time.Millisecond

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
		local, closeLocal, err := a.localDoor(ctx, cfg)
		if !errors.Is(err, boltstore.ErrInUse) || time.Now().After(deadline) {
			return local, closeLocal, unreached(cfg.SocketPath(), err)
		}
	}
}

// localDoor opens the database of a server that does not run. It makes none: a
// mistyped directory must not look like an empty issuer.
func (a *app) localDoor(ctx context.Context, cfg *configs.Config) (control.Door, func() error, error) {
	if err := a.mustExist(cfg); err != nil {
		return nil, nil, err
	}
	d, err := openDomains(ctx, openOptions{config: cfg, log: slog.New(slog.DiscardHandler), stored: true, wait: pollDatabase})
	if errors.Is(err, errNoIssuer) {
		return nil, nil, hintedError{fmt.Errorf("there is no issuer in %s yet", configs.ShownStore(cfg.Store)), a.noDatabaseHint(cfg)}
	}
	if err != nil {
		return nil, nil, a.hintWhole(err, cfg)
	}
	operator, err := d.apart(cfg)
	if err != nil {
		return nil, nil, errors.Join(err, d.close())
	}
	operator.Serve = a.serveHint(cfg)
	return control.Local(operator), d.close, nil
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

// everyPage gathers the pages of a list through one door. page returns what comes
// after a place, and the place of the next page, empty at the end.
func everyPage[T any](ctx context.Context, a *app, page func(door control.Door, after string) ([]T, string, error)) (_ []T, err error) {
	door, closeDoor, err := a.door(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeDoor()) }()
	all := []T{}
	for after := ""; ; {
		items, next, err := page(door, after)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if after = next; next == "" {
			return all, nil
		}
	}
}
