package issuer_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"signet/issuer"
	"signet/users"
)

var profile = users.Profile{
	UserID: "42", Email: "kyoko@example.com", GivenName: "Kyoko", Superuser: true,
	Groups: []string{"editors", "staff"}, Permissions: []string{"orders.add_order"},
	Claims: `{"tenant":{"id":7,"plan":"<gold>"},"roles":["a"],"limit":9007199254740993}`,
}

// said are the claims of a token beside those that every access token has.
func said(t *testing.T, token string) map[string]any {
	t.Helper()
	_, claims := decode(t, token)
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "sid", "token_type", "user_id"} {
		if _, ok := claims[name]; !ok {
			t.Errorf("the token has no %s", name)
		}
		delete(claims, name)
	}
	return claims
}

func TestTokenSaysWhatItsAudienceMaySee(t *testing.T) {
	f := newFixture(t)
	if _, err := f.users.SetProfile(t.Context(), "kyoko", func(p *users.Profile) { *p = profile }); err != nil {
		t.Fatal(err)
	}
	tenant := map[string]any{"id": 7.0, "plan": "<gold>"}
	groups := []any{"editors", "staff"}
	for _, tt := range []struct {
		name     string
		audience []string
		include  map[string][]string
		want     map[string]any
	}{
		{"nothing", []string{"orders"}, nil, map[string]any{}},
		{"groups", []string{"orders"}, map[string][]string{"orders": {"groups"}}, map[string]any{"groups": groups}},
		{"every part", []string{"orders"}, map[string][]string{"orders": {
			"username", "preferred_username", "email", "given_name", "family_name", "groups", "permissions", "is_staff", "is_superuser"}},
			map[string]any{"username": "kyoko", "preferred_username": "kyoko", "email": "kyoko@example.com", "given_name": "Kyoko",
				"groups": groups, "permissions": []any{"orders.add_order"}, "is_superuser": true}}, // what is not so is left out
		{"a free claim", []string{"orders"}, map[string][]string{"orders": {"tenant"}}, map[string]any{"tenant": tenant}},
		{"one it does not have", []string{"orders"}, map[string][]string{"orders": {"shoe_size"}}, map[string]any{}},
		{"every free claim", []string{"orders"}, map[string][]string{"*": {"claims"}},
			map[string]any{"tenant": tenant, "roles": []any{"a"}, "limit": 9007199254740992.0}},
		{"an audience of its own", []string{"orders"}, map[string][]string{"*": {"claims"}, "orders": {"email"}}, map[string]any{"email": "kyoko@example.com"}},
		{"an audience that gets nothing", []string{"orders"}, map[string][]string{"*": {"claims"}, "orders": nil}, map[string]any{}},
		{"two: what both may see", []string{"orders", "stock"}, map[string][]string{"orders": {"email", "groups"}, "stock": {"groups", "tenant"}}, map[string]any{"groups": groups}},
		{"two, one by *", []string{"orders", "stock"}, map[string][]string{"orders": {"email"}, "*": {"groups", "email"}}, map[string]any{"email": "kyoko@example.com"}},
		{"two, one sees nothing", []string{"orders", "stock"}, map[string][]string{"orders": {"email"}}, map[string]any{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.set(func(p *issuer.Policy) { p.Audience, p.Include = tt.audience, tt.include })
			tokens := f.login(t)
			exchanged, _, err := f.Issue(t.Context(), issuer.Authorization{
				Client: "batch", Subject: f.kyoko.ID, Session: claim(t, tokens.Access, "sid").(string), Audience: tt.audience})
			must(t, err)
			for what, token := range map[string]string{"login": tokens.Access, "refresh": f.refresh(t, tokens.Refresh).Access, "exchange": exchanged} {
				if diff := cmp.Diff(tt.want, said(t, token)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
				f.wantVerify(t, token, nil)
			}
			if extra := said(t, tokens.Refresh); len(extra) != 1 { // session_exp
				t.Errorf("the refresh token says %v", extra)
			}
		})
	}
}

// A machine's token says nothing of any user, whatever the policy includes.
func TestMachineTokenHasNoProfile(t *testing.T) {
	f := newFixture(t)
	f.set(func(p *issuer.Policy) { p.Include = map[string][]string{"*": {"username", "groups", "claims"}} })
	token, _, err := f.Issue(t.Context(), issuer.Authorization{Client: "batch", Subject: "batch", Audience: []string{"orders"}})
	must(t, err)
	_, claims := decode(t, token)
	for _, name := range []string{"username", "groups", "user_id", "sid"} {
		if value, ok := claims[name]; ok {
			t.Errorf("it has %s: %v", name, value)
		}
	}
}

func TestRefreshReadsTheProfileAnew(t *testing.T) {
	f := newFixture(t)
	f.set(func(p *issuer.Policy) { p.Include = map[string][]string{"*": {"groups", "claims"}} })
	tokens := f.login(t)
	if got := said(t, tokens.Access); len(got) != 0 {
		t.Errorf("before: %v", got)
	}
	_, err := f.users.SetProfile(t.Context(), "kyoko", func(p *users.Profile) {
		p.Groups, p.Claims, p.UserID = []string{"editors"}, `{"tenant":"x"}`, "7"
	})
	must(t, err)
	next := f.refresh(t, tokens.Refresh)
	if diff := cmp.Diff(map[string]any{"groups": []any{"editors"}, "tenant": "x"}, said(t, next.Access)); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
	if got := claim(t, next.Access, "user_id"); got != "7" {
		t.Errorf("user_id %v, want 7", got)
	}
}

// No claim of a profile can stand for one that decides something.
func TestEveryClaimOfATokenIsReserved(t *testing.T) {
	raw, err := json.Marshal(issuer.Claims{
		Scope: "x", Session: "x", UserID: issuer.UserID{Text: "x"}, Actor: &issuer.Actor{}, SessionEnds: 1,
	})
	must(t, err)
	var members map[string]any
	must(t, json.Unmarshal(raw, &members))
	if len(members) < 14 {
		t.Fatalf("only %d claims", len(members))
	}
	for name := range issuer.Known {
		members[name] = true
	}
	for name := range members {
		p := users.Profile{Claims: `{"` + name + `":1}`}
		wantErr(t, name, p.Check(), users.ErrProfile)
	}
}

func TestUserIDType(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct {
		id      string
		numeric bool
		want    any
	}{
		{"", false, f.kyoko.ID}, {"", true, f.kyoko.ID},
		{"42", false, "42"}, {"42", true, 42.0},
		{"007", true, "007"}, {"-1", true, "-1"}, {"4.2", true, "4.2"}, {"1e3", true, "1e3"},
		{"9007199254740991", true, 9007199254740991.0}, {"9007199254740992", true, "9007199254740992"},
		{"a-uuid", true, "a-uuid"},
	} {
		_, err := f.users.SetProfile(t.Context(), "kyoko", func(p *users.Profile) { p.UserID = tt.id })
		must(t, err)
		f.set(func(p *issuer.Policy) { p.NumericUserID = tt.numeric })
		tokens := f.login(t)
		next := f.refresh(t, tokens.Refresh)
		for _, token := range []string{tokens.Access, tokens.Refresh, next.Access, next.Refresh} {
			if got := claim(t, token, "user_id"); got != tt.want {
				t.Errorf("%q, numeric %v: user_id %v (%T), want %v", tt.id, tt.numeric, got, got, tt.want)
			}
			f.wantVerify(t, token, nil)
		}
		if sub := claim(t, next.Access, "sub"); sub != f.kyoko.ID {
			t.Errorf("%q: sub %v, want our own id", tt.id, sub)
		}
	}
}
