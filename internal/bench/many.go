package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"signet/internal/store/pgstore"
	"signet/issuer"
)

// The rows of docs/scaling.md.
const (
	workManyAny   = "refresh of any of many sessions in PostgreSQL"
	workManyWAL   = "WAL of such a refresh"
	workManySize  = "bytes of each of many sessions in PostgreSQL"
	workManyUser  = "bytes of each of many users in PostgreSQL"
	workManySweep = "sweep of many sessions in PostgreSQL"
	workManyStart = "first good answer after start, many sessions in PostgreSQL"
	workManyCrash = "PostgreSQL after a crash that follows refreshes"
)

// largeSections are measured with --long, or where --only names them: to fill the
// database takes minutes.
var largeSections = []section{
	{"postgres-many", []work{
		{workManySize, "bytes", "their rows alone", figureBelow, 400},
		{workManyUser, "bytes", "their rows alone", figureBelow, 500},
		{workManySweep, "s", "to count them", figureBelow, 600},
		{workManyStart, "ms", "bare handler", figureBelow, 200},
		{workManyAny, "requests/s", "those that began last", ratioAtLeast, 0.5},
		{workManyWAL, "bytes", "those that began last", figureBelow, 12_000},
		{workManyCrash, "s", "without refreshes", figureBelow, 60},
	}, measureMany},
}

// manySettings are what a machine of 8 GiB would get.
var manySettings = map[string]string{"shared_buffers": "1GB", "max_wal_size": "4GB", "maintenance_work_mem": "256MB"}

func measureMany(ctx context.Context, l *lab) (err error) {
	dir, err := l.fresh("many")
	if err != nil {
		return err
	}
	db, err := newDatabase(ctx, manySettings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.End()) }()
	filled, err := l.fill(ctx, db, dir)
	if err != nil {
		return err
	}
	if err := l.measureTables(ctx, db, filled); err != nil {
		return err
	}
	swept, err := l.measureWholeSweep(ctx, db)
	if err != nil {
		return err
	}
	r, err := l.newReplica(db, dir, "many-1")
	if err != nil {
		return err
	}
	if err := l.measureStart(ctx, workManyStart, func() (*server, error) { return l.launch(r.dir, r.address, r.settings...) }); err != nil {
		return err
	}
	if err := l.refreshMany(ctx, db, r, filled, swept); err != nil {
		return err
	}
	return l.measureCrash(ctx, db)
}

// measureTables says what the tables take, before anything has happened to them.
func (l *lab) measureTables(ctx context.Context, db *database, f *filled) error {
	note := fmt.Sprintf("%d of each, which COPY wrote in %v", l.scale.big, f.took.Round(time.Second))
	for work, table := range map[string]string{workManySize: "signet_sessions", workManyUser: "signet_users"} {
		size, row, _, err := db.sizeOf(ctx, table)
		if err != nil {
			return err
		}
		l.foundUnder(work, size, row, unknown, note)
	}
	return nil
}

// measureWholeSweep is a sweep as a server makes it, with its pauses, that finds nothing.
func (l *lab) measureWholeSweep(ctx context.Context, db *database) (time.Duration, error) {
	quiet := slog.New(slog.DiscardHandler)
	store, err := pgstore.Open(ctx, db.url, pgstore.Options{Logger: quiet})
	if err != nil {
		return 0, err
	}
	defer store.Close()
	looked := &untilSwept{Store: store, ended: make(chan int, 1)}
	sweeper := issuer.New(issuer.Options{Store: looked, Users: proven{}, Policy: tokenPolicy(l.issuerURL()), Log: quiet})
	running, stop := context.WithCancel(ctx)
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	defer stop()
	begun := time.Now()
	sweeping.Go(func() { sweeper.Run(running) })
	select {
	case <-looked.ended:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	took := time.Since(begun)
	counted, err := db.timed(ctx, "SELECT count(*) FROM signet_sessions")
	l.found(workManySweep, took.Seconds(), counted.Seconds())
	return took, err
}

// timed is how long a query takes that gives one number.
func (db *database) timed(ctx context.Context, sql string) (time.Duration, error) {
	var n int
	begun := time.Now()
	err := db.Query(ctx, db.url, sql, &n)
	return time.Since(begun), err
}

// refreshMany refreshes sessions from all over the table, and those that began last, in
// turns. No token is the server's own, as it is behind a balancer. The server sweeps when
// it starts, which is over by then.
func (l *lab) refreshMany(ctx context.Context, db *database, r replica, f *filled, swept time.Duration) error {
	s, err := l.serveAt(ctx, r.dir, r.address, r.settings...)
	if err != nil {
		return err
	}
	defer s.Stop()
	select {
	case <-time.After(swept + swept/4 + time.Second):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := db.Exec(ctx, db.url, "CHECKPOINT"); err != nil {
		return err
	}
	anyone, newest := new(seen), new(seen)
	walOfAny, walOfNewest := db.walGauge(), db.walGauge()
	got, err := inTurns(ctx, l.scale.turns, l.gauged(refreshLoad(s.url, f.anyone), anyone, walOfAny), l.gauged(refreshLoad(s.url, f.newest), newest, walOfNewest))
	if err != nil {
		return err
	}
	l.foundUnder(workManyAny, got[0], got[1], median(anyone.cpu), fmt.Sprintf("p99 %.0f ms, and %.0f ms of those that began last", median(anyone.p99), median(newest.p99)))
	l.foundUnder(workManyWAL, median(walOfAny.grown), median(walOfNewest.grown), unknown, "soon after a checkpoint, when each page that is written for the first time goes into the WAL as a whole")
	return nil
}

// measureCrash ends the database as a crash does, twice: with the changes since the last
// checkpoint to be made again, and without.
func (l *lab) measureCrash(ctx context.Context, db *database) error {
	after, err := db.crash()
	if err != nil {
		return err
	}
	if err := db.Exec(ctx, db.url, "CHECKPOINT"); err != nil {
		return err
	}
	bare, err := db.crash()
	l.found(workManyCrash, after.Seconds(), bare.Seconds())
	return err
}

// crash is how long the database takes to come back.
func (db *database) crash() (time.Duration, error) {
	if err := db.Stop(); err != nil {
		return 0, err
	}
	begun := time.Now()
	err := db.Resume()
	return time.Since(begun), err
}
