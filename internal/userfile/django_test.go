package userfile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"signet/internal/userfile"
	"signet/users"
)

const byKey = `[
{"model": "auth.permission", "pk": 1, "fields": {"name": "Can add order", "content_type": 7, "codename": "add_order"}},
{
  "model": "auth.user",
  "pk": 1,
  "fields": {
    "password": "` + hash + `", "last_login": null, "is_superuser": true, "username": "kyoko",
    "first_name": "Kyoko", "last_name": "Mori", "email": "k@example.test", "is_staff": true, "is_active": false,
    "date_joined": "2019-03-04T05:06:07.123+02:00", "groups": [3], "user_permissions": [2, 99]
  }
},
{"model": "auth.user", "pk": "7c0f", "fields": {"username": "mori", "password": "!x", "email": null, "groups": [4, 3], "user_permissions": []}},
{"model": "auth.group", "pk": 3, "fields": {"name": "editors", "permissions": [1, 2]}},
{"model": "auth.permission", "pk": 2, "fields": {"name": "Can view", "content_type": ["shop", "item"], "codename": "view_item"}},
{"model": "contenttypes.contenttype", "pk": 7, "fields": {"app_label": "orders", "model": "order"}}
]`

func TestDjangoByPrimaryKey(t *testing.T) {
	rows, refused, warnings, err := read(t, "", byKey)
	must(t, err)
	want(t, "refused", refused, []string(nil))
	want(t, "rows", rows, []userfile.Row{
		{Line: 3, PK: "1", Absent: users.PartClaims, Account: userfile.Account{
			Name: "kyoko", UserID: "1", Hash: hash, Disabled: true, Created: time.Date(2019, 3, 4, 3, 6, 7, 123e6, time.UTC),
			Profile: userfile.Profile{
				Email: "k@example.test", GivenName: "Kyoko", FamilyName: "Mori", Staff: true, Superuser: true,
				Groups: []string{"editors"}, Permissions: []string{"orders.add_order", "shop.view_item"},
			},
		}},
		{Line: 12, PK: "7c0f", Account: userfile.Account{Name: "mori", UserID: "7c0f", Hash: "!x", Profile: userfile.Profile{
			Groups: []string{"editors"}, Permissions: []string{"orders.add_order", "shop.view_item"},
		}}, Absent: users.PartClaims | users.PartDisabled | users.PartGivenName | users.PartFamilyName | users.PartStaff | users.PartSuperuser},
	})
	const how = "; dump auth.group, auth.permission and contenttypes too, or dump with --natural-foreign"
	want(t, "warnings", warnings, []string{
		"1 permission that the file does not explain was left out" + how,
		"1 group that the file does not have was left out, or its permissions were" + how,
	})
}

func TestDjangoNaturalKeys(t *testing.T) {
	rows, refused, warnings, err := read(t, "", "\ufeff"+`[{"model":"auth.group","fields":{"name":"editors","permissions":[["view_item","shop","item"]]}},
		{"model":"auth.user","fields":{"username":"kyoko","password":"x","groups":[["editors"]],"user_permissions":[["add_order","orders","order"],["view_item","shop","item"]],"date_joined":"2019-03-04T05:06:07"}}]`)
	must(t, err)
	want(t, "refused and warnings", append(refused, warnings...), []string(nil))
	want(t, "rows", rows, []userfile.Row{{Line: 2, Account: userfile.Account{
		Name: "kyoko", Hash: "x", Created: time.Date(2019, 3, 4, 5, 6, 7, 0, time.UTC),
		Profile: userfile.Profile{Groups: []string{"editors"}, Permissions: []string{"orders.add_order", "shop.view_item"}},
	}, Absent: users.AllParts &^ (users.PartHash | users.PartGroups | users.PartPermissions)}})
}

// What the model of an account does not have is not told: null and empty values are.
func TestDjangoAbsentFields(t *testing.T) {
	const none = users.AllParts &^ users.PartUserID
	for fields, absent := range map[string]users.Parts{
		"":                       none,
		`,"password":null`:       none &^ users.PartHash,
		`,"email":null`:          none &^ users.PartEmail,
		`,"first_name":""`:       none &^ users.PartGivenName,
		`,"last_name":""`:        none &^ users.PartFamilyName,
		`,"is_active":true`:      none &^ users.PartDisabled,
		`,"is_staff":false`:      none &^ users.PartStaff,
		`,"is_superuser":false`:  none &^ users.PartSuperuser,
		`,"groups":[]`:           none &^ (users.PartGroups | users.PartPermissions),
		`,"user_permissions":[]`: none &^ users.PartPermissions,
	} {
		file := `[{"model":"auth.user","pk":1,"fields":{"username":"kyoko"` + fields + `}}]`
		r, err := userfile.Open(strings.NewReader(file), userfile.Django, "auth.user")
		must(t, err)
		row, err := r.Next()
		must(t, err)
		want(t, fields, row.Absent, absent)
		want(t, fields+", of all rows", r.Absent(), (users.PartClaims|users.PartHash)&absent)
	}
}

// Where the dump is one line, the primary key says which row it is. It never shows what
// may be a hash, or what a terminal obeys.
func TestDjangoRefusedByPrimaryKey(t *testing.T) {
	for pk, shown := range map[string]string{
		"43": "43", `"6f1c-00"`: "6f1c-00", `"a b"`: `"a b"`, "\"\\u001b[1m\"": `"\x1b[1m"`, `""`: `""`,
		`"` + hash + `"`: "with a $, as password hashes have",
	} {
		file := `[{"model":"auth.user","pk":42,"fields":{"username":"kyoko"}},{"model":"auth.user","pk":` + pk + `,"fields":{"username":"KYOKO"}}]`
		_, refused, _, err := read(t, userfile.Django, file)
		must(t, err)
		want(t, pk, refused, []string{"line 1 (pk " + shown + "): its name is that of line 1 (pk 42) already"})
	}
}

func TestDjangoOtherModel(t *testing.T) {
	file := strings.NewReader(strings.ReplaceAll(byKey, "auth.user", "accounts.member"))
	r, err := userfile.Open(file, userfile.Django, "Accounts.Member")
	must(t, err)
	row, err := r.Next()
	must(t, err)
	want(t, "the first name", row.Name, "kyoko")
}

func TestDjangoRefused(t *testing.T) {
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprintf(`["p%d","a","m"]`, i)
	}
	user := func(fields string) string {
		return `{"model":"auth.user","pk":2,"fields":{"username":"a",` + fields + `}}`
	}
	const neither = " are neither primary keys nor natural keys"
	for text, reason := range map[string]string{
		`7`:                                  "it is no object with a model, as dumpdata writes",
		`{"pk":1,"fields":{"username":"a"}}`: "it is no object with a model, as dumpdata writes",
		`{"model":"auth.user","fields":[]}`:  "it is no object with a model, as dumpdata writes",
		`{"model":"auth.user"}`:              "its fields are not an object",
		`{"model":"auth.user","fields":{}}`:  "it has no name",
		`{"model":"auth.user","pk":[1],"fields":{"username":"a"}}`: "its pk is neither a number nor a string",
		user(`"password":1`):            "its password is not a string",
		user(`"email":"a","email":"b"`): "a member of it is there twice",
		user("\"email\":\"a\xff\""):     "it is not a JSON object in UTF-8: not UTF-8",
		user(`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)): "it is not a JSON object in UTF-8: nested too deep",
		user(`"is_active":"yes"`):                                    "its is_active is neither true nor false",
		user(`"is_superuser":null`):                                  "its is_superuser is neither true nor false",
		user(`"date_joined":"` + hash + `"`):                         "its date_joined is not a time of ISO 8601",
		user(`"groups":"editors"`):                                   "its groups are no list of at most 1000",
		user(`"groups":[{}]`):                                        "its groups" + neither,
		user(`"groups":[["a","b"]]`):                                 "its groups" + neither,
		user(`"groups":[8]`):                                         `the permissions of its group "broken"` + neither,
		user(`"user_permissions":[["a","b"]]`):                       "its user_permissions" + neither,
		user(`"user_permissions":[` + strings.Join(many, ",") + `]`): "its user_permissions are more than 1000",
		`{"model":"auth.user","pk":1,"fields":{"username":"b"}}`:     "its user_id is that of line 2 (pk 1) already",
		`{"model":"auth.user","pk":3,"fields":{"username":"KYOKO"}}`: "its name is that of line 2 (pk 1) already",
	} {
		file := "[\n" + `{"model":"auth.user","pk":1,"fields":{"username":"kyoko"}},` + "\n" + text + ",\n" +
			`{"model":"auth.user","pk":9,"fields":{"username":"last"}},{"model":"auth.group","pk":8,"fields":{"name":"broken","permissions":[[]]}}]`
		rows, refused, _, err := read(t, userfile.Django, file)
		must(t, err)
		if len(refused) != 1 || !strings.HasPrefix(refused[0], "line 3") || !strings.HasSuffix(refused[0], ": "+reason) {
			t.Errorf("%.80s: refused %q, want line 3: %s", text, refused, reason)
		}
		if len(rows) != 2 || rows[1].Line != 4 || rows[1].Name != "last" {
			t.Errorf("%.80s: the rows around it are %+v", text, rows)
		}
	}
}

// endless is a file that goes on for ever after its beginning.
type endless struct {
	begin string
	at    int64
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
		if at := e.at + int64(i); at < int64(len(e.begin)) {
			p[i] = e.begin[at]
		}
	}
	e.at += int64(len(p))
	return len(p), nil
}

func (e *endless) Seek(offset int64, _ int) (int64, error) { e.at = offset; return offset, nil }

// A string without an end is refused and not gathered.
func TestDjangoRecordWithoutEnd(t *testing.T) {
	for _, begin := range []string{`[{"model":"`, `["`, `[{},"`, `[1`, `"`} {
		if begin == `[1` {
			begin = `[` + strings.Repeat(" ", 300<<10) // blanks have no end either
		}
		_, err := userfile.Open(&endless{begin: begin}, userfile.Django, "auth.user")
		if err == nil || !strings.Contains(err.Error(), "the record is larger than 256 KiB") {
			t.Errorf("%.20q: %v", begin, err)
		}
	}
}
