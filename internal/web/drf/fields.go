package drf

import (
	"fmt"
	"net/http"
	"strings"

	"signet/internal/web/clientaddr"
	"signet/internal/web/problem"
	"signet/issuer"
	"signet/users"
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

// Field is a text that an endpoint asks for.
type Field struct {
	Name string
	// Trim drops white space at both ends.
	Trim bool
	// Limit is the longest that is taken, in bytes; 0 leaves it to the body's limit.
	Limit int
}

// Has reports whether the body names the field.
func (c *Call) Has(name string) bool {
	_, ok := c.body[name]
	return ok
}

// Read returns the fields in the order asked for, or everything that is wrong
// with them at once.
func (c *Call) Read(fields ...Field) ([]string, error) {
	texts := make([]string, len(fields))
	var faults problem.Fields
	for i, f := range fields {
		text, fault := f.check(c.body)
		if fault != "" {
			faults = append(faults, problem.Field{Name: f.Name, Messages: []string{fault}})
		}
		texts[i] = text
	}
	if faults != nil {
		return nil, problem.Invalid(faults)
	}
	return texts, nil
}

// Attempt reads the two fields of a login. A password is never trimmed.
func (c *Call) Attempt(proxies *clientaddr.Proxies) (issuer.Attempt, error) {
	fields, err := c.Read(
		Field{Name: "username", Trim: true, Limit: users.MaxNameBytes},
		Field{Name: "password", Limit: users.MaxPasswordBytes})
	if err != nil {
		return issuer.Attempt{}, err
	}
	return issuer.Attempt{
		Client: issuer.FirstParty, Name: fields[0], Password: fields[1], From: proxies.Client(c.Request),
	}, nil
}

func (f Field) check(v values) (text, fault string) {
	got, ok := v[f.Name]
	text = got.text
	if f.Trim {
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
	case f.Limit > 0 && len(text) > f.Limit:
		return "", fmt.Sprintf("Ensure this field has no more than %d bytes.", f.Limit)
	}
	return text, ""
}

// Invalid is the 400 for one field.
func Invalid(name, message string) *problem.Problem {
	return problem.Invalid(problem.Fields{{Name: name, Messages: []string{message}}})
}

// malformed is the 400 for a body that cannot be read.
func malformed(detail string) *problem.Problem {
	return problem.New(http.StatusBadRequest, detail)
}
