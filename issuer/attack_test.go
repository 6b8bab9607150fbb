package issuer_test

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signet/internal/compactjws"
	"signet/issuer"
	"signet/issuer/issuertest"
)

// entry is a place that takes a token.
type entry struct {
	name string
	call func(token string) error
}

func (f *fixture) entries(t testing.TB) []entry {
	return []entry{
		{"Refresh", func(token string) error { _, err := f.Refresh(t.Context(), token); return err }},
		{"Verify", func(token string) error { _, err := f.Verify(t.Context(), token); return err }},
		{"Logout", func(token string) error { return f.Logout(t.Context(), token) }},
	}
}

// examined asks as a service that is named in the question. It also holds that claims are
// told of tokens with a good signature alone.
func (f *fixture) examined(t testing.TB, token string) error {
	found, err := f.Examine(t.Context(), token)
	for _, unsigned := range []error{compactjws.ErrMalformed, compactjws.ErrHeader, issuer.ErrAlgorithm, issuer.ErrKeyAlgorithm, issuer.ErrUnknownKey, issuer.ErrSignature} {
		if errors.Is(err, unsigned) && found.Claims != nil {
			t.Errorf("claims %+v with the error %v", found.Claims, err)
		}
	}
	if err == nil && found.Claims.Kind == issuer.KindAccess && !slices.Contains(found.Claims.Audience, issuerURL+"/api") {
		return issuer.ErrAudience
	}
	return err
}

func TestNoForgeryPassesAnywhere(t *testing.T) {
	elsewhere := issuertest.Attacker(t)
	for _, algorithms := range [][]string{{"ES256", "RS256"}, {"RS256", "ES256"}} {
		t.Run(algorithms[0], func(t *testing.T) {
			f := newFixtureWith(t, algorithms...)
			keys, stranger := f.private(t), issuertest.NewKeys(t)
			tokens := f.login(t)
			before := f.sessions(t, "")
			examine := entry{"Examine", func(token string) error { return f.examined(t, token) }}
			for _, base := range []struct {
				kind, token string
				own         func(*issuertest.Genuine) []issuertest.Attack
				entries     []entry
			}{
				{"refresh token", tokens.Refresh, (*issuertest.Genuine).Refresh, f.entries(t)},
				{"access token", tokens.Access, (*issuertest.Genuine).Access, f.entries(t)[1:2]},
			} {
				g := issuertest.New(t, issuertest.Source{Text: base.token, Kind: issuertest.Own, URL: issuerURL,
					Keys: keys, Stranger: stranger, Elsewhere: elsewhere})
				attacks := slices.Concat(g.Attacks(), g.Cuts(1), base.own(g))
				if len(attacks) < 1000 {
					t.Errorf("only %d attacks", len(attacks))
				}
				for _, a := range attacks {
					if a.Token == g.Text {
						t.Errorf("%s: the attack changes nothing", a.Name)
					}
					for _, entry := range append(base.entries, examine) {
						wantErr(t, fmt.Sprintf("%s, %s at %s", base.kind, a.Name, entry.name), entry.call(a.Token), a.Want)
					}
				}
				if _, err := f.Verify(t.Context(), g.Text); err != nil {
					t.Errorf("the genuine %s after the attacks: %v", base.kind, err)
				}
			}
			if after := f.sessions(t, ""); len(after) != 1 || after[0] != before[0] {
				t.Errorf("the session changed: before %+v, after %+v", before, after)
			}
			f.refresh(t, tokens.Refresh)
		})
	}
}

// A refresh token names a session and a user: each must be the other's.
func TestRefreshTokenOfAnotherSubjectGetsNothing(t *testing.T) {
	f := newFixture(t)
	noriko := f.create(t, "noriko")
	tokens := f.login(t)
	g := f.genuine(t, tokens.Refresh)
	forged := g.WithClaims(issuertest.Members{"sub": noriko.ID})
	f.wantVerify(t, forged, issuer.ErrNoSession)
	f.wantRefresh(t, forged, issuer.ErrNoSession)
	f.wantRefresh(t, g.WithClaims(issuertest.Members{"sub": "nobody"}), issuer.ErrInactive)
}

// An ECDSA signature (r, s) is as good as (r, n-s): a token has two texts. What
// counts is the jti, so the second text is the same token and not another one.
func TestNegatedECDSASignatureIsTheSameTokenNotASecondOne(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	g := f.genuine(t, tokens.Refresh)
	s := new(big.Int).SetBytes(g.Sig[32:])
	negated := new(big.Int).Sub(elliptic.P256().Params().N, s).FillBytes(make([]byte, 32))
	twin := g.WithSignature(append(slices.Clone(g.Sig[:32]), negated...))
	f.wantVerify(t, twin, nil)
	successor := f.refresh(t, tokens.Refresh)
	again := f.refresh(t, twin)
	if claim(t, again.Refresh, "jti") != claim(t, successor.Refresh, "jti") {
		t.Error("the second text began a second chain")
	}
	f.move(time.Minute)
	f.wantRefresh(t, twin, issuer.ErrReused)
	f.wantGone(t, tokens, successor)
}

// With three parts of strict base64url, no text but the token's own is the token.
func TestEveryChangeOfOneCharacterIsRefused(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "
	f := newFixture(t)
	tokens := f.login(t)
	for _, token := range []string{tokens.Access, tokens.Refresh} {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for at := int(next.Add(1)) - 1; at < len(token); at = int(next.Add(1)) - 1 {
					for i := range len(alphabet) {
						changed := token[:at] + alphabet[i:i+1] + token[at+1:]
						if changed == token {
							continue
						}
						if _, err := f.Verify(t.Context(), changed); !errors.Is(err, issuer.ErrInvalid) {
							t.Errorf("character %d changed from %q to %q: error = %v, want %v", at, token[at], alphabet[i], err, issuer.ErrInvalid)
						}
					}
				}
			})
		}
		wg.Wait()
		f.wantVerify(t, token, nil)
	}
}

// No memory grows with what a stranger sends (CVE-2025-30204).
func TestRefusingAMegabyteCostsNoMemory(t *testing.T) {
	f := newFixture(t)
	token := f.login(t).Access
	for what, text := range map[string]string{
		"dots": strings.Repeat(".", 1<<20), "a token with a tail": token + strings.Repeat("A", 1<<20),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			f.wantVerify(t, text, compactjws.ErrTooLong)
		}
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / 100; each > 16<<10 {
			t.Errorf("%s: %d bytes are allocated, want next to nothing", what, each)
		}
	}
}

func TestClockLeeway(t *testing.T) {
	f := newFixture(t)
	access := f.login(t).Access
	exp := time.Unix(int64(claim(t, access, "exp").(float64)), 0)
	nbf := time.Unix(int64(claim(t, access, "nbf").(float64)), 0)
	for _, tt := range []struct {
		what string
		at   time.Time
		want error
	}{
		{"30 s before nbf", nbf.Add(-30 * time.Second), nil},
		{"31 s before nbf", nbf.Add(-31 * time.Second), issuer.ErrNotYetValid},
		{"at exp", exp, nil},
		{"1 ms before the leeway ends", exp.Add(30*time.Second - time.Millisecond), nil},
		{"when the leeway ends", exp.Add(30 * time.Second), issuer.ErrExpired},
	} {
		f.move(tt.at.Sub(f.now()))
		_, err := f.Verify(t.Context(), access)
		wantErr(t, tt.what, err, tt.want)
	}
}

// Every kind of token at every place that takes one.
func TestKindsOfTokensExcludeEachOther(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	g := f.genuine(t, tokens.Access)
	r := f.genuine(t, tokens.Refresh)
	with := func(g *issuertest.Genuine, typ string, changes issuertest.Members) string {
		return g.Resign(g.Prefix(typ), g.EncodeJSON(issuertest.Merge(g.Claims, changes)))
	}
	missing := &issuer.MissingClaimError{Claim: "token_type"}
	for _, tt := range []struct {
		kind, token             string
		refresh, verify, logout error
	}{
		{"access token", tokens.Access, issuer.ErrWrongType, nil, issuer.ErrWrongType},
		{"access token by RFC 9068", with(g, "at+jwt", nil), issuer.ErrWrongType, nil, issuer.ErrWrongType},
		{"access token of a client", with(g, "at+jwt", issuertest.Members{"sid": nil, "sub": "client:batch"}), issuer.ErrWrongType, nil, issuer.ErrWrongType},
		{"id token", with(g, "JWT", issuertest.Members{"token_type": nil, "aud": "client"}), missing, missing, missing},
		{"id token for the API", with(g, "JWT", issuertest.Members{"token_type": "id"}), issuer.ErrWrongType, issuer.ErrWrongType, issuer.ErrWrongType},
		{"logout token", with(g, "logout+jwt", issuertest.Members{"token_type": nil}), missing, missing, missing},
		{"introspection answer", with(g, "token-introspection+jwt", nil), issuer.ErrWrongType, issuer.ErrWrongType, issuer.ErrWrongType},
		{"client assertion", with(r, "client-authentication+jwt", nil), issuer.ErrWrongType, issuer.ErrWrongType, issuer.ErrWrongType},
		{"access token for the issuer", with(g, "JWT", issuertest.Members{"aud": issuerURL}), issuer.ErrAudience, issuer.ErrAudience, issuer.ErrAudience},
		{"refresh token for the API", with(r, "rt+jwt", issuertest.Members{"aud": issuerURL + "/api"}), issuer.ErrAudience, issuer.ErrAudience, issuer.ErrAudience},
		{"refresh token", tokens.Refresh, nil, nil, nil}, // last: it ends the session
	} {
		for i, entry := range []error{tt.refresh, tt.verify, tt.logout} {
			e := f.entries(t)[i]
			wantErr(t, tt.kind+" at "+e.name, e.call(tt.token), entry)
		}
	}
}

func TestTokenOfAnotherAudienceIsNotOursAfterAChange(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	f.set(func(p *issuer.Policy) { p.Audience = []string{"orders", "stock"} })
	f.wantVerify(t, tokens.Access, issuer.ErrAudience)
	f.wantVerify(t, f.refresh(t, tokens.Refresh).Access, nil)
}

func FuzzVerify(f *testing.F) {
	fix := newFixtureWith(f, "ES256", "RS256")
	tokens := fix.login(f)
	token := tokens.Access
	g := issuertest.New(f, issuertest.Source{Text: token, Kind: issuertest.Own, URL: issuerURL, Keys: fix.private(f), Stranger: issuertest.NewKeys(f)})
	// The text takes the place of so many characters of the token from one place on.
	all := uint(len(token))
	for _, a := range slices.Concat(g.Signatures(), g.Headers(), g.ClaimSets()) {
		if len(a.Token) < 4096 {
			f.Add(a.Token, uint(0), all)
		}
	}
	f.Add(token, uint(0), all)
	f.Add(tokens.Refresh, uint(0), all)
	f.Add("A", all-1, uint(1))
	f.Add("", uint(100), uint(1))
	f.Fuzz(func(t *testing.T, text string, at, cut uint) {
		at = min(at, all)
		text = token[:at] + text + token[at+min(cut, all-at):]
		claims, err := fix.Verify(t.Context(), text)
		if text == token || text == tokens.Refresh {
			wantErr(t, "the genuine token", err, nil)
			return
		}
		var missing *issuer.MissingClaimError
		if claims != nil || !errors.Is(err, issuer.ErrInvalid) && !errors.As(err, &missing) &&
			!errors.Is(err, issuer.ErrExpired) && !errors.Is(err, issuer.ErrWrongType) && !errors.Is(err, issuer.ErrNoSession) {
			t.Errorf("Verify(%q) = %+v, %v, want an error of a token", text, claims, err)
		}
	})
}
