package control

import (
	"context"
	"crypto/elliptic"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"signet/internal/store/storetest"
	"signet/internal/userfile"
	"signet/keystore"
	"signet/users"
)

// doorCase is one request. It is made through each door to an issuer of its own
// that was prepared in the same way.
type doorCase struct {
	name string
	// prepare returns the request; nil prepares nothing and sends in.
	prepare func(t testing.TB, f *fixture) any
	in      any
	ask     asker
	// want is the answer as JSON, with KID1, SESSION1, SUB1 for what is random;
	// or wantErr is the refusal.
	want    string
	wantErr Error
}

// asker is one operation of the table, for requests of any type.
type asker struct {
	name string
	do   func(ctx context.Context, door Door, in any) (any, error)
}

func ask[In, Out any](op Op[In, Out]) asker {
	return asker{op.name, func(ctx context.Context, door Door, in any) (any, error) { return op.Do(ctx, door, in.(In)) }}
}

// accounts prepares accounts and then sends in.
func accounts(in any, names ...string) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		f.create(t, names...)
		return in
	}
}

// loggedIn prepares one account with two sessions.
func loggedIn(in any) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		f.login(t, "kyoko")
		f.login(t, "kyoko")
		f.move(time.Minute)
		return in
	}
}

func rotated(in any) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		_, err := f.Keys.Rotate(t.Context(), keystore.RotateRequest{Alg: "ES256"}, false)
		must(t, err)
		f.move(time.Hour)
		return in
	}
}

func activeKey(request func(kid string) any) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		f.login(t, "kyoko")
		return request(f.kid(t, "ES256", keystore.Active))
	}
}

const (
	hintUsers    = "signet users list  # shows the accounts"
	hintKeys     = "signet keys list  # shows the keys"
	hintSessions = "signet sessions list  # shows the sessions"

	kyoko        = `{"id":"SUB1","name":"kyoko","disabled":false,"created":"2026-03-01T12:00:00Z","password_changed":"2026-03-01T12:00:00Z"}`
	mori         = `{"id":"SUB2","name":"mori","disabled":false,"created":"2026-03-01T12:00:00Z","password_changed":"2026-03-01T12:00:00Z"}`
	kyokoChanged = `{"id":"SUB1","name":"kyoko","disabled":false,"created":"2026-03-01T12:00:00Z","password_changed":"2026-03-01T12:01:00Z"}`
	kyokoDisable = `{"id":"SUB1","name":"kyoko","disabled":true,"created":"2026-03-01T12:00:00Z","password_changed":"2026-03-01T12:00:00Z"}`

	activeES256 = `{"kid":"KID1","alg":"ES256","state":"active","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","private_half":true}`
	activeES384 = `{"kid":"KID2","alg":"ES384","state":"active","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","private_half":true}`
)

// djangoHash is that of no password.
const djangoHash = "pbkdf2_sha256$1000000$abcdefghijklmnopqrstuv$d5vkDJoMIlsr9SE8A5VTj/vxPtZEXUW1nUO1sxXXr3Y="

func ptr[T any](v T) *T { return &v }

// kyokoWith is the view of kyoko with a profile; a user_id stands before it.
func kyokoWith(profile string) string {
	view := strings.TrimSuffix(kyoko, "}") + "," + profile + "}"
	return strings.Replace(view, `"name":"kyoko",`, `"name":"kyoko","user_id":"7",`, 1)
}

// profiled prepares an account with a profile.
func profiled(in any) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		f.bring(t, userfile.Account{Name: "kyoko", UserID: "7", Profile: userfile.Profile{
			Email: "k@example.test", Groups: []string{"editors"}, Permissions: []string{"orders.add_order"},
		}})
		return in
	}
}

// bring imports accounts, one after another.
func (f *fixture) bring(t testing.TB, rows ...userfile.Account) {
	t.Helper()
	for _, row := range rows {
		entry, err := row.Entry()
		must(t, err)
		_, err = f.Users.Import(t.Context(), entry, users.ImportRules{})
		must(t, err)
	}
}

// importRows are accounts with all that there is to tell.
func importRows(accounts ...userfile.Account) (rows []ImportRow) {
	for _, a := range accounts {
		rows = append(rows, ImportRow{Account: a})
	}
	return rows
}

var doorCases = []doorCase{
	{name: "add", ask: ask(AddUser), in: Credentials{Name: "Kyoko", Password: password}, want: kyoko},
	{name: "add a name that is taken", ask: ask(AddUser), prepare: accounts(Credentials{Name: "KYOKO", Password: password}, "kyoko"),
		wantErr: Error{`"kyoko": a user with this name exists already`, "signet users passwd NAME  # gives an account another password"}},
	{name: "add no name", ask: ask(AddUser), in: Credentials{Name: "", Password: password},
		wantErr: Error{`this is not a valid user name: "" is empty, or holds a space, a control character or a symbol that PRECIS (RFC 8265) refuses`, ""}},
	{name: "add a name with a space", ask: ask(AddUser), in: Credentials{Name: "kyoko mori", Password: password},
		wantErr: Error{`this is not a valid user name: "kyoko mori" is empty, or holds a space, a control character or a symbol that PRECIS (RFC 8265) refuses`, ""}},
	{name: "add a long name", ask: ask(AddUser), in: Credentials{Name: strings.Repeat("k", 256), Password: password},
		wantErr: Error{`this is not a valid user name: it is longer than 255 bytes`, ""}},
	{name: "add without a password", ask: ask(AddUser), in: Credentials{Name: "kyoko", Password: ""},
		wantErr: Error{`this password cannot be used: it is empty`, ""}},
	{name: "add with a long password", ask: ask(AddUser), in: Credentials{Name: "kyoko", Password: strings.Repeat("p", 1025)},
		wantErr: Error{`this password cannot be used: it is longer than 1024 bytes`, ""}},
	{name: "add with more than a request holds", ask: ask(AddUser), in: Credentials{Name: "kyoko", Password: strings.Repeat("p", requestLimit)},
		wantErr: Error{`the request is too large or broke off`, ""}},
	{name: "add while the storage fails", ask: ask(AddUser), prepare: func(t testing.TB, f *fixture) any {
		f.store.FailNext("CreateUser", storetest.NotApplied)
		return Credentials{Name: "kyoko", Password: password}
	}, wantErr: Error{`"kyoko": CreateUser: storetest: the storage failed`, ""}},

	{name: "list", ask: ask(ListUsers), prepare: accounts(UserQuery{}, "kyoko", "mori"), want: `{"users":[` + kyoko + `,` + mori + `]}`},
	{name: "list none", ask: ask(ListUsers), in: UserQuery{}, want: `{"users":[]}`},
	{name: "list a page", ask: ask(ListUsers), prepare: accounts(UserQuery{Page: Page{Limit: 1}}, "kyoko", "mori"), want: `{"users":[` + kyoko + `],"next":"kyoko"}`},
	{name: "list the next page", ask: ask(ListUsers), prepare: accounts(UserQuery{Page: Page{After: "a", Limit: 2}}, "kyoko", "mori", "a"),
		want: `{"users":[` + kyoko + `,` + mori + `],"next":"mori"}`},
	{name: "list after the last", ask: ask(ListUsers), prepare: accounts(UserQuery{Page: Page{After: "mori"}}, "kyoko", "mori"), want: `{"users":[]}`},

	{name: "show", ask: ask(ShowUser), prepare: accounts(UserName{"KYOKO"}, "kyoko"), want: kyoko},
	{name: "show an unknown one", ask: ask(ShowUser), in: UserName{"kyoko"}, wantErr: Error{`"kyoko": no such user`, hintUsers}},
	{name: "show what is no name", ask: ask(ShowUser), in: UserName{"no name"}, wantErr: Error{`"no name": no such user`, hintUsers}},

	{name: "passwd", ask: ask(SetPassword), prepare: loggedIn(NewPassword{"kyoko", "another password"}),
		want: `{"user":` + kyokoChanged + `,"sessions_ended":2}`},
	{name: "passwd of an unknown one", ask: ask(SetPassword), in: NewPassword{"kyoko", password}, wantErr: Error{`"kyoko": no such user`, hintUsers}},
	{name: "passwd to none", ask: ask(SetPassword), prepare: loggedIn(NewPassword{"kyoko", ""}),
		wantErr: Error{`this password cannot be used: it is empty`, ""}},
	{name: "passwd while the sessions cannot be reached", ask: ask(SetPassword), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		f.store.FailNext("EndSubjectSessions", storetest.NotApplied)
		return NewPassword{"kyoko", password}
	}, wantErr: Error{`"kyoko" was changed, but its sessions could not be ended: EndSubjectSessions: storetest: the storage failed`, ""}},
	{name: "enable", ask: ask(EnableUser), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		_, err := f.Users.Disable(t.Context(), "kyoko")
		must(t, err)
		return UserName{"kyoko"}
	}, want: kyoko},
	{name: "enable an enabled one", ask: ask(EnableUser), prepare: accounts(UserName{"kyoko"}, "kyoko"), want: kyoko},
	{name: "enable an unknown one", ask: ask(EnableUser), in: UserName{"kyoko"}, wantErr: Error{`"kyoko": no such user`, hintUsers}},
	{name: "disable", ask: ask(DisableUser), prepare: loggedIn(UserName{"kyoko"}), want: `{"user":` + kyokoDisable + `,"sessions_ended":2}`},
	{name: "disable an unknown one", ask: ask(DisableUser), in: UserName{"kyoko"}, wantErr: Error{`"kyoko": no such user`, hintUsers}},
	{name: "remove", ask: ask(RemoveUser), prepare: loggedIn(UserName{"kyoko"}), want: `{"user":` + kyoko + `,"sessions_ended":2}`},
	{name: "remove an unknown one", ask: ask(RemoveUser), in: UserName{"kyoko"}, wantErr: Error{`"kyoko": no such user`, hintUsers}},

	{name: "add with a profile", ask: ask(AddUser), in: Credentials{Name: "Kyoko", Password: password, Profile: ProfileChange{
		UserID: ptr("7"), Email: ptr("k@example.test"), Staff: ptr(true), Groups: &[]string{"b", "a", "b"}, Claims: []byte(`{ "plan": "x" }`),
	}}, want: kyokoWith(`"profile":{"email":"k@example.test","staff":true,"groups":["a","b"],"claims":{"plan":"x"}}`)},
	{name: "add with a reserved claim", ask: ask(AddUser), in: Credentials{Name: "Kyoko", Password: password, Profile: ProfileChange{Claims: []byte(`{"sub":"x"}`)}},
		wantErr: Error{`this cannot be said about a user: the claim "sub" is reserved`, ""}},
	{name: "set what is named and leave the rest", ask: ask(SetProfile), prepare: profiled(ProfileRequest{"KYOKO", ProfileChange{GivenName: ptr("Kyoko"), Groups: &[]string{}}}),
		want: kyokoWith(`"profile":{"email":"k@example.test","given_name":"Kyoko","permissions":["orders.add_order"]}`)},
	{name: "set nothing", ask: ask(SetProfile), prepare: profiled(ProfileRequest{"kyoko", ProfileChange{}}),
		want: kyokoWith(`"profile":{"email":"k@example.test","groups":["editors"],"permissions":["orders.add_order"]}`)},
	{name: "set all to nothing", ask: ask(SetProfile), prepare: profiled(ProfileRequest{"kyoko", ProfileChange{
		UserID: ptr(""), Email: ptr(""), Groups: &[]string{}, Permissions: &[]string{}, Claims: []byte("{}"),
	}}), want: kyoko},
	{name: "set a user_id that is taken", ask: ask(SetProfile), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "mori")
		return profiled(ProfileRequest{"mori", ProfileChange{UserID: ptr("7")}})(t, f)
	}, wantErr: Error{`another user has this user_id already`, ""}},
	{name: "set an unknown one", ask: ask(SetProfile), in: ProfileRequest{Name: "kyoko"}, wantErr: Error{`"kyoko": no such user`, hintUsers}},
	{name: "list with hashes", ask: ask(ListUsers), prepare: func(t testing.TB, f *fixture) any {
		f.bring(t, userfile.Account{Name: "kyoko", Hash: djangoHash}, userfile.Account{Name: "mori"})
		return UserQuery{Hashes: true, Page: Page{Limit: 1}}
	}, want: `{"users":[{"id":"SUB1","name":"kyoko","disabled":false,"created":"2026-03-01T12:00:00Z","password_changed":"2026-03-01T12:00:00Z",` +
		`"hash_kind":"pbkdf2_sha256 i=1000000"}],"next":"kyoko","hash_kinds":{"none":1,"pbkdf2_sha256 i=1000000":1}}`},
	{name: "import", ask: ask(ImportUsers), prepare: accounts(ImportRequest{Rows: importRows([]userfile.Account{
		{Name: "Mori", Hash: djangoHash}, {Name: "kyoko", UserID: "7"}, {Name: "a b"}, {Name: "md5", Hash: "md5$salt$8f14e45f"},
		{Name: "old", Created: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))}, {Sub: "me", Name: "sub"},
		{Name: "reserved", Profile: userfile.Profile{Claims: []byte(`{"iss":1}`)}}, {Name: "list", Profile: userfile.Profile{Claims: []byte(`[]`)}},
	}...)}, "kyoko"), want: `{"results":[{"outcome":"created"},{"outcome":"differs"},` +
		`{"refusal":"this is not a valid user name: \"a b\" is empty, or holds a space, a control character or a symbol that PRECIS (RFC 8265) refuses"},` +
		`{"refusal":"this password hash cannot be used: this kind of password hash is not taken: unknown scheme \"md5\""},` +
		`{"refusal":"this cannot be said about a user: its created is not between the years 1970 and 9999"},` +
		`{"refusal":"this cannot be said about a user: its sub is not one of this issuer"},` +
		`{"refusal":"this cannot be said about a user: the claim \"iss\" is reserved"},` +
		`{"refusal":"this cannot be said about a user: its claims are not a JSON object"}],"foreign":1,"dry_run":false}`},
	{name: "import with update", ask: ask(ImportUsers), prepare: accounts(ImportRequest{Update: true, Rows: importRows([]userfile.Account{
		{Name: "kyoko", Hash: djangoHash, UserID: "7"}, {Name: "mori", UserID: "8"},
	}...)}, "kyoko"), want: `{"results":[{"outcome":"updated"},{"outcome":"created"}],"foreign":0,"dry_run":false}`},
	{name: "import passwords", ask: ask(ImportUsers), prepare: accounts(ImportRequest{Passwords: true, DryRun: true, Rows: importRows(
		userfile.Account{Name: "kyoko", Hash: djangoHash},
	)}, "kyoko"), want: `{"results":[{"outcome":"updated"}],"foreign":1,"dry_run":true}`},
	{name: "import what takes away", ask: ask(ImportUsers), prepare: accounts(ImportRequest{Update: true, Passwords: true, Rows: importRows(
		userfile.Account{Name: "kyoko", Disabled: true},
	)}, "kyoko"), want: `{"results":[{"outcome":"updated","disabled":true,"password_removed":true}],"foreign":0,"dry_run":false}`},
	{name: "import what enables", ask: ask(ImportUsers), prepare: func(t testing.TB, f *fixture) any {
		f.bring(t, userfile.Account{Name: "kyoko", Disabled: true})
		return ImportRequest{Update: true, Rows: importRows(userfile.Account{Name: "kyoko"})}
	}, want: `{"results":[{"outcome":"updated","enabled":true}],"foreign":0,"dry_run":false}`},
	{name: "import without what the file cannot tell", ask: ask(ImportUsers), prepare: profiled(ImportRequest{Update: true, Passwords: true, Rows: []ImportRow{
		{Account: userfile.Account{Name: "kyoko"}, Absent: users.AllParts},
		{Account: userfile.Account{Name: "kyoko", UserID: "8"}, Absent: users.AllParts + 1},
	}}), want: `{"results":[{"outcome":"unchanged"},` +
		`{"refusal":"this cannot be said about a user: unknown parts of it are absent"}],"foreign":0,"dry_run":false}`},
	{name: "import what is taken", ask: ask(ImportUsers), prepare: func(t testing.TB, f *fixture) any {
		f.bring(t, userfile.Account{Name: "kyoko", UserID: "7"})
		return ImportRequest{Rows: importRows(userfile.Account{Name: "KYOKO", Sub: strings.Repeat("A", 26)}, userfile.Account{Name: "Mori", UserID: "7"})}
	}, want: `{"results":[{"refusal":"\"kyoko\" is there with another sub: a user with this name exists already"},` +
		`{"refusal":"another user has this user_id already"}],"foreign":0,"dry_run":false}`},
	{name: "import nothing", ask: ask(ImportUsers), in: ImportRequest{}, wantErr: Error{`an import has 1 to 200 rows at a time`, ""}},
	{name: "import too much", ask: ask(ImportUsers), in: ImportRequest{Rows: make([]ImportRow, 201)}, wantErr: Error{`an import has 1 to 200 rows at a time`, ""}},
	{name: "import while the storage fails", ask: ask(ImportUsers), prepare: func(t testing.TB, f *fixture) any {
		f.store.FailNext("CreateUser", storetest.NotApplied)
		return ImportRequest{Rows: importRows(userfile.Account{Name: "kyoko"})}
	}, wantErr: Error{`"kyoko": CreateUser: storetest: the storage failed`, ""}},
	{name: "export", ask: ask(ExportUsers), prepare: func(t testing.TB, f *fixture) any {
		f.bring(t, userfile.Account{Name: "kyoko", Hash: djangoHash, UserID: "7", Profile: userfile.Profile{Groups: []string{"editors"}}}, userfile.Account{Name: "mori"})
		return Page{Limit: 1}
	}, want: `{"accounts":[{"sub":"SUB1","name":"kyoko","user_id":"7","hash":"` + djangoHash + `","created":"2026-03-01T12:00:00Z",` +
		`"password_changed":"2026-03-01T12:00:00Z","profile":{"groups":["editors"]}}],"next":"kyoko"}`},
	{name: "export while the storage fails", ask: ask(ExportUsers), prepare: func(t testing.TB, f *fixture) any {
		f.store.FailNext("Users", storetest.NotApplied)
		return Page{}
	}, wantErr: Error{`Users: storetest: the storage failed`, ""}},

	{name: "about", ask: ask(ShowServer), prepare: func(_ testing.TB, f *fixture) any {
		f.Build, f.at = "1.2.3", f.at.Add(time.Hour)
		return struct{}{}
	}, want: `{"running":true,"since":"2026-03-01T12:00:00Z","build":"1.2.3","issuer":"https://login.example.test",` +
		`"policy":{"algorithms":["ES256","ES384"],"rsa_bits":0,"rotate_every":7776000000000000,"publish_ahead":86400000000000,"jwks_max_age":300000000000,` +
		`"access_lifetime":300000000000,"refresh_lifetime":86400000000000},"audit":{"path":"AUDITFILE","records":0}}`},

	{name: "list", ask: ask(ListKeys), in: struct{}{}, want: `{"keys":[` + activeES256 + `,` + activeES384 + `],"now":"2026-03-01T12:00:00Z"}`},
	{name: "show", ask: ask(ShowKey), prepare: activeKey(func(kid string) any { return KeyID{kid} }), want: strings.TrimSuffix(activeES256, "}") +
		`,"use":{"since":"2026-03-01T12:00:00Z","access_tokens":1,"refresh_tokens":1,"access_expires":"2026-03-01T12:05:00Z","refresh_expires":"2026-03-02T12:00:00Z",` +
		`"complete":false,"have":[],"lack":[]},"now":"2026-03-01T12:00:00Z"}`},
	{name: "show an unknown one", ask: ask(ShowKey), in: KeyID{"none"}, wantErr: Error{`no such key: "none"`, hintKeys}},
	{name: "revoke while the sessions cannot be reached", ask: ask(RevokeKey), prepare: func(t testing.TB, f *fixture) any {
		f.store.FailNext("SweepSessions", storetest.NotApplied)
		return Revocation{KID: f.kid(t, "ES256", keystore.Active)}
	}, wantErr: Error{`the key is revoked and its tokens are refused, but the sessions could not all be deleted: SweepSessions: storetest: the storage failed`, ""}},
	{name: "rotate", ask: ask(RotateKeys), in: Rotation{Alg: "ES256"},
		want: `{"takeovers":[{"new":{"kid":"KID1","alg":"ES256","state":"pending","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-02T12:00:00Z","private_half":true},` +
			`"old":{"kid":"KID2","alg":"ES256","state":"active","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","signs_until":"2026-03-02T12:00:00Z","published_until":"2026-03-02T12:12:30Z","kept_until":"2026-03-03T12:02:30Z","private_half":true}}],` +
			`"dry_run":false,"now":"2026-03-01T12:00:00Z"}`},
	{name: "rotate dry", ask: ask(RotateKeys), in: Rotation{Alg: "ES256", In: time.Hour, DryRun: true},
		want: `{"takeovers":[{"new":{"kid":"KID1","alg":"ES256","state":"pending","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T13:00:00Z","private_half":true},` +
			`"old":{"kid":"KID2","alg":"ES256","state":"active","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","signs_until":"2026-03-01T13:00:00Z","published_until":"2026-03-01T13:12:30Z","kept_until":"2026-03-02T13:02:30Z","private_half":true}}],` +
			`"dry_run":true,"now":"2026-03-01T12:00:00Z"}`},
	{name: "rotate at once", ask: ask(RotateKeys), prepare: rotated(Rotation{Alg: "ES256", Now: true}),
		want: `{"takeovers":[{"new":{"kid":"KID1","alg":"ES256","state":"active","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T13:00:00Z","private_half":true},` +
			`"old":{"kid":"KID2","alg":"ES256","state":"retired","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","signs_until":"2026-03-01T13:00:00Z","published_until":"2026-03-01T13:12:30Z","kept_until":"2026-03-02T13:02:30Z","private_half":false}}],` +
			`"dry_run":false,"now":"2026-03-01T13:00:00Z"}`},
	{name: "rotate while a rotation is pending", ask: ask(RotateKeys), prepare: rotated(Rotation{}),
		wantErr: Error{`ES256: a rotation is under way: key KID1 signs from 2026-03-02T12:00:00Z, in 23h0m0s`,
			"signet keys rotate --alg ES256 --now  # lets the pending key sign at once; services that have not fetched it refuse its tokens until they do"}},
	{name: "rotate too soon", ask: ask(RotateKeys), in: Rotation{In: time.Minute},
		wantErr: Error{`too soon for the caches that hold the key set: services may keep the key set for another 5m2s and would refuse the new key until then`,
			"signet keys rotate  # signs after keys.publish_ahead"}},
	{name: "rotate in the past", ask: ask(RotateKeys), in: Rotation{In: -time.Hour},
		wantErr: Error{`too soon for the caches that hold the key set: services may keep the key set for another 5m2s and would refuse the new key until then`,
			"signet keys rotate  # signs after keys.publish_ahead"}},
	{name: "rotate an algorithm that is not configured", ask: ask(RotateKeys), in: Rotation{Alg: "HS256"},
		wantErr: Error{`no such signing algorithm: "HS256" is not among keys.algorithms ([ES256 ES384])`, "signet keys list  # shows the algorithms that have keys; others are added under keys.algorithms"}},
	{name: "revoke", ask: ask(RevokeKey), prepare: activeKey(func(kid string) any { return Revocation{KID: kid} }),
		want: `{"new":{"kid":"KID1","alg":"ES256","state":"active","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","private_half":true},` +
			`"old":{"kid":"KID2","alg":"ES256","state":"revoked","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","signs_until":"2026-03-01T12:00:00Z","published_until":"2026-03-01T12:00:00Z","kept_until":"2026-03-02T12:02:30Z","revoked":"2026-03-01T12:00:00Z","private_half":false},` +
			`"sessions_ended":1,"dry_run":false,"now":"2026-03-01T12:00:00Z"}`},
	{name: "revoke dry", ask: ask(RevokeKey), prepare: activeKey(func(kid string) any { return Revocation{KID: kid, DryRun: true} }),
		want: `{"new":{"kid":"KID1","alg":"ES256","state":"active","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","private_half":true},` +
			`"old":{"kid":"KID2","alg":"ES256","state":"revoked","created":"2026-03-01T12:00:00Z","signs_from":"2026-03-01T12:00:00Z","signs_until":"2026-03-01T12:00:00Z","published_until":"2026-03-01T12:00:00Z","kept_until":"2026-03-02T12:02:30Z","revoked":"2026-03-01T12:00:00Z","private_half":false},` +
			`"sessions_ended":0,"dry_run":true,"now":"2026-03-01T12:00:00Z"}`},
	{name: "revoke an unknown one", ask: ask(RevokeKey), in: Revocation{KID: "none"}, wantErr: Error{`no such key: "none"`, hintKeys}},
	{name: "revoke an unknown one dry", ask: ask(RevokeKey), in: Revocation{KID: "none", DryRun: true}, wantErr: Error{`no such key: "none"`, hintKeys}},
	{name: "revoke twice", ask: ask(RevokeKey), prepare: func(t testing.TB, f *fixture) any {
		kid := f.kid(t, "ES256", keystore.Active)
		_, err := f.Keys.Revoke(t.Context(), kid, false)
		must(t, err)
		return Revocation{KID: kid}
	}, wantErr: Error{`the key is revoked already: KID1, since 2026-03-01T12:00:00Z`, hintKeys}},
	{name: "the set", ask: ask(GetKeySet), in: struct{}{},
		want: `{"set":{"keys":[{"kty":"EC","kid":"KID1","use":"sig","alg":"ES256","crv":"P-256","x":...,"y":...},{"kty":"EC","kid":"KID2","use":"sig","alg":"ES384","crv":"P-384","x":...,"y":...}]}}`},

	{name: "list", ask: ask(ListSessions), prepare: loggedIn(SessionQuery{Page: Page{Limit: 1}}),
		want: `{"sessions":[{"id":"SESSION1","sub":"SUB1","user":"kyoko","client_id":"first-party","created":"2026-03-01T12:00:00Z","refreshed":"2026-03-01T12:00:00Z","expires":"2026-03-02T12:00:00Z","ends":"2026-03-31T12:00:00Z","generation":0,"expired":false}],"next":"SESSION1"}`},
	{name: "list expired ones of a user", ask: ask(ListSessions), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko", "mori")
		f.login(t, "kyoko")
		f.login(t, "mori")
		f.move(24 * time.Hour)
		return SessionQuery{User: "Mori"}
	}, want: `{"sessions":[{"id":"SESSION1","sub":"SUB1","user":"mori","client_id":"first-party","created":"2026-03-01T12:00:00Z","refreshed":"2026-03-01T12:00:00Z","expires":"2026-03-02T12:00:00Z","ends":"2026-03-31T12:00:00Z","generation":0,"expired":true}]}`},
	{name: "list none", ask: ask(ListSessions), in: SessionQuery{}, want: `{"sessions":[]}`},
	{name: "list those of an unknown user", ask: ask(ListSessions), in: SessionQuery{User: "kyoko"}, wantErr: Error{`"kyoko": no such user`, hintUsers}},
	{name: "end one", ask: ask(EndSessions), prepare: func(t testing.TB, f *fixture) any {
		loggedIn(nil)(t, f)
		return SessionEnd{ID: f.sessions(t, "kyoko")[0]}
	}, want: `{"sessions_ended":1}`},
	{name: "end those of a user", ask: ask(EndSessions), prepare: loggedIn(SessionEnd{User: "KYOKO"}), want: `{"sessions_ended":2}`},
	{name: "end all", ask: ask(EndSessions), prepare: loggedIn(SessionEnd{All: true}), want: `{"sessions_ended":2}`},
	{name: "end all of none", ask: ask(EndSessions), in: SessionEnd{All: true}, want: `{"sessions_ended":0}`},
	{name: "end an unknown one", ask: ask(EndSessions), in: SessionEnd{ID: "none"}, wantErr: Error{`"none": no such session, or it has ended`, hintSessions}},
	{name: "end those of an unknown user", ask: ask(EndSessions), in: SessionEnd{User: "kyoko"}, wantErr: Error{`"kyoko": no such user`, hintUsers}},
	{name: "end nothing named", ask: ask(EndSessions), prepare: loggedIn(SessionEnd{}), wantErr: Error{`name one session by its id, a user, or all`, ""}},
	{name: "end by id and user", ask: ask(EndSessions), prepare: loggedIn(SessionEnd{ID: "x", User: "kyoko"}),
		wantErr: Error{`name one session by its id, a user, or all`, ""}},
	{name: "end by user and all", ask: ask(EndSessions), prepare: loggedIn(SessionEnd{User: "kyoko", All: true}),
		wantErr: Error{`name one session by its id, a user, or all`, ""}},
	{name: "end by id and all", ask: ask(EndSessions), prepare: loggedIn(SessionEnd{ID: "x", All: true}),
		wantErr: Error{`name one session by its id, a user, or all`, ""}},

	{name: "a good access token", ask: ask(JudgeToken), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		return TokenText{f.login(t, "kyoko").Access}
	}, want: `{"valid":true}`},
	{name: "a good refresh token", ask: ask(JudgeToken), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		return TokenText{f.login(t, "kyoko").Refresh}
	}, want: `{"valid":true}`},
	{name: "an expired token", ask: ask(JudgeToken), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		defer f.move(5*time.Minute + 30*time.Second)
		return TokenText{f.login(t, "kyoko").Access}
	}, want: `{"valid":false,"reason":"token is expired"}`},
	{name: "a token whose session has ended", ask: ask(JudgeToken), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		token := f.login(t, "kyoko").Access
		_, err := f.Issuer.EndAll(t.Context())
		must(t, err)
		return TokenText{token}
	}, want: `{"valid":false,"reason":"the session has ended"}`},
	{name: "of a new issuer", ask: ask(ShowAudit), in: struct{}{}, want: `{"path":"AUDITFILE","mark":{"start":{"seq":0,"sha256":"KID1"},"head":{"seq":0,"sha256":"KID1"}}}`},
	{name: "without one", ask: ask(ShowAudit), prepare: func(t testing.TB, f *fixture) any {
		f.Audit = nil
		return struct{}{}
	}, wantErr: Error{"there is no audit log", ""}},
	{name: "a token of a disabled account", ask: ask(JudgeToken), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		token := f.login(t, "kyoko").Access
		_, err := f.Users.Disable(t.Context(), "kyoko")
		must(t, err)
		return TokenText{token}
	}, want: `{"valid":false,"reason":"no active account for this token: it is disabled"}`},
	{name: "a token of a revoked key", ask: ask(JudgeToken), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		token := f.login(t, "kyoko").Access
		_, err := f.Keys.Revoke(t.Context(), f.kid(t, "ES256", keystore.Active), false)
		must(t, err)
		return TokenText{token}
	}, want: `{"valid":false,"reason":"token is invalid: no key with this kid: \"KID1\""}`},
	{name: "a token while the storage fails", ask: ask(JudgeToken), prepare: func(t testing.TB, f *fixture) any {
		f.create(t, "kyoko")
		token := f.login(t, "kyoko").Access
		f.store.FailNext("Session", storetest.NotApplied)
		return TokenText{token}
	}, wantErr: Error{`Session: storetest: the storage failed`, ""}},
}

// neverRefuse are the operations whose request cannot be refused for what it says.
var neverRefuse = []string{ListUsers.name, ListKeys.name, GetKeySet.name, ShowServer.name}

// TestBothDoorsDoTheSame makes each request through both doors, and has every
// operation of the table answer, and refuse, at least once.
func TestBothDoorsDoTheSame(t *testing.T) {
	good, bad := map[string]bool{}, map[string]bool{}
	for _, c := range slices.Concat(doorCases, clientCases, keyUseCases, keyCases, tokenCases) {
		good[c.ask.name] = good[c.ask.name] || c.want != ""
		bad[c.ask.name] = bad[c.ask.name] || c.want == ""
		t.Run(c.ask.name+"/"+c.name, func(t *testing.T) {
			throughBothDoors(t, c.test)
		})
	}
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		if !good[name] {
			t.Errorf("no case has %q answer", name)
		}
		if !bad[name] && !slices.Contains(neverRefuse, name) {
			t.Errorf("no case has %q refused", name)
		}
	}
	if len(operations) == 0 {
		t.Error("the table of operations is empty")
	}
}

func (c doorCase) test(t *testing.T, f *fixture, door Door) {
	in := c.in
	if c.prepare != nil {
		in = c.prepare(t, f)
	}
	out, err := c.ask.do(t.Context(), door, in)
	var random names
	if c.want == "" {
		got := refused(t, err)
		got.Message = random.normalize(withoutPath(got.Message))
		wantRefused(t, got, c.wantErr)
		return
	}
	must(t, err)
	if got := random.normalize(withoutPath(encode(t, out))); got != c.want {
		t.Errorf("answer\n%s, want\n%s", got, c.want)
	}
}

// TestTokensThatAreNone: the verdict on what is no token says so, and is no failure.
func TestTokensThatAreNone(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		for _, text := range []string{"", "x", "a.b.c", "\x00", strings.Repeat("a", 100_000)} {
			verdict, err := JudgeToken.Do(t.Context(), door, TokenText{text})
			must(t, err)
			if verdict.Valid || !strings.HasPrefix(verdict.Reason, "token is invalid: ") {
				t.Errorf("%.20q: verdict %+v", text, verdict)
			}
		}
	})
}

// TestPages walks lists that are longer than a page.
func TestPages(t *testing.T) {
	want := []string{"a", "b", "c", "d", "e", "f", "g"}
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		f.create(t, want...)
		for _, name := range want {
			f.login(t, name)
			f.register(t, name)
		}
		for _, limit := range []int{1, 2, 3, 6, 7, 8, 0, -1, 5000} {
			var got []string
			for page := (Page{Limit: limit}); ; {
				list, err := ListUsers.Do(t.Context(), door, UserQuery{Page: page})
				must(t, err)
				for _, u := range list.Users {
					got = append(got, u.Name)
				}
				if page.After = list.Next; list.Next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("limit %d: users %v, want %v", limit, got, want)
			}
			ids := []string{}
			for query := (SessionQuery{Page: Page{Limit: limit}}); ; {
				list, err := ListSessions.Do(t.Context(), door, query)
				must(t, err)
				for _, s := range list.Sessions {
					ids = append(ids, s.ID)
				}
				if query.After = list.Next; list.Next == "" {
					break
				}
			}
			if all := f.sessions(t, ""); len(all) != len(want) || !slices.Equal(ids, all) {
				t.Errorf("limit %d: sessions %v, want %v", limit, ids, all)
			}
			ids = ids[:0]
			for page := (Page{Limit: limit}); ; {
				list, err := ListClients.Do(t.Context(), door, page)
				must(t, err)
				for _, c := range list.Clients {
					ids = append(ids, c.ID)
				}
				if page.After = list.Next; list.Next == "" {
					break
				}
			}
			if !slices.Equal(ids, want) {
				t.Errorf("limit %d: clients %v, want %v", limit, ids, want)
			}
		}
	})
}

func TestPageLimit(t *testing.T) {
	for asked, want := range map[int]int{0: maxPage, -1: maxPage, 1: 1, maxPage: maxPage, maxPage + 1: maxPage} {
		if got := (Page{Limit: asked}).limit(); got != want {
			t.Errorf("a page of %d has %d rows, want %d", asked, got, want)
		}
	}
}

// TestAnswersHoldNoSecret makes every good request and looks for what must stay inside.
func TestAnswersHoldNoSecret(t *testing.T) {
	f := newFixture(t)
	loggedIn(nil)(t, f)
	requests := map[string]any{
		AddUser.name: Credentials{Name: "mori", Password: password}, SetPassword.name: NewPassword{"kyoko", password},
		ShowUser.name: UserName{"kyoko"}, EnableUser.name: UserName{"kyoko"},
		DisableUser.name: UserName{"kyoko"}, RemoveUser.name: UserName{"kyoko"},
		SetProfile.name: ProfileRequest{Name: "kyoko"}, ImportUsers.name: ImportRequest{Rows: importRows(userfile.Account{Name: "saki", Hash: djangoHash})},
		ShowKey.name:     KeyID{f.kid(t, "ES256", keystore.Active)},
		RevokeKey.name:   Revocation{KID: f.kid(t, "ES256", keystore.Active)},
		EndSessions.name: SessionEnd{All: true},
		AddClient.name:   Registration{ID: "billing", Grants: grants}, ShowClient.name: ClientID{"billing"},
		NewSecret.name: SecretRequest{ID: "billing"}, RemoveClient.name: ClientID{"billing"},
		IssueToken.name: TokenOrder{User: "kyoko"},
		ImportKey.name:  KeyImport{PKCS8: newPKCS8(t, elliptic.P256()), Now: true},
	}
	f.move(-48 * time.Hour) // there is something to resume
	secrets := []string{"argon2", password, `"d":`, "eyJhbGci", "Hash", "hash", "Sealed"}
	order := slices.Sorted(maps.Keys(operations))
	slices.SortStableFunc(order, func(a, b string) int { return changes(a) - changes(b) })
	for _, name := range order {
		request, err := json.Marshal(requests[name])
		must(t, err)
		out, _, err := operations[name].do(f.Operator, t.Context(), request)
		must(t, err)
		text := encode(t, out)
		if name == ExportUsers.name { // what it is for
			text = hashMember.ReplaceAllString(text, "")
		}
		if name == IssueToken.name {
			text = tokenMember.ReplaceAllString(text, "")
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("the answer of %q holds %q: %s", name, secret, text)
			}
		}
		if made, ok := out.(ClientSecret); ok { // shown this once
			secrets = append(secrets, made.Secret)
		}
	}
}

// hashMember is the hash of an account in an export.
var hashMember = regexp.MustCompile(`"hash":"[^"]+",`)

// tokenMember is the token that an operator asked for.
var tokenMember = regexp.MustCompile(`"access_token":"[^"]+",`)

// changes orders operations: what looks comes first, what removes comes last.
func changes(name string) int {
	switch name {
	case RemoveUser.name, RemoveClient.name:
		return 2
	case NewSecret.name, SetPassword.name, EnableUser.name, DisableUser.name, EndSessions.name, RevokeKey.name, RotateKeys.name:
		return 1
	}
	return 0
}
