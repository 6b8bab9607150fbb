package issuer_test

import (
	"slices"
	"testing"
	"time"

	"signet/issuer"
)

// TestOpenedSessions: what an operator opens is never more than what a login does.
func TestOpenedSessions(t *testing.T) {
	f := newFixture(t)
	f.set(func(p *issuer.Policy) {
		p.Audience = []string{"orders", "stock"}
		p.Types = map[string]string{"stock": issuer.TypAccess, "orders": issuer.TypAccess}
		p.Include = map[string][]string{"orders": {"username"}}
	})
	second := start.Truncate(time.Second)
	for _, c := range []struct {
		order    issuer.Order
		audience []string
		expires  time.Time
	}{
		{issuer.Order{}, []string{"orders", "stock"}, second.Add(5 * time.Minute)},
		{issuer.Order{Audience: []string{"orders"}}, []string{"orders"}, second.Add(5 * time.Minute)},
		{issuer.Order{Lifetime: time.Minute}, []string{"orders", "stock"}, second.Add(time.Minute)},
		{issuer.Order{Lifetime: time.Hour}, []string{"orders", "stock"}, second.Add(5 * time.Minute)},
		{issuer.Order{Refresh: true}, []string{"orders", "stock"}, second.Add(5 * time.Minute)},
	} {
		tokens, err := f.OpenSession(t.Context(), f.kyoko.ID, c.order)
		must(t, err)
		found, err := f.Examine(t.Context(), tokens.Access)
		must(t, err)
		if !slices.Equal(found.Claims.Audience, c.audience) || !tokens.Expires.Equal(c.expires) || found.Claims.Expires != c.expires.Unix() {
			t.Errorf("%+v: %+v until %v", c.order, found.Claims, tokens.Expires)
		}
		ends := c.expires
		if c.order.Refresh {
			ends = second.Add(30 * 24 * time.Hour)
		}
		if s := found.Session; !s.Ends.Equal(ends) || s.KID == "" || s.Client != issuer.FirstParty || s.Subject != f.kyoko.ID {
			t.Errorf("%+v: session %+v, want its end at %v", c.order, s, ends)
		}
		if (tokens.Refresh != "") != c.order.Refresh {
			t.Errorf("%+v: a refresh token is there: %v", c.order, tokens.Refresh != "")
		}
	}
	f.wantSessions(t, 5)
}

// TestOpenedSessionIsRefreshed: its first access token may be narrower, the session is a
// login's.
func TestOpenedSessionIsRefreshed(t *testing.T) {
	f := newFixture(t)
	tokens, err := f.OpenSession(t.Context(), f.kyoko.ID, issuer.Order{Refresh: true})
	must(t, err)
	next := f.refresh(t, tokens.Refresh)
	f.wantVerify(t, next.Access, nil)
	f.move(11 * time.Second)
	f.wantVerify(t, tokens.Refresh, issuer.ErrReplaced)
	f.wantVerify(t, tokens.Refresh, issuer.ErrNoSession)
	f.wantVerify(t, next.Refresh, nil)
	f.wantRefresh(t, tokens.Refresh, issuer.ErrReused)
}

// TestOpenedSessionOfNobody: no session begins for whom no login would.
func TestOpenedSessionOfNobody(t *testing.T) {
	f := newFixture(t)
	open := func(what, subject string, o issuer.Order, want error) {
		t.Helper()
		_, err := f.OpenSession(t.Context(), subject, o)
		wantErr(t, what, err, want)
	}
	open("an unknown user", "nobody", issuer.Order{}, issuer.ErrInactive)
	open("another service", f.kyoko.ID, issuer.Order{Audience: []string{"orders"}}, issuer.ErrWider)
	open("the issuer", f.kyoko.ID, issuer.Order{Audience: []string{issuerURL}}, issuer.ErrWider)
	open("a refresh for another service", f.kyoko.ID, issuer.Order{Audience: []string{"orders"}, Refresh: true}, issuer.ErrWider)
	f.set(func(p *issuer.Policy) {
		p.Audience = []string{"a", "b"}
		p.Types = map[string]string{"a": issuer.TypAccess, "b": issuer.TypJWT}
	})
	open("services of two types", f.kyoko.ID, issuer.Order{}, issuer.ErrTypes)
	open("one of them", f.kyoko.ID, issuer.Order{Audience: []string{"a"}}, nil)
	f.set(func(p *issuer.Policy) { p.MaxTokenBytes = 300 })
	if _, err := f.OpenSession(t.Context(), f.kyoko.ID, issuer.Order{}); err == nil {
		t.Error("a token longer than tokens.max_bytes")
	}
	f.set(func(*issuer.Policy) {})
	f.wantSessions(t, 1)
	_, err := f.users.Disable(t.Context(), "kyoko")
	must(t, err)
	open("a disabled user", f.kyoko.ID, issuer.Order{}, issuer.ErrDisabled)
}
