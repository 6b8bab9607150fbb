// Package pgcluster runs a private PostgreSQL for tests and measurements: a cluster of its
// own in a temporary directory, reached by a unix socket there.
//
// Start at [New]. What is needed is Debian's package postgresql, or initdb and pg_ctl in
// PATH. A cluster ends with the process, however that ends: a supervisor waits for the end
// of a pipe that only the process holds.
//
// The package touches no cluster that it did not make, and needs no port.
package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// superuser owns the cluster; only its socket directory says who may connect.
const superuser = "signet"

// stepTime bounds each call of a program of PostgreSQL.
const stepTime = 60 * time.Second

// Cluster is a running PostgreSQL.
type Cluster struct {
	bin, dir  string
	as        *identity // who runs the server; nil is the user of this process
	databases atomic.Int64
	// pipe holds the supervisor back; the end of the process closes it too.
	pipe       io.Closer
	supervisor *exec.Cmd
}

// Options are for New.
type Options struct {
	// Durable syncs what is committed to the disk.
	Durable bool
	// Settings are lines of postgresql.conf.
	Settings map[string]string
	// HBA is the whole pg_hba.conf; empty trusts whoever reaches the socket.
	HBA string
	// Files are put into the data directory, readable by the server alone.
	Files map[string][]byte
}

// ErrMissing: this machine has no PostgreSQL.
var ErrMissing = errors.New("there is no PostgreSQL here: install the package postgresql, or put initdb and pg_ctl into PATH")

// Dir is the directory of the socket, and of the log in the file "log".
func (c *Cluster) Dir() string { return c.dir }

// PID is that of the process whose children are all others of the server.
func (c *Cluster) PID() (int, error) {
	text, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(first)
}

// URL is that of a database of the cluster.
func (c *Cluster) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: url.Values{"host": {c.dir}}.Encode()}
	return u.String()
}

// Database returns the URL of a new, empty database.
func (c *Cluster) Database(ctx context.Context) (string, error) {
	name := fmt.Sprintf("test%d", c.databases.Add(1))
	return c.URL(name), c.Exec(ctx, c.URL("postgres"), "CREATE DATABASE "+name)
}

// Exec runs one SQL statement in a connection of its own, without a limit of time.
func (c *Cluster) Exec(ctx context.Context, database, sql string, args ...any) error {
	return c.connected(ctx, database, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		return nil
	})
}

// Query reads the first row that a SQL statement gives.
func (c *Cluster) Query(ctx context.Context, database, sql string, into ...any) error {
	return c.connected(ctx, database, func(conn *pgx.Conn) error {
		if err := conn.QueryRow(ctx, sql).Scan(into...); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		return nil
	})
}

func (c *Cluster) connected(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	return errors.Join(do(conn), conn.Close(context.WithoutCancel(ctx)))
}

// Stop ends the server at once, as a crash does.
func (c *Cluster) Stop() error { return c.control("stop", "-m", "immediate") }

// Resume starts the server again after Stop.
func (c *Cluster) Resume() error { return c.start() }

// End stops the server, removes its files, and waits until nothing is left of it.
func (c *Cluster) End() error {
	return errors.Join(c.pipe.Close(), c.supervisor.Wait())
}

// New makes and starts a cluster. ErrMissing if there is no PostgreSQL.
func New(opts Options) (_ *Cluster, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	as, err := serverIdentity()
	if err != nil {
		return nil, err
	}
	// Not t.TempDir: the name of a socket has 107 bytes at most.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, dir: dir, as: as}
	if err := as.own(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := c.supervise(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := c.create(opts); err != nil {
		return nil, errors.Join(err, c.End())
	}
	return c, nil
}

// create makes the files of the cluster and starts it.
func (c *Cluster) create(opts Options) error {
	if err := c.run("initdb", "-D", c.data(), "-U", superuser, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"); err != nil {
		return err
	}
	files := map[string][]byte{"postgresql.auto.conf": []byte(configuration(c.dir, opts))}
	if opts.HBA != "" {
		files["pg_hba.conf"] = []byte(opts.HBA)
	}
	for name, text := range opts.Files {
		files[name] = text
	}
	for name, text := range files {
		path := filepath.Join(c.data(), name)
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, text, 0o600), c.as.own(path)); err != nil {
			return err
		}
	}
	return c.start()
}

// configuration is the file of settings. A crash of the server loses nothing without
// fsync; a crash of the machine may.
func configuration(dir string, opts Options) string {
	settings := map[string]string{
		"listen_addresses": "", "unix_socket_directories": dir, "max_connections": "200",
		"shared_buffers": "32MB", "log_line_prefix": "%m [%p] ", "autovacuum_naptime": "5s",
	}
	if !opts.Durable {
		settings["fsync"], settings["full_page_writes"] = "off", "off"
	}
	for name, value := range opts.Settings {
		settings[name] = value
	}
	var b strings.Builder
	for name, value := range settings {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	return b.String()
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *Cluster) start() error {
	if err := c.control("start", "-l", filepath.Join(c.dir, "log")); err != nil {
		log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
		return fmt.Errorf("%w\n%s", err, log[max(0, len(log)-4096):])
	}
	return nil
}

func (c *Cluster) control(action string, flags ...string) error {
	return c.run("pg_ctl", append([]string{action, "-D", c.data(), "-w", "-s"}, flags...)...)
}

// run calls a program of PostgreSQL. Its output goes to a file: the server inherits it,
// and a pipe would be waited for as long as that lives.
func (c *Cluster) run(program string, args ...string) error {
	output, err := os.CreateTemp(c.dir, "out")
	if err != nil {
		return err
	}
	defer os.Remove(output.Name())
	defer output.Close()
	ctx, cancel := context.WithTimeout(context.Background(), stepTime)
	defer cancel()
	cmd := c.command(ctx, filepath.Join(c.bin, program), args...)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(output.Name())
		return fmt.Errorf("%s: %w: %s", program, err, said)
	}
	return nil
}

func (c *Cluster) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), "LC_ALL=C")
	c.as.apply(cmd)
	return cmd
}

// supervision waits for the end of the pipe, then ends the server and removes its files.
const supervision = `read -r _; "$1/pg_ctl" stop -D "$2/data" -m immediate -w -s >/dev/null 2>&1; rm -rf "$2"`

// supervise starts the process that outlives this one by a moment.
func (c *Cluster) supervise() error {
	c.supervisor = c.command(context.Background(), "/bin/sh", "-c", supervision, "sh", c.bin, c.dir)
	pipe, err := c.supervisor.StdinPipe()
	if err != nil {
		return err
	}
	c.pipe = pipe
	return c.supervisor.Start()
}
