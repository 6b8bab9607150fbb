package compactjws

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// few is a number of members that are compared one by one faster than they are hashed.
// Beyond it a stranger's token must not make work that grows with its square.
const few = 16

// Member is a member of a JSON object, its value undecoded.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Members are those of one object, in its order.
type Members []Member

// Get returns the value of the member with exactly this name.
func (m Members) Get(name string) (value json.RawMessage, ok bool) {
	for i := range m {
		if m[i].Name == name {
			return m[i].Value, true
		}
	}
	return nil, false
}

// distinct are the members of an object so far, each with a name of its own.
type distinct struct {
	members Members
	names   map[string]struct{} // once they are more than a few
}

// add says whether the member's name is new.
func (d *distinct) add(m Member) (fresh bool) {
	if len(d.members) == few {
		d.names = make(map[string]struct{}, 4*few)
		for _, m := range d.members {
			d.names[m.Name] = struct{}{}
		}
	}
	if d.names == nil {
		_, twice := d.members.Get(m.Name)
		fresh = !twice
	} else {
		d.names[m.Name] = struct{}{}
		fresh = len(d.names) > len(d.members)
	}
	d.members = append(d.members, m)
	return fresh
}

// Text is json.Unmarshal of a value from ReadMembers into a string.
func Text(value json.RawMessage, into *string) error {
	if value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return json.Unmarshal(value, into)
	}
	*into = string(value[1 : len(value)-1])
	return nil
}

// Integer is json.Unmarshal of a value from ReadMembers into an int64.
func Integer(value json.RawMessage, into *int64) error {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return json.Unmarshal(value, into)
	}
	*into = n
	return nil
}
