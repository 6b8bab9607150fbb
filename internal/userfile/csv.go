package userfile

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"signet/internal/compactjws"
	"signet/users"
)

// column takes the text of one column; false refuses it as not what is wanted.
type column struct {
	part users.Parts // that only this column tells
	take func(a *Account, text string) bool
	want string
}

// columns are by their name here; columnAliases are other names of them.
var columns = map[string]column{
	"username":     text(0, func(a *Account) *string { return &a.Name }),
	"password":     text(users.PartHash, func(a *Account) *string { return &a.Hash }),
	"user_id":      text(users.PartUserID, func(a *Account) *string { return &a.UserID }),
	"email":        text(users.PartEmail, func(a *Account) *string { return &a.Profile.Email }),
	"first_name":   text(users.PartGivenName, func(a *Account) *string { return &a.Profile.GivenName }),
	"last_name":    text(users.PartFamilyName, func(a *Account) *string { return &a.Profile.FamilyName }),
	"is_staff":     truth(users.PartStaff, func(a *Account, is bool) { a.Profile.Staff = is }),
	"is_superuser": truth(users.PartSuperuser, func(a *Account, is bool) { a.Profile.Superuser = is }),
	"is_active":    truth(users.PartDisabled, func(a *Account, is bool) { a.Disabled = !is }),
	"groups":       list(users.PartGroups, func(a *Account) *[]string { return &a.Profile.Groups }),
	"permissions":  list(users.PartPermissions, func(a *Account) *[]string { return &a.Profile.Permissions }),
	"claims":       {users.PartClaims, takeClaims, "a JSON object"},
	"date_joined":  {0, takeCreated, "a time of RFC 3339"},
}

var columnAliases = map[string]string{"given_name": "first_name", "family_name": "last_name", "created": "date_joined"}

func text(part users.Parts, field func(*Account) *string) column {
	return column{part: part, take: func(a *Account, text string) bool { *field(a) = text; return true }}
}

func truth(part users.Parts, set func(*Account, bool)) column {
	return column{part, func(a *Account, text string) bool {
		is, err := strconv.ParseBool(text)
		set(a, is)
		return err == nil
	}, "true or false"}
}

// list is separated by semicolons.
func list(part users.Parts, field func(*Account) *[]string) column {
	return column{part: part, take: func(a *Account, text string) bool {
		for entry := range strings.SplitSeq(text, ";") {
			if entry = strings.TrimSpace(entry); entry != "" {
				*field(a) = append(*field(a), entry)
			}
		}
		return true
	}}
}

func takeClaims(a *Account, text string) bool {
	if text == "" {
		return true
	}
	a.Profile.Claims = json.RawMessage(text)
	_, err := compactjws.Object(a.Profile.Claims)
	return err == nil
}

func takeCreated(a *Account, text string) (ok bool) {
	a.Created, ok = parseTime(text)
	return ok
}

func (r *Reader) openCSV(file io.ReadSeeker) error {
	in, err := fromStart(file)
	if err != nil {
		return err
	}
	lines := &records{in: in, quotes: true}
	header, err := readHeader(lines)
	if err != nil {
		return err
	}
	r.absent = absentColumns(header)
	r.next = func() (Row, error) {
		text, line, err := lines.next()
		if err != nil {
			return Row{}, err
		}
		account, reason := parseRecord(header, text)
		if reason != "" {
			return Row{}, &RowError{Line: line, Name: account.Name, Reason: reason}
		}
		return Row{Line: line, Account: account, Absent: r.absent}, nil
	}
	return nil
}

// readHeader returns the names of the columns, without aliases.
func readHeader(lines *records) ([]string, error) {
	text, line, err := lines.next()
	if err == io.EOF {
		return nil, ErrEmpty
	}
	if refused := (*RowError)(nil); errors.As(err, &refused) {
		return nil, &FileError{line, 1, refused.Reason}
	}
	if err != nil {
		return nil, err
	}
	header, reason := fields(text)
	if reason == "" {
		header, reason = checkHeader(header)
	}
	if reason != "" {
		return nil, &FileError{line, 1, reason}
	}
	return header, nil
}

func checkHeader(names []string) (header []string, reason string) {
	seen := map[string]string{}
	for _, name := range names {
		known := strings.TrimSpace(name)
		if alias, ok := columnAliases[known]; ok {
			known = alias
		}
		if _, ok := columns[known]; !ok {
			return nil, "unknown column " + shown(name)
		}
		if before, ok := seen[known]; ok {
			return nil, fmt.Sprintf("the columns %q and %q are the same", before, name)
		}
		seen[known] = name
		header = append(header, known)
	}
	if seen["username"] == "" {
		return nil, "the header has no column \"username\""
	}
	return header, ""
}

// absentColumns are the parts of accounts that no column tells.
func absentColumns(header []string) users.Parts {
	absent := users.AllParts
	for _, name := range header {
		absent &^= columns[name].part
	}
	return absent
}

// parseRecord reads an account; a reason refuses it.
func parseRecord(header []string, record []byte) (a Account, reason string) {
	row, reason := fields(record)
	switch {
	case reason != "":
		return a, reason
	case len(row) != len(header):
		return a, fmt.Sprintf("it has %d fields, the header has %d", len(row), len(header))
	}
	for i, name := range header {
		if c := columns[name]; !c.take(&a, row[i]) {
			reason = fmt.Sprintf("its column %s is not %s", name, c.want)
		}
	}
	if reason != "" {
		return a, reason
	}
	return a, needName(a)
}

// fields takes one record apart. Its own reader for each: none goes on where another
// one lost its way.
func fields(record []byte) (row []string, reason string) {
	if !utf8.Valid(record) {
		return nil, "it is not UTF-8"
	}
	r := csv.NewReader(bytes.NewReader(record))
	row, err := r.Read()
	if err == nil {
		if _, more := r.Read(); more != io.EOF {
			err = csv.ErrQuote
		}
	}
	if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) {
		err = wrong.Err
	}
	if err != nil {
		return nil, "it is not CSV (RFC 4180): " + err.Error()
	}
	return row, ""
}
