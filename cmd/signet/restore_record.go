package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"signet/configs"
	"signet/internal/audit"
	"signet/internal/event"
)

// restoreNote says beside the database that it is a restored one, until that is on record:
// the audit log goes on from the mark in the database, so whoever opens both writes it.
type restoreNote struct {
	At    time.Time `json:"at"`
	UID   int       `json:"uid"`
	File  string    `json:"file"`
	Taken time.Time `json:"taken,omitzero"`
}

// noteSuffix is followed by what is the note's own: two restores at once have a note each.
const noteSuffix = ".restored-"

// noteRestore writes the note, before the database is in its place: a restore that is
// killed may be on record without having been made, and never the other way round.
func noteRestore(database, random string, done restored) (path string, err error) {
	text, err := json.Marshal(restoreNote{At: time.Now().UTC().Truncate(time.Second), UID: os.Geteuid(), File: done.File, Taken: done.Taken})
	if err != nil {
		return "", err
	}
	path = database + noteSuffix + random
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = file.Write(text)
	return path, errors.Join(err, file.Sync(), file.Close(), syncDir(filepath.Dir(path)))
}

// recordRestores puts restores on record that are not yet. One that cannot be is tried
// again at the next start.
func recordRestores(ctx context.Context, cfg *configs.Config, records *audit.Log, log *slog.Logger) {
	if cfg.Postgres() {
		return
	}
	notes, err := restoreNotes(cfg.DatabasePath())
	if err != nil {
		log.Error("a restore may not be on record", "error", err)
	}
	for _, path := range notes {
		err := recordRestore(ctx, path, records)
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil {
			log.Error("the restore of this database is not on record yet", "file", path, "error", err)
		}
	}
}

func restoreNotes(database string) (paths []string, err error) {
	dir, base := filepath.Dir(database), filepath.Base(database)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), base+noteSuffix) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}

// maxNote bounds a note: the name of a file and what else it has.
const maxNote = 32 << 10

func recordRestore(ctx context.Context, path string, records *audit.Log) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxNote {
		return &fs.PathError{Op: "read", Path: path, Err: fs.ErrInvalid}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var note restoreNote
	if err := json.Unmarshal(text, &note); err != nil {
		return err
	}
	ctx = event.WithCaller(ctx, event.Caller{Operator: strconv.Itoa(note.UID)})
	return records.Record(ctx, event.Event{Kind: event.Command, Outcome: event.Done, Action: "restore", Target: note.target()})
}

// target names the backup and both times, the record having that at which it was written.
func (n restoreNote) target() string {
	taken := "at an unknown time"
	if !n.Taken.IsZero() {
		taken = n.Taken.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%.300s, taken %s, restored %s", n.File, taken, n.At.UTC().Format(time.RFC3339))
}
