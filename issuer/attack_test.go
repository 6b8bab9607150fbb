package issuer_test

import (
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signet/internal/compactjws"
	"signet/issuer"
)

// attack is a token that differs from a genuine one in one thing, and the error
// that it must meet.
type attack struct {
	name  string
	token string
	want  error
}

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

func TestNoForgeryPassesAnywhere(t *testing.T) {
	var hits atomic.Int64
	attacker := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer attacker.Close()
	for _, algorithms := range [][]string{{"ES256", "RS256"}, {"RS256", "ES256"}} {
		t.Run(algorithms[0], func(t *testing.T) {
			f := newFixtureWith(t, algorithms...)
			stranger := newFixtureWith(t, algorithms...)
			keys, foreign := f.private(t), stranger.private(t)
			tokens := f.login(t)
			before := f.sessions(t, "")
			for _, base := range []struct {
				kind, token string
				own         func(*genuine) []attack
				entries     []entry
			}{
				{"refresh token", tokens.Refresh, refreshAttacks, f.entries(t)},
				{"access token", tokens.Access, accessAttacks, f.entries(t)[1:2]},
			} {
				g := newGenuine(t, base.token, keys, foreign, attacker.URL)
				attacks := slices.Concat(signatureAttacks(g), headerAttacks(g), claimAttacks(g), textAttacks(g), base.own(g))
				if len(attacks) < 250 {
					t.Errorf("only %d attacks", len(attacks))
				}
				for _, a := range attacks {
					if a.token == g.text {
						t.Errorf("%s: the attack changes nothing", a.name)
					}
					for _, entry := range base.entries {
						wantErr(t, fmt.Sprintf("%s, %s at %s", base.kind, a.name, entry.name), entry.call(a.token), a.want)
					}
				}
				if _, err := f.Verify(t.Context(), g.text); err != nil {
					t.Errorf("the genuine %s after the attacks: %v", base.kind, err)
				}
			}
			if after := f.sessions(t, ""); len(after) != 1 || after[0] != before[0] {
				t.Errorf("the session changed: before %+v, after %+v", before, after)
			}
			f.refresh(t, tokens.Refresh)
		})
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d requests went to a URL of a token", n)
	}
}

func signatureAttacks(g *genuine) []attack {
	var attacks []attack
	add := func(name, token string, want error) { attacks = append(attacks, attack{name, token, want}) }
	for _, none := range []string{"none", "None", "NONE", "nOnE", "", " none", "none\x00"} {
		unsigned := g.encodeJSON(merge(g.header, members{"alg": none})) + "." + g.part[1] + "."
		add(fmt.Sprintf("alg %q, no signature", none), unsigned, issuer.ErrAlgorithm)
		add(fmt.Sprintf("alg %q, its signature", none), unsigned+g.part[2], issuer.ErrAlgorithm)
		add(fmt.Sprintf("alg %q, signed", none), g.withHeader(members{"alg": none}), issuer.ErrAlgorithm)
	}
	for _, alg := range []string{"HS256", "HS512"} {
		for form, secret := range g.publicTexts() {
			add(alg+" with the public key as "+form, g.hmacSigned(alg, secret), issuer.ErrAlgorithm)
		}
		add(alg+" with an empty secret", g.hmacSigned(alg, nil), issuer.ErrAlgorithm)
	}
	for _, alg := range []string{strings.ToLower(g.alg()), "RS1", "RSA1_5", "ES256K", "Ed25519", "dir", g.alg() + " "} {
		add("alg "+alg, g.withHeader(members{"alg": alg}), issuer.ErrAlgorithm)
	}
	add("no alg", g.withHeader(members{"alg": nil}), issuer.ErrAlgorithm)
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} {
		if alg != g.alg() {
			add("alg "+alg, g.withHeader(members{"alg": alg}), issuer.ErrKeyAlgorithm)
		}
	}

	own, other := g.keys[g.alg()], g.keys[g.other()]
	header := func(changes members) string { return g.encodeJSON(merge(g.header, changes)) }
	add("the kid of the other algorithm's key", g.withHeader(members{"kid": other.KeyID()}), issuer.ErrKeyAlgorithm)
	add("the other algorithm with its key and this kid",
		g.sign(g.other(), other, header(members{"alg": g.other()}), g.part[1]), issuer.ErrKeyAlgorithm)
	if g.alg() == "RS256" {
		add("PS256 made with the RS256 key", g.sign("PS256", own, header(members{"alg": "PS256"}), g.part[1]), issuer.ErrKeyAlgorithm)
		add("a PS256 signature called RS256", g.sign("PS256", own, g.part[0], g.part[1]), issuer.ErrSignature)
		add("a leading zero byte", g.withSignature(append([]byte{0}, g.sig...)), issuer.ErrSignature)
	}
	stranger := g.stranger[g.alg()]
	add("the key of another issuer", g.sign(g.alg(), stranger, g.part[0], g.part[1]), issuer.ErrSignature)
	add("the key and kid of another issuer",
		g.sign(g.alg(), stranger, header(members{"kid": stranger.KeyID()}), g.part[1]), issuer.ErrUnknownKey)
	add("the other algorithm's key under this header", g.part[0]+"."+g.part[1]+"."+
		strings.Split(g.sign(g.other(), other, g.part[0], g.part[1]), ".")[2], issuer.ErrSignature)
	add("the signature of another token", g.withSignature(g.decode(strings.Split(g.withClaims(members{"x": 1}), ".")[2])), issuer.ErrSignature)

	add("no signature", g.part[0]+"."+g.part[1]+".", issuer.ErrSignature)
	for _, size := range []int{1, 31, 32, 64, 65, 96, 128, 256, 512} {
		add(fmt.Sprintf("%d zero bytes as signature", size), g.withSignature(make([]byte, size)), issuer.ErrSignature)
	}
	for _, bit := range []int{0, 7, len(g.sig)*4 + 1, len(g.sig)*8 - 1} {
		sig := slices.Clone(g.sig)
		sig[bit/8] ^= 1 << (bit % 8)
		add(fmt.Sprintf("bit %d of the signature", bit), g.withSignature(sig), issuer.ErrSignature)
	}
	add("a byte less", g.withSignature(g.sig[:len(g.sig)-1]), issuer.ErrSignature)
	add("a byte more", g.withSignature(append(slices.Clone(g.sig), 0)), issuer.ErrSignature)
	add("the signature twice", g.withSignature(append(slices.Clone(g.sig), g.sig...)), issuer.ErrSignature)
	return append(attacks, ecdsaAttacks(g)...)
}

func ecdsaAttacks(g *genuine) []attack {
	if g.alg() != "ES256" {
		return nil
	}
	order := elliptic.P256().Params().N
	r, s := new(big.Int).SetBytes(g.sig[:32]), new(big.Int).SetBytes(g.sig[32:])
	both := func(size int, r, s *big.Int) []byte {
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	must(g.t, err)
	zero, one := new(big.Int), big.NewInt(1)
	var attacks []attack
	for name, sig := range map[string][]byte{
		"r and s swapped":     both(32, s, r),
		"r zero":              both(32, zero, s),
		"s zero":              both(32, r, zero),
		"r and s one":         both(32, one, one),
		"r and s the order":   both(32, order, order),
		"r zero, s the order": both(32, zero, order),
		"r and s padded":      both(33, r, s),
		"r negated":           both(32, new(big.Int).Sub(order, r), s),
		"s negated, no mod":   both(33, r, new(big.Int).Add(order, s)),
		"ASN.1":               der,
	} {
		attacks = append(attacks, attack{name, g.withSignature(sig), issuer.ErrSignature})
	}
	return attacks
}

func headerAttacks(g *genuine) []attack {
	var attacks []attack
	add := func(name, token string, want error) { attacks = append(attacks, attack{name, token, want}) }
	for _, kid := range []string{
		"", " ", "unknown", g.kid(g.alg()) + " ", g.kid(g.alg())[1:], strings.ToUpper(g.kid(g.alg())),
		"../../dev/null", "/invalid_path", "file:///dev/null", g.elsewhere + "/jwks.json",
		"' OR '1'='1", "x' UNION SELECT 'secret' --", "|sleep 5", "$(curl " + g.elsewhere + ")", "\x00", "\r\nlevel=ERROR",
		strings.Repeat("k", 10<<10),
	} {
		add(fmt.Sprintf("kid %.30q", kid), g.withHeader(members{"kid": kid}), issuer.ErrUnknownKey)
	}
	add("no kid", g.withHeader(members{"kid": nil}), issuer.ErrUnknownKey)

	public, err := g.stranger[g.alg()].PublicKey()
	must(g.t, err)
	for name, changes := range map[string]members{
		"jwk":                    {"jwk": public},
		"jwk and its kid":        {"jwk": public, "kid": public.KeyID()},
		"jwk instead of a kid":   {"jwk": public, "kid": nil},
		"jku":                    {"jku": g.elsewhere + "/jwks.json"},
		"jku instead of a kid":   {"jku": g.elsewhere + "/jwks.json", "kid": nil},
		"x5u":                    {"x5u": g.elsewhere + "/cert.pem"},
		"x5c":                    {"x5c": []string{"MIIB"}},
		"x5t":                    {"x5t": "dGh1bWI"},
		"x5t#S256":               {"x5t#S256": "dGh1bWI"},
		"crit, unknown":          {"crit": []string{"exp"}},
		"crit, empty":            {"crit": []string{}},
		"crit with b64":          {"crit": []string{"b64"}, "b64": false},
		"b64 false":              {"b64": false},
		"b64 true":               {"b64": true},
		"zip":                    {"zip": "DEF"},
		"cty":                    {"cty": "JWT"},
		"enc":                    {"enc": "A256GCM"},
		"epk":                    {"epk": public},
		"p2c":                    {"p2c": 1 << 30},
		"claims in the header":   {"exp": 1 << 40},
		"alg in other case too":  {"ALG": "none"},
		"kid in other case too":  {"Kid": "x"},
		"a name no one knows":    {"x": 1},
		"an empty name":          {"": ""},
		"typ in other case too":  {"Typ": "JWT"},
		"kid with a Kelvin sign": {"\u212Aid": "x"},
	} {
		add(name, g.withHeader(changes), compactjws.ErrHeader)
		// The same, signed with the key that the header brings along.
		add(name+", signed with its key",
			g.sign(g.alg(), g.stranger[g.alg()], g.encodeJSON(merge(g.header, changes)), g.part[1]), compactjws.ErrHeader)
	}
	for _, name := range []string{"alg", "kid", "typ"} {
		for _, value := range []string{`null`, `1`, `true`, `["ES256"]`, `{"a":"b"}`} {
			add(name+" "+value, g.withHeader(members{name: raw(value)}), compactjws.ErrMalformed)
		}
		head := string(g.decode(g.part[0]))
		add("twice "+name, g.resign(encode([]byte(`{"`+name+`":"x",`+head[1:])), g.part[1]), compactjws.ErrDuplicate)
		escaped := fmt.Sprintf(`{"\u%04x%s":"x",`, name[0], name[1:])
		add("twice "+name+", once escaped", g.resign(encode([]byte(escaped+head[1:])), g.part[1]), compactjws.ErrDuplicate)
	}
	for _, typ := range []string{"", "jwt", "Jwt", "RT+JWT", "rt+jwt ", "application/rt+jwt", "application/at+jwt", "AT+JWT", "JOSE", "id+jwt", "logout+jwt", "dpop+jwt", "token-introspection+jwt"} {
		add(fmt.Sprintf("typ %q", typ), g.withHeader(members{"typ": typ}), issuer.ErrWrongType)
	}
	add("no typ", g.withHeader(members{"typ": nil}), issuer.ErrWrongType)
	for _, header := range []string{``, `{}x`, `{`, `[]`, `""`, `null`, `1`, "\xff", `{"alg":"` + g.alg() + `"`} {
		add(fmt.Sprintf("header %q", header), g.resign(encode([]byte(header)), g.part[1]), compactjws.ErrMalformed)
	}
	add("empty header object", g.resign(encode([]byte(`{}`)), g.part[1]), issuer.ErrAlgorithm)
	return attacks
}

func claimAttacks(g *genuine) []attack {
	var attacks []attack
	add := func(name, token string, want error) { attacks = append(attacks, attack{name, token, want}) }
	change := func(name, claim string, value any, want error) {
		add(claim+" "+name, g.withClaims(members{claim: value}), want)
	}
	for _, claim := range []string{"exp", "iat", "nbf", "jti", "sub", "aud", "iss", "token_type", "client_id"} {
		change("missing", claim, nil, &issuer.MissingClaimError{Claim: claim})
		change("null", claim, raw("null"), &issuer.MissingClaimError{Claim: claim})
		other := g.withClaims(members{claim: nil, strings.ToUpper(claim): g.claims[claim]})
		add(claim+" in upper case", other, &issuer.MissingClaimError{Claim: claim})
	}
	for _, claim := range []string{"exp", "iat", "nbf"} {
		for _, value := range []string{
			`"1772370000"`, `""`, `true`, `[]`, `{}`, `[1772370000]`, `1772370000.5`, `1772370000.0`, `1.77237e9`,
			`-1`, `1e400`, `-1e400`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775808`,
			`1000000000000000000`, `1e18`, `253402300800`, `18446744073709551616`, strings.Repeat("9", 1000),
		} {
			change(fmt.Sprintf("%.25s", value), claim, raw(value), issuer.ErrClaim)
		}
	}
	for _, claim := range []string{"jti", "sub", "iss", "token_type", "client_id", "sid", "user_id"} {
		for _, value := range []string{`0`, `1`, `-1.5`, `1e400`, `true`, `false`, `[]`, `["x"]`, `{}`, `{"a":1}`} {
			change(value, claim, raw(value), issuer.ErrClaim)
		}
	}
	for _, value := range []string{`1`, `true`, `{}`, `{"aud":"x"}`, `[1]`, `["` + issuerURL + `",1]`, `[["` + issuerURL + `"]]`} {
		change(value, "aud", raw(value), issuer.ErrClaim)
	}
	for _, value := range []string{`""`, `[]`, `[""]`, `[null]`, `"other"`, `["other"]`, `["other","another"]`,
		`"` + issuerURL + `/"`, `"` + strings.ToUpper(issuerURL) + `"`, `"` + issuerURL + ` "`} {
		change(value, "aud", raw(value), issuer.ErrAudience)
	}
	for _, iss := range []string{"", "https://evil.example.test", issuerURL + "/", issuerURL + ":443", strings.ToUpper(issuerURL), " " + issuerURL, "http" + issuerURL[5:]} {
		change(fmt.Sprintf("%q", iss), "iss", iss, issuer.ErrIssuer)
	}
	change("empty", "jti", "", &issuer.MissingClaimError{Claim: "jti"})
	for _, kind := range []string{"", "Access", "REFRESH", "id", "sliding", "refresh ", "logout"} {
		change(fmt.Sprintf("%q", kind), "token_type", kind, issuer.ErrWrongType)
	}
	now := start.Unix()
	for _, past := range []int64{0, 1, now - 31, now - 30} {
		change(fmt.Sprintf("past (%d)", past), "exp", past, issuer.ErrExpired)
	}
	change("not yet", "nbf", now+31, issuer.ErrNotYetValid)
	change("far from now", "nbf", int64(253402300799), issuer.ErrNotYetValid)
	add("expired, with a later EXP", g.withClaims(members{"exp": now - 3600, "EXP": now + 3600}), issuer.ErrExpired)
	add("expired, with the signature of the unexpired token",
		g.part[0]+"."+g.encodeJSON(merge(g.claims, members{"exp": now - 3600}))+"."+g.part[2], issuer.ErrSignature)
	add("expired, and of another issuer", g.withClaims(members{"exp": now - 3600, "iss": "x"}), issuer.ErrIssuer)

	payload := string(g.payload)
	for name, value := range map[string]string{"exp": "9999999999", "sub": `"admin"`, "aud": `"x"`, "jti": `"x"`, "x": `1,"x":2`} {
		add("twice "+name, g.withPayload(`{"`+name+`":`+value+`,`+payload[1:]), compactjws.ErrDuplicate)
	}
	add("twice exp, once escaped", g.withPayload(`{"\u0065xp":9999999999,`+payload[1:]), compactjws.ErrDuplicate)
	add("twice in a nested claim", g.withPayload(`{"x":{"y":[{"z":1,"z":2}]},`+payload[1:]), compactjws.ErrDuplicate)
	for _, text := range []string{``, ` `, `[]`, `null`, `1`, `"x"`, `{`, `{}{}`, payload + "x", payload + "\x00", payload + payload,
		payload[:len(payload)-1], "\ufeff" + payload, payload[:len(payload)-1] + `,}`, payload[:len(payload)-1] + ",\"x\":\"\xff\"}",
		`{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `,` + payload[1:]} {
		add(fmt.Sprintf("payload %.20q of %d bytes", text, len(text)), g.withPayload(text), compactjws.ErrMalformed)
	}
	add("empty payload object", g.withPayload(`{}`), &issuer.MissingClaimError{Claim: "exp"})
	return attacks
}

func textAttacks(g *genuine) []attack {
	var attacks []attack
	malformed := func(name, token string) { attacks = append(attacks, attack{name, token, compactjws.ErrMalformed}) }
	tooLong := func(name, token string) { attacks = append(attacks, attack{name, token, compactjws.ErrTooLong}) }
	text := g.text
	for _, space := range []string{" ", "\n", "\r\n", "\t", "\x00", "\u00a0", "\u200b", "\ufeff"} {
		malformed(fmt.Sprintf("%q behind", space), text+space)
		malformed(fmt.Sprintf("%q before", space), space+text)
		malformed(fmt.Sprintf("%q within the payload", space), g.part[0]+"."+g.part[1][:8]+space+g.part[1][8:]+"."+g.part[2])
		malformed(fmt.Sprintf("%q before a dot", space), g.part[0]+space+"."+g.part[1]+"."+g.part[2])
	}
	for name, tail := range map[string]string{"a fourth part": ".x", "an empty fourth part": ".", "padding": "=", "more padding": "==",
		"a tilde": "~", "a comma": "," + text, "a fragment": "#x", "a character that is not base64url": "+"} {
		malformed(name+" behind", text+tail)
	}
	malformed("Bearer before", "Bearer "+text)
	malformed("quotes around", `"`+text+`"`)
	malformed("empty", "")
	malformed("one dot", ".")
	malformed("two dots", "..")
	malformed("three dots", "...")
	malformed("no dots", strings.ReplaceAll(text, ".", ""))
	malformed("two parts", g.part[0]+"."+g.part[1])
	malformed("no header", "."+g.part[1]+"."+g.part[2])
	malformed("the header twice", g.part[0]+"."+text)
	malformed("percent-encoded dots", strings.ReplaceAll(text, ".", "%2e"))
	malformed("full-width dots", strings.ReplaceAll(text, ".", "\uff0e"))
	malformed("a padded header", g.part[0]+"=."+g.part[1]+"."+g.part[2])
	malformed("JWE", g.part[0]+".."+g.part[1]+"."+g.part[1]+"."+g.part[2])
	malformed("detached payload with a fourth part", g.part[0]+".."+g.part[2]+"."+g.part[1])
	for name, object := range map[string]any{
		"flattened JSON": members{"protected": g.part[0], "payload": g.part[1], "signature": g.part[2]},
		"general JSON": members{"payload": g.part[1],
			"signatures": []members{{"protected": g.part[0], "signature": g.part[2]}}},
		"general JSON with dots": members{"payload": g.part[1], "x": "..",
			"signatures": []members{{"protected": g.part[0], "signature": g.part[2]}}},
	} {
		serialised, err := json.Marshal(object)
		must(g.t, err)
		malformed(name, string(serialised))
	}
	tooLong("a megabyte of signature", text+strings.Repeat("A", 1<<20))
	tooLong("a megabyte of dots", strings.Repeat(".", 1<<20))
	tooLong("a megabyte of claims", g.withClaims(members{"x": strings.Repeat("x", 1<<20)}))
	tooLong("a megabyte of header", g.withHeader(members{"kid": strings.Repeat("x", 1<<20)}))
	malformed("65536 dots", strings.Repeat(".", 64<<10))
	malformed("65536 braces", strings.Repeat("{", 64<<10))
	for cut := range len(text) {
		attacks = append(attacks, attack{fmt.Sprintf("cut to %d characters", cut), text[:cut], issuer.ErrInvalid})
		if cut > 0 {
			attacks = append(attacks, attack{fmt.Sprintf("without the first %d characters", cut), text[cut:], issuer.ErrInvalid})
		}
	}
	return attacks
}

func refreshAttacks(g *genuine) []attack {
	api := issuerURL + "/api"
	return []attack{
		{"called an access token by typ", g.withHeader(members{"typ": "JWT"}), issuer.ErrWrongType},
		{"called an access token by RFC 9068", g.withHeader(members{"typ": "at+jwt"}), issuer.ErrWrongType},
		{"called an access token by token_type", g.withClaims(members{"token_type": "access"}), issuer.ErrWrongType},
		{"called an access token by both", g.resign(g.prefix("JWT"), g.encodeJSON(merge(g.claims, members{"token_type": "access"}))), issuer.ErrAudience},
		{"for the API", g.withClaims(members{"aud": api}), issuer.ErrAudience},
		{"for the issuer and the API", g.withClaims(members{"aud": []string{issuerURL, api}}), issuer.ErrAudience},
		{"for the issuer twice", g.withClaims(members{"aud": []string{issuerURL, issuerURL}}), issuer.ErrAudience},
		{"without a session", g.withClaims(members{"sid": nil}), &issuer.MissingClaimError{Claim: "sid"}},
		{"with a null session", g.withClaims(members{"sid": raw("null")}), &issuer.MissingClaimError{Claim: "sid"}},
		{"with an empty session", g.withClaims(members{"sid": ""}), &issuer.MissingClaimError{Claim: "sid"}},
		{"with SID for sid", g.withClaims(members{"sid": nil, "SID": g.claims["sid"]}), &issuer.MissingClaimError{Claim: "sid"}},
		{"with an unknown session", g.withClaims(members{"sid": strings.Repeat("0", 32)}), issuer.ErrNoSession},
		{"with a session's name in upper case", g.withClaims(members{"sid": strings.ToUpper(g.claims["sid"].(string)) + "X"}), issuer.ErrNoSession},
		{"without the session's end", g.withClaims(members{"session_exp": nil}), &issuer.MissingClaimError{Claim: "session_exp"}},
		{"with a session's end as text", g.withClaims(members{"session_exp": "1e9"}), issuer.ErrClaim},
		{"with a session's end before time", g.withClaims(members{"session_exp": -1}), issuer.ErrClaim},
		{"with a session's end past all time", g.withClaims(members{"session_exp": int64(1e18)}), issuer.ErrClaim},
	}
}

func accessAttacks(g *genuine) []attack {
	return []attack{
		{"called a refresh token by typ", g.withHeader(members{"typ": "rt+jwt"}), issuer.ErrWrongType},
		{"called a refresh token by token_type", g.withClaims(members{"token_type": "refresh"}), issuer.ErrWrongType},
		{"called a refresh token by both", g.resign(g.prefix("rt+jwt"), g.encodeJSON(merge(g.claims, members{"token_type": "refresh"}))), issuer.ErrAudience},
		{"for the issuer", g.withClaims(members{"aud": issuerURL}), issuer.ErrAudience},
		{"with an unknown session", g.withClaims(members{"sid": strings.Repeat("0", 32)}), issuer.ErrNoSession},
		{"of another subject", g.withClaims(members{"sub": "admin"}), issuer.ErrInactive},
		{"of an empty subject", g.withClaims(members{"sub": ""}), issuer.ErrInactive},
	}
}

// A refresh token names a session and a user: each must be the other's.
func TestRefreshTokenOfAnotherSubjectGetsNothing(t *testing.T) {
	f := newFixture(t)
	noriko := f.create(t, "noriko")
	tokens := f.login(t)
	g := newGenuine(t, tokens.Refresh, f.private(t), nil, "")
	forged := g.withClaims(members{"sub": noriko.ID})
	f.wantVerify(t, forged, issuer.ErrNoSession)
	f.wantRefresh(t, forged, issuer.ErrNoSession)
	f.wantRefresh(t, g.withClaims(members{"sub": "nobody"}), issuer.ErrInactive)
}

// An ECDSA signature (r, s) is as good as (r, n-s): a token has two texts. What
// counts is the jti, so the second text is the same token and not another one.
func TestNegatedECDSASignatureIsTheSameTokenNotASecondOne(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	g := newGenuine(t, tokens.Refresh, f.private(t), nil, "")
	s := new(big.Int).SetBytes(g.sig[32:])
	negated := new(big.Int).Sub(elliptic.P256().Params().N, s).FillBytes(make([]byte, 32))
	twin := g.withSignature(append(slices.Clone(g.sig[:32]), negated...))
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
	g := newGenuine(t, tokens.Access, f.private(t), nil, "")
	r := newGenuine(t, tokens.Refresh, f.private(t), nil, "")
	with := func(g *genuine, typ string, changes members) string {
		return g.resign(g.prefix(typ), g.encodeJSON(merge(g.claims, changes)))
	}
	missing := &issuer.MissingClaimError{Claim: "token_type"}
	for _, tt := range []struct {
		kind, token             string
		refresh, verify, logout error
	}{
		{"access token", tokens.Access, issuer.ErrWrongType, nil, issuer.ErrWrongType},
		{"access token by RFC 9068", with(g, "at+jwt", nil), issuer.ErrWrongType, nil, issuer.ErrWrongType},
		{"access token of a client", with(g, "at+jwt", members{"sid": nil, "sub": "client:batch"}), issuer.ErrWrongType, nil, issuer.ErrWrongType},
		{"id token", with(g, "JWT", members{"token_type": nil, "aud": "client"}), missing, missing, missing},
		{"id token for the API", with(g, "JWT", members{"token_type": "id"}), issuer.ErrWrongType, issuer.ErrWrongType, issuer.ErrWrongType},
		{"logout token", with(g, "logout+jwt", members{"token_type": nil}), missing, missing, missing},
		{"introspection answer", with(g, "token-introspection+jwt", nil), issuer.ErrWrongType, issuer.ErrWrongType, issuer.ErrWrongType},
		{"client assertion", with(r, "client-authentication+jwt", nil), issuer.ErrWrongType, issuer.ErrWrongType, issuer.ErrWrongType},
		{"access token for the issuer", with(g, "JWT", members{"aud": issuerURL}), issuer.ErrAudience, issuer.ErrAudience, issuer.ErrAudience},
		{"refresh token for the API", with(r, "rt+jwt", members{"aud": issuerURL + "/api"}), issuer.ErrAudience, issuer.ErrAudience, issuer.ErrAudience},
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
	fix, stranger := newFixtureWith(f, "ES256", "RS256"), newFixtureWith(f, "ES256", "RS256")
	tokens := fix.login(f)
	token := tokens.Access
	g := newGenuine(f, token, fix.private(f), stranger.private(f), "")
	// The text takes the place of so many characters of the token from one place on.
	all := uint(len(token))
	for _, a := range slices.Concat(signatureAttacks(g), headerAttacks(g), claimAttacks(g)) {
		if len(a.token) < 4096 {
			f.Add(a.token, uint(0), all)
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
