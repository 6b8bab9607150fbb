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

// names are those of an object so far.
type names struct {
	list []string            // the first few
	more map[string]struct{} // all, once they are more
}

// add says whether the name is new.
func (n *names) add(name string) (fresh bool) {
	if n.more != nil {
		before := len(n.more)
		n.more[name] = struct{}{}
		return len(n.more) > before
	}
	for _, other := range n.list {
		if other == name {
			return false
		}
	}
	n.list = append(n.list, name)
	if len(n.list) > few {
		n.more = make(map[string]struct{}, 4*few)
		for _, name := range n.list {
			n.more[name] = struct{}{}
		}
	}
	return true
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
