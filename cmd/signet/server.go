package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"signet/configs"
	"signet/internal/audit"
	"signet/internal/connlimit"
	"signet/internal/consumers"
	"signet/internal/control"
	"signet/internal/event"
	"signet/internal/hashpool"
	"signet/internal/metrics"
	"signet/internal/peers"
	"signet/internal/shell"
	"signet/internal/tracing"
	"signet/internal/web"
	"signet/internal/web/clientaddr"
	"signet/issuer/oauth"
	"signet/keystore"
)

// shutdownGrace is how long requests under way may take after a signal to stop.
const shutdownGrace = 10 * time.Second

// serverOptions are what a server is made of.
type serverOptions struct {
	Config *configs.Config
	Log    *slog.Logger
	// Level is the level of Log, changed by a reload; may be nil.
	Level *slog.LevelVar
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Elapsed is the clock that nobody sets; see keystore.Options.
	Elapsed func() time.Duration
	// Traces follows requests; nil does not.
	Traces *tracing.Provider
}

// server is one running issuer: listening from newServer on, answering in run.
type server struct {
	cfg      *configs.Config
	log      *slog.Logger
	level    *slog.LevelVar
	domains  *domains
	fetched  *consumers.Table // by whom the key set was
	peers    *peers.Sharer    // nil if the database is of this server alone
	listener net.Listener
	http     *http.Server
	// certificates are for TLS; nil if the listener is plain
	certificates certificates
	ops          *opsServer // nil if there is none
	metrics      *metrics.Metrics
	control      *control.Server
	hashes       *hashpool.Pool
}

// newServer takes the address first and the data directory then, so that a
// server that cannot listen leaves nothing behind.
func newServer(ctx context.Context, opts serverOptions) (_ *server, err error) {
	s := &server{cfg: opts.Config, log: opts.Log, level: opts.Level, fetched: consumers.New(),
		metrics: metrics.New(thisBuild().Version, runtime.Version())}
	trusted, err := clientaddr.ParsePrefixes(s.cfg.Proxies.Trusted)
	if err != nil {
		return nil, err
	}
	if s.certificates, err = openCertificates(s.cfg, s.log, opts.Now); err != nil {
		return nil, err
	}
	if s.listener, err = listenPublic(s.cfg, s.log); err != nil {
		return nil, err
	}
	if s.ops, err = listenOps(s.cfg.OpsListen); err != nil {
		return nil, errors.Join(err, s.listener.Close())
	}
	if err := s.open(ctx, opts); err != nil {
		return nil, errors.Join(err, s.listener.Close(), s.ops.Close())
	}
	s.watch()
	s.answerBy(web.NewHandler(s.public(opts, trusted)))
	return s, nil
}

// public is what the public listener serves.
func (s *server) public(opts serverOptions, trusted []netip.Prefix) web.Options {
	public := web.Options{
		URL:     s.cfg.Issuer,
		Origins: s.cfg.Origins, RefreshCookie: s.cfg.Delivery == "cookie",
		Proxies: clientaddr.Proxies{Trusted: trusted, Header: s.cfg.Proxies.Header},
		Issuer:  s.domains.issuer, SimpleJWT: s.cfg.Dialects.SimpleJWT,
		OAuth: &oauth.Server{Issuer: s.domains.issuer, Clients: s.domains.clients, Now: opts.Now}, Clients: s.domains.clients,
		Keys: s.domains.keys, MaxAge: s.domains.keys.MaxAge,
		Consumers:   s.fetched,
		Ready:       s.domains.ready,
		Recording:   s.domains.audit.Ready,
		Unavailable: storageFailed,
		Served:      s.metrics.Served,
		Now:         opts.Now, Log: s.log,
	}
	public.Trace = opts.Traces.Requests(s.cfg.Issuer, believed(s.cfg, public.Proxies))
	if s.cfg.Dialects.DRFJWT {
		public.DRFJWT = s.domains.issuer
	}
	return public
}

// answerBy puts what is served behind the listeners.
func (s *server) answerBy(public http.Handler) {
	s.ops.serves(s.metrics, public, s.log)
	limit, do := publicConnections(openFiles())
	s.http = web.HTTPServer(web.AtMost(limit, s.metrics.InFlight(public)), s.log)
	s.listener = connlimit.Bound(s.http, s.listener, limit, s.log, do)
	if s.certificates != nil {
		s.http.TLSConfig = s.certificates.TLSConfig()
	}
}

func (s *server) open(ctx context.Context, from serverOptions) (err error) {
	if err := makeDataDir(s.cfg.Data); err != nil {
		return err
	}
	room := newRoom()
	s.hashes = hashpool.New(s.log, room.cores())
	opts := openOptions{config: s.cfg, log: s.log, now: from.Now, elapsed: from.Elapsed, wait: doorTimeout,
		events: s.metrics, metrics: s.metrics, room: room, hasher: s.hashes, traces: from.Traces}
	if running, err := control.Dial(ctx, s.cfg.SocketPath()); err == nil {
		running.Close()
		opts.wait = pollDatabase // another server holds the database, not a command
	}
	if s.domains, err = openDomains(ctx, opts); err != nil {
		return err
	}
	operator := s.domains.operator()
	operator.Watch(s.fetched)
	operator.Live.Listens(s.address(), s.certificates != nil)
	if s.peers, err = s.domains.sharer(s.cfg, s.fetched, s.log); err != nil {
		return errors.Join(err, s.domains.close())
	}
	if s.peers != nil {
		operator.Live.Hears(s.peers)
	}
	if s.control, err = control.Listen(s.cfg.SocketPath(), operator, s.log); err != nil {
		return errors.Join(err, s.domains.close())
	}
	return nil
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, hintedError{fmt.Errorf("%s is in use by another program, perhaps by a signet that runs already", address),
			"stop that program, or choose another address: signet serve --listen 127.0.0.1:8081 --issuer http://127.0.0.1:8081"}
	case errors.Is(err, syscall.EACCES):
		return nil, hintedError{fmt.Errorf("this user may not listen on %s", address), "choose a port above 1023 with --listen"}
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// makeDataDir makes the directory for the owner alone, and refuses one that
// others may look into: it holds the sealing key.
func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		path, err := filepath.Abs(dir)
		if err != nil {
			path = dir
		}
		return hintedError{fmt.Errorf("others may look into the data directory %s (mode %04o)", dir, info.Mode().Perm()),
			shell.Command("chmod", "700", path)}
	}
	return nil
}

// storageFailed reports an error that says nothing about the request: of the database, of
// the audit log, of the token in which private keys live, or of this replica.
func storageFailed(err error) bool {
	return databaseFailed(err) || errors.Is(err, keystore.ErrVault) ||
		errors.Is(err, keystore.ErrStale) || errors.Is(err, keystore.ErrClock) ||
		errors.Is(err, audit.ErrUnwritten) || errors.Is(err, audit.ErrClosed)
}

func (s *server) address() string { return s.listener.Addr().String() }

func (s *server) baseURL() string {
	if s.certificates != nil {
		return "https://" + s.address()
	}
	return "http://" + s.address()
}

// clientURL is where clients find the server. A certificate is for the host of the issuer
// and not for an address, and behind a proxy no client reaches the listener.
func (s *server) clientURL() string {
	if strings.HasPrefix(s.cfg.Issuer, "https://") {
		return s.cfg.Issuer
	}
	return s.baseURL()
}

// run answers until ctx ends or a part fails, then lets requests under way end,
// and closes the database last. extra runs beside it until then.
func (s *server) run(ctx context.Context, extra func(context.Context)) error {
	s.record(ctx, "start", nil)
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.serve(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(s.control.Serve)
	group.Go(func() error { s.hashes.Start(); return nil })
	group.Go(func() error { s.control.Watch(running); return nil })
	group.Go(s.ops.Serve)
	group.Go(func() error { s.announce(running); return nil })
	group.Go(func() error { s.domains.watch(running); return nil })
	group.Go(func() error { s.domains.shareLimits(running, s.log); return nil })
	group.Go(func() error { s.tellPeers(running); return nil })
	if s.certificates != nil {
		group.Go(func() error { s.certificates.Run(running); return nil })
	}
	group.Go(func() error { s.domains.keys.Run(running); return nil })
	group.Go(func() error { s.domains.issuer.Run(running); return nil })
	group.Go(func() error { s.domains.clients.Run(running); return nil })
	if extra != nil {
		group.Go(func() error { extra(running); return nil })
	}
	group.Go(func() error { <-running.Done(); return s.stop() })
	err := group.Wait()
	s.hashes.Close()
	s.record(ctx, "stop", err)
	return errors.Join(err, s.domains.close())
}

// record puts what the server does by itself on record. It depends on none of it: a log
// that cannot be written says so.
func (s *server) record(ctx context.Context, action string, cause error) {
	e := event.Event{Kind: event.Server, Outcome: event.Done, Action: action, Target: version, Cause: cause}
	if cause != nil {
		e.Outcome = event.Failed
	}
	if err := s.domains.audit.Record(ctx, e); err != nil {
		s.log.Error("not on record yet", "action", action, "error", err)
		return
	}
	s.log.Info("audit log", "file", s.domains.audit.Path(), "record", s.domains.audit.Head().Seq, "hash", s.domains.audit.Head().Hash)
}

// stop ends the listeners. ctx has ended already: the grace has a clock of its own.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	s.log.Info("stopping; requests under way may end", "within", shutdownGrace)
	s.tell(daemon.SdNotifyStopping)
	err := s.http.Shutdown(ctx)
	if err != nil {
		// Whoever sends a request slowly does not decide how the process ends.
		s.log.Warn("requests were cut off", "after", shutdownGrace)
		err = s.http.Close()
	}
	return errors.Join(err, s.ops.Close(), s.control.Shutdown(ctx))
}

// reopenAudit is last in a reload: a disk that hangs holds up nothing else.
func (s *server) reopenAudit(ctx context.Context, reloaded error) {
	if err := s.domains.audit.Reopen(); err != nil {
		s.log.Error("reload: the audit log cannot be opened anew", "error", err)
	}
	s.record(ctx, "reload", reloaded)
}

// reload puts in force what a running server can take and says what it cannot.
// A configuration with a fault changes nothing.
func (s *server) reload(ctx context.Context, load func() (*configs.Config, error)) {
	defer s.tellReload()()
	next, err := load()
	defer s.reopenAudit(ctx, err)
	if err != nil {
		s.log.Error("reload: the configuration has faults; nothing was changed", "error", err)
		return
	}
	reloadable, fixed := s.cfg.Diff(next)
	for _, c := range fixed {
		s.log.Warn("reload: this setting needs a restart", "key", c.Key, "in_force", c.Old, "configured", c.New)
	}
	merged := s.cfg.Reloaded(next)
	if err := s.domains.apply(ctx, merged); err != nil {
		s.log.Error("reload failed", "error", err)
		return
	}
	s.cfg = merged
	if s.level != nil {
		setLevel(s.level, merged)
	}
	for _, c := range reloadable {
		s.log.Info("reload: changed", "key", c.Key, "from", c.Old, "to", c.New)
	}
	if s.certificates != nil {
		s.certificates.Reload()
	}
	s.log.Info("reload done", "changed", len(reloadable), "need_restart", len(fixed))
}
