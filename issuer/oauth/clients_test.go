package oauth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/oauth"
)

// many returns n different values.
func many(n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprint("value-", i)
	}
	return values
}

func TestCheck(t *testing.T) {
	const (
		id       = "an id has 1 to 64"
		grant    = "unknown grant"
		one      = "printable ASCII characters"
		longest  = 255
		sentence = "this client cannot be registered: "
	)
	cases := []struct {
		name  string
		alter func(*oauth.Client)
		want  string // of the error; empty takes it
	}{
		{"as it is", func(*oauth.Client) {}, ""},
		{"no scope, no audience", func(c *oauth.Client) { c.Scopes, c.Audiences = nil, nil }, ""},
		{"one character", func(c *oauth.Client) { c.ID = "7" }, ""},
		{"all characters", func(c *oauth.Client) { c.ID = "a.b-c_9" }, ""},
		{"64 characters", func(c *oauth.Client) { c.ID = strings.Repeat("a", 64) }, ""},
		{"64 scopes", func(c *oauth.Client) { c.Scopes = many(64) }, ""},
		{"all characters of a scope", func(c *oauth.Client) { c.Scopes = []string{"!#[]~", strings.Repeat("x", longest)} }, ""},
		{"a scope and an audience of one name", func(c *oauth.Client) { c.Scopes = c.Audiences }, ""},

		{"no id", func(c *oauth.Client) { c.ID = "" }, id},
		{"65 characters", func(c *oauth.Client) { c.ID = strings.Repeat("a", 65) }, id},
		{"a user's sub", func(c *oauth.Client) { c.ID = "01J8ZQ4K5N6P7R8S9TAVBWCXDY" }, id},
		{"upper case", func(c *oauth.Client) { c.ID = "Batch" }, id},
		{"a dot first", func(c *oauth.Client) { c.ID = ".batch" }, id},
		{"a dash first", func(c *oauth.Client) { c.ID = "-batch" }, id},
		{"a line break", func(c *oauth.Client) { c.ID = "batch\n" }, id},
		{"a second line", func(c *oauth.Client) { c.ID = "batch\nbatch" }, id},
		{"a colon", func(c *oauth.Client) { c.ID = "a:b" }, id},
		{"a slash", func(c *oauth.Client) { c.ID = "a/b" }, id},
		{"a space", func(c *oauth.Client) { c.ID = "a b" }, id},
		{"a zero byte", func(c *oauth.Client) { c.ID = "a\x00" }, id},
		{"another alphabet", func(c *oauth.Client) { c.ID = "bätch" }, id},
		{"the issuer's own", func(c *oauth.Client) { c.ID = issuer.FirstParty }, "the issuer's own login"},

		{"no grant", func(c *oauth.Client) { c.Grants = nil }, "it needs a grant"},
		{"the password grant", func(c *oauth.Client) { c.Grants = []string{"password"} }, grant},
		{"the implicit grant", func(c *oauth.Client) { c.Grants = []string{"implicit"} }, grant},
		{"a refresh token that nobody gives it", func(c *oauth.Client) { c.Grants = []string{oauth.RefreshToken} }, grant},
		{"one known grant and one unknown", func(c *oauth.Client) { c.Grants = append(c.Grants, "device") }, grant},
		{"a grant in upper case", func(c *oauth.Client) { c.Grants = []string{"CLIENT_CREDENTIALS"} }, grant},
		{"an empty grant", func(c *oauth.Client) { c.Grants = []string{""} }, grant},
		{"public", func(c *oauth.Client) { c.Public = true }, "a public client"},

		{"the issuer as audience", func(c *oauth.Client) { c.Audiences = []string{"ledger", issuerURL} }, "the audience of refresh tokens alone"},
		{"an empty scope", func(c *oauth.Client) { c.Scopes = []string{""} }, one},
		{"a scope with a space", func(c *oauth.Client) { c.Scopes = []string{"a b"} }, one},
		{"a scope with a quote", func(c *oauth.Client) { c.Scopes = []string{`a"b`} }, one},
		{"a scope with a backslash", func(c *oauth.Client) { c.Scopes = []string{`a\b`} }, one},
		{"a scope with a line break", func(c *oauth.Client) { c.Scopes = []string{"a\n"} }, one},
		{"a scope with DEL", func(c *oauth.Client) { c.Scopes = []string{"a\x7f"} }, one},
		{"a scope in another alphabet", func(c *oauth.Client) { c.Scopes = []string{"ä"} }, one},
		{"a scope of 256 bytes", func(c *oauth.Client) { c.Scopes = []string{strings.Repeat("x", longest+1)} }, one},
		{"an audience with a space", func(c *oauth.Client) { c.Audiences = []string{"a b"} }, one},
		{"an empty audience", func(c *oauth.Client) { c.Audiences = []string{"a", ""} }, one},
		{"a scope twice", func(c *oauth.Client) { c.Scopes = []string{"a", "b", "a"} }, `scope "a" is named twice`},
		{"a grant twice", func(c *oauth.Client) { c.Grants = append(c.Grants, c.Grants...) }, `grant "client_credentials" is named twice`},
		{"an audience twice", func(c *oauth.Client) { c.Audiences = []string{"a", "a"} }, `audience "a" is named twice`},
		{"65 scopes", func(c *oauth.Client) { c.Scopes = many(65) }, "more than 64 scope values"},
		{"65 audiences", func(c *oauth.Client) { c.Audiences = many(65) }, "more than 64 audience values"},
	}
	f := newFixture(t)
	for i, tt := range cases {
		c := batch()
		tt.alter(&c)
		err := c.Check(issuer.FirstParty, issuerURL)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "":
			wantErr(t, tt.name, err, oauth.ErrRegistration)
			if err != nil && (!strings.HasPrefix(err.Error(), sentence) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s: %v, want %q in it", tt.name, err, tt.want)
			}
			_, secret, err := f.Clients.Add(t.Context(), c, issuerURL)
			wantErr(t, fmt.Sprintf("Add %d, %s", i, tt.name), err, oauth.ErrRegistration)
			if secret != "" {
				t.Errorf("%s: a secret beside the error", tt.name)
			}
		}
	}
	if left, err := f.Clients.List(t.Context(), "", 9); err != nil || len(left) != 0 {
		t.Errorf("refused registrations left %d clients, %v", len(left), err)
	}
}

func TestSecretIsShownOnceAndKeptAsItsHash(t *testing.T) {
	f := newFixture(t)
	got, secret := f.register(t, batch())
	random, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil || len(random) != 32 {
		t.Fatalf("the secret is not 256 bits of base64url: %v", err)
	}
	hash := sha256.Sum256([]byte(secret))
	want := batch()
	want.Created, want.Version = start.Truncate(time.Second), 1
	want.Secrets = []oauth.Secret{{Hash: hash[:], Created: want.Created}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the client returned: -want +got\n%s", diff)
	}
	stored, err := f.Clients.Get(t.Context(), "batch")
	must(t, err)
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("the client stored: -want +got\n%s", diff)
	}
	file, err := os.ReadFile(f.file)
	must(t, err)
	if !bytes.Contains(file, hash[:]) {
		t.Error("the hash is not in the file: this test looks at the wrong one")
	}
	if bytes.Contains(file, []byte(secret)) || bytes.Contains(file, random) {
		t.Error("the secret is in the database")
	}
	f.authenticated(t, "batch", secret)
	_, other := f.register(t, service("ledger"))
	if other == secret {
		t.Error("two clients have one secret")
	}
}

// The caller does not decide which secrets a new client has.
func TestAddTakesNoSecretsAlong(t *testing.T) {
	f := newFixture(t)
	c := batch()
	hash := sha256.Sum256([]byte("known"))
	c.Secrets = []oauth.Secret{{Hash: hash[:]}}
	f.register(t, c)
	_, err := f.Clients.Authenticate(t.Context(), oauth.Credentials{ID: "batch", Secret: "known"})
	wantCode(t, "a secret of the caller's", err, oauth.InvalidClient)
}

func TestTwoSecretsAreInForce(t *testing.T) {
	f := newFixture(t)
	_, first := f.register(t, batch())
	next := func(only bool) string {
		f.move(time.Hour)
		c, secret, err := f.Clients.NewSecret(t.Context(), "batch", only)
		must(t, err)
		keepSecret(secret)
		stored, err := f.Clients.Get(t.Context(), "batch")
		must(t, err)
		if diff := cmp.Diff(stored, c); diff != "" {
			t.Errorf("NewSecret returned another client than it stored: -stored +got\n%s", diff)
		}
		if newest := c.Secrets[len(c.Secrets)-1].Created; !newest.Equal(f.now().Truncate(time.Second)) {
			t.Errorf("the newest secret is of %v", newest)
		}
		return secret
	}
	inForce := func(what string, good, bad []string) {
		t.Helper()
		for _, secret := range good {
			f.authenticated(t, "batch", secret)
		}
		for i, secret := range bad {
			_, err := f.Clients.Authenticate(t.Context(), oauth.Credentials{ID: "batch", Secret: secret})
			wantCode(t, fmt.Sprintf("%s, bad secret %d", what, i), err, oauth.InvalidClient)
		}
	}
	inForce("one", []string{first}, nil)
	second := next(false)
	inForce("two", []string{first, second}, nil)
	third := next(false)
	inForce("three", []string{second, third}, []string{first})
	alone := next(true)
	inForce("only", []string{alone}, []string{first, second, third})
	inForce("after only", []string{alone, next(false)}, []string{third})
	c, err := f.Clients.Get(t.Context(), "batch")
	must(t, err)
	if c.Version != 5 || !c.Created.Equal(start.Truncate(time.Second)) {
		t.Errorf("version %d of %v", c.Version, c.Created)
	}
}

func TestRegistryErrors(t *testing.T) {
	f := newFixture(t)
	f.register(t, batch())
	_, secret, err := f.Clients.Add(t.Context(), batch(), issuerURL)
	wantErr(t, "Add again", err, oauth.ErrClientExists)
	if secret != "" {
		t.Error("a secret beside the error")
	}
	_, err = f.Clients.Get(t.Context(), "nobody")
	wantErr(t, "Get", err, oauth.ErrNoClient)
	_, _, err = f.Clients.NewSecret(t.Context(), "nobody", false)
	wantErr(t, "NewSecret", err, oauth.ErrNoClient)
	wantErr(t, "Remove", f.Clients.Remove(t.Context(), "nobody"), oauth.ErrNoClient)

	f.register(t, service("ledger"))
	list, err := f.Clients.List(t.Context(), "a", 1)
	must(t, err)
	if len(list) != 1 || list[0].ID != "batch" {
		t.Errorf("the page behind a is %v", list)
	}
	must(t, f.Clients.Remove(t.Context(), "batch"))
	_, err = f.Clients.Get(t.Context(), "batch")
	wantErr(t, "Get after Remove", err, oauth.ErrNoClient)
}

// What a client is told of wrong credentials is the same whatever is wrong
// (CVE-2024-41952, of clients).
func TestWrongCredentialsAreAllTheSame(t *testing.T) {
	f := newFixture(t)
	_, secret := f.register(t, batch())
	_, other := f.register(t, service("ledger"))
	_, removed := f.register(t, service("gone"))
	must(t, f.Clients.Remove(t.Context(), "gone"))
	must(t, f.store.CreateClient(t.Context(), oauth.Client{ID: "bare"}))
	must(t, f.store.CreateClient(t.Context(), oauth.Client{ID: "app", Public: true}))
	hash := sha256.Sum256([]byte(secret))
	cases := map[string]oauth.Credentials{
		"unknown":                         {ID: "nobody", Secret: secret},
		"unknown, no secret":              {ID: "nobody"},
		"no id":                           {Secret: secret},
		"nothing":                         {},
		"wrong secret":                    {ID: "batch", Secret: "wrong"},
		"no secret":                       {ID: "batch"},
		"another client's secret":         {ID: "batch", Secret: other},
		"its secret at another client":    {ID: "ledger", Secret: secret},
		"a removed client":                {ID: "gone", Secret: removed},
		"the secret in part":              {ID: "batch", Secret: secret[:42]},
		"the secret and more":             {ID: "batch", Secret: secret + "A"},
		"a space behind the secret":       {ID: "batch", Secret: secret + " "},
		"the secret in another case":      {ID: "batch", Secret: strings.ToUpper(secret)},
		"the secret's hash":               {ID: "batch", Secret: string(hash[:])},
		"the secret's hash as hex":        {ID: "batch", Secret: hex.EncodeToString(hash[:])},
		"the id in another case":          {ID: "BATCH", Secret: secret},
		"a space behind the id":           {ID: "batch ", Secret: secret},
		"a zero byte behind the id":       {ID: "batch\x00", Secret: secret},
		"a very long id":                  {ID: strings.Repeat("a", 1<<20), Secret: secret},
		"a very long secret":              {ID: "batch", Secret: strings.Repeat("a", 1<<20)},
		"first-party with a secret":       {ID: issuer.FirstParty, Secret: secret},
		"no secret at all, and none is":   {ID: "bare"},
		"a secret at a public client":     {ID: "app", Secret: secret},
		"first-party in another case":     {ID: "First-Party"},
		"first-party with a trailing dot": {ID: issuer.FirstParty + "."},
	}
	want := oauth.Error{Code: oauth.InvalidClient, Description: "the client is unknown or its secret is wrong"}
	for name, given := range cases {
		c, err := f.Clients.Authenticate(t.Context(), given)
		got, ok := errors.AsType[*oauth.Error](err)
		if !ok {
			t.Errorf("%s: error = %v, want %v", name, err, &want)
			continue
		}
		if diff := cmp.Diff(want, *got); diff != "" || err != error(got) {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if diff := cmp.Diff(oauth.Client{}, c); diff != "" {
			t.Errorf("%s: a client beside the error:\n%s", name, diff)
		}
	}
	if c := f.authenticated(t, "app", ""); !c.Public {
		t.Error("a public client is not public")
	}
	want2 := oauth.Client{ID: issuer.FirstParty, Public: true, Grants: []string{oauth.RefreshToken}}
	if diff := cmp.Diff(want2, f.firstParty(t)); diff != "" {
		t.Errorf("the issuer's own client: -want +got\n%s", diff)
	}
}

// What nobody can have registered is not looked up.
func TestLongCredentialsDoNotReachTheStorage(t *testing.T) {
	f := newFixture(t)
	f.store.FailNext("Client", storetest.NotApplied)
	for _, given := range []oauth.Credentials{
		{ID: strings.Repeat("a", 65), Secret: "x"}, {ID: "batch", Secret: strings.Repeat("a", 256)},
	} {
		_, err := f.Clients.Authenticate(t.Context(), given)
		wantCode(t, "too long", err, oauth.InvalidClient)
	}
	_, err := f.Clients.Authenticate(t.Context(), oauth.Credentials{ID: strings.Repeat("a", 64), Secret: strings.Repeat("a", 255)})
	wantFault(t, "not too long", err)
}

func TestRegistryWhenTheStorageFails(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedButFailed} {
		f := newFixture(t)
		_, secret := f.register(t, batch())
		f.store.FailNext("Client", fault)
		_, err := f.Clients.Authenticate(t.Context(), oauth.Credentials{ID: "batch", Secret: secret})
		wantFault(t, "Authenticate", err)
		f.store.FailNext("CreateClient", fault)
		_, shown, err := f.Clients.Add(t.Context(), service("ledger"), issuerURL)
		wantFault(t, "Add", err)
		if shown != "" {
			t.Error("Add: a secret that may not be in force is shown")
		}
		f.store.FailNext("UpdateClient", fault)
		_, shown, err = f.Clients.NewSecret(t.Context(), "batch", true)
		wantFault(t, "NewSecret", err)
		if shown != "" {
			t.Error("NewSecret: a secret that may not be in force is shown")
		}
		if fault == storetest.NotApplied {
			f.authenticated(t, "batch", secret)
		}
		f.store.FailNext("RemoveClient", fault)
		wantFault(t, "Remove", f.Clients.Remove(t.Context(), "batch"))
	}
}

// Ten operators at once: each gets a secret, and the last two are in force.
func TestSecretsAtTheSameMoment(t *testing.T) {
	f := newFixture(t)
	f.register(t, batch())
	made := make([]oauth.Client, 10)
	shown := make([]string, len(made))
	var wg sync.WaitGroup
	for i := range made {
		wg.Go(func() {
			var err error
			if made[i], shown[i], err = f.Clients.NewSecret(t.Context(), "batch", false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var versions []uint64
	for i, c := range made {
		keepSecret(shown[i])
		versions = append(versions, c.Version)
		_, err := f.Clients.Authenticate(t.Context(), oauth.Credentials{ID: "batch", Secret: shown[i]})
		if (err == nil) != (c.Version >= 10) {
			t.Errorf("the secret of version %d: %v", c.Version, err)
		}
	}
	slices.Sort(versions)
	if want := []uint64{2, 3, 4, 5, 6, 7, 8, 9, 10, 11}; !slices.Equal(versions, want) {
		t.Errorf("versions %v, want %v", versions, want)
	}
}

// conflicted is a store where someone else is always faster.
type conflicted struct{ oauth.Store }

func (conflicted) UpdateClient(context.Context, oauth.Client) error { return oauth.ErrClientConflict }

func TestNewSecretGivesUpInTheEnd(t *testing.T) {
	f := newFixture(t)
	_, secret := f.register(t, batch())
	_, shown, err := oauth.NewClients(conflicted{f.store}, issuer.FirstParty, nil).NewSecret(t.Context(), "batch", true)
	wantErr(t, "NewSecret", err, oauth.ErrClientConflict)
	if shown != "" {
		t.Error("a secret beside the error")
	}
	f.authenticated(t, "batch", secret)
}
