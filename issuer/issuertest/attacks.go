package issuertest

import (
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"signet/internal/compactjws"
	"signet/issuer"
)

// Attack is a token that differs from a genuine one in one thing.
type Attack struct {
	Name, Token string
	// Want is the error that issuer.Issuer has for it, of one of its own tokens.
	Want error
	// Parses says that the token is in order by itself: signed with the genuine key,
	// and only for someone else or of nobody.
	Parses bool
}

// Kind is what a place asks of the tokens that it takes.
type Kind struct {
	required     []string // claims
	times, texts []string // claims that are NumericDates, and strings
	names        []string // claims that are strings or whole numbers
	types        []string // typ values of tokens of other kinds
	untyped      bool     // whether a token without typ is taken
}

// Own are the tokens that the issuer makes.
var Own = Kind{
	required: []string{"exp", "iat", "nbf", "jti", "sub", "aud", "iss", "token_type", "client_id"},
	times:    []string{"exp", "iat", "nbf"},
	texts:    []string{"jti", "sub", "iss", "token_type", "client_id", "sid"},
	names:    []string{"user_id"},
	types: []string{"", "jwt", "Jwt", "RT+JWT", "rt+jwt ", "application/rt+jwt", "application/at+jwt", "AT+JWT", "JOSE",
		"id+jwt", "logout+jwt", "dpop+jwt", "token-introspection+jwt", "client-authentication+jwt"},
}

// Assertion is a client assertion (RFC 7523 §3).
var Assertion = Kind{
	required: []string{"iss", "sub", "aud", "jti", "exp"},
	times:    []string{"exp", "nbf"},
	texts:    []string{"iss", "sub", "jti"},
	types: []string{"jwt", "Jwt", "JWT ", "at+jwt", "rt+jwt", "application/at+jwt", "JOSE", "id+jwt", "logout+jwt", "dpop+jwt",
		"token-introspection+jwt", "oauth-authz-req+jwt", "CLIENT-AUTHENTICATION+JWT"},
	untyped: true,
}

// Attacks are all but those of Cuts.
func (g *Genuine) Attacks() []Attack {
	return slices.Concat(g.Signatures(), g.Headers(), g.ClaimSets(), g.Texts())
}

// attacks are collected by name.
type attacks []Attack

func (l *attacks) add(name, token string, want error) {
	*l = append(*l, Attack{Name: name, Token: token, Want: want})
}

// Signatures are attacks on the algorithm, the key and the signature.
func (g *Genuine) Signatures() []Attack {
	var l attacks
	g.noAlgorithm(&l)
	g.symmetric(&l)
	g.otherAlgorithms(&l)
	g.otherKeys(&l)
	g.brokenSignatures(&l)
	if g.alg() == "ES256" {
		g.ecdsa(&l)
	}
	return l
}

func (g *Genuine) noAlgorithm(l *attacks) {
	for _, none := range []string{"none", "None", "NONE", "nOnE", "", " none", "none\x00"} {
		unsigned := g.EncodeJSON(Merge(g.Header, Members{"alg": none})) + "." + g.Part[1] + "."
		l.add(fmt.Sprintf("alg %q, no signature", none), unsigned, issuer.ErrAlgorithm)
		l.add(fmt.Sprintf("alg %q, its signature", none), unsigned+g.Part[2], issuer.ErrAlgorithm)
		l.add(fmt.Sprintf("alg %q, signed", none), g.WithHeader(Members{"alg": none}), issuer.ErrAlgorithm)
	}
	l.add("no alg", g.WithHeader(Members{"alg": nil}), issuer.ErrAlgorithm)
}

// symmetric is algorithm confusion: a secret that everybody knows or guesses.
func (g *Genuine) symmetric(l *attacks) {
	for _, alg := range []string{"HS256", "HS512"} {
		for form, secret := range g.publicTexts() {
			l.add(alg+" with the public key as "+form, g.hmacSigned(alg, secret), issuer.ErrAlgorithm)
		}
		for _, secret := range []string{"", "\x00", "secret", "password", "changeme", "your-256-bit-secret"} {
			l.add(fmt.Sprintf("%s with the secret %q", alg, secret), g.hmacSigned(alg, []byte(secret)), issuer.ErrAlgorithm)
		}
	}
}

func (g *Genuine) otherAlgorithms(l *attacks) {
	for _, alg := range []string{strings.ToLower(g.alg()), "RS1", "RSA1_5", "ES256K", "Ed25519", "dir", g.alg() + " "} {
		l.add("alg "+alg, g.WithHeader(Members{"alg": alg}), issuer.ErrAlgorithm)
	}
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} {
		if alg != g.alg() {
			l.add("alg "+alg, g.WithHeader(Members{"alg": alg}), issuer.ErrKeyAlgorithm)
		}
	}
	if g.alg() == "RS256" {
		own := g.Keys["RS256"]
		header := g.EncodeJSON(Merge(g.Header, Members{"alg": "PS256"}))
		l.add("PS256 made with the RS256 key", g.Sign("PS256", own, header, g.Part[1]), issuer.ErrKeyAlgorithm)
		l.add("a PS256 signature called RS256", g.Sign("PS256", own, g.Part[0], g.Part[1]), issuer.ErrSignature)
		l.add("a leading zero byte", g.WithSignature(append([]byte{0}, g.Sig...)), issuer.ErrSignature)
	}
}

func (g *Genuine) otherKeys(l *attacks) {
	other, stranger := g.Keys[g.other()], g.Stranger[g.alg()]
	header := func(changes Members) string { return g.EncodeJSON(Merge(g.Header, changes)) }
	l.add("the kid of the other algorithm's key", g.WithHeader(Members{"kid": other.KeyID()}), issuer.ErrKeyAlgorithm)
	l.add("the other algorithm with its key and this kid",
		g.Sign(g.other(), other, header(Members{"alg": g.other()}), g.Part[1]), issuer.ErrKeyAlgorithm)
	l.add("the key of a stranger", g.Sign(g.alg(), stranger, g.Part[0], g.Part[1]), issuer.ErrSignature)
	l.add("the key and kid of a stranger",
		g.Sign(g.alg(), stranger, header(Members{"kid": stranger.KeyID()}), g.Part[1]), issuer.ErrUnknownKey)
	l.add("the other algorithm's key under this header", g.Part[0]+"."+g.Part[1]+"."+
		strings.Split(g.Sign(g.other(), other, g.Part[0], g.Part[1]), ".")[2], issuer.ErrSignature)
}

func (g *Genuine) brokenSignatures(l *attacks) {
	l.add("the signature of another token", g.WithSignature(g.decode(strings.Split(g.WithClaims(Members{"x": 1}), ".")[2])), issuer.ErrSignature)
	l.add("other claims under the signature", g.Part[0]+"."+g.EncodeJSON(Merge(g.Claims, Members{"sub": "admin"}))+"."+g.Part[2], issuer.ErrSignature)
	l.add("no signature", g.Part[0]+"."+g.Part[1]+".", issuer.ErrSignature)
	for _, size := range []int{1, 31, 32, 64, 65, 96, 128, 256, 512} {
		l.add(fmt.Sprintf("%d zero bytes as signature", size), g.WithSignature(make([]byte, size)), issuer.ErrSignature)
	}
	for _, bit := range []int{0, 7, len(g.Sig)*4 + 1, len(g.Sig)*8 - 1} {
		sig := slices.Clone(g.Sig)
		sig[bit/8] ^= 1 << (bit % 8)
		l.add(fmt.Sprintf("bit %d of the signature", bit), g.WithSignature(sig), issuer.ErrSignature)
	}
	l.add("a byte less", g.WithSignature(g.Sig[:len(g.Sig)-1]), issuer.ErrSignature)
	l.add("a byte more", g.WithSignature(append(slices.Clone(g.Sig), 0)), issuer.ErrSignature)
	l.add("the signature twice", g.WithSignature(append(slices.Clone(g.Sig), g.Sig...)), issuer.ErrSignature)
}

func (g *Genuine) ecdsa(l *attacks) {
	order := elliptic.P256().Params().N
	r, s := new(big.Int).SetBytes(g.Sig[:32]), new(big.Int).SetBytes(g.Sig[32:])
	both := func(size int, r, s *big.Int) []byte {
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	must(g.t, err)
	zero, one := new(big.Int), big.NewInt(1)
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
		l.add(name, g.WithSignature(sig), issuer.ErrSignature)
	}
}

// Headers are attacks on the other header parameters.
func (g *Genuine) Headers() []Attack {
	var l attacks
	g.keyIDs(&l)
	g.parameters(&l)
	g.brokenHeaders(&l)
	for _, typ := range g.Kind.types {
		l.add(fmt.Sprintf("typ %q", typ), g.WithHeader(Members{"typ": typ}), issuer.ErrWrongType)
	}
	if !g.Kind.untyped {
		l.add("no typ", g.WithHeader(Members{"typ": nil}), issuer.ErrWrongType)
	}
	return l
}

func (g *Genuine) keyIDs(l *attacks) {
	for _, kid := range []string{
		"", " ", "unknown", g.kid(g.alg()) + " ", g.kid(g.alg())[1:], strings.ToUpper(g.kid(g.alg())),
		"../../dev/null", "/invalid_path", "file:///dev/null", g.Elsewhere + "/jwks.json",
		"' OR '1'='1", "x' UNION SELECT 'secret' --", "|sleep 5", "$(curl " + g.Elsewhere + ")", "\x00", "\r\nlevel=ERROR",
		strings.Repeat("k", 10<<10),
	} {
		l.add(fmt.Sprintf("kid %.30q", kid), g.WithHeader(Members{"kid": kid}), issuer.ErrUnknownKey)
	}
	l.add("no kid", g.WithHeader(Members{"kid": nil}), issuer.ErrUnknownKey)
}

// parameters bring a key, send someone to fetch one, or ask for an extension.
func (g *Genuine) parameters(l *attacks) {
	public, err := g.Stranger[g.alg()].PublicKey()
	must(g.t, err)
	for name, changes := range map[string]Members{
		"jwk":                    {"jwk": public},
		"jwk and its kid":        {"jwk": public, "kid": public.KeyID()},
		"jwk instead of a kid":   {"jwk": public, "kid": nil},
		"jku":                    {"jku": g.Elsewhere + "/jwks.json"},
		"jku instead of a kid":   {"jku": g.Elsewhere + "/jwks.json", "kid": nil},
		"jku over TLS":           {"jku": strings.Replace(g.Elsewhere, "http:", "https:", 1) + "/jwks.json"},
		"x5u":                    {"x5u": g.Elsewhere + "/cert.pem"},
		"x5u over TLS":           {"x5u": strings.Replace(g.Elsewhere, "http:", "https:", 1) + "/cert.pem"},
		"x5u instead of a kid":   {"x5u": g.Elsewhere + "/cert.pem", "kid": nil},
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
		l.add(name, g.WithHeader(changes), compactjws.ErrHeader)
		// The same, signed with the key that the header brings along.
		l.add(name+", signed with its key",
			g.Sign(g.alg(), g.Stranger[g.alg()], g.EncodeJSON(Merge(g.Header, changes)), g.Part[1]), compactjws.ErrHeader)
	}
}

// brokenHeaders are of a genuine one that has all three of alg, kid and typ.
func (g *Genuine) brokenHeaders(l *attacks) {
	head := string(g.decode(g.Part[0]))
	for _, name := range []string{"alg", "kid", "typ"} {
		for _, value := range []string{`null`, `1`, `true`, `["ES256"]`, `{"a":"b"}`} {
			l.add(name+" "+value, g.WithHeader(Members{name: Raw(value)}), compactjws.ErrMalformed)
		}
		l.add("twice "+name, g.Resign(Encode([]byte(`{"`+name+`":"x",`+head[1:])), g.Part[1]), compactjws.ErrDuplicate)
		escaped := fmt.Sprintf(`{"\u%04x%s":"x",`, name[0], name[1:])
		l.add("twice "+name+", once escaped", g.Resign(Encode([]byte(escaped+head[1:])), g.Part[1]), compactjws.ErrDuplicate)
	}
	for _, header := range []string{``, `{}x`, `{`, `[]`, `""`, `null`, `1`, "\xff", `{"alg":"` + g.alg() + `"`} {
		l.add(fmt.Sprintf("header %q", header), g.Resign(Encode([]byte(header)), g.Part[1]), compactjws.ErrMalformed)
	}
	l.add("empty header object", g.Resign(Encode([]byte(`{}`)), g.Part[1]), issuer.ErrAlgorithm)
}

// ClaimSets are attacks on the claims, by someone who can sign.
func (g *Genuine) ClaimSets() []Attack {
	var l attacks
	g.missingClaims(&l)
	g.wrongTypes(&l)
	g.audiences(&l)
	g.instants(&l)
	g.brokenPayloads(&l)
	for _, iss := range []string{"", "https://evil.example.test", g.URL + "/", g.URL + ":443", strings.ToUpper(g.URL), " " + g.URL, "http" + g.URL[5:]} {
		l.add(fmt.Sprintf("iss %q", iss), g.WithClaims(Members{"iss": iss}), issuer.ErrIssuer)
	}
	l.add("jti empty", g.WithClaims(Members{"jti": ""}), &issuer.MissingClaimError{Claim: "jti"})
	if slices.Contains(g.Kind.required, "token_type") {
		for _, kind := range []string{"", "Access", "REFRESH", "id", "sliding", "refresh ", "logout"} {
			l.add(fmt.Sprintf("token_type %q", kind), g.WithClaims(Members{"token_type": kind}), issuer.ErrWrongType)
		}
	}
	return l
}

func (g *Genuine) missingClaims(l *attacks) {
	for _, claim := range g.Kind.required {
		missing := &issuer.MissingClaimError{Claim: claim}
		l.add(claim+" missing", g.WithClaims(Members{claim: nil}), missing)
		l.add(claim+" null", g.WithClaims(Members{claim: Raw("null")}), missing)
		l.add(claim+" in upper case", g.WithClaims(Members{claim: nil, strings.ToUpper(claim): g.Claims[claim]}), missing)
	}
	l.add("empty payload object", g.WithPayload(`{}`), &issuer.MissingClaimError{Claim: "exp"})
}

func (g *Genuine) wrongTypes(l *attacks) {
	change := func(claim, value string) {
		l.add(fmt.Sprintf("%s %.25s", claim, value), g.WithClaims(Members{claim: Raw(value)}), issuer.ErrClaim)
	}
	for _, claim := range g.Kind.times {
		for _, value := range []string{
			`"1772370000"`, `""`, `true`, `[]`, `{}`, `[1772370000]`, `1772370000.5`, `1772370000.0`, `1.77237e9`,
			`-1`, `1e400`, `-1e400`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775808`,
			`1000000000000000000`, `1e18`, `253402300800`, `18446744073709551616`, strings.Repeat("9", 1000),
		} {
			change(claim, value)
		}
	}
	noText := []string{`-1.5`, `1e400`, `true`, `false`, `[]`, `["x"]`, `{}`, `{"a":1}`}
	for _, claim := range slices.Concat(g.Kind.texts, g.Kind.names) {
		for _, value := range noText {
			change(claim, value)
		}
	}
	for _, claim := range g.Kind.texts {
		change(claim, `0`)
		change(claim, `1`)
	}
	for _, value := range []string{`1`, `true`, `{}`, `{"aud":"x"}`, `[1]`, `["` + g.URL + `",1]`, `[["` + g.URL + `"]]`} {
		change("aud", value)
	}
}

// audiences are those of others. An access token may be for any service: there only
// the service itself can tell.
func (g *Genuine) audiences(l *attacks) {
	parses := g.Claims["token_type"] == issuer.KindAccess
	for _, value := range []string{`""`, `[""]`, `[null]`, `"other"`, `["other"]`, `["other","another"]`,
		`"` + g.URL + `/"`, `"` + strings.ToUpper(g.URL) + `"`, `"` + g.URL + ` "`} {
		*l = append(*l, Attack{"aud " + value, g.WithClaims(Members{"aud": Raw(value)}), issuer.ErrAudience, parses})
	}
	l.add("aud []", g.WithClaims(Members{"aud": Raw("[]")}), issuer.ErrAudience)
}

func (g *Genuine) instants(l *attacks) {
	now := g.now()
	for _, past := range []int64{0, 1, now - 31, now - 30} {
		l.add(fmt.Sprintf("exp past (%d)", past), g.WithClaims(Members{"exp": past}), issuer.ErrExpired)
	}
	l.add("nbf not yet", g.WithClaims(Members{"nbf": now + 31}), issuer.ErrNotYetValid)
	l.add("nbf far from now", g.WithClaims(Members{"nbf": int64(compactjws.MaxNumericDate)}), issuer.ErrNotYetValid)
	l.add("expired, with a later EXP", g.WithClaims(Members{"exp": now - 3600, "EXP": now + 3600}), issuer.ErrExpired)
	l.add("expired, with the signature of the unexpired token",
		g.Part[0]+"."+g.EncodeJSON(Merge(g.Claims, Members{"exp": now - 3600}))+"."+g.Part[2], issuer.ErrSignature)
	l.add("expired, and of another issuer", g.WithClaims(Members{"exp": now - 3600, "iss": "x"}), issuer.ErrIssuer)
}

// now is when the genuine token was made.
func (g *Genuine) now() int64 {
	seconds, err := g.Claims["iat"].(json.Number).Int64()
	must(g.t, err)
	return seconds
}

func (g *Genuine) brokenPayloads(l *attacks) {
	payload := string(g.payload)
	for name, value := range map[string]string{"exp": "9999999999", "sub": `"admin"`, "aud": `"x"`, "jti": `"x"`, "x": `1,"x":2`} {
		l.add("twice "+name+" in the claims", g.WithPayload(`{"`+name+`":`+value+`,`+payload[1:]), compactjws.ErrDuplicate)
	}
	l.add("twice exp, once escaped", g.WithPayload(`{"\u0065xp":9999999999,`+payload[1:]), compactjws.ErrDuplicate)
	l.add("twice in a nested claim", g.WithPayload(`{"x":{"y":[{"z":1,"z":2}]},`+payload[1:]), compactjws.ErrDuplicate)
	for _, text := range []string{``, ` `, `[]`, `null`, `1`, `"x"`, `{`, `{}{}`, `[` + payload + `]`, payload + "x", payload + "\x00", payload + payload,
		payload[:len(payload)-1], "\ufeff" + payload, payload[:len(payload)-1] + `,}`, payload[:len(payload)-1] + ",\"x\":\"\xff\"}",
		`{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `,` + payload[1:]} {
		l.add(fmt.Sprintf("payload %.20q of %d bytes", text, len(text)), g.WithPayload(text), compactjws.ErrMalformed)
	}
}

// Texts are attacks on the serialisation.
func (g *Genuine) Texts() []Attack {
	var l attacks
	g.spaces(&l)
	g.otherParts(&l)
	g.serialisations(&l)
	for name, text := range map[string]string{
		"a megabyte of signature": g.Text + strings.Repeat("A", 1<<20),
		"a megabyte of dots":      strings.Repeat(".", 1<<20),
		"a megabyte of claims":    g.WithClaims(Members{"x": strings.Repeat("x", 1<<20)}),
		"a megabyte of header":    g.WithHeader(Members{"kid": strings.Repeat("x", 1<<20)}),
	} {
		l.add(name, text, compactjws.ErrTooLong)
	}
	return l
}

func (g *Genuine) spaces(l *attacks) {
	for _, space := range []string{" ", "\n", "\r\n", "\t", "\x00", "\u00a0", "\u200b", "\ufeff"} {
		for name, text := range map[string]string{
			"behind":             g.Text + space,
			"before":             space + g.Text,
			"within the payload": g.Part[0] + "." + g.Part[1][:8] + space + g.Part[1][8:] + "." + g.Part[2],
			"before a dot":       g.Part[0] + space + "." + g.Part[1] + "." + g.Part[2],
		} {
			l.add(fmt.Sprintf("%q %s", space, name), text, compactjws.ErrMalformed)
		}
	}
}

func (g *Genuine) otherParts(l *attacks) {
	for name, tail := range map[string]string{"a fourth part": ".x", "an empty fourth part": ".", "padding": "=", "more padding": "==",
		"a tilde": "~", "a comma": "," + g.Text, "a fragment": "#x", "a character that is not base64url": "+"} {
		l.add(name+" behind", g.Text+tail, compactjws.ErrMalformed)
	}
	for name, text := range map[string]string{
		"Bearer before": "Bearer " + g.Text, "quotes around": `"` + g.Text + `"`,
		"empty": "", "one dot": ".", "two dots": "..", "three dots": "...", "65000 dots": strings.Repeat(".", 65000),
		"no dots": strings.ReplaceAll(g.Text, ".", ""), "two parts": g.Part[0] + "." + g.Part[1], "no header": "." + g.Part[1] + "." + g.Part[2],
		"the header twice": g.Part[0] + "." + g.Text, "a padded header": g.Part[0] + "=." + g.Part[1] + "." + g.Part[2],
		"percent-encoded dots": strings.ReplaceAll(g.Text, ".", "%2e"), "full-width dots": strings.ReplaceAll(g.Text, ".", "\uff0e"),
		"65536 braces": strings.Repeat("{", 64<<10), "markup": "<script>alert(1)</script>", "SQL": "' OR 1=1 --",
	} {
		l.add(name, text, compactjws.ErrMalformed)
	}
}

// serialisations are the other forms of RFC 7515 §7.2 and RFC 7516 §7.
func (g *Genuine) serialisations(l *attacks) {
	for name, object := range map[string]any{
		"flattened JSON":         Members{"protected": g.Part[0], "payload": g.Part[1], "signature": g.Part[2]},
		"general JSON":           Members{"payload": g.Part[1], "signatures": []Members{{"protected": g.Part[0], "signature": g.Part[2]}}},
		"general JSON with dots": Members{"payload": g.Part[1], "x": "..", "signatures": []Members{{"protected": g.Part[0], "signature": g.Part[2]}}},
	} {
		text, err := json.Marshal(object)
		must(g.t, err)
		l.add(name, string(text), compactjws.ErrMalformed)
	}
	l.add("JWE", g.Part[0]+".."+g.Part[1]+"."+g.Part[1]+"."+g.Part[2], compactjws.ErrMalformed)
	l.add("JWE of the token", g.encrypted([]byte(g.Text)), compactjws.ErrMalformed)
	l.add("JWE of the claims", g.encrypted(g.payload), compactjws.ErrMalformed)
	l.add("detached payload with a fourth part", g.Part[0]+".."+g.Part[2]+"."+g.Part[1], compactjws.ErrMalformed)
	l.add("detached payload", g.Part[0]+".."+g.Part[2], issuer.ErrSignature)
}

// Cuts are the token without its end, and without its beginning, at every so many
// characters.
func (g *Genuine) Cuts(step int) []Attack {
	var l attacks
	for cut := 0; cut < len(g.Text); cut += step {
		l.add(fmt.Sprintf("cut to %d characters", cut), g.Text[:cut], issuer.ErrInvalid)
		if cut > 0 {
			l.add(fmt.Sprintf("without the first %d characters", cut), g.Text[cut:], issuer.ErrInvalid)
		}
	}
	return l
}

// Refresh are attacks on what makes a token a refresh token.
func (g *Genuine) Refresh() []Attack {
	api := g.URL + "/api"
	sid := g.Claims["sid"].(string)
	return []Attack{
		{"called an access token by typ", g.WithHeader(Members{"typ": "JWT"}), issuer.ErrWrongType, false},
		{"called an access token by RFC 9068", g.WithHeader(Members{"typ": "at+jwt"}), issuer.ErrWrongType, false},
		{"called an access token by token_type", g.WithClaims(Members{"token_type": "access"}), issuer.ErrWrongType, false},
		{"called an access token by both", g.Resign(g.Prefix("JWT"), g.EncodeJSON(Merge(g.Claims, Members{"token_type": "access"}))), issuer.ErrAudience, false},
		{"for the API", g.WithClaims(Members{"aud": api}), issuer.ErrAudience, false},
		{"for the issuer and the API", g.WithClaims(Members{"aud": []string{g.URL, api}}), issuer.ErrAudience, false},
		{"for the issuer twice", g.WithClaims(Members{"aud": []string{g.URL, g.URL}}), issuer.ErrAudience, false},
		{"without a session", g.WithClaims(Members{"sid": nil}), &issuer.MissingClaimError{Claim: "sid"}, false},
		{"with a null session", g.WithClaims(Members{"sid": Raw("null")}), &issuer.MissingClaimError{Claim: "sid"}, false},
		{"with an empty session", g.WithClaims(Members{"sid": ""}), &issuer.MissingClaimError{Claim: "sid"}, false},
		{"with SID for sid", g.WithClaims(Members{"sid": nil, "SID": sid}), &issuer.MissingClaimError{Claim: "sid"}, false},
		{"with an unknown session", g.WithClaims(Members{"sid": strings.Repeat("0", 32)}), issuer.ErrNoSession, true},
		{"with a session's name in upper case", g.WithClaims(Members{"sid": strings.ToUpper(sid) + "X"}), issuer.ErrNoSession, true},
		{"without the session's end", g.WithClaims(Members{"session_exp": nil}), &issuer.MissingClaimError{Claim: "session_exp"}, false},
		{"with a session's end as text", g.WithClaims(Members{"session_exp": "1e9"}), issuer.ErrClaim, false},
		{"with a session's end before time", g.WithClaims(Members{"session_exp": -1}), issuer.ErrClaim, false},
		{"with a session's end past all time", g.WithClaims(Members{"session_exp": int64(1e18)}), issuer.ErrClaim, false},
	}
}

// Access are attacks on what makes a token a user's access token.
func (g *Genuine) Access() []Attack {
	return []Attack{
		{"called a refresh token by typ", g.WithHeader(Members{"typ": "rt+jwt"}), issuer.ErrWrongType, false},
		{"called a refresh token by token_type", g.WithClaims(Members{"token_type": "refresh"}), issuer.ErrWrongType, false},
		{"called a refresh token by both", g.Resign(g.Prefix("rt+jwt"), g.EncodeJSON(Merge(g.Claims, Members{"token_type": "refresh"}))), issuer.ErrAudience, false},
		{"for the issuer", g.WithClaims(Members{"aud": g.URL}), issuer.ErrAudience, false},
		{"with an unknown session", g.WithClaims(Members{"sid": strings.Repeat("0", 32)}), issuer.ErrNoSession, true},
		{"of another subject", g.WithClaims(Members{"sub": "admin"}), issuer.ErrInactive, true},
		{"of an empty subject", g.WithClaims(Members{"sub": ""}), issuer.ErrInactive, true},
	}
}
