package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"signet/configs"
	"signet/internal/control"
	"signet/internal/doctor"
	"signet/internal/shell"
	"signet/keystore"
)

func doctorCommand(a *app) *cobra.Command {
	var address, authorities string
	var strict bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check a deployed issuer, from outside and here",
		Long: `Check a deployed issuer and say what to do about each finding: its URL as clients
reach it (certificate, key set, caching, discovery, login, headers, clock), and on
this machine the server, modes and owners of its files, the certificate files, the
sealing key, the disk, a PostgreSQL database, and the keys. It changes nothing.

With PostgreSQL the URL may lead to another server on the same database: the one here is
asked at its own listener as well, and its sealing key is held against the database.

With --url it asks that issuer from outside alone, from any machine and without its
configuration. It ends with 1 if a check fails; with --strict also if one warns.`,
		Example: `  signet doctor
  signet doctor --strict -o json
  signet doctor --url https://login.example.com --ca company-ca.pem`,
		Args: noArguments,
	}
	cmd.Flags().StringVar(&address, "url", "", "ask the issuer at this `URL` from outside alone")
	cmd.Flags().StringVar(&authorities, "ca", "", "`FILE` with the certificates, in PEM, of the authorities that clients trust, in place of those of the system")
	cmd.Flags().BoolVar(&strict, "strict", false, "end with 1 also if a check warns")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		roots, err := readAuthorities(authorities)
		if err != nil {
			return err
		}
		outside := &doctor.Outside{Roots: roots}
		var checks []doctor.Check
		if cmd.Flags().Changed("url") {
			checks, err = a.examineURL(cmd.Context(), outside, address)
		} else {
			checks, err = a.examine(cmd.Context(), outside)
		}
		if err != nil {
			return err
		}
		return errors.Join(a.print(checks, func(w io.Writer) { writeChecks(w, checks) }), verdict(checks, strict))
	}
	return cmd
}

// examineURL asks an issuer of which nothing else is known.
func (a *app) examineURL(ctx context.Context, outside *doctor.Outside, address string) ([]doctor.Check, error) {
	if a.configPath != "" || len(a.changed()) > 0 {
		return nil, usageError{errors.New("--url asks from outside alone: it takes no --config, --data, --seal-key, --store or --replica")}
	}
	var err error
	if outside.URL, err = doctor.ParseURL(address); err != nil {
		return nil, usageError{fmt.Errorf("--url %w", err)}
	}
	outside.Leeway = configs.Default().Tokens.Leeway
	return outside.Checks(ctx), nil
}

// examine looks at the issuer of the configuration. The database, if no server has it,
// is let go of before anything is asked over the network.
func (a *app) examine(ctx context.Context, outside *doctor.Outside) ([]doctor.Check, error) {
	cfg, err := a.load(a.changed())
	if err != nil {
		return nil, err
	}
	in := a.look(ctx, cfg)
	outside.URL, outside.Leeway = in.about.Issuer, cfg.Tokens.Leeway
	outside.Deployment = &doctor.Deployment{
		KeySet: func(ctx context.Context) ([]byte, error) {
			published, err := do(ctx, a, control.GetKeySet, struct{}{})
			return published.Set, err
		},
		Keys: in.keys.Keys, MaxAge: in.about.Policy.JWKSMaxAge, Shared: cfg.Postgres(),
		SimpleJWT: cfg.Dialects.SimpleJWT, DRFJWT: cfg.Dialects.DRFJWT,
	}
	files := doctor.Files{
		Data: cfg.Data, Database: databaseFile(cfg), SealingKey: cfg.SealKeyPath(), Audit: cfg.AuditPath(), Socket: cfg.SocketPath(), UID: in.process.UID,
		TLSKey: cfg.TLS.Key, PIN: cfg.Keys.PKCS11PINFile, ACME: acmePath(cfg),
	}
	if !in.stopped {
		files.Lost = a.lostHint(cfg)
	}
	stored := examineDatabase(ctx, cfg)
	return slices.Concat(
		in.server(cfg, stored, a.startHint(cfg), a.openHint(cfg, in.err)), in.replica(ctx), doctor.Settings(a.warnings(cfg)), outside.Checks(ctx),
		files.Checks(), stored.checks(in.stopped && in.err != nil), certificateFiles(ctx, cfg, !in.stopped), in.sealingKey(cfg, stored), doctor.Disk(cfg.Data, databaseFile(cfg)), in.audit(), doctor.OpenFiles(in.process.PID), in.signingKeys(),
	), nil
}

// examined is what the server, or the database without one, says of itself.
type examined struct {
	stopped bool // nothing listens on the control socket
	process control.Process
	about   control.About
	keys    control.KeyList
	set     control.PublishedSet
	err     error // why the rest is not known
}

// lookLimit is how long a server may take to say how it is. One that takes longer hangs.
const lookLimit = 5 * time.Second

func (a *app) look(ctx context.Context, cfg *configs.Config) examined {
	process, err := control.ServerProcess(ctx, cfg.SocketPath())
	in := examined{process: process, stopped: errors.Is(err, control.ErrNoServer)}
	if in.ask(ctx, a); in.err != nil {
		in.about.Issuer, in.about.Policy.JWKSMaxAge = cfg.Issuer, cfg.Keys.JWKSMaxAge
	}
	return in
}

func (in *examined) ask(ctx context.Context, a *app) {
	if !in.stopped {
		late := hintedError{fmt.Errorf("no answer within %s", lookLimit),
			"look at its log, and at its disk: dmesg; if it stays so, restart signet serve"}
		var end context.CancelFunc
		ctx, end = context.WithTimeoutCause(ctx, lookLimit, late)
		defer end()
	}
	in.err = through(ctx, a, func(door control.Door) (err error) {
		if in.about, err = control.ShowServer.Do(ctx, door, struct{}{}); err != nil {
			return err
		}
		if in.keys, err = control.ListKeys.Do(ctx, door, struct{}{}); err != nil {
			return err
		}
		in.set, err = control.GetKeySet.Do(ctx, door, struct{}{})
		return err
	})
	if in.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		in.err = context.Cause(ctx)
	}
}

// server says how it is. start is a command that starts it, mend one for what keeps the
// database from being opened.
func (in *examined) server(cfg *configs.Config, stored *examinedDatabase, start, mend string) []doctor.Check {
	const name = "server"
	var checks []doctor.Check
	if in.stopped {
		checks = append(checks, doctor.Failed(name, "nothing answers at "+cfg.SocketPath(), "start it: "+start))
	}
	hint := cmp.Or(hintOf(in.err), mend, "do what it says, and then signet doctor again")
	switch {
	case in.err != nil && in.stopped && stored.hasKeys() && errors.Is(in.err, keystore.ErrSealingKey):
		// The check of the sealing key tells.
	case in.err != nil && in.stopped:
		checks = append(checks, doctor.Failed(stored.opening(), "it cannot be opened: "+in.err.Error(), hint))
	case in.err != nil:
		checks = append(checks, doctor.Failed(name, "it does not say how it is: "+in.err.Error(), hint))
	case !in.stopped && in.about.Build != thisBuild().String():
		checks = append(checks, doctor.Warned(name, "signet "+in.about.Build+" runs, and this command is "+thisBuild().String(), "restart signet serve, or use the command of its version"))
	}
	if in.about.Issuer != cfg.Issuer {
		checks = append(checks, doctor.Warned(name, "it runs with the issuer "+in.about.Issuer+", and this configuration has "+cfg.Issuer,
			"give this command the configuration of the server (--config), or restart the server"))
	}
	if len(checks) == 0 {
		checks = append(checks, doctor.Passed(name, fmt.Sprintf("signet %s, process %d, since %s", in.about.Build, in.process.PID, clock(in.about.Since))))
	}
	return checks
}

func (in *examined) sealingKey(cfg *configs.Config, stored *examinedDatabase) []doctor.Check {
	const name = "sealing key"
	switch {
	case stored.hasKeys():
		return []doctor.Check{stored.sealingKey(name)}
	case in.err != nil:
		return []doctor.Check{doctor.Skip(name, "neither a server nor the database could be asked")}
	case in.about.SealingKeyOpen:
		return []doctor.Check{doctor.Failed(name, in.about.SealingKey, shell.Command("chmod", "600", cfg.SealKeyPath()))}
	case in.about.SealingKey != "":
		return []doctor.Check{doctor.Failed(name, in.about.SealingKey, "restore the file before the server is restarted, or make another one while it runs: signet keys reseal")}
	}
	return []doctor.Check{doctor.Passed(name, "opens the private keys")}
}

func (in *examined) audit() []doctor.Check {
	if in.err != nil {
		return []doctor.Check{doctor.Skip("audit log", "neither a server nor the database could be asked")}
	}
	log := in.about.Audit
	return doctor.Audit{Path: log.Path, Failing: log.Failing, Suspicion: log.Suspicion, Records: log.Records}.Checks()
}

func (in *examined) signingKeys() []doctor.Check {
	if in.err != nil {
		return []doctor.Check{doctor.Skip("keys", "neither a server nor the database could be asked")}
	}
	return doctor.Keys{
		List: in.keys.Keys, Set: in.set.Set, Policy: in.about.Policy, Now: in.keys.Now, Schedule: in.keys.Schedule,
	}.Checks()
}

func writeChecks(w io.Writer, checks []doctor.Check) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for len(checks) > 0 {
		c := checks[0]
		if n := alike(checks); n > 1 {
			c.Name, c.Found = plural(n, "check", "checks"), names(checks[:n])+": "+c.Found
			checks = checks[n-1:]
		}
		checks = checks[1:]
		fmt.Fprintf(tab, "%s\t%s\t%s\n", c.Result, c.Name, c.Found)
		if c.Advice != "" {
			fmt.Fprintf(tab, "\t\t-> %s\n", c.Advice)
		}
	}
	tab.Flush()
}

// alike is how many checks from the first on were skipped for one reason.
func alike(checks []doctor.Check) int {
	other := slices.IndexFunc(checks, func(c doctor.Check) bool { return c.Result != doctor.Skipped || c.Found != checks[0].Found })
	if other < 0 {
		return len(checks)
	}
	return other
}

func names(checks []doctor.Check) string {
	list := make([]string, 0, len(checks))
	for _, c := range checks {
		list = append(list, c.Name)
	}
	return strings.Join(list, ", ")
}

// verdict is the error that ends the command with 1.
func verdict(checks []doctor.Check, strict bool) error {
	failed, warned := 0, 0
	for _, c := range checks {
		switch c.Result {
		case doctor.Fail:
			failed++
		case doctor.Warn:
			warned++
		}
	}
	switch {
	case failed > 0:
		return errors.New(plural(failed, "check", "checks") + " failed")
	case strict && warned > 0:
		return errors.New(plural(warned, "check", "checks") + " warned, and --strict is set")
	}
	return nil
}
