package issuer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strconv"
	"strings"
	"testing"
	"time"

	"signet/issuer"
)

// otherKeys answers for every kid with a key that has signed nothing, so that a test sees
// whether a signature is checked.
type otherKeys struct {
	alg    string
	public crypto.PublicKey
	gone   bool
}

func (k *otherKeys) PublicKey(string) (string, any, bool) { return k.alg, k.public, !k.gone }

// ownFixture is an issuer whose signatures all look wrong, and a refresh token of it.
func ownFixture(t *testing.T) (*fixture, *otherKeys, string) {
	t.Helper()
	f := newFixture(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	keys := &otherKeys{alg: "ES256", public: &private.PublicKey}
	f.Issuer = f.issuerWith(func(o *issuer.Options) { o.Keys = keys })
	return f, keys, f.login(t).Refresh
}

// An issuer takes the exact texts that it has made at their word, and no others: not
// those of another process with the same keys, and not their neighbours.
func TestOnlyTheExactOwnTokenIsBelieved(t *testing.T) {
	f, _, token := ownFixture(t)
	foreign := f.issuerWith(func(o *issuer.Options) {})
	other, err := foreign.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password})
	must(t, err)
	f.wantRefresh(t, other.Refresh, issuer.ErrSignature)

	last := strings.LastIndexByte(token, '.')
	for i := last + 1; i < len(token)-1; i++ { // the last character has bits that must be zero
		altered := []byte(token)
		altered[i] = map[bool]byte{true: 'B', false: 'A'}[altered[i] == 'A']
		f.wantRefresh(t, string(altered), issuer.ErrSignature)
	}
	f.wantRefresh(t, token[:last+1]+other.Refresh[strings.LastIndexByte(other.Refresh, '.')+1:], issuer.ErrSignature)
	f.refresh(t, f.refresh(t, token).Refresh)
}

// Access tokens are not remembered: whoever asks about one is told what its key says.
func TestOwnAccessTokensAreVerified(t *testing.T) {
	f, _, _ := ownFixture(t)
	f.wantVerify(t, f.login(t).Access, issuer.ErrSignature)
}

// All but the signature is checked of an own token as of any.
func TestOwnTokensAreCheckedForTheRest(t *testing.T) {
	for _, tt := range []struct {
		name  string
		alter func(f *fixture, keys *otherKeys, token string)
		want  error
	}{
		{"revoked key", func(_ *fixture, keys *otherKeys, _ string) { keys.gone = true }, issuer.ErrUnknownKey},
		{"key of another algorithm", func(_ *fixture, keys *otherKeys, _ string) { keys.alg = "ES384" }, issuer.ErrKeyAlgorithm},
		{"expired", func(f *fixture, _ *otherKeys, _ string) { f.move(25 * time.Hour) }, issuer.ErrExpired},
		{"ended session", func(f *fixture, _ *otherKeys, token string) { must(t, f.Logout(t.Context(), token)) }, issuer.ErrNoSession},
		{"disabled account", func(f *fixture, _ *otherKeys, _ string) {
			_, err := f.users.Disable(t.Context(), "kyoko")
			must(t, err)
		}, issuer.ErrDisabled},
		{"another issuer URL", func(f *fixture, _ *otherKeys, _ string) {
			f.set(func(p *issuer.Policy) { p.URL = "https://new.example.test" })
		}, issuer.ErrIssuer},
		{"used before", func(f *fixture, _ *otherKeys, token string) {
			f.refresh(t, token)
			f.move(time.Minute)
		}, issuer.ErrReused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, keys, token := ownFixture(t)
			tt.alter(f, keys, token)
			f.wantRefresh(t, token, tt.want)
		})
	}
}

// A token from before a restart goes the long way, and goes on.
func TestOwnTokensAfterARestart(t *testing.T) {
	f := newFixture(t)
	token := f.login(t).Refresh
	f.Issuer = f.issuerWith(func(*issuer.Options) {})
	f.refresh(t, f.refresh(t, token).Refresh)
}

// Memory does not grow with tokens, what is forgotten is not confused, and the last one
// is there.
func TestOwnTokensAreBounded(t *testing.T) {
	const many = 3 * issuer.OwnSlots
	var own issuer.OwnTokens
	kept := 0
	for i := range many {
		text := strconv.Itoa(i)
		if own.Made(text) {
			t.Fatalf("%q is known before it was made", text)
		}
		own.Remember(text)
		if !own.Made(text) {
			t.Fatalf("%q is forgotten at once", text)
		}
	}
	for i := range many {
		if own.Made(strconv.Itoa(i)) {
			kept++
		}
	}
	if got := own.Size(); got != issuer.OwnSlots {
		t.Errorf("%d slots, want %d", got, issuer.OwnSlots)
	}
	if kept < issuer.OwnSlots/2 || kept > issuer.OwnSlots {
		t.Errorf("%d of %d are kept, and there are %d slots", kept, many, issuer.OwnSlots)
	}
}
