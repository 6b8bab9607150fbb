package issuer_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"signet/issuer"
	"signet/users"
)

// TestRefreshFindsOutWhatCannotBeMade: whatever a user's claims become between two
// refreshes, a token that is too long for them costs no session, not even after the reuse
// window.
func TestRefreshFindsOutWhatCannotBeMade(t *testing.T) {
	f := newFixture(t)
	f.set(func(p *issuer.Policy) {
		p.MaxTokenBytes = 1200
		p.Include = map[string][]string{"*": {"groups"}}
	})
	groups := func(n int) {
		t.Helper()
		_, err := f.users.SetProfile(t.Context(), "kyoko", func(p *users.Profile) {
			p.Groups = nil
			for i := range n {
				p.Groups = append(p.Groups, fmt.Sprintf("<group %03d>", i)) // < and > take six bytes each
			}
		})
		must(t, err)
	}
	made, refused := 0, 0
	for n := range 40 {
		groups(0)
		tokens := f.login(t)
		groups(n)
		answer, err := f.Refresh(t.Context(), tokens.Refresh)
		if tooLong := (*issuer.TooLongError)(nil); errors.As(err, &tooLong) {
			refused++
			groups(0)
			f.move(time.Hour)
			answer, err = f.Refresh(t.Context(), tokens.Refresh)
		} else {
			made++
		}
		if err != nil {
			t.Fatalf("%d groups: %v", n, err)
		}
		if list, _ := claim(t, answer.Access, "groups").([]any); refused == 0 && len(list) != n {
			t.Errorf("%d groups: the token has %d", n, len(list))
		}
		f.refresh(t, answer.Refresh)
	}
	if made < 5 || refused < 5 {
		t.Errorf("%d tokens were made and %d refused, want some of each", made, refused)
	}
}

// failing is a Signer that fails its nth call from now.
type failing struct {
	issuer.Signer
	in int
}

var errSigner = errors.New("the signer is gone")

func (f *failing) Sign(alg, typ string, payload []byte) (string, string, error) {
	if f.in--; f.in == 0 {
		return "", "", errSigner
	}
	return f.Signer.Sign(alg, typ, payload)
}

// TestRefreshWithASignerThatFails: at the first signature the session stays as it was, for
// as long as it lives; at the next one for the reuse window at least.
func TestRefreshWithASignerThatFails(t *testing.T) {
	for call, after := range map[int]time.Duration{1: time.Hour, 2: 10 * time.Second} {
		f := newFixture(t)
		signer := &failing{Signer: f.keys}
		f.Issuer = f.issuerWith(func(o *issuer.Options) { o.Signer = signer })
		tokens := f.login(t)
		signer.in = call
		f.wantRefresh(t, tokens.Refresh, errSigner)
		f.move(after)
		f.refresh(t, f.refresh(t, tokens.Refresh).Refresh)
	}
}

// TestRefreshFollowsTheUser: what was changed since the last token stands in both of the
// next.
func TestRefreshFollowsTheUser(t *testing.T) {
	f := newFixture(t)
	f.set(func(p *issuer.Policy) { p.NumericUserID, p.Include = true, map[string][]string{"*": {"email"}} })
	tokens := f.login(t)
	for _, id := range []string{"7", "seven", "", "8"} {
		u, err := f.users.SetProfile(t.Context(), "kyoko", func(p *users.Profile) { p.UserID, p.Email = id, id+"@example.com" })
		must(t, err)
		tokens = f.refresh(t, tokens.Refresh)
		var want any = u.ID
		switch id {
		case "7", "8":
			want = float64(id[0] - '0')
		case "seven":
			want = id
		}
		for _, token := range []string{tokens.Access, tokens.Refresh} {
			if got := claim(t, token, "user_id"); got != want {
				t.Errorf("user_id %q became %v in a token, want %v", id, got, want)
			}
		}
		if got := claim(t, tokens.Access, "email"); got != id+"@example.com" {
			t.Errorf("email %v, want that of %q", got, id)
		}
	}
}

// TestClaimBytesBound: a user's claims make a token no longer than ClaimBytes says,
// whatever the policy includes.
func TestClaimBytesBound(t *testing.T) {
	f := newFixture(t)
	text := rapid.StringMatching(`[a-zA-Z<>&"\\\x{e9}\x{2028}\x{1f600} ]{0,12}`)
	rapid.Check(t, func(r *rapid.T) {
		var names []string
		for name := range issuer.Known {
			if rapid.Bool().Draw(r, name) {
				names = append(names, name)
			}
		}
		free := rapid.Bool().Draw(r, "claims")
		if free {
			names = append(names, issuer.FreeClaims)
		}
		f.set(func(p *issuer.Policy) { p.MaxTokenBytes = 1 << 20 })
		u, err := f.users.SetProfile(t.Context(), "kyoko", func(p *users.Profile) {
			*p = users.Profile{
				Email: text.Draw(r, "email"), GivenName: text.Draw(r, "given"), Staff: rapid.Bool().Draw(r, "staff"),
				UserID: strings.TrimSpace(text.Draw(r, "user_id")), Claims: fmt.Sprintf(`{ "tenant" : %q }`, rapid.StringMatching(`[a-z<]{0,9}`).Draw(r, "tenant")),
			}
			for _, g := range rapid.SliceOfN(rapid.StringMatching(`[a-z<>&\x{e9}]{1,9}`), 0, 5).Draw(r, "groups") {
				p.Groups = append(p.Groups, g)
			}
		})
		if err != nil {
			r.Fatal(err)
		}
		length := func() int {
			raw, err := base64.RawURLEncoding.DecodeString(strings.Split(f.login(t).Access, ".")[1])
			must(t, err)
			return len(raw)
		}
		id, err := json.Marshal(cmp.Or(u.UserID, u.ID))
		must(t, err)
		bare := length() - len(id)
		f.set(func(p *issuer.Policy) { p.MaxTokenBytes, p.Include = 1<<20, map[string][]string{"*": names} })
		if with, most := length(), bare+issuer.ClaimBytes(u)+len(","); with > most {
			r.Errorf("with %v a token has %d bytes, at most %d were expected", names, with, most)
		}
	})
}
