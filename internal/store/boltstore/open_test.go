package boltstore

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"signet/issuer"
	"signet/issuer/oauth"
)

// childEnv makes the test binary open the database it names, and hold it until
// its standard input ends.
const childEnv = "BOLTSTORE_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		hold(path)
		return
	}
	os.Exit(m.Run())
}

func hold(path string) {
	s, err := Open(path, Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println("open")
	io.Copy(io.Discard, os.Stdin)
}

func TestSecondProcessIsToldWhoHoldsIt(t *testing.T) {
	path := newPath(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+path)
	stdin, err1 := child.StdinPipe()
	stdout, err2 := child.StdoutPipe()
	if err := errors.Join(err1, err2, child.Start()); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "open\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}

	_, err = Open(path, Options{Timeout: 100 * time.Millisecond})
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("got %v, want %v", err, ErrInUse)
	}
	want := []string{path}
	if runtime.GOOS == "linux" {
		want = append(want, fmt.Sprintf("is in use by process %d (boltstore.test)", child.Process.Pid))
	}
	wantText(t, err, want...)

	stdin.Close()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	openTest(t, path)
}

func TestOpenTwiceAtOnce(t *testing.T) {
	path := newPath(t)
	openTest(t, path)
	start := time.Now()
	if _, err := Open(path, Options{Timeout: 60 * time.Millisecond}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want %v", err, ErrInUse)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("waited %v", took)
	}
}

// TestCrashBeforeTheBuckets: bbolt has made its file and nothing is in it yet.
func TestCrashBeforeTheBuckets(t *testing.T) {
	path := newPath(t)
	db := openRaw(t, path)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, openTest(t, path), 10)
}

// TestLostBucket: nothing is made in the place of what a file has lost.
func TestLostBucket(t *testing.T) {
	for _, name := range slices.Concat(buckets[:]...)[1:] {
		path := newPath(t)
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, s, 10)
		err = s.Close()
		db := openRaw(t, path)
		err2 := db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(name) })
		if err := errors.Join(err, err2, db.Close()); err != nil {
			t.Fatal(err)
		}
		if err := refused(t, path); !errors.Is(err, ErrDamaged) {
			t.Errorf("without %s: got %v, want %v", name, err, ErrDamaged)
		}
	}
}

func TestRefusedFiles(t *testing.T) {
	image := sampleImage(t)
	tests := []struct {
		name string
		file func(t *testing.T, path string)
		want error
		text string
	}{
		{"one byte", content([]byte{0}), ErrDamaged, "restore a backup"},
		{"text", content(bytes.Repeat([]byte("hello, world\n"), 5000)), ErrDamaged, "is not a database"},
		{"zeros", content(make([]byte, 1<<16)), ErrDamaged, "is not a database"},
		{"sqlite", content(append([]byte("SQLite format 3\x00"), make([]byte, 8192)...)), ErrDamaged, "is not a database"},
		{"another program", func(t *testing.T, path string) {
			rawBuckets(t, path, map[string]map[string]string{"widgets": {"a": "b"}})
		}, ErrForeign, "belongs to another program"},
		{"another program with a meta bucket", func(t *testing.T, path string) {
			rawBuckets(t, path, map[string]map[string]string{"meta": {"application": "gizmo"}})
		}, ErrForeign, "belongs to another program"},
		{"another program without a free list", func(t *testing.T, path string) {
			rawBuckets(t, path, map[string]map[string]string{"widgets": {"a": "b"}}, func(o *bbolt.Options) { o.NoFreelistSync = true })
		}, ErrForeign, "belongs to another program"},
		{"newer schema", func(t *testing.T, path string) {
			rawBuckets(t, path, map[string]map[string]string{"meta": {"application": "signet", "schema": "\x00\x00\x00\x07"}})
		}, ErrForeign, "was written by a newer signet (schema 7; this one knows 3): use the newer version"},
		{"no schema", func(t *testing.T, path string) {
			rawBuckets(t, path, map[string]map[string]string{"meta": {"application": "signet"}})
		}, ErrDamaged, "no schema version"},
		{"an entry for a bucket", func(t *testing.T, path string) {
			write(t, path, entryForClients(t, image))
		}, ErrDamaged, "restore a backup"},
		{"empty", content(nil), ErrDamaged, "is empty: restore a backup, or remove the file"},
		{"both meta pages destroyed", content(slicesReplace(image, 0, make([]byte, 8192))), ErrDamaged, "is not a database"},
		{"truncated", content(image[:len(image)/4096/2*4096]), ErrDamaged, "truncated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := newPath(t)
			tt.file(t, path)
			err := refused(t, path)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			wantText(t, err, path, tt.text)
		})
	}
}

func TestRefusedPaths(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrForeign) {
		t.Errorf("a directory: got %v, want %v", err, ErrForeign)
	}
	missing := filepath.Join(dir, "missing", "signet.db")
	if _, err := Open(missing, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: got %v, want %v", err, os.ErrNotExist)
	} else {
		wantText(t, err, missing, "check that its directory exists")
	}
}

func TestNoPermission(t *testing.T) {
	path := newPath(t)
	openTest(t, path).Close()
	if os.Getuid() == 0 {
		becomeNobody(t, path)
	}
	for what, mode := range map[string]os.FileMode{"read": 0o200, "write": 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path, Options{})
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("no permission to %s: got %v, want %v", what, err, os.ErrPermission)
		}
		wantText(t, err, path, "check the owner and the mode")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTruncated cuts a real file everywhere: it is whole, or refused.
func TestTruncated(t *testing.T) {
	image := sampleImage(t)
	m, err := newestMeta(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	needed := int(m.pages * m.pageSize)
	var sizes []int
	for at := 4096; at <= len(image); at += 4096 {
		sizes = append(sizes, at-1, at, min(at+1, len(image)))
	}
	for at := 1; at < 8192; at += 97 {
		sizes = append(sizes, at)
	}
	for _, size := range sizes {
		path := newPath(t)
		write(t, path, image[:size])
		if size < needed {
			if err := refused(t, path); !errors.Is(err, ErrDamaged) {
				t.Errorf("%d of %d bytes: got %v, want %v", size, needed, err, ErrDamaged)
			}
			continue
		}
		s, err := Open(path, Options{})
		if err != nil {
			t.Errorf("%d bytes, of which %d are needed: %v", size, needed, err)
			continue
		}
		if err := errors.Join(s.Check(), s.Close()); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestFlippedBytes damages a real file in every page header and at random. It
// is refused and left alone, or every operation returns: with what it finds,
// or with an error.
func TestFlippedBytes(t *testing.T) {
	image := sampleImage(t)
	m, err := newestMeta(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	used := int(m.pages * m.pageSize)
	flip := func(changes ...int) {
		damagedImage := bytes.Clone(image)
		for _, at := range changes {
			damagedImage[at] ^= byte(1 + rand.N(255))
		}
		path := newPath(t)
		write(t, path, damagedImage)
		s, err := Open(path, Options{})
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
				t.Errorf("flipped %v: got %v, want %v or %v", changes, err, ErrDamaged, ErrForeign)
			}
			wantUnchanged(t, path, damagedImage)
			return
		}
		exercise(t, s)
	}
	for page := 0; page < used; page += 4096 {
		for at := range 40 {
			flip(page + at)
		}
	}
	for range 200 {
		flip(rand.N(used), rand.N(used), rand.N(used))
	}
}

// exercise calls everything on a store that may be damaged. Only a crash, or an
// error of an unexpected kind, is a failure.
func exercise(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	_, ring := s.LoadRing(ctx)
	_, accounts := s.Users(ctx, "", 10)
	_, bySubject := s.ListSessions(ctx, testSession(1).Subject, "", 10)
	_, all := s.ListSessions(ctx, "", "", 1000)
	_, _, advance := s.AdvanceSession(ctx, testSession(1).ID, issuer.Step{Presented: testSession(1).Current, Now: testNow, Expires: testNow})
	_, ended := s.EndSubjectSessions(ctx, testSession(2).Subject)
	_, clients := s.Clients(ctx, "", 10)
	update := s.UpdateClient(ctx, testClient)
	for _, err := range []error{ring, accounts, bySubject, all, advance, ended, clients, update, s.CheckWritable(ctx), s.Check()} {
		known := errors.Is(err, ErrStorage) || errors.Is(err, ErrDamaged) || errors.Is(err, issuer.ErrNoSession) ||
			errors.Is(err, oauth.ErrNoClient) || errors.Is(err, oauth.ErrClientConflict) || err == nil
		if !known && !strings.Contains(err.Error(), "no such user") {
			t.Errorf("on a damaged file: %v", err)
		}
	}
	if err := s.Close(); err != nil && !errors.Is(err, ErrStorage) {
		t.Errorf("close: %v", err)
	}
}

// TestCheckFindsDamage: what Open does not look at, Check does.
func TestCheckFindsDamage(t *testing.T) {
	s, err := Open(newPath(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, 500)
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	// The root bucket's page number in its own header, under the open store.
	m, err := newestMeta(s.file)
	if err != nil {
		t.Fatal(err)
	}
	wrong := binary.NativeEndian.AppendUint64(nil, 1<<40)
	if _, err := s.file.WriteAt(wrong, int64(m.root*m.pageSize)); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want %v", err, ErrDamaged)
	}
}

// sampleImage is the bytes of a database with a tree of two levels.
func sampleImage(t *testing.T) []byte {
	t.Helper()
	s := openTest(t, newPath(t))
	fill(t, s, 300)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newestMeta(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	return image[:m.pages*m.pageSize] // what follows is room to grow
}

// refused opens a file that must be refused and returns the error. The file and
// its directory stay as they were.
func refused(t *testing.T, path string) error {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, Options{})
	if err == nil {
		s.Close()
		t.Fatal("the file was opened")
	}
	wantUnchanged(t, path, before)
	return err
}

func wantUnchanged(t *testing.T, path string, before []byte) {
	t.Helper()
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func wantText(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than one line", err)
	}
}

// entryForClients is image with the mark of a bucket taken off "clients".
func entryForClients(t *testing.T, image []byte) []byte {
	t.Helper()
	m, err := newestMeta(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	root := int(m.root * m.pageSize)
	n := binary.NativeEndian
	for i := range int(n.Uint16(image[root+10:])) {
		at := root + pageHeader + i*elementSize
		pos, size := int(n.Uint32(image[at+4:])), int(n.Uint32(image[at+8:]))
		if bytes.Equal(image[at+pos:at+pos+size], bucketClients) {
			return slicesReplace(image, at, n.AppendUint32(nil, 0))
		}
	}
	t.Fatal("no such bucket")
	return nil
}

func content(b []byte) func(*testing.T, string) {
	return func(t *testing.T, path string) { write(t, path, b) }
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func slicesReplace(b []byte, at int, with []byte) []byte {
	c := bytes.Clone(b)
	copy(c[at:], with)
	return c
}

func openRaw(t *testing.T, path string, opts ...func(*bbolt.Options)) *bbolt.DB {
	t.Helper()
	o := &bbolt.Options{}
	for _, opt := range opts {
		opt(o)
	}
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// rawBuckets makes a bbolt file with these buckets and entries.
func rawBuckets(t *testing.T, path string, buckets map[string]map[string]string, opts ...func(*bbolt.Options)) {
	t.Helper()
	db := openRaw(t, path, opts...)
	err := db.Update(func(tx *bbolt.Tx) error {
		for name, entries := range buckets {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for k, v := range entries {
				if err := b.Put([]byte(k), []byte(v)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
