package compactjws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a token's JSON; Signet's own goes to three.
const maxDepth = 32

// Object is ReadMembers with the members as a map.
func Object(data []byte) (map[string]json.RawMessage, error) {
	list, err := ReadMembers(data)
	if err != nil {
		return nil, err
	}
	members := make(map[string]json.RawMessage, len(list))
	for _, m := range list {
		members[m.Name] = m.Value
	}
	return members, nil
}

// ReadMembers reads data as exactly one JSON object in UTF-8 (RFC 8725 §3.7) without
// a duplicate member at any depth, and returns its members undecoded, as parts of data.
// encoding/json alone would take the last of two members; another parser takes
// the first, and the two then disagree about what was signed.
func ReadMembers(data []byte) (Members, error) {
	switch {
	case !utf8.Valid(data):
		return nil, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	case depth(data) > maxDepth:
		return nil, fmt.Errorf("%w: nested too deep", ErrMalformed)
	case !json.Valid(data):
		return nil, fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	w := &walk{data: data, text: string(data)}
	w.space()
	if data[w.at] != '{' {
		return nil, fmt.Errorf("%w: not a JSON object", ErrMalformed)
	}
	return w.object(few)
}

// depth is how deep brackets are nested, whether or not data is JSON. It comes first:
// what reads the grammar keeps a state for each open one.
func depth(data []byte) (deepest int) {
	open := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i) - 1
		case '{', '[':
			open++
			deepest = max(deepest, open)
		case '}', ']':
			open--
		}
	}
	return deepest
}

// stringEnd is the place behind the string that begins at i.
func stringEnd(data []byte, i int) int {
	for i++; i < len(data) && data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(data))
}

// walk goes through JSON that is known to be valid.
type walk struct {
	data []byte
	text string // the same: names are parts of it
	at   int
}

func (w *walk) space() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return
		}
	}
}

// object goes through the object that begins here, and returns its members; there is
// room for so many before any has come.
func (w *walk) object(room int) (Members, error) {
	w.at++
	found := distinct{members: make(Members, 0, room)}
	for {
		w.space()
		switch w.data[w.at] {
		case '}':
			w.at++
			return found.members, nil
		case ',':
			w.at++
			w.space()
		}
		member, err := w.member()
		if err != nil {
			return nil, err
		}
		if !found.add(member) {
			return nil, fmt.Errorf("%w: %.40q", ErrDuplicate, member.Name)
		}
	}
}

func (w *walk) member() (Member, error) {
	name := w.name()
	w.space()
	w.at++ // the colon
	w.space()
	begin := w.at
	err := w.value()
	return Member{name, w.data[begin:w.at]}, err
}

// name is that of a member, without its escapes.
func (w *walk) name() string {
	begin := w.at
	w.at = stringEnd(w.data, w.at)
	raw := w.data[begin+1 : w.at-1]
	if bytes.IndexByte(raw, '\\') >= 0 {
		var name string
		_ = json.Unmarshal(w.data[begin:w.at], &name) // it is valid
		return name
	}
	return w.text[begin+1 : w.at-1]
}

func (w *walk) value() error {
	switch w.data[w.at] {
	case '{':
		_, err := w.object(0)
		return err
	case '[':
		return w.array()
	case '"':
		w.at = stringEnd(w.data, w.at)
	default:
		w.literal()
	}
	return nil
}

func (w *walk) array() error {
	w.at++
	for {
		w.space()
		switch w.data[w.at] {
		case ']':
			w.at++
			return nil
		case ',':
			w.at++
			continue
		}
		if err := w.value(); err != nil {
			return err
		}
	}
}

// literal passes over a number, true, false or null.
func (w *walk) literal() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return
		}
		w.at++
	}
}
