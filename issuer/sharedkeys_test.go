package issuer_test

import (
	"errors"
	"testing"

	"signet/issuer"
)

// keysBehind knows its keys only once it has caught up, which may fail.
type keysBehind struct {
	issuer.Keys
	behind bool
	failed error
}

func (k *keysBehind) PublicKey(kid string) (string, any, bool) {
	if k.behind {
		return "", nil, false
	}
	return k.Keys.PublicKey(kid)
}

func (k *keysBehind) Behind() error {
	k.behind = k.failed != nil
	return k.failed
}

// A key that another process has made is looked for once more, and a token whose key may
// exist is not called invalid: its client would log its user out.
func TestTokenOfAKeyThatAnotherProcessMade(t *testing.T) {
	f := newFixture(t)
	keys := &keysBehind{Keys: f.keys}
	f.Issuer = f.issuerWith(func(o *issuer.Options) { o.Keys = keys })
	token := f.login(t).Refresh
	keys.behind = true
	token = f.refresh(t, token).Refresh

	keys.behind, keys.failed = true, errors.New("the database does not answer")
	for name, use := range map[string]func() error{
		"refresh": func() error {
			_, err := f.Refresh(t.Context(), token)
			return err
		},
		"verify": func() error {
			_, err := f.Verify(t.Context(), token)
			return err
		},
		"logout": func() error { return f.Logout(t.Context(), token) },
	} {
		if err := use(); !errors.Is(err, keys.failed) || errors.Is(err, issuer.ErrInvalid) {
			t.Errorf("%s while nobody can tell: %v, want %v and not %v", name, err, keys.failed, issuer.ErrInvalid)
		}
	}
	keys.failed = nil
	f.refresh(t, token)
}
