package userfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/userfile"
	"signet/users"
)

const hash = "pbkdf2_sha256$1000000$abcdefghijklmnopqrstuv$d5vkDJoMIlsr9SE8A5VTj/vxPtZEXUW1nUO1sxXXr3Y="

// read returns the accounts of a file and the sentences of its refused rows.
func read(t testing.TB, format, text string) (rows []userfile.Row, refused, warnings []string, err error) {
	t.Helper()
	file := strings.NewReader(text)
	if format == "" {
		if format, err = userfile.Detect(file); err != nil {
			return nil, nil, nil, err
		}
	}
	r, err := userfile.Open(file, format, "auth.user")
	if err != nil {
		return nil, nil, nil, err
	}
	for {
		row, err := r.Next()
		if err == io.EOF {
			return rows, refused, r.Warnings(), nil
		}
		if wrong := (*userfile.RowError)(nil); errors.As(err, &wrong) {
			refused = append(refused, wrong.Error())
			continue
		}
		if err != nil {
			return rows, refused, nil, err
		}
		rows = append(rows, row)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// full is an account with all that an account may have.
var full = userfile.Account{
	Sub: strings.Repeat("A", 26), Name: "kyoko", UserID: "7", Hash: hash, Disabled: true,
	Created: time.Date(2019, 3, 4, 5, 6, 7, 0, time.UTC), PasswordChanged: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
	Profile: userfile.Profile{
		Email: "k@example.test", GivenName: "<Kyoko> & co", FamilyName: "Mori", Staff: true, Superuser: true,
		Groups: []string{"editors"}, Permissions: []string{"orders.add_order"}, Claims: []byte(`{"plan":"<gold>","n":1.50}`),
	},
}

// What is written is read again, and is the same account.
func TestLinesRoundTrip(t *testing.T) {
	entry, err := full.Entry()
	must(t, err)
	again := userfile.Of(users.User{
		ID: entry.ID, Name: entry.Name, Hash: entry.Hash, Disabled: entry.Disabled, Profile: entry.Profile,
		Created: entry.Created, PasswordChanged: entry.PasswordChanged,
	})
	want(t, "through users.Entry", again, full)
	var file bytes.Buffer
	w := userfile.NewWriter(&file)
	must(t, w.Write(full))
	must(t, w.Write(userfile.Account{Name: "mori"}))
	rows, refused, _, err := read(t, "", file.String())
	must(t, err)
	want(t, "refused", refused, []string(nil))
	want(t, "rows", rows, []userfile.Row{{Line: 1, Account: full}, {Line: 2, Account: userfile.Account{Name: "mori"}}})
}

func TestLinesRefused(t *testing.T) {
	deep := `{"name":"a","profile":{"claims":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40) + "}}"
	for text, reason := range map[string]string{
		`{"name":"a"`:                              "it is not a JSON object in UTF-8: not JSON",
		`[]`:                                       "it is not a JSON object in UTF-8: not a JSON object",
		"{\"name\":\"a\xff\"}":                     "it is not a JSON object in UTF-8: not UTF-8",
		`{"name":"a"}{}`:                           "it is not a JSON object in UTF-8: not JSON",
		deep:                                       "it is not a JSON object in UTF-8: nested too deep",
		`{"name":"a","name":"b"}`:                  "a member of it is there twice",
		`{"name":"a","Name":"b"}`:                  `it has an unknown member "Name"`,
		`{"name":"a","` + hash + `":1}`:            "it has an unknown member with a $, as password hashes have",
		`{"name":"a","admin":true}`:                `it has an unknown member "admin"`,
		`{"name":"a","profile":{"Staff":1}}`:       `it has an unknown member "profile.Staff"`,
		`{"name":1}`:                               "its name cannot be a JSON number",
		`{"name":"a","profile":{"staff":"x"}}`:     "its profile.staff cannot be a JSON string",
		`{"name":"a","created":"` + hash + `"}`:    "its created or password_changed is not a time of RFC 3339",
		`{"user_id":"7"}`:                          "it has no name",
		`{"name":"` + hash + `"}`:                  "its name is a password hash",
		`{"model":"auth.user","pk":1,"fields":{}}`: "it is of Django; dump with --format json",
		`{"name":"` + strings.Repeat("a", 256<<10) + `"}`: "the record is larger than 256 KiB",
		`{"name":"KYOKO"}`:                                    "its name is that of line 1 already",
		`{"name":"other","user_id":"7"}`:                      "its user_id is that of line 1 already",
		`{"name":"other","sub":"AAAAAAAAAAAAAAAAAAAAAAAAAA"}`: "its sub is that of line 1 already",
	} {
		file := `{"name":"kyoko","user_id":"7","sub":"AAAAAAAAAAAAAAAAAAAAAAAAAA"}` + "\n\n" + text + "\n" + `{"name":"last"}`
		rows, refused, _, err := read(t, userfile.Lines, file)
		must(t, err)
		want(t, text[:min(len(text), 60)], refused, []string{"line 3: " + reason})
		if len(rows) != 2 || rows[1].Line != 4 || rows[1].Name != "last" {
			t.Errorf("%.60s: the rows around it are %+v", text, rows)
		}
		if strings.Contains(strings.Join(refused, ""), "pbkdf2") {
			t.Errorf("%.60s: the refusal holds a hash", text)
		}
	}
}

func TestCSV(t *testing.T) {
	file := "\ufeff user_id,username,password,email,given_name,last_name,is_active,is_staff,is_superuser,groups,permissions,claims,date_joined\r\n" +
		"7,kyoko," + hash + ",k@example.test,\"Ky\"\"o\nko\",Mori,false,1,True,editors; staff,orders.add_order,\"{\"\"plan\"\": 1}\",2019-03-04 05:06:07.5+00\r\n" +
		"\r\n" +
		"8,mori,!unusable,,,,t,f,0,,,,"
	rows, refused, _, err := read(t, "", file)
	must(t, err)
	want(t, "refused", refused, []string(nil))
	want(t, "rows", rows, []userfile.Row{
		{Line: 2, Account: userfile.Account{
			Name: "kyoko", UserID: "7", Hash: hash, Disabled: true, Created: time.Date(2019, 3, 4, 5, 6, 7, 5e8, time.UTC),
			Profile: userfile.Profile{
				Email: "k@example.test", GivenName: "Ky\"o\nko", FamilyName: "Mori", Staff: true, Superuser: true,
				Groups: []string{"editors", "staff"}, Permissions: []string{"orders.add_order"}, Claims: []byte(`{"plan": 1}`),
			},
		}},
		{Line: 5, Account: userfile.Account{Name: "mori", UserID: "8", Hash: "!unusable"}},
	})
}

// A column that is not there tells nothing; one that is empty does.
func TestCSVAbsentColumns(t *testing.T) {
	for column, part := range map[string]users.Parts{
		"password": users.PartHash, "is_active": users.PartDisabled, "user_id": users.PartUserID, "email": users.PartEmail,
		"first_name": users.PartGivenName, "given_name": users.PartGivenName, "family_name": users.PartFamilyName, "is_staff": users.PartStaff,
		"is_superuser": users.PartSuperuser, "groups": users.PartGroups, "permissions": users.PartPermissions, "claims": users.PartClaims,
		"date_joined": 0,
	} {
		value := ""
		if strings.HasPrefix(column, "is_") {
			value = "false"
		}
		r, err := userfile.Open(strings.NewReader("username, "+column+"\nkyoko,"+value+"\n"), userfile.CSV, "")
		must(t, err)
		row, err := r.Next()
		must(t, err)
		want(t, column, row.Absent, users.AllParts&^part)
		want(t, column+", of all rows", r.Absent(), row.Absent)
	}
}

func TestCSVRefused(t *testing.T) {
	for text, reason := range map[string]string{
		"a,b":                           "it has 2 fields, the header has 5",
		"a\"b,,true,,":                  `it is not CSV (RFC 4180): bare " in non-quoted-field`,
		"\"a\"b,,true,,":                `it is not CSV (RFC 4180): extraneous or missing " in quoted-field`,
		"a\xff,,true,,":                 "it is not UTF-8",
		"a,x,yes,,":                     "its column is_active is not true or false",
		"a,x," + hash + ",,":            "its column is_active is not true or false",
		"a,x,,,":                        "its column is_active is not true or false",
		"a,x,true,[1],":                 "its column claims is not a JSON object",
		`a,x,true,"{""a"":1,""a"":2}",`: "its column claims is not a JSON object",
		"a,x,true,,yesterday":           "its column date_joined is not a time of RFC 3339",
		",x,true,,":                     "it has no name",
		"KYOKO,x,true,,":                "its name is that of line 2 already",
		"\"" + strings.Repeat("a\nevil,x,true,,\n", 30<<10) + "\",,true,,": "the record is larger than 256 KiB",
	} {
		file := "username,password,is_active,claims,created\nkyoko,x,true,,\n" + text + "\nlast,x,true,,\n"
		rows, refused, _, err := read(t, userfile.CSV, file)
		must(t, err)
		want(t, text[:min(len(text), 60)], refused, []string{"line 3: " + reason})
		if len(rows) != 2 || rows[1].Name != "last" {
			t.Errorf("%.60s: the rows around it are %+v", text, rows)
		}
	}
}

// A quote that is not closed takes what follows with it: nothing in it becomes a row.
func TestCSVOpenQuote(t *testing.T) {
	rows, refused, _, err := read(t, userfile.CSV, "username\nkyoko\n\"mori\nevil\n")
	must(t, err)
	want(t, "refused", refused, []string{`line 3: it is not CSV (RFC 4180): extraneous or missing " in quoted-field`})
	want(t, "rows", rows, []userfile.Row{{Line: 2, Account: userfile.Account{Name: "kyoko"}, Absent: users.AllParts}})
}

func TestFilesRefused(t *testing.T) {
	large := strings.Repeat("a", 256<<10)
	for _, c := range []struct{ format, text, reason string }{
		{"", "", "the file is empty"},
		{"", " \n\ufeff"[:2], "the file is empty"},
		{userfile.CSV, "", "the file is empty"},
		{userfile.CSV, "\n\nusername,passwort\n", `line 3, column 1: unknown column "passwort"`},
		{userfile.CSV, hash + ",kyoko\n", `line 1, column 1: unknown column with a $, as password hashes have`},
		{userfile.CSV, "kyoko;" + hash + "\n", `line 1, column 1: unknown column with a $, as password hashes have`},
		{userfile.CSV, "username;password\n", `line 1, column 1: unknown column "username;password"`},
		{userfile.CSV, "username,given_name,first_name\n", `line 1, column 1: the columns "given_name" and "first_name" are the same`},
		{userfile.CSV, "password\n", `line 1, column 1: the header has no column "username"`},
		{userfile.CSV, large + "\n", "line 1, column 1: the record is larger than 256 KiB"},
		{userfile.Django, "", "the file is empty"},
		{userfile.Django, "{}", "line 1, column 1: it is not the JSON array that dumpdata --format json writes"},
		{userfile.Django, "[]", "the file has no auth.user and nothing else"},
		{userfile.Django, "[\n {\"model\": \"auth.user\"},\n", "line 3, column 1: the file ends before its JSON array does"},
		{userfile.Django, "[\n {\"model\": \"auth", "line 2, column 17: the file ends before its JSON array does"},
		{userfile.Django, "[\n {\"model\": \"a\"},\n {\"x\": 1x}\n]", "line 3, column 9: it is not JSON: invalid character 'x' after object key:value pair"},
		{userfile.Django, "[\n {\"model\": \"a\"}\n {}]", "line 3, column 2: it is not JSON: expected comma after array element"},
		{userfile.Django, "[]\n[]", "line 2, column 2: there is something after the JSON array"},
		{userfile.Django, "[{},\n\"" + large + large + "\"]", "line 2, column 1: the record is larger than 256 KiB; dump the accounts alone: manage.py dumpdata auth.user auth.group auth.permission contenttypes"},
		{userfile.Django, `[{"model":"Accounts.User","fields":{"username":"a","password":"x"}},{"model":"auth.group","fields":{}}]`,
			"the file has no auth.user; a username and a password have: accounts.user"},
		{userfile.Django, `[{"model":"auth.group","fields":{}},{"model":"shop.order","fields":{}}]`,
			"the file has no auth.user and no other accounts; it has: auth.group, shop.order"},
		{userfile.Django, "[\n{\"model\":\"auth.group\",\"fields\":{\"name\":\"a\xff\"}}]", "line 2, column 1: the names of groups and permissions must be UTF-8"},
		{"yaml", "x", `unknown format "yaml"`},
	} {
		_, _, _, err := read(t, c.format, c.text)
		if err == nil || err.Error() != c.reason {
			t.Errorf("%s %.60q: %v, want %s", c.format, c.text, err, c.reason)
		}
	}
}

func TestTimesOutOfRange(t *testing.T) {
	for _, year := range []int{1969, 10000} {
		_, err := userfile.Account{Created: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)}.Entry()
		if reason := fmt.Sprint(err); !errors.Is(err, users.ErrProfile) || !strings.HasSuffix(reason, "its created is not between the years 1970 and 9999") {
			t.Errorf("the year %d: %v", year, err)
		}
	}
}
