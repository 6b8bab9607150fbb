package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"signet/configs"
	"signet/internal/compactjws"
	"signet/internal/control"
	"signet/issuer"
	"signet/issuer/issuertest"
)

// wantCauses are those of the errors that attacks name.
var wantCauses = []struct {
	err   error
	cause control.Cause
}{
	{compactjws.ErrTooLong, "malformed"}, {compactjws.ErrMalformed, "malformed"}, {compactjws.ErrHeader, "malformed"}, {compactjws.ErrDuplicate, "malformed"},
	{issuer.ErrAlgorithm, "algorithm"}, {issuer.ErrKeyAlgorithm, "algorithm"}, {issuer.ErrUnknownKey, "unknown_key"}, {issuer.ErrSignature, "signature"},
	{issuer.ErrClaim, "claim"}, {issuer.ErrIssuer, "issuer"}, {issuer.ErrAudience, "audience"}, {issuer.ErrNotYetValid, "not_yet_valid"},
	{issuer.ErrExpired, "expired"}, {issuer.ErrWrongType, "type"}, {issuer.ErrNoSession, "session_ended"}, {issuer.ErrInactive, "inactive"},
}

func wantCause(t *testing.T, a issuertest.Attack) control.Cause {
	t.Helper()
	for _, known := range wantCauses {
		if errors.Is(a.Want, known.err) {
			return known.cause
		}
	}
	if missing := (*issuer.MissingClaimError)(nil); errors.As(a.Want, &missing) {
		return "claim"
	}
	if errors.Is(a.Want, issuer.ErrInvalid) { // cut anywhere: whatever is found first
		return ""
	}
	t.Fatalf("%s: no cause for %v", a.Name, a.Want)
	return ""
}

// TestForgeriesAtTokenVerify: no forgery is valid, each has its cause, and the sentence
// about it is one line that gives a terminal no orders.
func TestForgeriesAtTokenVerify(t *testing.T) {
	cfg := configs.Default()
	cfg.Data = t.TempDir()
	now := time.Now()
	d, err := openDomains(t.Context(), openOptions{config: cfg, log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.close() })
	door := control.Local(d.operator())
	if _, err := control.AddUser.Do(t.Context(), door, control.Credentials{Name: "kyoko", Password: doorPassword}); err != nil {
		t.Fatal(err)
	}
	made, err := control.IssueToken.Do(t.Context(), door, control.TokenOrder{User: "kyoko", Refresh: true})
	if err != nil {
		t.Fatal(err)
	}
	keys := issuertest.PrivateKeys(t, d.store, filepath.Join(cfg.Data, "seal.key"))
	stranger, elsewhere := issuertest.NewKeys(t), issuertest.Attacker(t)
	for _, base := range []struct {
		what, token, audience string
		own                   func(*issuertest.Genuine) []issuertest.Attack
	}{
		{"access token", made.AccessToken, cfg.Issuer + "/api", (*issuertest.Genuine).Access},
		{"refresh token", made.RefreshToken, "", (*issuertest.Genuine).Refresh},
	} {
		g := issuertest.New(t, issuertest.Source{Text: base.token, Kind: issuertest.Own, URL: cfg.Issuer, Keys: keys, Stranger: stranger, Elsewhere: elsewhere})
		attacks := slices.Concat(g.Attacks(), g.Cuts(7), base.own(g))
		if len(attacks) < 500 {
			t.Errorf("only %d attacks", len(attacks))
		}
		for _, a := range attacks {
			found, err := control.VerifyToken.Do(t.Context(), door, control.TokenQuestion{Token: a.Token, Audience: base.audience})
			what := base.what + ", " + a.Name
			switch want := wantCause(t, a); {
			case err != nil && strings.Contains(err.Error(), "too large"): // more than the socket takes
			case err != nil:
				t.Errorf("%s: %v", what, err)
			case found.Valid || found.Cause == "" || want != "" && found.Cause != want:
				t.Errorf("%s: %+v, want the cause %q", what, found, want)
			default:
				plainSentence(t, what, verification{Verification: found, asked: verifyFlags{audience: base.audience}, now: now})
			}
		}
		if found, err := control.VerifyToken.Do(t.Context(), door, control.TokenQuestion{Token: g.Text, Audience: base.audience}); err != nil || !found.Valid {
			t.Errorf("the genuine %s after the attacks: %+v, %v", base.what, found, err)
		}
	}
}

// plainSentence: what is told is printable, in one line, and short.
func plainSentence(t *testing.T, what string, v verification) {
	t.Helper()
	for _, text := range []string{v.sentence(), v.hint()} {
		if text == "" || len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: told as %.300q", what, text)
		}
	}
}

// TestVerifyByURL: what the published keys say of a token, each with its sentence.
func TestVerifyByURL(t *testing.T) {
	keys, stranger := issuertest.NewKeys(t), issuertest.NewKeys(t)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	set := issuertest.PublicSet(t, keys)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, server.URL, server.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { w.Write(set) })
	now := time.Now().Unix()
	claims := issuertest.Members{"iss": server.URL, "sub": "someone", "aud": []string{"orders", "stock"}, "client_id": "first-party", "jti": "1",
		"sid": "S", "iat": now, "nbf": now, "exp": now + 300, "token_type": "access", "scope": "read write"}
	sign := func(keys map[string]jwk.Key, typ string, changes issuertest.Members) string {
		return issuertest.Sign(t, keys["ES256"], "ES256", typ, issuertest.Merge(claims, changes))
	}
	a := &app{terminal: &terminal{}}
	for name, c := range map[string]struct {
		token, audience string
		cause           control.Cause
		want            string
	}{
		"good":             {sign(keys, "JWT", nil), "", "", ""},
		"good for stock":   {sign(keys, "at+jwt", nil), "stock", "", ""},
		"another service":  {sign(keys, "JWT", nil), "mail", "audience", "it is for orders, stock, and not for mail"},
		"no service":       {sign(keys, "JWT", issuertest.Members{"aud": nil}), "", "claim", "claim is missing or malformed: no aud"},
		"another issuer":   {sign(keys, "JWT", issuertest.Members{"iss": "https://x\x1b[2J.test"}), "", "issuer", `it is of another issuer, "https://x\x1b[2J.test"`},
		"expired":          {sign(keys, "JWT", issuertest.Members{"exp": now - 3600}), "", "expired", "it expired 1h"},
		"a while ago":      {sign(keys, "JWT", issuertest.Members{"exp": float64(now-3600) + .5}), "", "expired", "token has expired at "},
		"not yet":          {sign(keys, "JWT", issuertest.Members{"nbf": now + 3600}), "", "not_yet_valid", "it is not valid before "},
		"not made yet":     {sign(keys, "JWT", issuertest.Members{"iat": now + 3600}), "", "not_yet_valid", "token is not valid yet: iat is "},
		"refresh token":    {sign(keys, "rt+jwt", issuertest.Members{"token_type": "refresh", "aud": server.URL}), "", "type", "it is a refresh token, which is for the issuer alone: no service takes it"},
		"identity token":   {sign(keys, "JWT", issuertest.Members{"token_type": nil}), "", "type", `it is no access token: typ is JWT, token_type is ""`},
		"a stranger's key": {sign(stranger, "JWT", nil), "", "unknown_key", "it names key " + stranger["ES256"].KeyID() + ", which " + server.URL + " does not publish"},
		"another letter":   {changed(sign(keys, "JWT", nil)), "", "signature", "its signature does not verify: it was changed, or another key than " + keys["ES256"].KeyID() + " signed it"},
		"no algorithm":     {"eyJhbGciOiJub25lIn0.e30.", "", "algorithm", `algorithm not allowed: "none"`},
		"no token":         {"Bearer x.y.z", "", "malformed", "this is no token of a Signet: not a compact JWS: the header is not base64url"},
		"too long":         {strings.Repeat("x", compactjws.MaxBytes+1), "", "malformed", "this is no token of a Signet: token is too long: 65537 bytes, at most 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := a.verifyByURL(t.Context(), verifyFlags{url: server.URL, audience: c.audience}, c.token)
			if err != nil {
				t.Fatal(err)
			}
			if v.Valid != (c.cause == "") || v.Cause != c.cause {
				t.Errorf("%+v, want the cause %q", v.Verification, c.cause)
			}
			if v.Valid {
				return
			}
			if text := v.sentence(); !strings.HasPrefix(text, c.want) {
				t.Errorf("told as %q, want %q", text, c.want)
			}
			plainSentence(t, name, v)
			if unsigned := []control.Cause{"malformed", "algorithm", "unknown_key", "signature"}; slices.Contains(unsigned, c.cause) && v.Issuer+v.Kind != "" {
				t.Errorf("what nobody has signed is told: %+v", v.Verification)
			}
		})
	}
}

// changed is a token with another signature.
func changed(token string) string {
	return token[:len(token)-20] + strings.Repeat("A", 20)
}

// FuzzPeek: whatever a stranger's token says, it is told in one printable line.
func FuzzPeek(f *testing.F) {
	for _, payload := range []string{`{"iss":"\u001b[2J","aud":["a","\u202e"],"exp":1,"nbf":1e400}`, `{"aud":null,"exp":-1,"token_type":"refresh"}`, `{"exp":99999999999999}`, `[]`, ``} {
		f.Add([]byte(`{"alg":"ES256","kid":"\n","typ":"rt+jwt"}`), []byte(payload), uint8(0))
	}
	f.Fuzz(func(t *testing.T, header, payload []byte, which uint8) {
		p := peek(issuertest.Encode(header) + "." + issuertest.Encode(payload) + ".x")
		cause := urlCauses[int(which)%len(urlCauses)]
		p.refuse(cause.cause, cause.err)
		for _, flags := range []verifyFlags{{}, {url: "https://login.example.com", audience: "orders"}} {
			v := verification{Verification: p.Verification, asked: flags, now: time.Unix(1, 0)}
			for _, text := range []string{v.sentence(), v.hint()} {
				if text == "" || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("%s: told as %q", cause.cause, text)
				}
			}
			var table strings.Builder
			v.write(&table)
			if strings.ContainsFunc(table.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
				t.Errorf("written as %q", table.String())
			}
		}
	})
}
