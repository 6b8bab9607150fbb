package boltstore

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// harms are what others do to an open file.
var harms = map[string]struct {
	do     func(t *testing.T, path string)
	cause  error
	text   string
	reads  bool // what was stored can still be read
	passes bool // undone by putting the file back
}{
	"truncated to nothing":    {do: cut(0), cause: ErrDamaged, text: "it has 0 bytes and needs "},
	"truncated to half":       {do: cut(2), cause: ErrDamaged, text: "it was truncated from outside"},
	"truncated by one page":   {do: shortenByPage, cause: ErrDamaged, text: "it was truncated from outside"},
	"overwritten by a copy":   {do: overwrite, cause: errOverwritten, text: "it was written over from outside"},
	"removed":                 {do: remove, cause: errRemoved, text: "the file was removed or renamed", reads: true},
	"renamed":                 {do: rename, cause: errRemoved, text: "the file was removed or renamed", reads: true, passes: true},
	"replaced by another one": {do: replace, cause: errReplaced, text: "another file was put in its place", reads: true, passes: true},
}

func cut(divisor int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		size := int64(0)
		if divisor > 0 {
			size = usedBytes(t, path) / divisor
		}
		must(t, os.Truncate(path, size))
	}
}

func shortenByPage(t *testing.T, path string) {
	must(t, os.Truncate(path, usedBytes(t, path)-int64(os.Getpagesize())))
}

// usedBytes is what the database needs of its file.
func usedBytes(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	m, err := newestMeta(f)
	must(t, err)
	return int64(m.pages * m.pageSize)
}

// overwrite is cp of an older copy over the file: the inode stays.
func overwrite(t *testing.T, path string) {
	image, err := os.ReadFile(path + ".backup")
	must(t, err)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(image, 0)
	must(t, errors.Join(err, f.Close()))
}

func remove(t *testing.T, path string) { must(t, os.Remove(path)) }

func rename(t *testing.T, path string) { must(t, os.Rename(path, path+".kept")) }

// replace is mv of a backup over the file.
func replace(t *testing.T, path string) {
	must(t, os.Link(path, path+".kept"))
	must(t, os.Rename(path+".backup", path))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openWithBackup opens a store that has sessions, and has gone on since a copy was made.
func openWithBackup(t *testing.T, log *slog.Logger) *Store {
	t.Helper()
	s, err := Open(newPath(t), Options{Logger: log})
	must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	fill(t, s, 500)
	image, err := os.ReadFile(s.path)
	must(t, err)
	write(t, s.path+".backup", image)
	must(t, s.CreateSession(t.Context(), testSession(1000)))
	return s
}

// TestHarmFromOutside: nothing is written to a file that others changed, removed or
// replaced, nothing is read from one that lacks pages, and the log says so once.
func TestHarmFromOutside(t *testing.T) {
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			log := new(strings.Builder)
			s := openWithBackup(t, slog.New(slog.NewTextHandler(log, nil)))
			harm.do(t, s.path)
			for range 2 {
				err := s.CreateSession(t.Context(), testSession(1001))
				if !errors.Is(err, ErrStorage) || !errors.Is(err, harm.cause) || !strings.Contains(err.Error(), harm.text) {
					t.Errorf("a write: got %v, want %v", err, harm.text)
				}
			}
			if harm.reads {
				if _, err := s.Session(t.Context(), testSession(1000).ID); err != nil {
					t.Errorf("a read: %v", err)
				}
			} else if _, err := s.Session(t.Context(), testSession(1000).ID); !errors.Is(err, harm.cause) {
				t.Errorf("a read: got %v, want %v", err, harm.cause)
			}
			s.look()
			if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), s.path) {
				t.Errorf("%d errors in the log:\n%s", n, log)
			}
			if harm.passes {
				putBack(t, s, log)
			}
		})
	}
}

func putBack(t *testing.T, s *Store, log *strings.Builder) {
	t.Helper()
	must(t, os.Rename(s.path+".kept", s.path))
	must(t, s.CreateSession(t.Context(), testSession(1001)))
	if !strings.Contains(log.String(), "is in its place again") {
		t.Errorf("the log does not say that it is back:\n%s", log)
	}
}

// TestHarmDuringCommit: what is committed into a file that nobody will find, or that is
// not whole, is not acknowledged.
func TestHarmDuringCommit(t *testing.T) {
	for name, harm := range harms {
		for order, commit := range map[string]func(*testing.T, *Store, *bbolt.Tx) error{
			"before the pages are written": func(t *testing.T, s *Store, tx *bbolt.Tx) error {
				harm.do(t, s.path)
				return tx.Commit()
			},
			"after them": func(t *testing.T, s *Store, tx *bbolt.Tx) error {
				defer harm.do(t, s.path)
				return tx.Commit()
			},
		} {
			t.Run(name+" "+order, func(t *testing.T) {
				s := openWithBackup(t, slog.New(slog.DiscardHandler))
				s.commit = func(tx *bbolt.Tx) error { return commit(t, s, tx) }
				if err := s.CreateSession(t.Context(), testSession(1001)); !errors.Is(err, ErrStorage) {
					t.Errorf("got %v, want %v", err, ErrStorage)
				}
			})
		}
	}
}
