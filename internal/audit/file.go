package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxLine bounds a line, in bytes; none that is written comes near.
const maxLine = 64 << 10

// file is the open file of a log. It ends in a whole line.
type file struct {
	*os.File
	size int64
	cut  int64 // what stood behind the last whole line
}

// left is a file as it was when it was last written to without a fault; nil is none.
type left struct {
	info fs.FileInfo
	size int64
}

// openFile opens the log at path for this process alone, or makes an empty one, and
// returns the head that its last line makes. What stands behind the last record that was
// acknowledged is taken off: of a write that failed in this process, and half a line of a
// crash in the middle of one.
func openFile(path string, before *left) (_ *file, head Head, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, Head{}, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := lock(f); err != nil {
		return nil, Head{}, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	size, err := sizeOf(f, before)
	if err != nil {
		return nil, Head{}, err
	}
	last, end, err := lastLine(f, size)
	if err != nil {
		return nil, Head{}, fmt.Errorf("%w: %s: %w", ErrForeign, path, err)
	}
	if len(last) > 0 {
		if head, err = headOf(last); err != nil {
			return nil, Head{}, fmt.Errorf("%w: the last line of %s is no record: %w", ErrForeign, path, err)
		}
	}
	if end < size {
		if err := f.Truncate(end); err != nil {
			return nil, Head{}, err
		}
	}
	// The entry in the directory is to last as long as what is written.
	return &file{File: f, size: end, cut: size - end}, head, errors.Join(f.Sync(), syncDir(filepath.Dir(path)))
}

// sizeOf is the size of a regular file, after what a failed write of this process has left
// is taken off.
func sizeOf(f *os.File, before *left) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%w: %s is not a regular file", ErrForeign, f.Name())
	}
	if before != nil && os.SameFile(info, before.info) && info.Size() > before.size {
		return before.size, f.Truncate(before.size)
	}
	return info.Size(), nil
}

// lastLine returns the last whole line of a file of that size without its newline, and
// where it ends. What stands behind it must be the beginning of a record, or nothing but
// zeros, which a power cut leaves: a file that is something else is not to be cut.
func lastLine(f *os.File, size int64) (line []byte, end int64, err error) {
	if size, err = withoutZeros(f, size); err != nil {
		return nil, 0, err
	}
	from := max(0, size-2*maxLine)
	tail := make([]byte, size-from)
	if _, err := f.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	last := bytes.LastIndexByte(tail, '\n')
	if half := tail[last+1:]; !bytes.HasPrefix(half, []byte(beginning)[:min(len(half), len(beginning))]) || len(half) > maxLine {
		return nil, 0, errors.New("it ends in what is no record")
	}
	whole := tail[:last+1]
	start := bytes.LastIndexByte(bytes.TrimSuffix(whole, []byte("\n")), '\n') + 1
	return bytes.TrimSuffix(whole[start:], []byte("\n")), from + int64(len(whole)), nil
}

// beginning is how each line begins.
const beginning = `{"seq":`

// withoutZeros is the size without the zero bytes at the end.
func withoutZeros(f *os.File, size int64) (int64, error) {
	block := make([]byte, maxLine)
	for size > 0 {
		part := block[:min(int64(len(block)), size)]
		if _, err := f.ReadAt(part, size-int64(len(part))); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		text := bytes.TrimRight(part, "\x00")
		size -= int64(len(part) - len(text))
		if len(text) > 0 {
			return size, nil
		}
	}
	return 0, nil
}

// headOf is the head that a line makes.
func headOf(line []byte) (Head, error) {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		return Head{}, err
	}
	if r.Seq == 0 {
		return Head{}, errors.New("it has no number")
	}
	return Head{Seq: r.Seq, Hash: sha256.Sum256(line)}, nil
}

// errGap: the file begins after records that nobody here has seen.
var errGap = errors.New("records before its first one are not known")

// follows says why the end of the file does not follow the record of head: a crash leaves
// a file that is ahead of its mark, and one that somebody else has written looks alike
// until the records between are read. errGap if the file begins later than behind head, as
// it does after a restore of an older database.
func (f *file) follows(head Head) error {
	from, err := f.notAfter(head.Seq)
	if err != nil {
		return err
	}
	v := &verifier{mark: Mark{Start: head, Head: head}}
	err = v.read(Source{Name: f.Name(), Reader: io.NewSectionReader(f, from, f.size-from)})
	if fault, ok := errors.AsType[*Fault](err); ok && fault.Missing && v.report.First == 0 {
		v = &verifier{}
		if err = v.read(Source{Name: f.Name(), Reader: io.NewSectionReader(f, 0, f.size)}); err == nil {
			err = errGap
		}
	}
	return err
}

// notAfter is where a line begins whose record is not after seq, or the beginning.
func (f *file) notAfter(seq uint64) (int64, error) {
	block := make([]byte, 2*maxLine)
	for from := f.size; from > 0; {
		from = max(0, from-maxLine)
		n, err := f.ReadAt(block, from)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		start := 0
		if from > 0 {
			start = bytes.IndexByte(block[:n], '\n') + 1
		}
		line, _, _ := bytes.Cut(block[start:n], []byte("\n"))
		if h, err := headOf(line); err == nil && h.Seq <= seq {
			return from + int64(start), nil
		}
	}
	return 0, nil
}

// append writes and syncs. What a failed write has left is taken off, as far as that can
// be done.
func (f *file) append(text []byte) error {
	_, err := f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Truncate(f.size))
	}
	f.size += int64(len(text))
	return nil
}

// intact reports whether the file is still there and as long as it was left. One that
// was moved away is; who moves it says when to open another.
func (f *file) intact() bool {
	info, err := f.Stat()
	return err == nil && linked(info) && info.Size() == f.size
}

// leave closes the file, and says how it was left.
func (f *file) leave() *left {
	info, err := f.Stat()
	f.Close()
	if err != nil {
		return nil
	}
	return &left{info: info, size: f.size}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
