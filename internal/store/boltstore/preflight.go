package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// bbolt maps the file into memory and trusts the page numbers it finds: one
// beyond the end of the file is a SIGBUS. So the meta pages are read here
// first, and the file is measured against them.

const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader  = 16
	metaSize    = 64
	minPageSize = 1 << 10
	maxPageSize = 1 << 24
	// noFreelist marks a file without a stored free list.
	noFreelist = ^uint64(0)
)

// meta is the part of a bbolt meta page that matters here.
type meta struct {
	pageSize uint64
	root     uint64 // page of the root bucket
	freelist uint64
	pages    uint64 // the high-water mark: all page numbers are below
	txid     uint64
}

// preflight refuses a file that bbolt must not map; name is what its errors call it.
func preflight(path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return openError(name, err)
	}
	defer f.Close()
	m, err := newestMeta(f)
	if errors.Is(err, errNoMeta) {
		return &damagedError{sentence: name + " is not a database, or its first pages are destroyed", advice: "restore a backup or choose another file"}
	}
	if err != nil {
		return openError(name, err)
	}
	info, err := f.Stat()
	if err != nil {
		return openError(name, err)
	}
	if size := uint64(info.Size()); size/m.pageSize < m.pages {
		return damaged(name, fmt.Errorf("truncated: it has %d bytes and needs %d", size, m.pages*m.pageSize))
	}
	return nil
}

var errNoMeta = errors.New("no valid meta page")

// newestMeta returns the valid meta page with the highest transaction number,
// the one that bbolt goes by.
func newestMeta(f io.ReaderAt) (meta, error) {
	m0, ok0, err := readMeta(f, 0)
	if err != nil {
		return meta{}, err
	}
	if ok0 {
		m1, ok1, err := readMeta(f, int64(m0.pageSize))
		if ok1 && m1.txid > m0.txid {
			return m1, nil
		}
		return m0, err
	}
	// The second page is one page size in, and the first cannot say how far.
	for off := int64(minPageSize); off <= maxPageSize; off *= 2 {
		m, ok, err := readMeta(f, off)
		if err != nil {
			return meta{}, err
		}
		if ok && m.pageSize == uint64(off) {
			return m, nil
		}
	}
	return meta{}, errNoMeta
}

// readMeta reads the meta page at off, and reports whether it is valid.
func readMeta(f io.ReaderAt, off int64) (m meta, ok bool, err error) {
	buf := make([]byte, pageHeader+metaSize)
	if _, err := f.ReadAt(buf, off); errors.Is(err, io.EOF) {
		return meta{}, false, nil
	} else if err != nil {
		return meta{}, false, err
	}
	// uint32 magic, version, page size, flags; uint64 root, sequence of the
	// root, free list, high-water mark, transaction, checksum; in the byte
	// order of the machine.
	b, n := buf[pageHeader:], binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(b[:56])
	m = meta{
		pageSize: uint64(n.Uint32(b[8:])),
		root:     n.Uint64(b[16:]),
		freelist: n.Uint64(b[32:]),
		pages:    n.Uint64(b[40:]),
		txid:     n.Uint64(b[48:]),
	}
	ok = n.Uint32(b) == boltMagic && n.Uint32(b[4:]) == boltVersion && n.Uint64(b[56:]) == sum.Sum64() &&
		m.pageSize >= minPageSize && m.pageSize <= maxPageSize && m.pageSize&(m.pageSize-1) == 0
	return m, ok, nil
}

// Kinds of pages, and their elements.
const (
	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageFreelist = 0x10

	elementSize  = 16
	bucketHeader = 16
	bucketEntry  = 0x01 // flag of a leaf element
)

// inspection follows the pages from the root down, breadth first, as bbolt
// would, but by reading the file, and believes nothing.
type inspection struct {
	f    io.ReaderAt
	meta meta
	free pageSet
	seen pageSet
	next []uint64 // the pages in their order, no more than are inspected
	buf  []byte   // of the page under inspection

	limit int // of pages; 0 is none
}

func (in *inspection) queue(page uint64) {
	if in.limit == 0 || len(in.next) < in.limit {
		in.next = append(in.next, page)
	}
}

// pageSet is a set of page numbers below the high-water mark, one bit each.
type pageSet []uint64

func (m meta) newPageSet() pageSet     { return make(pageSet, m.pages/64+1) }
func (s pageSet) has(page uint64) bool { return s[page/64]>>(page%64)&1 == 1 }
func (s pageSet) add(page uint64)      { s[page/64] |= 1 << (page % 64) }

// inspect returns the first fault in the structure of the file: a page number
// out of range or used twice, or an element that does not fit its page. It
// reads up to limit pages; all of them if limit is 0.
func inspect(f io.ReaderAt, limit int) error {
	m, err := newestMeta(f)
	if err != nil {
		return err
	}
	in := inspection{f: f, meta: m, free: m.newPageSet(), seen: m.newPageSet(), next: []uint64{m.root}, limit: limit}
	if err := in.freelist(); err != nil {
		return err
	}
	for n := 0; n < len(in.next) && (limit == 0 || n < limit); n++ {
		id := in.next[n]
		p, err := in.page(id)
		if err != nil {
			return err
		}
		if err := in.elements(p); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
	}
	return nil
}

// page reads the page with its overflow pages, and marks them as seen. The next call
// overwrites what it returns.
func (in *inspection) page(id uint64) ([]byte, error) {
	if id < 2 || id >= in.meta.pages {
		return nil, fmt.Errorf("page %d: there are only %d", id, in.meta.pages)
	}
	p, err := in.read(id, 0)
	if err != nil {
		return nil, err
	}
	head := p[:pageHeader]
	more := uint64(binary.NativeEndian.Uint32(head[12:]))
	if got := binary.NativeEndian.Uint64(head); got != id || id+more >= in.meta.pages {
		return nil, fmt.Errorf("page %d: calls itself %d and has %d more, of %d", id, got, more, in.meta.pages)
	}
	for i := id; i <= id+more; i++ {
		if in.seen.has(i) || in.free.has(i) {
			return nil, fmt.Errorf("page %d: used twice", i)
		}
		in.seen.add(i)
	}
	if more == 0 {
		return p, nil
	}
	return in.read(id, more)
}

func (in *inspection) read(id, more uint64) ([]byte, error) {
	size := int((1 + more) * in.meta.pageSize)
	in.buf = slices.Grow(in.buf[:0], size)[:size]
	if _, err := in.f.ReadAt(in.buf, int64(id*in.meta.pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return in.buf, nil
}

// elements checks what is on a branch or leaf page and queues where it leads.
func (in *inspection) elements(p []byte) error {
	n := binary.NativeEndian
	kind, count := n.Uint16(p[8:]), int(n.Uint16(p[10:]))
	if kind != pageBranch && kind != pageLeaf {
		return fmt.Errorf("unexpected kind %#x", kind)
	}
	if pageHeader+count*elementSize > len(p) {
		return fmt.Errorf("%d elements do not fit", count)
	}
	if kind == pageBranch && count == 0 {
		return errors.New("a branch without elements")
	}
	for i := range count {
		at := pageHeader + i*elementSize
		if kind == pageBranch {
			pos, key := n.Uint32(p[at:]), n.Uint32(p[at+4:])
			if _, err := within(p, at, pos, key, 0); err != nil {
				return err
			}
			in.queue(n.Uint64(p[at+8:]))
			continue
		}
		flags, pos, key, value := n.Uint32(p[at:]), n.Uint32(p[at+4:]), n.Uint32(p[at+8:]), n.Uint32(p[at+12:])
		v, err := within(p, at, pos, key, value)
		if err == nil && flags&bucketEntry != 0 {
			err = in.bucket(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// within returns the value of the element at offset at, if its key and value
// lie on the page.
func within(p []byte, at int, pos, key, value uint32) ([]byte, error) {
	start := uint64(at) + uint64(pos) + uint64(key)
	if end := start + uint64(value); key == 0 || end > uint64(len(p)) {
		return nil, fmt.Errorf("an element ends at %d of %d", end, len(p))
	}
	return p[start : start+uint64(value)], nil
}

// bucket queues the root page of a bucket, or checks the page inside its value
// if the bucket is small enough to live there (root 0).
func (in *inspection) bucket(v []byte) error {
	if len(v) < bucketHeader {
		return errors.New("a bucket without a header")
	}
	if root := binary.NativeEndian.Uint64(v); root != 0 {
		in.queue(root)
		return nil
	}
	inline := v[bucketHeader:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != pageLeaf {
		return errors.New("an inline bucket that is not a leaf")
	}
	return in.elements(inline)
}

// freelist reads the list of free pages: sorted, in range, none twice.
func (in *inspection) freelist() error {
	if in.meta.freelist == noFreelist {
		return nil
	}
	p, err := in.page(in.meta.freelist)
	if err != nil {
		return err
	}
	n := binary.NativeEndian
	if kind := n.Uint16(p[8:]); kind != pageFreelist {
		return fmt.Errorf("page %d: unexpected kind %#x", in.meta.freelist, kind)
	}
	count, ids := uint64(n.Uint16(p[10:])), p[pageHeader:]
	if count == 0xFFFF { // too many for the field: the first entry is the number
		count, ids = n.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return fmt.Errorf("page %d: %d free pages do not fit", in.meta.freelist, count)
	}
	last := uint64(1)
	for i := range count {
		id := n.Uint64(ids[8*i:])
		if id <= last || id >= in.meta.pages || in.seen.has(id) {
			return fmt.Errorf("page %d cannot be free", id)
		}
		in.free.add(id)
		last = id
	}
	return nil
}
