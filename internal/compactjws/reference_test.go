package compactjws

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"testing"
	"unicode/utf8"
)

// reference reads an object by encoding/json alone, token by token, and says whether
// it may be taken.
func reference(data []byte) (members map[string]json.RawMessage, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if !utf8.Valid(data) || !referenceValue(dec, 0) {
		return nil, false
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, false
	}
	err := json.Unmarshal(data, &members)
	return members, err == nil && members != nil
}

func referenceValue(dec *json.Decoder, depth int) bool {
	token, err := dec.Token()
	opening, nested := token.(json.Delim)
	if err != nil || nested && depth >= maxDepth {
		return false
	}
	seen := map[string]bool{}
	for nested && dec.More() {
		if opening == '{' {
			name, err := dec.Token()
			text, ok := name.(string)
			if err != nil || !ok || seen[text] {
				return false
			}
			seen[text] = true
		}
		if !referenceValue(dec, depth+1) {
			return false
		}
	}
	if nested {
		_, err = dec.Token()
	}
	return err == nil
}

// FuzzObjectAgainstReference: what Object takes and what it refuses is what a slower
// reader takes and refuses, member by member.
func FuzzObjectAgainstReference(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, ` { "a" : [ 1 , { "b" : null } , "\"]}" ] , "\u0063" : -1.5e+3 } `, `{"a":{"b":1,"\u0062":2}}`,
		`{"a":"\\","b":"}"}`, `{"a":[[],{},[[{}]]]}`, `{"":"","\u0000":0}`, `[{}]`, `{"a":1}{}`, `{"a":`, `{"a\ud800":1,"a\ufffd":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Object(data)
		want, ok := reference(data)
		if (err == nil) != ok {
			t.Fatalf("Object(%q) = %v, and the reference says %v", data, err, ok)
		}
		if ok && !reflect.DeepEqual(got, want) {
			t.Errorf("Object(%q) = %s, want %s", data, got, want)
		}
	})
}
