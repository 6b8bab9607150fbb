package boltstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"signet/issuer"
	"signet/keystore"
)

// backUp writes a backup of s to a new file.
func backUp(t *testing.T, s *Store) string {
	t.Helper()
	path := newPath(t)
	backUpTo(t, s, path, func(w io.Writer) io.Writer { return w })
	return path
}

func backUpTo(t *testing.T, s *Store, path string, through func(io.Writer) io.Writer) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w := NewBackupWriter(file)
	var taken time.Time
	err = s.Snapshot(t.Context(), func(at time.Time, size int64) (io.Writer, error) {
		taken = at
		return through(w), nil
	})
	if err := errors.Join(err, w.Finish(taken), file.Close()); err != nil {
		t.Fatal(err)
	}
}

// writerFunc is a writer that is a function.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestBackupHoldsAll(t *testing.T) {
	s := openTest(t, newPath(t))
	fill(t, s, 300)
	ring := keystore.Ring{Version: 0, SealedBy: "a sealing key", Keys: []keystore.Key{{KID: "one", Public: []byte(`{}`)}}}
	if err := s.ReplaceRing(t.Context(), ring); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Truncate(time.Millisecond)
	path := backUp(t, s)
	got, err := ReadBackup(path, path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Taken.Before(before) || got.Taken.After(time.Now()) || got.Ring.SealedBy != ring.SealedBy || len(got.Ring.Keys) != 1 {
		t.Errorf("%+v", got)
	}
	got.Taken, got.Ring = time.Time{}, keystore.Ring{}
	if want := (Contents{Size: got.Size, Schema: schema, Users: 1, Sessions: 300, Clients: 1}); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if info, err := os.Stat(path); err != nil || got.Size >= info.Size() || got.Size%4096 != 0 {
		t.Errorf("the database in it has %d bytes, the file %v: %v", got.Size, info, err)
	}
}

// TestSnapshotUnderWriters: every session and refresh that was acknowledged before the
// snapshot began is in it, whatever is written meanwhile, and it is whole.
func TestSnapshotUnderWriters(t *testing.T) {
	s := openTest(t, newPath(t))
	var next atomic.Int64
	var acknowledged journal
	ctx, stop := context.WithCancel(t.Context())
	var writers errgroup.Group
	for range 4 {
		writers.Go(func() error {
			for ctx.Err() == nil {
				session := testSession(int(next.Add(1)))
				err := s.CreateSession(t.Context(), session)
				if err == nil {
					_, _, err = s.AdvanceSession(t.Context(), session.ID, issuer.Step{Presented: session.Current, Next: session.ID, Now: testNow, Expires: testNow.Add(time.Hour)})
				}
				if err != nil {
					return err
				}
				acknowledged.add(session.ID)
			}
			return nil
		})
	}
	for range 5 {
		sure := acknowledged.grown(t, 100)
		path := newPath(t)
		backUpTo(t, s, path, func(w io.Writer) io.Writer {
			return writerFunc(func(p []byte) (int, error) {
				acknowledged.grown(t, 5) // writers go on meanwhile
				return w.Write(p)
			})
		})
		if _, err := ReadBackup(path, path); err != nil {
			t.Fatal(err)
		}
		restored := openTest(t, path)
		for _, id := range sure {
			session, err := restored.Session(t.Context(), id)
			if err != nil || session.Current != id {
				t.Fatalf("%+v, %v", session, err)
			}
		}
	}
	stop()
	if err := writers.Wait(); err != nil {
		t.Error(err)
	}
}

// journal is what was acknowledged.
type journal struct {
	mu  sync.Mutex
	ids []string
}

func (j *journal) add(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ids = append(j.ids, id)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.ids)
}

// grown waits until there are n more, and returns all.
func (j *journal) grown(t *testing.T, n int) []string {
	t.Helper()
	want := len(j.all()) + n
	for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		if ids := j.all(); len(ids) >= want {
			return ids
		}
		if time.Now().After(deadline) {
			t.Fatal("the writers do not go on")
		}
	}
}

// TestWritersGrowTheFileDuringASnapshot: whoever reads a snapshot slowly does not hold up
// a writer that needs more room than the file has.
func TestWritersGrowTheFileDuringASnapshot(t *testing.T) {
	s := openTest(t, newPath(t))
	fill(t, s, 10)
	held, release := make(chan struct{}), make(chan struct{})
	copied := make(chan error, 1)
	go func() {
		first := true
		copied <- s.Snapshot(t.Context(), func(time.Time, int64) (io.Writer, error) {
			return writerFunc(func(p []byte) (int, error) {
				if first {
					first = false
					close(held)
					<-release
				}
				return len(p), nil
			}), nil
		})
	}()
	<-held
	written := make(chan error, 1)
	go func() {
		written <- s.write(t.Context(), func(t *tx) error {
			return t.put(bucketMeta, []byte("large"), make([]byte, 40<<20))
		})
	}()
	select {
	case err := <-written:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the writer waits for the snapshot")
	}
	close(release)
	if err := <-copied; err != nil {
		t.Error(err)
	}
}

// TestSnapshotThatFails: the error is that of the writer, and the store goes on.
func TestSnapshotThatFails(t *testing.T) {
	s := openTest(t, newPath(t))
	fill(t, s, 10)
	full := errors.New("no space left")
	for after := range 3 {
		err := s.Snapshot(t.Context(), func(time.Time, int64) (io.Writer, error) {
			n := 0
			return writerFunc(func(p []byte) (int, error) {
				if n++; n > after {
					return 0, full
				}
				return len(p), nil
			}), nil
		})
		if !errors.Is(err, full) {
			t.Errorf("after %d writes: got %v, want %v", after, err, full)
		}
	}
	refused := errors.New("not now")
	if err := s.Snapshot(t.Context(), func(time.Time, int64) (io.Writer, error) { return nil, refused }); !errors.Is(err, refused) {
		t.Errorf("got %v, want %v", err, refused)
	}
	if err := s.CheckWritable(t.Context()); err != nil {
		t.Error(err)
	}
	s.Close()
	if err := s.Snapshot(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
}

func TestBackupsThatAreNone(t *testing.T) {
	s := openTest(t, newPath(t))
	fill(t, s, 300)
	image, err := os.ReadFile(backUp(t, s))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(image, []byte(backupMark))
	name := bytes.Index(image, []byte("kyoko"))
	if at < 0 || name < 0 {
		t.Fatal("the backup has no line, or no user")
	}
	const unusable = ": this backup cannot be used"
	for name, c := range map[string]struct {
		file func(t *testing.T, path string)
		want error
		text string
	}{
		"a bit of a record":    {content(slicesReplace(image, name, []byte{image[name] ^ 1})), ErrDamaged, "its digest is another" + unusable},
		"another time":         {content(bytes.Replace(image, []byte(`"taken":"2`), []byte(`"taken":"3`), 1)), ErrDamaged, "its digest is another" + unusable},
		"another digest":       {content(bytes.Replace(image, []byte(`"sha256":"`), []byte(`"sha256":"0`), 1)), ErrDamaged, "its digest is another" + unusable},
		"half of the line":     {content(image[:len(image)-20]), ErrDamaged, "its last line, which is signet's own, is broken" + unusable},
		"a line that is none":  {content(slicesReplace(image, at+len(backupMark), []byte("x"))), ErrDamaged, "is broken" + unusable},
		"half of the pages":    {content(image[:at/2]), ErrDamaged, "truncated: it has "},
		"nothing":              {content(nil), ErrDamaged, "is empty" + unusable},
		"text":                 {content(bytes.Repeat([]byte("hello, world\n"), 5000)), ErrDamaged, "is not a database, or its first pages are destroyed" + unusable},
		"a page, without line": {content(slicesReplace(image[:at:at], at-4096*3, make([]byte, 4096))), ErrDamaged, unusable},
		"a record, without line": {func(t *testing.T, path string) {
			write(t, path, image[:at])
			db := openRaw(t, path)
			err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketUsers).Put([]byte("u"), []byte("no CBOR")) })
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "a record in it cannot be read" + unusable},
		"an empty database": {func(t *testing.T, path string) { rawBuckets(t, path, nil) }, ErrDamaged, "there is nothing in it" + unusable},
		"another program": {func(t *testing.T, path string) {
			rawBuckets(t, path, map[string]map[string]string{"widgets": {"a": "b"}})
		}, ErrForeign, "belongs to another program"},
		"newer schema": {func(t *testing.T, path string) {
			rawBuckets(t, path, map[string]map[string]string{"meta": {"application": "signet", "schema": "\x00\x00\x00\x07"}})
		}, ErrForeign, "was written by a newer signet (schema 7; this one knows 3): use the newer version"},
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			c.file(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, got := ReadBackup(path, "standard input")
			if !errors.Is(got, c.want) || !strings.Contains(got.Error(), c.text) || !strings.Contains(got.Error(), "standard input") {
				t.Errorf("got %v, want %v and %q", got, c.want, c.text)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}

// TestFileThatWasInUse: of a file without a line, or with one from before its last
// transaction, it is not known when it was taken.
func TestFileThatWasInUse(t *testing.T) {
	s := openTest(t, newPath(t))
	fill(t, s, 10)
	path := backUp(t, s)
	used := openTest(t, path)
	if _, err := ReadBackup(path, path); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: got %v, want %v", err, ErrInUse)
	}
	if err := CheckFree(path); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: got %v, want %v", err, ErrInUse)
	}
	if err := errors.Join(used.CheckWritable(t.Context()), used.Close(), CheckFree(path)); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadBackup(path, path); err != nil || !got.Taken.IsZero() || got.Sessions != 10 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestBackupOfSchemaOne is taken as it is.
func TestBackupOfSchemaOne(t *testing.T) {
	path := newPath(t)
	db := openRaw(t, path)
	err := db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets[0] {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		return errors.Join(meta.Put(keyApplication, []byte(application)), meta.Put(keySchema, []byte{0, 0, 0, 1}))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadBackup(path, path); err != nil || got.Schema != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
