package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// snapshots is a Database that writes chunks, and asks before each whether to go on.
type snapshots struct {
	taken  time.Time
	chunks int
	before func(ctx context.Context, chunk int) error
	ended  chan error // gets what each Snapshot returned
}

const chunk = 64 << 10

func newSnapshots(chunks int, before func(ctx context.Context, chunk int) error) *snapshots {
	return &snapshots{time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC), chunks, before, make(chan error, 10)}
}

func (s *snapshots) Snapshot(ctx context.Context, begin func(time.Time, int64) (io.Writer, error)) (err error) {
	defer func() { s.ended <- err }()
	to, err := begin(s.taken, int64(s.chunks)*chunk)
	if err != nil {
		return err
	}
	for i := range s.chunks {
		if s.before != nil {
			if err := s.before(ctx, i); err != nil {
				return err
			}
		}
		if _, err := to.Write(bytes.Repeat([]byte{byte(i)}, chunk)); err != nil {
			return err
		}
	}
	return nil
}

// hang waits for the end of ctx at a chunk.
func hang(at int) func(context.Context, int) error {
	return func(ctx context.Context, i int) error {
		if i == at {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
}

// endless is as large as no test reads.
const endless = 1 << 30

// TestBackupThroughBothDoors is larger than any other answer may be.
func TestBackupThroughBothDoors(t *testing.T) {
	for name, open := range bothDoors {
		t.Run(name, func(t *testing.T) {
			f, db := newFixture(t), newSnapshots(answerLimit/chunk+10, nil)
			f.Database = db
			got, want := sha256.New(), sha256.New()
			must(t, db.Snapshot(t.Context(), func(time.Time, int64) (io.Writer, error) { return want, nil }))
			taken, err := Backup(t.Context(), open(t, f.Operator), "nightly.db", got)
			if err != nil || !taken.Equal(db.taken) || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
				t.Errorf("taken at %s, %v", taken, err)
			}
			f.Database = nil
			_, err = Backup(t.Context(), open(t, f.Operator), "nightly.db", got)
			wantRefused(t, err, Error{"there is no database to back up", ""})
		})
	}
}

// TestBackupIsLogged with the file that it went to.
func TestBackupIsLogged(t *testing.T) {
	f := newFixture(t)
	f.Database = newSnapshots(1, nil)
	s := serve(t, f.Operator, socketPath(t))
	if _, err := Backup(t.Context(), s.dial(t), "nightly.db", io.Discard); err != nil {
		t.Fatal(err)
	}
	if status, got := raw(t, s, "POST", "/v1/backup", strings.NewReader(`{"path":"x"}`)); status != 422 || got.Message != `json: unknown field "path"` {
		t.Errorf("answered %d %+v", status, got)
	}
	must(t, s.Shutdown(t.Context())) // after which no handler is at work
	if text := s.log.String(); !strings.Contains(text, `level=INFO msg="operator's command" op=backup target=nightly.db bytes=65536`) {
		t.Errorf("the log: %s", text)
	}
}

// TestBackupThatFails: before the first byte it is a refusal, and after it the answer is
// not taken for a whole one.
func TestBackupThatFails(t *testing.T) {
	f := newFixture(t)
	broken := errors.New("the disk is gone")
	f.Database = newSnapshots(10, func(_ context.Context, i int) error {
		if i == 5 {
			return broken
		}
		return nil
	})
	s := serve(t, f.Operator, socketPath(t))
	remote := s.dial(t)
	_, err := Backup(t.Context(), remote, "nightly.db", io.Discard)
	if e := refused(t, err); e.Message != "the server on "+s.path+" broke off: unexpected EOF" || !strings.Contains(e.Hint, "log") {
		t.Errorf("%+v", e)
	}
	if text := s.log.String(); !strings.Contains(text, `level=WARN msg="operator's command failed" op=backup target=nightly.db error="the disk is gone"`) {
		t.Errorf("the log: %s", text)
	}
	f.Database = refusing{broken}
	_, err = Backup(t.Context(), remote, "nightly.db", io.Discard)
	wantRefused(t, err, Error{broken.Error(), ""})
	if _, err := ListUsers.Do(t.Context(), remote, UserQuery{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

type refusing struct{ err error }

func (r refusing) Snapshot(context.Context, func(time.Time, int64) (io.Writer, error)) error {
	return r.err
}

// TestBackupToAFullDisk gives back the error of the writer.
func TestBackupToAFullDisk(t *testing.T) {
	for name, open := range bothDoors {
		t.Run(name, func(t *testing.T) {
			f, db := newFixture(t), newSnapshots(endless, nil)
			f.Database = db
			_, err := Backup(t.Context(), open(t, f.Operator), "nightly.db", fullDisk{})
			if !errors.Is(err, errFull) {
				t.Errorf("got %v, want %v", err, errFull)
			}
			if err := <-db.ended; err == nil {
				t.Error("the server wrote all")
			}
		})
	}
}

type fullDisk struct{}

var errFull = errors.New("no space left on device")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// serveBackups serves with times of its own.
func serveBackups(t *testing.T, db Database, stall, readTimeout time.Duration) *Remote {
	t.Helper()
	path := socketPath(t)
	l, err := listenUnix(path)
	must(t, err)
	h := handler{operator: &Operator{Database: db}, log: slog.New(slog.DiscardHandler), stopping: t.Context(), stall: stall}
	server := http.Server{Handler: h, ReadTimeout: readTimeout}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	remote, err := Dial(t.Context(), path)
	must(t, err)
	t.Cleanup(func() { remote.Close() })
	return remote
}

// TestBackupThatTakesLong: as long as bytes move, no deadline ends it, neither that of a
// request nor that of a stall.
func TestBackupThatTakesLong(t *testing.T) {
	slow := newSnapshots(20, func(context.Context, int) error { time.Sleep(20 * time.Millisecond); return nil })
	remote := serveBackups(t, slow, 300*time.Millisecond, 100*time.Millisecond)
	remote.stall = 300 * time.Millisecond
	var got bytes.Buffer
	if _, err := Backup(t.Context(), remote, "nightly.db", &got); err != nil || got.Len() != 20*chunk {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	if err := <-slow.ended; err != nil {
		t.Error(err)
	}
}

// TestClientThatTakesNothing holds no snapshot.
func TestClientThatTakesNothing(t *testing.T) {
	db := newSnapshots(endless, nil)
	remote := serveBackups(t, db, 100*time.Millisecond, time.Minute)
	req, err := remote.request(t.Context(), backupName, backupRequest{"nightly.db"})
	must(t, err)
	resp, err := remote.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if err := <-db.ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the snapshot ended with %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

// TestServerThatSendsNothing is given up.
func TestServerThatSendsNothing(t *testing.T) {
	for name, at := range map[string]int{"at once": 0, "in the middle": 3} {
		t.Run(name, func(t *testing.T) {
			db := newSnapshots(10, hang(at))
			remote := serveBackups(t, db, time.Minute, time.Minute)
			remote.stall = 100 * time.Millisecond
			_, err := Backup(t.Context(), remote, "nightly.db", io.Discard)
			if e := refused(t, err); !strings.HasSuffix(e.Message, "broke off: it sent nothing for 100ms") {
				t.Errorf("%+v", e)
			}
			if err := <-db.ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the snapshot ended with %v, want %v", err, context.Canceled)
			}
		})
	}
}

// TestShutdownDuringABackup does not wait for it, whether its client reads or not.
func TestShutdownDuringABackup(t *testing.T) {
	for name, read := range map[string]io.Writer{"reads": io.Discard, "reads not": blocking{t.Context()}} {
		t.Run(name, func(t *testing.T) {
			f, begun := newFixture(t), make(chan struct{})
			db := newSnapshots(endless, func(_ context.Context, i int) error {
				if i == 10 {
					close(begun)
				}
				return nil
			})
			if name == "reads not" { // less than a socket holds
				db.before = func(ctx context.Context, i int) error {
					if i == 1 {
						close(begun)
					}
					return nil
				}
			}
			f.Database = db
			s := serve(t, f.Operator, socketPath(t))
			go Backup(t.Context(), s.dial(t), "nightly.db", read)
			<-begun
			ctx, cancel := context.WithTimeout(t.Context(), stall/2)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if err := <-db.ended; err == nil {
				t.Error("the snapshot ended without an error")
			}
		})
	}
}

// blocking takes nothing until ctx ends.
type blocking struct{ ctx context.Context }

func (b blocking) Write([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}
