package issuer_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"signet/issuer"
	"signet/keystore"
)

// signer is the kid that signs for ES256 now.
func (f *fixture) signer(t testing.TB) string {
	t.Helper()
	for _, k := range f.keys.Keys() {
		if k.State == keystore.Active {
			return k.KID
		}
	}
	t.Fatal("no key signs")
	return ""
}

// TestKeyUse: each key has the tokens that it signed, by kind, and the latest exp.
func TestKeyUse(t *testing.T) {
	f := newFixture(t)
	first := f.signer(t)
	if got := f.KeyUse(first); got != (issuer.KeyUse{}) {
		t.Errorf("before any token: %+v", got)
	}
	tokens := f.login(t)
	f.move(time.Minute)
	f.refresh(t, tokens.Refresh)
	exp := f.now().UTC().Truncate(time.Second)
	want := issuer.KeyUse{AccessTokens: 2, RefreshTokens: 2, AccessExpires: exp.Add(5 * time.Minute), RefreshExpires: exp.Add(24 * time.Hour)}
	if got := f.KeyUse(first); got != want {
		t.Errorf("after a login and a refresh\n%+v, want\n%+v", got, want)
	}
	_, err := f.keys.Rotate(t.Context(), keystore.RotateRequest{Now: true}, false)
	must(t, err)
	f.set(func(p *issuer.Policy) { p.AccessLifetime = time.Minute })
	_, _, err = f.Issue(t.Context(), issuer.Authorization{Client: "billing", Subject: "billing", Audience: []string{"orders"}})
	must(t, err)
	if got := f.KeyUse(first); got != want {
		t.Errorf("after another key signed\n%+v, want\n%+v", got, want)
	}
	if got := f.KeyUse(f.signer(t)); got != (issuer.KeyUse{AccessTokens: 1, AccessExpires: exp.Add(time.Minute)}) {
		t.Errorf("of the other key: %+v", got)
	}
}

// TestKeyUseKeepsTheLatest: a token that expires sooner does not hide another, nor
// does one that was not made.
func TestKeyUseKeepsTheLatest(t *testing.T) {
	f := newFixture(t)
	f.login(t)
	want := f.KeyUse(f.signer(t))
	f.set(func(p *issuer.Policy) { p.AccessLifetime = time.Second })
	_, _, err := f.Issue(t.Context(), issuer.Authorization{Client: "billing", Subject: "billing", Audience: []string{"orders"}})
	must(t, err)
	f.set(func(p *issuer.Policy) { p.AccessLifetime, p.MaxTokenBytes = time.Hour, 10 })
	_, _, err = f.Issue(t.Context(), issuer.Authorization{Client: "billing", Subject: "billing", Audience: []string{"orders"}})
	if _, ok := errors.AsType[*issuer.TooLongError](err); !ok {
		t.Errorf("error %v, want a *TooLongError", err)
	}
	want.AccessTokens++
	if got := f.KeyUse(f.signer(t)); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestKeyUseOfManyAtOnce(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				_, _, err := f.Issue(t.Context(), issuer.Authorization{Client: "billing", Subject: "billing", Audience: []string{"orders"}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := f.KeyUse(f.signer(t)).AccessTokens; got != 100 {
		t.Errorf("%d tokens, want 100", got)
	}
}
