package simplejwt

import (
	"fmt"
	"strings"

	"signet/internal/web/problem"
)

// values are the fields of a body, by their exact names.
type values map[string]value

// value is the text of a field, or the fault that already its type is.
type value struct {
	text, fault string
}

// What Django REST framework says of a field.
const (
	faultRequired = "This field is required."
	faultNull     = "This field may not be null."
	faultBlank    = "This field may not be blank."
	faultString   = "Not a valid string."
	faultNUL      = "Null characters are not allowed."
)

// field is a text that an endpoint asks for.
type field struct {
	name string
	trim bool
	// limit is the longest that is taken, in bytes; 0 leaves it to the body's limit.
	limit int
}

// read returns the fields in the order asked for, or everything that is wrong
// with them at once.
func (v values) read(fields ...field) ([]string, error) {
	texts := make([]string, len(fields))
	var faults problem.Fields
	for i, f := range fields {
		text, fault := f.check(v)
		if fault != "" {
			faults = append(faults, problem.Field{Name: f.name, Messages: []string{fault}})
		}
		texts[i] = text
	}
	if faults != nil {
		return nil, problem.Invalid(faults)
	}
	return texts, nil
}

func (f field) check(v values) (text, fault string) {
	got, ok := v[f.name]
	text = got.text
	if f.trim {
		text = strings.TrimSpace(text)
	}
	switch {
	case !ok:
		return "", faultRequired
	case got.fault != "":
		return "", got.fault
	case text == "":
		return "", faultBlank
	case strings.ContainsRune(text, 0):
		return "", faultNUL
	case f.limit > 0 && len(text) > f.limit:
		return "", fmt.Sprintf("Ensure this field has no more than %d bytes.", f.limit)
	}
	return text, ""
}
