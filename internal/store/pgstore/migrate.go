package pgstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Migration n brings the tables from version n-1 to n. Each can be run again, for an
// engine that does not undo changes of tables with their transaction.
//
//go:embed migrations/*.sql
var migrations embed.FS

// schemaVersion is the newest version that this Signet knows.
const schemaVersion = 3

// The table of one row that says which version the tables have. Who locks the row
// migrates, and other replicas wait.
const (
	makeSchema = `CREATE TABLE IF NOT EXISTS signet_schema (
		one smallint NOT NULL PRIMARY KEY CHECK (one = 1), version bigint NOT NULL)`
	beginSchema = `INSERT INTO signet_schema (one, version) VALUES (1, 0) ON CONFLICT (one) DO NOTHING`
	readSchema  = `SELECT version FROM signet_schema WHERE one = 1`
)

// migrationTries bounds how often a start tries again because of others that start.
const migrationTries = 20

// migrate brings the tables up to date, one transaction for each version.
func (s *Store) migrate(ctx context.Context) error {
	told := awaited{log: s.log, database: s.name}
	for try := 1; ; try++ {
		version, err := s.schemaVersion(ctx)
		if err == nil {
			err = s.admit(version)
			told.changing(ctx, version)
		}
		if err == nil && version < schemaVersion {
			err = s.migrateTo(ctx, version+1)
		}
		switch {
		case err == nil && version == schemaVersion:
			return nil
		case code(err) == lockNotAvailable: // another replica upgrades, and takes the time it needs
			try = 0
			told.locked(ctx)
		}
		if err != nil && (try == migrationTries || !raced(err) || !pause(ctx, max(1, try))) {
			return err
		}
	}
}

// awaited tells the log what a start waits for.
type awaited struct {
	log      *slog.Logger
	database string
	looked   bool // whether the version was seen before
	said     time.Time
}

// sayAwaited is how often the log says that the tables are locked.
const sayAwaited = time.Minute

// changing is told the version of the tables; new ones are made at once.
func (a *awaited) changing(ctx context.Context, version int64) {
	if !a.looked && version > 0 && version < schemaVersion {
		a.log.InfoContext(ctx, "the tables of the database are of an older signet, and are being changed; large ones take minutes", "database", a.database, "from", version, "to", schemaVersion)
	}
	a.looked = true
}

// locked is told of each try that met a lock.
func (a *awaited) locked(ctx context.Context) {
	if time.Since(a.said) >= sayAwaited {
		a.said = time.Now()
		a.log.InfoContext(ctx, "the tables of the database are locked, as by another signet that brings them up to date; this one waits", "database", a.database)
	}
}

// admit refuses tables of another version than this Signet's, as far as it may not change
// them.
func (s *Store) admit(version int64) error {
	switch {
	case version > schemaVersion:
		return fmt.Errorf("%w: its tables have version %d, and this signet knows %d: run the newer signet, or restore a backup from before it", ErrSchemaNewer, version, schemaVersion)
	case version == 0 && s.opts.Tables != MakeTables:
		return fmt.Errorf("%w: %s", ErrNoTables, s.name)
	case version < schemaVersion && s.opts.Tables == KeepTables:
		return fmt.Errorf("%w: its tables have version %d, and this signet has %d", ErrSchemaOlder, version, schemaVersion)
	}
	return nil
}

// raced reports an error that others cause who make the same tables at the same moment:
// IF NOT EXISTS looks first and makes then.
func raced(err error) bool {
	return slices.Contains([]string{uniqueViolation, duplicateTable, duplicateObject, undefinedTable, lockNotAvailable, internalError, serializationFailure}, code(err))
}

// schemaVersion reads the version, and makes the table that holds it if it may.
func (s *Store) schemaVersion(ctx context.Context) (version int64, err error) {
	err = s.read(ctx, func(ctx context.Context, q querier) error {
		err := q.QueryRow(ctx, readSchema).Scan(&version)
		if code(err) != undefinedTable && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		version = 0
		if s.opts.Tables != MakeTables {
			return nil
		}
		if _, err := q.Exec(ctx, makeSchema); err != nil {
			return err
		}
		_, err = q.Exec(ctx, beginSchema)
		return err
	})
	return version, err
}

// migrateTo runs one migration, unless another replica has done so.
func (s *Store) migrateTo(ctx context.Context, version int64) error {
	sql, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", version))
	if err != nil {
		return err
	}
	done := false
	err = s.transactLong(ctx, func(ctx context.Context, q querier) error {
		done = false
		var stored int64
		if err := q.QueryRow(ctx, readSchema+` FOR UPDATE`).Scan(&stored); err != nil || stored >= version {
			return err
		}
		if _, err := q.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
			return err
		}
		if _, err := q.Exec(ctx, string(sql)); err != nil {
			return err
		}
		done = true
		_, err := q.Exec(ctx, `UPDATE signet_schema SET version = $1 WHERE one = 1`, version)
		return err
	})
	if err == nil && done {
		s.log.InfoContext(ctx, "the tables of the database were brought up to date", "database", s.name, "version", version)
	}
	return err
}
