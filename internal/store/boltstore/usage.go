package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// Usage returns the size of the file in bytes, and how many of them are in pages that
// hold nothing: what is removed leaves such pages, and the file never shrinks.
func (s *Store) Usage(ctx context.Context) (size, free int64, err error) {
	// The read transaction keeps the pages of the newest free list from being written over.
	err = s.view(ctx, func(*tx) error {
		info, err := s.file.Stat()
		if err != nil {
			return s.storageError("measure", err)
		}
		m, err := newestMeta(s.file)
		if err != nil {
			return s.storageError("measure", err)
		}
		pages, err := freePages(s.file, m)
		if err != nil {
			return s.storageError("measure", err)
		}
		size, free = info.Size(), int64(pages*m.pageSize)
		return nil
	})
	return size, free, err
}

// freePages reads the length of the free list, and not the list: it is long in a large
// file.
func freePages(f io.ReaderAt, m meta) (uint64, error) {
	if m.freelist == noFreelist {
		return 0, nil
	}
	head := make([]byte, pageHeader+8)
	if _, err := f.ReadAt(head, int64(m.freelist*m.pageSize)); err != nil {
		return 0, fmt.Errorf("page %d: %w", m.freelist, err)
	}
	n := binary.NativeEndian
	if kind := n.Uint16(head[8:]); kind != pageFreelist {
		return 0, fmt.Errorf("page %d: unexpected kind %#x", m.freelist, kind)
	}
	if count := n.Uint16(head[10:]); count != 0xFFFF {
		return uint64(count), nil
	}
	return n.Uint64(head[pageHeader:]), nil // too many for the field: the first entry is the number
}
