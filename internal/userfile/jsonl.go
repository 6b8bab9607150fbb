package userfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"signet/internal/compactjws"
)

// Writer writes an export, one account a line.
type Writer struct{ enc *json.Encoder }

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &Writer{enc}
}

// Write adds one account.
func (w *Writer) Write(a Account) error { return w.enc.Encode(a) }

func (r *Reader) openLines(file io.ReadSeeker) error {
	in, err := fromStart(file)
	if err != nil {
		return err
	}
	lines := &records{in: in}
	r.next = func() (Row, error) {
		text, line, err := lines.next()
		if err != nil {
			return Row{}, err
		}
		account, reason := parseLine(text)
		if reason != "" {
			return Row{}, &RowError{Line: line, Name: account.Name, Reason: reason}
		}
		return Row{Line: line, Account: account}, nil
	}
	return nil
}

// parseLine reads an account; a reason refuses it.
func parseLine(text []byte) (a Account, reason string) {
	members, reason := object(text)
	if reason != "" {
		return a, reason
	}
	if members["model"] != nil && members["fields"] != nil {
		return a, "it is of Django; dump with --format json"
	}
	if reason = onlyMembers(members, accountMembers, ""); reason != "" {
		return a, reason
	}
	var profile map[string]json.RawMessage
	if json.Unmarshal(members["profile"], &profile) == nil {
		if reason = onlyMembers(profile, profileMembers, "profile."); reason != "" {
			return a, reason
		}
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, wrongType(err)
	}
	return a, needName(a)
}

func needName(a Account) string {
	if a.Name == "" {
		return "it has no name"
	}
	return ""
}

// object reads a JSON object as strictly as tokens are read: what it says does not
// depend on who reads it.
func object(text []byte) (members map[string]json.RawMessage, reason string) {
	members, err := compactjws.Object(text)
	switch {
	case errors.Is(err, compactjws.ErrDuplicate):
		return nil, "a member of it is there twice"
	case err != nil:
		return nil, "it is not a JSON object in UTF-8: " + strings.TrimPrefix(err.Error(), compactjws.ErrMalformed.Error()+": ")
	}
	return members, ""
}

// The members of an account and of its profile. encoding/json alone would also take
// them in upper case, and of two spellings the last.
var (
	accountMembers = memberNames[Account]()
	profileMembers = memberNames[Profile]()
)

func memberNames[T any]() map[string]bool {
	names := map[string]bool{}
	t := reflect.TypeFor[T]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}

func onlyMembers(members map[string]json.RawMessage, known map[string]bool, in string) (reason string) {
	for name := range members {
		if !known[name] {
			reason = max(reason, "it has an unknown member "+shown(in+name))
		}
	}
	return reason
}

// shown is an unknown name as it may be repeated: where the first line of a file is no
// header, or another separator stands in it, a name holds a password hash.
func shown(name string) string {
	if strings.Contains(name, "$") {
		return "with a $, as password hashes have"
	}
	return fmt.Sprintf("%.60q", name)
}

// wrongType names the member and not its value, which may be a hash.
func wrongType(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		kind, _, _ := strings.Cut(wrong.Value, " ")
		return fmt.Sprintf("its %s cannot be a JSON %s", wrong.Field, kind)
	}
	return "its created or password_changed is not a time of RFC 3339"
}
