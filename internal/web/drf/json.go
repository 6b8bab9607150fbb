package drf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"signet/internal/compactjws"
	"signet/internal/web/problem"
)

// parseJSON takes one object. encoding/json is lenient where it must not be: it
// takes the last of two members and repairs what is not UTF-8.
func parseJSON(body []byte) (values, error) {
	if !utf8.Valid(body) {
		return nil, jsonFault("the body is not UTF-8")
	}
	if !json.Valid(body) {
		var whole json.RawMessage
		return nil, syntax(json.Unmarshal(body, &whole)) // which says what and where
	}
	if kind := pythonType(body); kind != "dict" {
		return nil, notAnObject(kind)
	}
	members, err := compactjws.Object(body)
	switch {
	case errors.Is(err, compactjws.ErrDuplicate):
		return nil, jsonFault("a member is named twice")
	case err != nil:
		return nil, jsonFault("nested too deep")
	}
	fields := make(values, len(members))
	for name, raw := range members {
		fields[name] = jsonValue(raw)
	}
	return fields, nil
}

// jsonValue reads a string, or a number by its literal: 007 in a form and 7 in JSON
// are names that a person may have.
func jsonValue(raw json.RawMessage) value {
	switch raw[0] {
	case '"':
		return jsonString(raw)
	case 'n':
		return value{fault: faultNull}
	case '{', '[', 't', 'f':
		return value{fault: faultString}
	default:
		return value{text: string(raw)}
	}
}

func jsonString(raw json.RawMessage) value {
	if bytes.IndexByte(raw, '\\') < 0 { // a token, mostly: it stands there as it is
		return value{text: string(raw[1 : len(raw)-1])}
	}
	if unit, ok := loneSurrogate(raw); ok {
		return value{fault: fmt.Sprintf("Surrogate characters are not allowed: U+%X.", unit)}
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return value{fault: faultString}
	}
	return value{text: text}
}

// loneSurrogate finds a \u escape that is half of a pair (RFC 8259 §8.2), which
// encoding/json would silently replace: two passwords would be one.
func loneSurrogate(raw []byte) (unit rune, found bool) {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++ // raw is valid JSON: something is escaped
		if raw[i] != 'u' {
			continue
		}
		unit := escaped(raw[i+1:])
		i += 4
		if !utf16.IsSurrogate(unit) {
			continue
		}
		if rest, ok := bytes.CutPrefix(raw[i+1:], []byte(`\u`)); !ok || utf16.DecodeRune(unit, escaped(rest)) == utf8.RuneError {
			return unit, true
		}
		i += 6
	}
	return 0, false
}

// escaped is the code unit of the four digits behind \u.
func escaped(digits []byte) rune {
	unit, _ := strconv.ParseUint(string(digits[:4]), 16, 16)
	return rune(unit)
}

func syntax(err error) error {
	if at, ok := errors.AsType[*json.SyntaxError](err); ok {
		return jsonFault(fmt.Sprintf("%v (char %d)", at, max(at.Offset-1, 0)))
	}
	return jsonFault("the body is not JSON")
}

func jsonFault(what string) *problem.Problem { return malformed("JSON parse error - " + what) }

func notAnObject(kind string) error {
	if kind == "NoneType" {
		return Invalid(problem.NonField, "No data provided")
	}
	return Invalid(problem.NonField, "Invalid data. Expected a dictionary, but got "+kind+".")
}

// pythonType names the type of a JSON text as the recordings do.
func pythonType(text []byte) string {
	text = bytes.TrimLeft(text, " \t\r\n")
	switch text[0] {
	case '{':
		return "dict"
	case '[':
		return "list"
	case '"':
		return "str"
	case 't', 'f':
		return "bool"
	case 'n':
		return "NoneType"
	}
	if strings.ContainsAny(string(text), ".eE") {
		return "float"
	}
	return "int"
}
