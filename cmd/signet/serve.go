package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"signet/configs"
	"signet/internal/event"
	"signet/internal/shell"
	"signet/internal/tracing"
)

func serveCommand(a *app) *cobra.Command {
	var check, reference bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the issuer",
		Long: `Run the issuer. The first start makes the data directory, the database, the
sealing key and the first signing keys. SIGHUP reads the configuration and the TLS
certificate again; SIGINT and SIGTERM let requests under way end, for 10 seconds at
most.

With PostgreSQL (store: postgres://…) it makes tables in place of the database file. Any
number of servers share them; each further one needs a copy of the first one's seal.key
in its data directory before it starts.

Every flag is also a setting of the configuration file and an environment variable:
--tokens-access is tokens.access in the one and SIGNET_TOKENS_ACCESS as the other.

With OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 it sends traces of requests to an
OpenTelemetry collector there; the other standard OTEL_ variables hold, too.`,
		Args: noArguments,
	}
	changed := configs.Flags(cmd.Flags())
	cmd.Flags().BoolVar(&check, "check", false, "check the configuration, the certificate files and how the database would be reached, print what is wrong with them, and stop; opens no database, and asks no CA")
	cmd.Flags().BoolVar(&reference, "reference", false, "print the configuration file with every setting at its default, commented, and stop")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if reference {
			_, err := a.out.Write(configs.Reference())
			return err
		}
		a.changed = changed // for hints: serve has each setting as a flag of its own
		load := func() (*configs.Config, error) { return a.load(changed()) }
		cfg, err := load()
		if err != nil {
			return err
		}
		traces, err := a.traceSettings()
		if err != nil {
			return err
		}
		a.warn(cfg, check)
		if check {
			return a.check(cfg)
		}
		return a.serve(cmd.Context(), cfg, load, traces)
	}
	return cmd
}

// serve catches signals before it touches anything: one that comes early stops or
// reloads the server as one that comes late.
func (a *app) serve(ctx context.Context, cfg *configs.Config, load func() (*configs.Config, error), traces *tracing.Settings) error {
	defer spareTheCollector()()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	level := new(slog.LevelVar)
	log := newLog(a.err, cfg, level)
	tracer, err := startTraces(ctx, traces, log)
	if err != nil {
		return err
	}
	defer shutdownTraces(ctx, tracer)()
	s, err := start(ctx, serverOptions{Config: cfg, Log: tracer.Log(log), Level: level, Traces: tracer})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // stopped before it served
	}
	if err != nil {
		return a.hintWhole(err, cfg)
	}
	a.greet(s, log)
	return s.run(ctx, func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				s.reload(ctx, load)
			}
		}
	})
}

// warn writes the warnings about a configuration: lines of the log, if that is for programs.
func (a *app) warn(cfg *configs.Config, check bool) {
	for _, warning := range a.warnings(cfg) {
		if cfg.Log.Format == "json" && !check {
			newLog(a.err, cfg, new(slog.LevelVar)).Warn("configuration", "warning", warning)
			continue
		}
		fmt.Fprintf(a.err, "warning: %s\n", warning)
	}
}

// greet tells a person at a terminal what to type next; a log for programs has one line.
func (a *app) greet(s *server, log *slog.Logger) {
	if s.cfg.Log.Format == "json" {
		log.Info("serving", "issuer", s.cfg.Issuer, "listen", s.address(), "data", s.cfg.Data)
		return
	}
	dir := ""
	if s.cfg.Data != configs.Default().Data {
		dir = " --data " + shell.Word(s.cfg.Data)
	}
	dir += a.storeFlag()
	certificate := ""
	if s.certificates != nil && !s.certificates.NotAfter().IsZero() {
		certificate = "  tls    certificate until " + in(s.certificates.NotAfter(), time.Now()) + "\n"
	}
	shared := ""
	if s.cfg.Postgres() {
		shared = "  store  " + s.domains.store.Path() + "\n"
	}
	fmt.Fprintf(a.err, `signet serves %s on %s
%s  keys   %s/.well-known/jwks.json
%s  data   %s
  next   signet users add NAME%s    in another terminal
`, s.cfg.Issuer, s.address(), certificate, s.clientURL(), shared, s.cfg.Data, dir)
}

func newLog(w io.Writer, cfg *configs.Config, level *slog.LevelVar) *slog.Logger {
	setLevel(level, cfg)
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return event.Log(slog.New(slog.NewJSONHandler(w, opts)))
	}
	return event.Log(slog.New(slog.NewTextHandler(w, opts)))
}

func setLevel(level *slog.LevelVar, cfg *configs.Config) {
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		panic(err) // configs.Load admits only slog's names
	}
}
