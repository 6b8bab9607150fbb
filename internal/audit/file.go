package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// openFile opens the log at path for this process alone, or makes an empty one, and
// returns the head that its last line makes. Half a line at the end is of a crash in the
// middle of a write that was never acknowledged: it is taken off.
func openFile(path string) (_ *file, head Head, err error) {
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
	last, end, size, err := lastLine(f)
	if err != nil {
		return nil, Head{}, err
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

// lastLine returns the last whole line without its newline, where it ends, and the size
// of the file.
func lastLine(f *os.File) (line []byte, end, size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, 0, fmt.Errorf("%w: %s is not a regular file", ErrForeign, f.Name())
	}
	size = info.Size()
	from := max(0, size-2*maxLine)
	tail := make([]byte, size-from)
	if _, err := f.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, 0, err
	}
	last := bytes.LastIndexByte(tail, '\n')
	if last < 0 && from > 0 {
		return nil, 0, 0, fmt.Errorf("%w: %s ends in a line that is too long", ErrForeign, f.Name())
	}
	whole := tail[:last+1]
	start := bytes.LastIndexByte(bytes.TrimSuffix(whole, []byte("\n")), '\n') + 1
	return bytes.TrimSuffix(whole[start:], []byte("\n")), from + int64(len(whole)), size, nil
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

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
