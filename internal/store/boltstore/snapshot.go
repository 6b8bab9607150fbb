package boltstore

import (
	"context"
	"io"
	"math/bits"
	"runtime"
	"time"
)

const (
	// mapAhead is how far the file may grow in the life of a process before bbolt has to
	// map it anew, which waits for every read transaction: a slow reader of a snapshot
	// must not hold up the writers. It is address space, not memory.
	mapAhead = 1 << 30
	// growBy is by how much the file grows at a time.
	growBy = 1 << 20
)

// mapFor is how much address space a file of this size is to have; 0 leaves it to bbolt.
func mapFor(size int64) int {
	if bits.UintSize < 64 || runtime.GOOS == "windows" { // where the file would take the size of its map
		return 0
	}
	return int(size) + mapAhead
}

// Snapshot writes the database as it is at one instant: begin learns of it, and of the
// number of bytes, and returns what takes them. Every write that was acknowledged before
// that instant is in the snapshot, and writers go on meanwhile. Pages that they free are
// not reused before it ends, so what takes the bytes should not take its time.
func (s *Store) Snapshot(ctx context.Context, begin func(taken time.Time, size int64) (io.Writer, error)) error {
	taken := time.Now() // before the transaction, which has all that is older
	return s.view(ctx, func(t *tx) error {
		to, err := begin(taken, t.Size())
		if err != nil {
			return err
		}
		out := &remembering{to: to}
		if _, err := t.WriteTo(out); err != nil && out.err == nil {
			return s.storageError("read", err)
		}
		return out.err
	})
}

// remembering keeps the error of a writer, which bbolt turns into text.
type remembering struct {
	to  io.Writer
	err error
}

func (r *remembering) Write(p []byte) (int, error) {
	n, err := r.to.Write(p)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n, err
}
