package userfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// dump is the JSON array of dumpdata, one element at a time.
type dump struct {
	dec *json.Decoder
	in  *boundedReader
}

// boundedReader gives the decoder no more than one record may have, beyond what the
// decoder has consumed: a string without an end is not gathered in memory. It
// remembers where the lines end that were read and not yet consumed.
type boundedReader struct {
	io.Reader
	consumed func() int64
	read     int64
	ends     []int64
	line     int
	begin    int64 // of that line
}

var errTooLarge = errors.New(tooLarge)

func (b *boundedReader) Read(p []byte) (int, error) {
	room := MaxRecord - (b.read - b.consumed())
	if room <= 0 {
		return 0, errTooLarge
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), room)])
	for i, c := range p[:n] {
		if c == '\n' {
			b.ends = append(b.ends, b.read+int64(i)+1)
		}
	}
	b.read += int64(n)
	return n, err
}

// position is the line and column of a byte; it may not go back.
func (b *boundedReader) position(offset int64) (line, column int) {
	passed := 0
	for passed < len(b.ends) && b.ends[passed] <= offset {
		b.begin = b.ends[passed]
		passed++
	}
	b.line += passed
	b.ends = append(b.ends[:0], b.ends[passed:]...)
	return b.line, int(offset-b.begin) + 1
}

// openDump goes to the first element.
func openDump(file io.ReadSeeker) (*dump, error) {
	in, err := fromStart(file)
	if err != nil {
		return nil, err
	}
	d := &dump{in: &boundedReader{Reader: in, line: 1}}
	d.dec = json.NewDecoder(d.in)
	d.in.consumed = d.dec.InputOffset
	switch token, err := d.dec.Token(); {
	case err == io.EOF:
		return nil, ErrEmpty
	case err != nil:
		return nil, d.broken(err)
	case token != json.Delim('['):
		return nil, &FileError{1, 1, "it is not the JSON array that dumpdata --format json writes"}
	}
	return d, nil
}

// next returns the next element and its line, or io.EOF.
func (d *dump) next() (element json.RawMessage, line int, err error) {
	if !d.dec.More() {
		return nil, 0, d.end()
	}
	if err := d.dec.Decode(&element); err != nil {
		return nil, 0, d.broken(err)
	}
	line, _ = d.in.position(d.dec.InputOffset() - int64(len(element)))
	return element, line, nil
}

func (d *dump) end() error {
	if _, err := d.dec.Token(); err != nil {
		return d.broken(err)
	}
	if _, err := d.dec.Token(); err != io.EOF {
		return d.broken(errors.New("there is something after the JSON array"))
	}
	return io.EOF
}

// broken says where the JSON ends to be JSON. The offsets in the decoder's errors do
// not count everything; what it has not consumed is read again to find the place.
func (d *dump) broken(err error) error {
	at, reason := d.dec.InputOffset(), err.Error()
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		at, reason = d.in.read, "the file ends before its JSON array does"
	case errors.As(err, &syntax):
		var rest json.RawMessage
		if errors.As(json.NewDecoder(d.dec.Buffered()).Decode(&rest), &syntax) {
			at += max(syntax.Offset-1, 0)
		}
		reason = "it is not JSON: " + syntax.Error()
	case errors.Is(err, errTooLarge):
		rest, _ := io.ReadAll(d.dec.Buffered())
		at += int64(len(rest) - len(bytes.TrimLeft(rest, " \t\r\n")))
		reason = tooLarge + "; dump the accounts alone: manage.py dumpdata auth.user auth.group auth.permission contenttypes"
	}
	line, column := d.in.position(at)
	return &FileError{line, column, reason}
}

// entry is an element of dumpdata, with those fields that say something about
// accounts; each is read as what it should be where it is used.
type entry struct {
	Model  string          `json:"model"`
	PK     json.RawMessage `json:"pk"`
	Fields struct {
		Username    json.RawMessage `json:"username"`
		Password    json.RawMessage `json:"password"`
		Name        json.RawMessage `json:"name"`
		Codename    json.RawMessage `json:"codename"`
		ContentType json.RawMessage `json:"content_type"`
		AppLabel    json.RawMessage `json:"app_label"`
		Permissions json.RawMessage `json:"permissions"`
	} `json:"fields"`
}

// parseEntry reports whether the element is one of dumpdata.
func parseEntry(element []byte) (e entry, ok bool) {
	err := json.Unmarshal(element, &e)
	return e, err == nil && e.Model != ""
}

// key is the text of a primary key: a number or a string. Others are none.
func key(pk json.RawMessage) (string, bool) {
	var text string
	if json.Unmarshal(pk, &text) == nil && len(pk) > 0 && pk[0] == '"' {
		return text, true
	}
	var number json.Number
	if json.Unmarshal(pk, &number) == nil && number != "" {
		return number.String(), true
	}
	return "", false
}

// stringOf is a JSON string, or "" for what is none.
func stringOf(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// count is a number with what it counts.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
