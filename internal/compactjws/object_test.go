package compactjws

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestObjectReturnsTheMembersUndecoded(t *testing.T) {
	got, err := Object([]byte(" {\"a\": 12345678901234567890, \"b\":{\"c\":[ 1,2 ]},\"\\u0064\":\"é\"}\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for name, value := range got {
		text[name] = string(value)
	}
	want := map[string]string{"a": "12345678901234567890", "b": `{"c":[ 1,2 ]}`, "d": `"é"`}
	if !reflect.DeepEqual(text, want) {
		t.Errorf("Object = %v, want %v", text, want)
	}
}

func TestObjectRefuses(t *testing.T) {
	tests := []struct {
		name, text string
		want       error
	}{
		{"nothing", "", ErrMalformed},
		{"white space", " \n", ErrMalformed},
		{"null", "null", ErrMalformed},
		{"list", "[]", ErrMalformed},
		{"string", `"a"`, ErrMalformed},
		{"number", "1", ErrMalformed},
		{"two objects", "{}{}", ErrMalformed},
		{"bytes behind it", "{} x", ErrMalformed},
		{"NUL behind it", "{}\x00", ErrMalformed},
		{"trailing comma in an object", `{"a":1,}`, ErrMalformed},
		{"trailing comma in a list", `{"a":[1,]}`, ErrMalformed},
		{"no colon", `{"a" 1}`, ErrMalformed},
		{"no comma", `{"a":1 "b":2}`, ErrMalformed},
		{"name without quotes", `{a:1}`, ErrMalformed},
		{"single quotes", `{'a':1}`, ErrMalformed},
		{"NaN", `{"a":NaN}`, ErrMalformed},
		{"leading zero", `{"a":01}`, ErrMalformed},
		{"open string", `{"a":"b`, ErrMalformed},
		{"open list", `{"a":[1`, ErrMalformed},
		{"mixed brackets", `{"a":[1}]`, ErrMalformed},
		{"control character in a string", "{\"a\":\"\x01\"}", ErrMalformed},
		{"unknown escape", `{"a":"\x"}`, ErrMalformed},
		{"not UTF-8", "{\"a\":\"\xff\"}", ErrMalformed},

		{"duplicate", `{"a":1,"a":1}`, ErrDuplicate},
		{"duplicate among others", `{"a":1,"b":2,"a":3}`, ErrDuplicate},
		{"duplicate by an escape", `{"exp":1,"e\u0078p":2}`, ErrDuplicate},
		{"duplicate in an object", `{"a":{"b":1,"b":2}}`, ErrDuplicate},
		{"duplicate in a list of lists", `{"a":[[{"b":1,"b":2}]]}`, ErrDuplicate},
		{"duplicate deep down", strings.Repeat(`{"a":`, 30) + `{"b":1,"b":2}` + strings.Repeat("}", 30), ErrDuplicate},
		{"duplicate empty name", `{"":1,"":2}`, ErrDuplicate},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Object([]byte(tt.text)); !errors.Is(err, tt.want) || got != nil {
				t.Errorf("Object = %s, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestNamesThatDifferAreNoDuplicates(t *testing.T) {
	for _, text := range []string{
		`{"a":1,"A":2}`, `{"a":{"a":{"a":1}}}`, `{"a":[{"b":1},{"b":2}]}`, `{"a":{"b":1},"c":{"b":1}}`,
	} {
		if _, err := Object([]byte(text)); err != nil {
			t.Errorf("Object(%s): %v", text, err)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	nested := func(depth int) []byte {
		return []byte(strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth))
	}
	if _, err := Object(nested(maxDepth)); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	if _, err := Object(nested(maxDepth + 1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d levels: %v, want %v", maxDepth+1, err, ErrMalformed)
	}
	million := []byte(`{"a":` + strings.Repeat("[", 1<<20))
	if bytes := allocated(func() { Object(million) }); bytes > 100<<10 {
		t.Errorf("a million brackets cost %d bytes", bytes)
	}
}
