package userfile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// records cuts a file at the ends of lines; with quotes, at those that are not inside
// of quotes (RFC 4180 §2). What is too large is read to its end and left out: to go on
// in the middle of it would let a value of one record become another record.
type records struct {
	in     *bufio.Reader
	quotes bool
	lines  int // read so far
	buf    []byte
}

// next returns the next record that is not blank, which is good until the next call,
// and the line where it begins.
func (s *records) next() (record []byte, line int, err error) {
	for {
		line = s.lines + 1
		size, err := s.read()
		switch {
		case err != nil:
			return nil, line, err
		case size > MaxRecord:
			return nil, line, &RowError{Line: line, Reason: tooLarge}
		case len(bytes.TrimSpace(s.buf)) > 0:
			return s.buf, line, nil
		}
	}
}

var tooLarge = fmt.Sprintf("the record is larger than %d KiB", MaxRecord>>10)

// read puts one record, or as much of it as is allowed, into buf.
func (s *records) read() (size int, err error) {
	s.buf = s.buf[:0]
	for state := fieldStart; ; {
		c, err := s.in.ReadByte()
		if err == io.EOF && size > 0 {
			return size, nil
		}
		if err != nil {
			return size, err
		}
		if size++; size <= MaxRecord {
			s.buf = append(s.buf, c)
		}
		if c == '\n' {
			s.lines++
			if state != inQuotes {
				return size, nil
			}
		}
		if s.quotes {
			state = state.after(c)
		}
	}
}

// quoteState is where in a CSV record a byte stands.
type quoteState int

const (
	fieldStart quoteState = iota
	unquoted
	inQuotes
	quoteEnded // or the first half of a doubled quote
)

func (s quoteState) after(c byte) quoteState {
	switch {
	case c == '"' && s != unquoted:
		if s == inQuotes {
			return quoteEnded
		}
		return inQuotes
	case s == inQuotes:
		return inQuotes
	case c == ',':
		return fieldStart
	default:
		return unquoted
	}
}
