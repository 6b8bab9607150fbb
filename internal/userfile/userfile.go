// Package userfile is accounts in files: those that Signet exports, and those that
// other systems leave behind.
//
// Start at [Open]. It reads JSON lines of an export, CSV, and the JSON of Django's
// dumpdata, one account at a time and never the whole file; [Writer] writes an
// export. A row that cannot be read is refused with a sentence, and reading goes on.
// The package refuses what two readers could understand differently: text that is not
// UTF-8, members and columns that it does not know, names that occur twice. No error
// of it repeats a value that may be a password hash.
package userfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"signet/users"
)

// The formats.
const (
	Django = "django" // dumpdata --format json
	CSV    = "csv"    // RFC 4180 with a header
	Lines  = "jsonl"  // an export
)

// Formats are all of them.
var Formats = []string{Django, CSV, Lines}

// MaxRecord bounds a record of any format, in bytes.
const MaxRecord = 256 << 10

// ErrEmpty: the file holds nothing.
var ErrEmpty = errors.New("the file is empty")

// Row is an account and the line where its record begins.
type Row struct {
	Line int
	// PK is the primary key in a dump of Django, which may be one line, as it may be shown.
	PK string
	Account
	// Absent are the parts of the account that the file cannot tell.
	Absent users.Parts
}

// RowError refuses one row; those after it can be read.
type RowError struct {
	Line     int
	PK, Name string // as far as they are known
	Reason   string
}

func (e *RowError) Error() string { return place{e.Line, e.PK}.String() + ": " + e.Reason }

// place is where in the file an account is.
type place struct {
	line int
	pk   string
}

func (p place) String() string {
	if p.pk == "" {
		return fmt.Sprintf("line %d", p.line)
	}
	return fmt.Sprintf("line %d (pk %s)", p.line, p.pk)
}

// FileError ends the reading of a file.
type FileError struct {
	Line, Column int
	Reason       string
}

func (e *FileError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// Reader gives the accounts of a file.
type Reader struct {
	next     func() (Row, error)
	warnings func() []string
	seen     [3]map[string]place // of each name, user_id and sub
	absent   users.Parts
}

// Open begins to read a file. model is what Django calls its accounts, such as
// auth.user. A *FileError, a *ModelError or ErrEmpty says why it cannot.
func Open(file io.ReadSeeker, format, model string) (*Reader, error) {
	r := &Reader{warnings: func() []string { return nil }}
	for i := range r.seen {
		r.seen[i] = map[string]place{}
	}
	var err error
	switch format {
	case Django:
		err = r.openDjango(file, model)
	case CSV:
		err = r.openCSV(file)
	case Lines:
		err = r.openLines(file)
	default:
		err = fmt.Errorf("unknown format %q", format)
	}
	return r, err
}

// Next returns the next account. A *RowError refuses one and Next may be called
// again; io.EOF is the end, any other error one too.
func (r *Reader) Next() (Row, error) {
	row, err := r.next()
	if err != nil {
		return Row{}, err
	}
	if users.HashKind(row.Name) != "" {
		return Row{}, &RowError{Line: row.Line, PK: row.PK, Reason: "its name is a password hash"}
	}
	if reason := r.repeated(row); reason != "" {
		return Row{}, &RowError{Line: row.Line, PK: row.PK, Name: row.Name, Reason: reason}
	}
	return row, nil
}

// Absent are the parts that no account of the file tells.
func (r *Reader) Absent() users.Parts { return r.absent }

// Warnings say what was left out of accounts that were read, once Next has come to
// the end.
func (r *Reader) Warnings() []string { return r.warnings() }

// repeated refuses an account that an earlier row is. Which of the two would win is
// not left to chance.
func (r *Reader) repeated(row Row) string {
	name := row.Name
	if canonical, err := users.Canonical(name); err == nil {
		name = canonical
	}
	keys := [...]struct{ what, key string }{{"name", name}, {"user_id", row.UserID}, {"sub", row.Sub}}
	for i, k := range keys {
		if first, ok := r.seen[i][k.key]; ok && k.key != "" {
			return fmt.Sprintf("its %s is that of %s already", k.what, first)
		}
	}
	for i, k := range keys {
		r.seen[i][k.key] = place{row.Line, row.PK}
	}
	return ""
}

// Detect tells the format by how the file begins, and goes back there.
func Detect(file io.ReadSeeker) (string, error) {
	head := make([]byte, 4<<10)
	n, err := io.ReadFull(file, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	head = bytes.TrimSpace(bytes.TrimPrefix(head[:n], byteOrderMark))
	switch {
	case len(head) == 0:
		return "", ErrEmpty
	case head[0] == '[':
		return Django, nil
	case head[0] == '{':
		return Lines, nil
	default:
		return CSV, nil
	}
}

// byteOrderMark is what some programs write before UTF-8.
var byteOrderMark = []byte("\ufeff")

// fromStart reads the file from its beginning, without a byte order mark.
func fromStart(file io.ReadSeeker) (*bufio.Reader, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(file, 64<<10)
	if head, _ := in.Peek(len(byteOrderMark)); slices.Equal(head, byteOrderMark) {
		in.Discard(len(byteOrderMark))
	}
	return in, nil
}
