package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func TestUsageIsWhatBoltSays(t *testing.T) {
	for _, keys := range []int{10, 5000} {
		path := newPath(t)
		s := openTest(t, path)
		value := make([]byte, 900)
		bulk := func(do func(b *bbolt.Bucket, key []byte) error) {
			err := s.db.Update(func(tx *bbolt.Tx) error {
				for i := range keys {
					if err := do(tx.Bucket(bucketNames), []byte{byte(i >> 16), byte(i >> 8), byte(i)}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		bulk(func(b *bbolt.Bucket, key []byte) error { return b.Put(key, value) })
		bulk(func(b *bbolt.Bucket, key []byte) error { return b.Delete(key) })
		size, free, err := s.Usage(t.Context())
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || size != info.Size() {
			t.Fatalf("size %d, error %v; the file has %d", size, err, info.Size())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if want := freeByBolt(t, path); free != want || keys > 10 && free < 1e6 {
			t.Errorf("%d keys: %d bytes free, bbolt says %d", keys, free, want)
		}
		if _, _, err := s.Usage(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v, want %v", err, ErrClosed)
		}
	}
}

// TestLengthOfAFreeList: also of one that is too long for the field in its page.
func TestLengthOfAFreeList(t *testing.T) {
	page := func(kind, count uint16, first uint64) *bytes.Reader {
		b := make([]byte, 3*minPageSize)
		head := b[2*minPageSize:]
		binary.NativeEndian.PutUint16(head[8:], kind)
		binary.NativeEndian.PutUint16(head[10:], count)
		binary.NativeEndian.PutUint64(head[pageHeader:], first)
		return bytes.NewReader(b)
	}
	m := meta{pageSize: minPageSize, freelist: 2}
	for _, c := range []struct {
		file *bytes.Reader
		want uint64
	}{{page(pageFreelist, 7, 3), 7}, {page(pageFreelist, 0xFFFF, 70_000), 70_000}} {
		if got, err := freePages(c.file, m); got != c.want || err != nil {
			t.Errorf("%d, %v; want %d", got, err, c.want)
		}
	}
	if _, err := freePages(page(pageLeaf, 7, 3), m); err == nil || !strings.Contains(err.Error(), "page 2: unexpected kind 0x2") {
		t.Errorf("a leaf: %v", err)
	}
}

func freeByBolt(t *testing.T, path string) int64 {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return int64(db.Stats().FreePageN * db.Info().PageSize)
}

// TestCommitsAreTold: what shared a commit, what failed, and not what changed nothing.
func TestCommitsAreTold(t *testing.T) {
	type commit struct {
		requests int
		err      error
	}
	var told []commit
	var slowest time.Duration
	s, err := Open(newPath(t), Options{Committed: func(took time.Duration, requests int, err error) {
		told, slowest = append(told, commit{requests, err}), max(slowest, took)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	oneBatch(s, put("a"), put("b"), put("c"))
	if err := s.write(t.Context(), func(*tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	s.commit = func(*bbolt.Tx) error { return syscall.ENOSPC }
	failed := s.write(t.Context(), put("d"))
	s.halted = ErrStorage
	refused := s.write(t.Context(), put("e"))
	if len(told) != 3 || told[0] != (commit{3, nil}) || told[1] != (commit{1, failed}) || told[2] != (commit{1, refused}) ||
		!errors.Is(failed, syscall.ENOSPC) || !errors.Is(refused, ErrStorage) || slowest <= 0 {
		t.Errorf("told %v (slowest %v); the errors were %v and %v", told, slowest, failed, refused)
	}
}
