package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/oauth"
)

// registered prepares clients and then sends in, a minute later.
func registered(in any, ids ...string) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		for _, id := range ids {
			f.register(t, id)
		}
		f.move(time.Minute)
		return in
	}
}

// register adds a client for the service orders and returns its secret.
func (f *fixture) register(t testing.TB, id string) string {
	t.Helper()
	_, secret, err := f.Clients.Add(t.Context(), oauth.Client{ID: id, Grants: grants, Audiences: []string{"orders"}}, f.Issuer.URL())
	must(t, err)
	return secret
}

// rotatedSecret prepares a client with a secret of each of the first minutes.
func rotatedSecret(in any, minutes int) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		registered(nil, "billing")(t, f)
		for range minutes - 1 {
			_, _, err := f.Clients.NewSecret(t.Context(), "billing", false)
			must(t, err)
			f.move(time.Minute)
		}
		return in
	}
}

var grants = []string{oauth.ClientCredentials}

// billing is that client as JSON, with a secret of each of these minutes.
func billing(minutes ...int) string {
	var secrets []string
	for _, m := range minutes {
		secrets = append(secrets, fmt.Sprintf(`"2026-03-01T12:%02d:00Z"`, m))
	}
	return `{"client_id":"billing","grants":["client_credentials"],"audiences":["orders"],"created":"2026-03-01T12:00:00Z","secrets":[` +
		strings.Join(secrets, ",") + `]}`
}

func withSecret(client string) string { return `{"client":` + client + `,"client_secret":...}` }

func numbered(n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = "v" + strconv.Itoa(i)
	}
	return values
}

const (
	hintClients = "signet clients list  # shows the clients"
	hintAlg     = "signet keys list  # shows the algorithms that have keys; others are added under keys.algorithms"
	noID        = "an id has 1 to 64 of a-z, 0-9, dot, dash and underscore, and begins with a letter or digit"
	noValue     = "it has 1 to 255 printable ASCII characters without space, quote and backslash"
)

var unknownClient = Error{`"billing": no such client`, hintClients}

func unregistrable(why string) Error { return Error{"this client cannot be registered: " + why, ""} }

var clientCases = slices.Concat([]doorCase{
	{name: "everything", ask: ask(AddClient),
		in: Registration{ID: "billing", Grants: grants, Scopes: []string{"orders:read", "orders:write"}, Audiences: []string{"orders", "https://a.test/x?y"}, Alg: "ES384"},
		want: `{"client":{"client_id":"billing","grants":["client_credentials"],"scopes":["orders:read","orders:write"],"audiences":["orders","https://a.test/x?y"],` +
			`"alg":"ES384","created":"2026-03-01T12:00:00Z","secrets":["2026-03-01T12:00:00Z"]},"client_secret":...}`},
	{name: "the least", ask: ask(AddClient), in: Registration{ID: "0", Grants: grants},
		want: `{"client":{"client_id":"0","grants":["client_credentials"],"created":"2026-03-01T12:00:00Z","secrets":["2026-03-01T12:00:00Z"]},"client_secret":...}`},
	{name: "the longest id", ask: ask(AddClient), in: Registration{ID: strings.Repeat("a.", 32), Grants: grants},
		want: `{"client":{"client_id":"` + strings.Repeat("a.", 32) + `","grants":["client_credentials"],"created":"2026-03-01T12:00:00Z","secrets":["2026-03-01T12:00:00Z"]},"client_secret":...}`},
	{name: "the id of one that was removed", ask: ask(AddClient), prepare: func(t testing.TB, f *fixture) any {
		f.register(t, "billing")
		must(t, f.Clients.Remove(t.Context(), "billing"))
		return Registration{ID: "billing", Grants: grants, Audiences: []string{"orders"}}
	}, want: withSecret(billing(0))},
	{name: "an id that is taken", ask: ask(AddClient), prepare: registered(Registration{ID: "billing", Grants: grants}, "billing"),
		wantErr: Error{`"billing": a client with this id exists already`, hintClients}},
	{name: "the issuer's own id", ask: ask(AddClient), in: Registration{ID: issuer.FirstParty, Grants: grants},
		wantErr: unregistrable(`"first-party" is the id of the issuer's own login`)},
	{name: "no grant", ask: ask(AddClient), in: Registration{ID: "billing"},
		wantErr: unregistrable(fmt.Sprintf("it needs a grant: %v", oauth.Registrable))},
	{name: "the password grant", ask: ask(AddClient), in: Registration{ID: "billing", Grants: []string{"client_credentials", "password"}},
		wantErr: unregistrable(fmt.Sprintf(`unknown grant "password"; there is %v`, oauth.Registrable))},
	{name: "the grant of the login", ask: ask(AddClient), in: Registration{ID: "billing", Grants: []string{oauth.RefreshToken}},
		wantErr: unregistrable(fmt.Sprintf(`unknown grant "refresh_token"; there is %v`, oauth.Registrable))},
	{name: "a grant twice", ask: ask(AddClient), in: Registration{ID: "billing", Grants: []string{"client_credentials", "client_credentials"}},
		wantErr: unregistrable(`grant "client_credentials" is named twice`)},
	{name: "an algorithm that is not configured", ask: ask(AddClient), in: Registration{ID: "billing", Grants: grants, Alg: "RS256"},
		wantErr: Error{`no such signing algorithm: "RS256" is not among keys.algorithms ([ES256 ES384])`, hintAlg}},
	{name: "an algorithm that is none", ask: ask(AddClient), in: Registration{ID: "billing", Grants: grants, Alg: strings.Repeat("none ", 9)},
		wantErr: Error{`no such signing algorithm: "none none none none " is not among keys.algorithms ([ES256 ES384])`, hintAlg}},
	{name: "the issuer as audience", ask: ask(AddClient), in: Registration{ID: "billing", Grants: grants, Audiences: []string{"orders", "https://login.example.test"}},
		wantErr: unregistrable(`the issuer is the audience of refresh tokens alone`)},
	{name: "bad scopes and audiences", ask: ask(AddClient), in: Registration{ID: "billing", Grants: grants, Scopes: []string{"x", "x"}, Audiences: []string{""}},
		wantErr: unregistrable(`scope "x" is named twice`)},
	{name: "more than a request holds", ask: ask(AddClient), in: Registration{ID: strings.Repeat("b", requestLimit), Grants: grants},
		wantErr: Error{`the request is too large or broke off`, ""}},
	{name: "while the storage fails", ask: ask(AddClient), prepare: func(t testing.TB, f *fixture) any {
		f.store.FailNext("CreateClient", storetest.NotApplied)
		return Registration{ID: "billing", Grants: grants}
	}, wantErr: Error{`"billing": CreateClient: storetest: the storage failed`, ""}},

	{name: "none", ask: ask(ListClients), in: Page{}, want: `{"clients":[]}`},
	{name: "all", ask: ask(ListClients), prepare: registered(Page{}, "billing", "a"),
		want: `{"clients":[` + strings.Replace(billing(0), "billing", "a", 1) + `,` + billing(0) + `]}`},
	{name: "a page", ask: ask(ListClients), prepare: registered(Page{Limit: 1}, "billing", "orders"), want: `{"clients":[` + billing(0) + `],"next":"billing"}`},
	{name: "after the last", ask: ask(ListClients), prepare: registered(Page{After: "orders"}, "billing", "orders"), want: `{"clients":[]}`},
	{name: "while the storage fails", ask: ask(ListClients), prepare: func(t testing.TB, f *fixture) any {
		f.store.FailNext("Clients", storetest.NotApplied)
		return Page{}
	}, wantErr: Error{`Clients: storetest: the storage failed`, ""}},

	{name: "one", ask: ask(ShowClient), prepare: registered(ClientID{"billing"}, "billing"), want: billing(0)},
	{name: "an unknown one", ask: ask(ShowClient), in: ClientID{"billing"}, wantErr: unknownClient},
	{name: "what is no id", ask: ask(ShowClient), prepare: registered(ClientID{"BILLING"}, "billing"), wantErr: Error{`"BILLING": no such client`, hintClients}},
	{name: "nothing named", ask: ask(ShowClient), in: ClientID{}, wantErr: Error{`"": no such client`, hintClients}},
	{name: "the issuer's own", ask: ask(ShowClient), in: ClientID{issuer.FirstParty}, wantErr: Error{`"first-party": no such client`, hintClients}},

	{name: "another", ask: ask(NewSecret), prepare: rotatedSecret(SecretRequest{ID: "billing"}, 1), want: withSecret(billing(0, 1))},
	{name: "a third", ask: ask(NewSecret), prepare: rotatedSecret(SecretRequest{ID: "billing"}, 2), want: withSecret(billing(1, 2))},
	{name: "only the new one", ask: ask(NewSecret), prepare: rotatedSecret(SecretRequest{ID: "billing", Only: true}, 2), want: withSecret(billing(2))},
	{name: "of an unknown one", ask: ask(NewSecret), in: SecretRequest{ID: "billing"}, wantErr: unknownClient},
	{name: "of the issuer's own", ask: ask(NewSecret), in: SecretRequest{ID: issuer.FirstParty, Only: true}, wantErr: Error{`"first-party": no such client`, hintClients}},
	{name: "while the storage fails", ask: ask(NewSecret), prepare: func(t testing.TB, f *fixture) any {
		f.register(t, "billing")
		f.store.FailNext("UpdateClient", storetest.NotApplied)
		return SecretRequest{ID: "billing"}
	}, wantErr: Error{`UpdateClient: storetest: the storage failed`, ""}},

	{name: "one", ask: ask(RemoveClient), prepare: registered(ClientID{"billing"}, "billing"), want: `{"client_id":"billing"}`},
	{name: "an unknown one", ask: ask(RemoveClient), prepare: registered(ClientID{"billing"}, "orders"), wantErr: unknownClient},
	{name: "twice", ask: ask(RemoveClient), prepare: func(t testing.TB, f *fixture) any {
		f.register(t, "billing")
		must(t, f.Clients.Remove(t.Context(), "billing"))
		return ClientID{"billing"}
	}, wantErr: unknownClient},
}, badIDs(), values())

// badIDs: what is not to be read as a user's sub, and would not be safe in a URL, a
// log or a terminal.
func badIDs() (cases []doorCase) {
	for _, id := range []string{
		"", "Billing", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "-billing", ".billing", "_billing", "bill ing", " billing", "billing\n",
		"bill/ing", "bill:ing", "bill%69ng", "bill\x00ing", "bílling", strings.Repeat("a.", 32) + "a",
	} {
		cases = append(cases, doorCase{name: fmt.Sprintf("the id %q", id), ask: ask(AddClient),
			in: Registration{ID: id, Grants: grants}, wantErr: unregistrable(noID)})
	}
	return cases
}

// values are good and bad ones, of scopes and of audiences.
func values() (cases []doorCase) {
	long := strings.Repeat("a.", 128) // of 256 bytes
	for what, in := range map[string]func(values ...string) Registration{
		"scope": func(values ...string) Registration {
			return Registration{ID: "billing", Grants: grants, Scopes: values}
		},
		"audience": func(values ...string) Registration {
			return Registration{ID: "billing", Grants: grants, Audiences: values}
		},
	} {
		for _, bad := range []string{"", " ", "a b", "a\tb", `a"b`, `a\b`, "é", "a\x7fb", "a\nb", long} {
			cases = append(cases, doorCase{name: fmt.Sprintf("the %s %.20q", what, bad), ask: ask(AddClient),
				in: in("good", bad), wantErr: unregistrable(fmt.Sprintf("%s %.50q: %s", what, bad, noValue))})
		}
		for name, good := range map[string][]string{"64": numbered(64), "a long": {long[1:]}, "a strange": {"!#[]^~'<>&"}} {
			list, _ := json.Marshal(good)
			list = []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(list)))
			cases = append(cases, doorCase{name: name + " " + what, ask: ask(AddClient), in: in(good...),
				want: withSecret(`{"client_id":"billing","grants":["client_credentials"],"` + what + `s":` + string(list) +
					`,"created":"2026-03-01T12:00:00Z","secrets":["2026-03-01T12:00:00Z"]}`)})
		}
		cases = append(cases,
			doorCase{name: "a " + what + " twice", ask: ask(AddClient), in: in("a", "b", "a"), wantErr: unregistrable(what + ` "a" is named twice`)},
			doorCase{name: "65 of " + what, ask: ask(AddClient), in: in(numbered(65)...), wantErr: unregistrable("more than 64 " + what + " values")})
	}
	return cases
}

// TestSecretsInForce: a secret that was handed out is good until the second one after
// it, or one that is to be alone, or the end of the client.
func TestSecretsInForce(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		added, err := AddClient.Do(t.Context(), door, Registration{ID: "billing", Grants: grants})
		must(t, err)
		secrets := []string{added.Secret}
		again := func(only bool) {
			t.Helper()
			made, err := NewSecret.Do(t.Context(), door, SecretRequest{ID: "billing", Only: only})
			must(t, err)
			if len(made.Secret) != 43 || slices.Contains(secrets, made.Secret) {
				t.Errorf("the secret %q after %q", made.Secret, secrets)
			}
			secrets = append(secrets, made.Secret)
		}
		f.inForce(t, secrets, 0)
		again(false)
		f.inForce(t, secrets, 0, 1)
		again(false)
		f.inForce(t, secrets, 1, 2)
		again(true)
		f.inForce(t, secrets, 3)
		again(false)
		f.inForce(t, secrets, 3, 4)
		_, err = RemoveClient.Do(t.Context(), door, ClientID{"billing"})
		must(t, err)
		f.inForce(t, secrets)
	})
}

// inForce checks which of the secrets of billing are honoured, by their place.
func (f *fixture) inForce(t *testing.T, secrets []string, want ...int) {
	t.Helper()
	var got []int
	for i, secret := range secrets {
		_, err := f.Clients.Authenticate(t.Context(), oauth.Credentials{ID: "billing", Secret: secret})
		refused, ok := errors.AsType[*oauth.Error](err)
		switch {
		case err == nil:
			got = append(got, i)
		case !ok || refused.Code != oauth.InvalidClient:
			t.Errorf("secret %d: error %v, want %s", i, err, oauth.InvalidClient)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("secrets %v of %d are in force, want %v", got, len(secrets), want)
	}
}

// TestRefusedClientsAreNotMade: after each refusal the registry is what it was.
func TestRefusedClientsAreNotMade(t *testing.T) {
	f := newFixture(t)
	for _, c := range clientCases {
		in, ok := c.in.(Registration)
		if !ok || c.want != "" {
			continue
		}
		_, err := AddClient.Do(t.Context(), Local(f.Operator), in)
		wantRefused(t, err, c.wantErr)
	}
	list, err := ListClients.Do(t.Context(), Local(f.Operator), Page{})
	must(t, err)
	if len(list.Clients) != 0 {
		t.Errorf("refused and there: %+v", list.Clients)
	}
}

// What an operator changes of the clients is in the log, done or refused; a secret is not.
func TestLogNamesClientsAndNoSecret(t *testing.T) {
	server := serve(t, newFixture(t).Operator, socketPath(t))
	remote, ctx := server.dial(t), t.Context()
	added, err := AddClient.Do(ctx, remote, Registration{ID: "billing", Grants: grants})
	must(t, err)
	made, err := NewSecret.Do(ctx, remote, SecretRequest{ID: "billing"})
	must(t, err)
	_, err = ListClients.Do(ctx, remote, Page{})
	must(t, err)
	_, err = ShowClient.Do(ctx, remote, ClientID{"billing"})
	must(t, err)
	_, err = RemoveClient.Do(ctx, remote, ClientID{"billing"})
	must(t, err)
	_, err = NewSecret.Do(ctx, remote, SecretRequest{ID: "billing"})
	wantRefused(t, err, unknownClient)
	log := server.log.String()
	for _, want := range []string{
		`msg="operator's command" op="clients add" target=billing`,
		`msg="operator's command" op="clients secret" target=billing`,
		`msg="operator's command" op="clients remove" target=billing`,
		`msg="operator's command refused" op="clients secret" target=billing error="\"billing\": no such client"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in\n%s", want, log)
		}
	}
	for _, not := range []string{added.Secret, made.Secret, "clients list", "clients show"} {
		if strings.Contains(log, not) {
			t.Errorf("the log holds %q:\n%s", not, log)
		}
	}
}
