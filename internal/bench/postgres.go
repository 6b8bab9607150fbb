package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"signet/internal/child"
	"signet/internal/pgcluster"
)

// replicas is how many servers share the PostgreSQL. The machine is the same for one and
// for three: what the row shows is what it costs that they share, not that they add up.
const replicas = 3

// pgLoginTurns is small: a login is the same hash over every database.
const pgLoginTurns = 1

// database is a PostgreSQL that syncs what it commits, with the settings that it has
// unless somebody changes them.
type database struct {
	*pgcluster.Cluster
	url string
}

func newDatabase(ctx context.Context, settings map[string]string) (*database, error) {
	cluster, err := pgcluster.New(pgcluster.Options{Durable: true, Settings: settings})
	if err != nil {
		return nil, err
	}
	url, err := cluster.Database(ctx)
	if err != nil {
		return nil, errors.Join(err, cluster.End())
	}
	return &database{cluster, url}, nil
}

func measurePostgres(ctx context.Context, l *lab) (err error) {
	dir, tokens, err := l.withSessions(ctx, "postgres", 2*l.scale.stores)
	if err != nil {
		return err
	}
	tokens.shuffle()
	db, err := newDatabase(ctx, map[string]string{"shared_buffers": "128MB"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.End()) }()
	if _, err := l.command(ctx, "", "migrate", "--from", "bolt:"+dir, "--to", db.url); err != nil {
		return err
	}
	if _, err := l.command(ctx, "", "migrate", "--reopen", "bolt:"+dir); err != nil { // both are measured
		return err
	}
	file, err := l.serveElsewhere(ctx, dir)
	if err != nil {
		return err
	}
	defer file.Stop()
	servers, err := l.serveOver(ctx, db, dir)
	defer stopAll(servers)
	if err != nil {
		return err
	}
	if err := l.compareStores(ctx, db, file, servers, tokens); err != nil {
		return err
	}
	if err := l.measureRows(ctx, db); err != nil {
		return err
	}
	return l.compareLogins(ctx, workPgLogin, servers[0], pgLoginTurns, l.scale.slice)
}

// serveOver starts the servers that share db, with the sealing key of dir. It returns
// those that it has started, also with an error.
func (l *lab) serveOver(ctx context.Context, db *database, dir string) (all []*server, err error) {
	for i := range replicas {
		r, err := l.newReplica(db, dir, fmt.Sprintf("%s-%d", filepath.Base(dir), i+1))
		if err != nil {
			return all, err
		}
		s, err := l.serveAt(ctx, r.dir, r.address, r.settings...)
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

// replica is a server over a PostgreSQL, which lives in a directory of its own.
type replica struct {
	dir, address string
	settings     []string
}

// newReplica is one with the sealing key of dir.
func (l *lab) newReplica(db *database, dir, name string) (replica, error) {
	own := filepath.Join(l.dir, name)
	key, err := os.ReadFile(filepath.Join(dir, "seal.key"))
	if err != nil {
		return replica{}, err
	}
	if err := errors.Join(os.Mkdir(own, 0o700), os.WriteFile(filepath.Join(own, "seal.key"), key, 0o600)); err != nil {
		return replica{}, err
	}
	address, err := child.FreeAddress()
	return replica{own, address, []string{"SIGNET_STORE=" + db.url, "SIGNET_REPLICA=" + name}}, err
}

func stopAll(servers []*server) {
	var all sync.WaitGroup
	for _, s := range servers {
		all.Go(s.Stop)
	}
	all.Wait()
}

// compareStores refreshes in turns at a server on its file, at one of those that share a
// PostgreSQL, and at all of them. The sessions are the same in both.
func (l *lab) compareStores(ctx context.Context, db *database, file *server, servers []*server, tokens *pool) error {
	half := len(tokens.tokens) / 2
	inFile := &pool{tokens: slices.Clone(tokens.tokens[:half]), part: tokens.part}
	atOne := &pool{tokens: tokens.tokens[:half], part: tokens.part}
	if err := errors.Join(inFile.renew(ctx, file.url), atOne.renew(ctx, servers[0].url)); err != nil {
		return err
	}
	loads, err := l.loadsOfAll(ctx, servers, tokens.tokens[half:])
	if err != nil {
		return err
	}
	pid, err := db.PID()
	if err != nil {
		return err
	}
	inServer, inDatabase := cpuGauge(servers[0].Cmd.Process.Pid), cpuGauge(pid)
	one, all := new(seen), new(seen)
	got, err := inTurns(ctx, l.scale.stores, l.side(refreshLoad(file.url, inFile), new(seen)),
		l.gauged(refreshLoad(servers[0].url, atOne), one, inServer, inDatabase), l.together(loads, all))
	if err != nil {
		return err
	}
	l.foundUnder(workPgRefresh, got[1], got[0], median(one.cpu), fmt.Sprintf("p99 %.0f ms; each takes %.0f µs of a core in the server and %.0f µs in the database",
		median(one.p99), median(inServer.grown), median(inDatabase.grown)))
	l.foundUnder(workPgThree, got[2], got[1], median(all.cpu), "on the same cores as the one, and the database")
	return nil
}

// loadsOfAll gives each server its share of the tokens and of the connections.
func (l *lab) loadsOfAll(ctx context.Context, servers []*server, tokens []string) (loads []load, err error) {
	share := len(tokens) / len(servers)
	for i, s := range servers {
		own := &pool{tokens: tokens[i*share : (i+1)*share], part: share / l.scale.stores}
		if err := own.renew(ctx, s.url); err != nil {
			return nil, err
		}
		what := refreshLoad(s.url, own)
		what.connections = connections / len(servers)
		loads = append(loads, what)
	}
	return loads, nil
}

// together sends all loads at once; the rate is their sum.
func (l *lab) together(loads []load, s *seen) side {
	return func(ctx context.Context) (float64, error) {
		outcomes, err := l.runAll(ctx, loads)
		if err != nil {
			return 0, err
		}
		var sum, cpu float64
		for _, o := range outcomes {
			sum, cpu = sum+o.rate(), cpu+o.CPU
		}
		s.cpu = append(s.cpu, cpu)
		return sum, nil
	}
}

func (l *lab) runAll(ctx context.Context, loads []load) ([]outcome, error) {
	outcomes := make([]outcome, len(loads))
	return outcomes, each(ctx, len(loads), len(loads), func(ctx context.Context, i int) (err error) {
		outcomes[i], err = l.run(ctx, loads[i], l.scale.slice)
		return err
	})
}

// measureRows is what the disk holds of a session, once what autovacuum does is done.
// Each session was refreshed.
func (l *lab) measureRows(ctx context.Context, db *database) error {
	size, row, n, err := db.sizeOf(ctx, "signet_sessions")
	if err != nil {
		return err
	}
	l.foundUnder(workPgSize, size, row, unknown, fmt.Sprintf("%d sessions, with both indexes", n))
	return nil
}

// sizeOf is what a row of a table takes of the disk with its indexes, and by itself.
func (db *database) sizeOf(ctx context.Context, table string) (size, row float64, n int, err error) {
	if err := db.Exec(ctx, db.url, "VACUUM "+table); err != nil {
		return 0, 0, 0, err
	}
	err = db.Query(ctx, db.url, "SELECT pg_total_relation_size('"+table+"')::float8 / count(*), avg(pg_column_size(t.*))::float8, count(*) FROM "+table+" t", &size, &row, &n)
	return size, row, n, err
}
