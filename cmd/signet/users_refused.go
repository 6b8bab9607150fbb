package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// refusedHeader begins a list of refused rows. A file without it is never replaced by
// one.
const refusedHeader = "# rows that signet users import refused: line, name, reason\n"

// refusedList is the file that is made for the first refused row. It holds no hash.
type refusedList struct {
	path string
	file *os.File
	out  *bufio.Writer
}

// newRefusedList removes the list of an earlier import.
func newRefusedList(path string) (*refusedList, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &refusedList{path: path}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	begin := make([]byte, len(refusedHeader))
	if n, _ := file.Read(begin); !bytes.Equal(begin[:n], []byte(refusedHeader)) {
		return nil, hintedError{fmt.Errorf("%s is in the way: refused rows would be listed there", path),
			"--refused FILE names another file"}
	}
	return &refusedList{path: path}, os.Remove(path)
}

// add lists rows in the order of their lines.
func (l *refusedList) add(rows []refusal) (err error) {
	if len(rows) == 0 {
		return nil
	}
	if l.file == nil {
		if l.file, err = os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return err
		}
		l.out = bufio.NewWriter(l.file)
		l.out.WriteString(refusedHeader)
	}
	slices.SortStableFunc(rows, func(a, b refusal) int { return cmp.Compare(a.line, b.line) })
	for _, r := range rows {
		pk := ""
		if r.pk != "" {
			pk = "pk " + r.pk + " "
		}
		// %q: a name may hold what a terminal obeys.
		fmt.Fprintf(l.out, "%d: %s%.255q: %s\n", r.line, pk, r.name, r.reason)
	}
	return nil
}

func (l *refusedList) close() error {
	if l.file == nil {
		return nil
	}
	return errors.Join(l.out.Flush(), l.file.Close())
}
