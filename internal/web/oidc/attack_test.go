package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"signet/internal/web/webtest"
	"signet/issuer"
)

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func signES256(t testing.TB, key *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	hash := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// private is the issuer's signing key, as someone has it who holds the database and
// the sealing key: a forgery shall differ from a genuine token in one thing.
func (s *server) private(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	text, err := os.ReadFile(s.SealFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	secret, err := base64.RawURLEncoding.DecodeString(lines[len(lines)-1])
	if err != nil {
		t.Fatal(err)
	}
	ring, err := s.Store.LoadRing(t.Context())
	if err != nil || len(ring.Keys) != 1 {
		t.Fatalf("%d keys, %v", len(ring.Keys), err)
	}
	plain, err := jwe.Decrypt([]byte(ring.Keys[0].Sealed), jwe.WithKey(jwa.DIRECT, secret))
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwk.ParseKey(plain)
	if err != nil {
		t.Fatal(err)
	}
	private := new(ecdsa.PrivateKey)
	if err := key.Raw(private); err != nil {
		t.Fatal(err)
	}
	return private
}

// forger makes tokens that differ from a genuine one in one thing.
type forger struct {
	t               testing.TB
	text            string
	part            []string
	header, payload map[string]any
	own, stranger   *ecdsa.PrivateKey
	elsewhere       string // a URL of an attacker
	named           map[string]string
}

func newForger(t testing.TB, text string, own *ecdsa.PrivateKey, elsewhere string) *forger {
	t.Helper()
	f := &forger{t: t, text: text, part: strings.Split(text, "."), payload: webtest.Claims(t, text),
		own: own, elsewhere: elsewhere, named: map[string]string{}}
	head, err := base64.RawURLEncoding.DecodeString(f.part[0])
	if err == nil {
		err = json.Unmarshal(head, &f.header)
	}
	if err == nil {
		f.stranger, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *forger) object(base, changes map[string]any) string {
	merged := maps.Clone(base)
	maps.Copy(merged, changes)
	maps.DeleteFunc(merged, func(_ string, value any) bool { return value == nil })
	text, err := json.Marshal(merged)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// change signs header and claims after changes; nil removes one.
func (f *forger) change(key *ecdsa.PrivateKey, header, claims map[string]any) string {
	return signES256(f.t, key, f.object(f.header, header), f.object(f.payload, claims))
}

type m = map[string]any

// attacks are the table of the issuer's tests in short (security-cases 3.2).
func (f *forger) attacks() map[string]string {
	f.algorithms()
	f.headers()
	f.claims()
	f.texts()
	return f.named
}

func (f *forger) algorithms() {
	for _, none := range []string{"none", "None", "NONE", "nOnE", ""} {
		f.named["alg "+none+" without signature"] = encode([]byte(f.object(f.header, m{"alg": none}))) + "." + f.part[1] + "."
		f.named["alg "+none+" signed"] = f.change(f.own, m{"alg": none}, nil)
	}
	for _, alg := range []string{"HS256", "RS256", "ES384", "EdDSA", "es256"} {
		f.named["alg "+alg] = f.change(f.own, m{"alg": alg}, nil)
	}
	der, err := x509.MarshalPKIXPublicKey(&f.own.PublicKey)
	if err != nil {
		f.t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for name, secret := range map[string][]byte{"PEM": text, "PEM, trimmed": []byte(strings.TrimSpace(string(text))), "DER": der, "": nil} {
		input := encode([]byte(f.object(f.header, m{"alg": "HS256"}))) + "." + f.part[1]
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		f.named["HMAC with the public key as "+name] = input + "." + encode(mac.Sum(nil))
	}
	f.named["no signature"] = f.part[0] + "." + f.part[1] + "."
	f.named["zeros as signature"] = f.part[0] + "." + f.part[1] + "." + encode(make([]byte, 64))
	f.named["the key of a stranger"] = f.change(f.stranger, nil, nil)
	f.named["another payload under the signature"] = f.part[0] + "." + encode([]byte(f.object(f.payload, m{"sub": "admin"}))) + "." + f.part[2]
}

func (f *forger) headers() {
	for _, kid := range []any{nil, "", "unknown", "../../dev/null", f.elsewhere + "/jwks.json", "' OR '1'='1", "|sleep 5", "\x00", "\r\n", strings.Repeat("k", 5000), 1, []string{}} {
		f.named[fmt.Sprintf("kid %.20v", kid)] = f.change(f.own, m{"kid": kid}, nil)
	}
	point, err := f.stranger.PublicKey.Bytes()
	if err != nil {
		f.t.Fatal(err)
	}
	public := m{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
	for name, header := range map[string]m{
		"jwk": {"jwk": public}, "jwk without kid": {"jwk": public, "kid": nil}, "jku": {"jku": f.elsewhere + "/jwks.json"},
		"jku without kid": {"jku": f.elsewhere + "/jwks.json", "kid": nil}, "x5u": {"x5u": f.elsewhere}, "x5c": {"x5c": []string{"MIIB"}},
		"crit": {"crit": []string{"exp"}}, "b64": {"b64": false, "crit": []string{"b64"}}, "zip": {"zip": "DEF"}, "p2c": {"p2c": 1 << 30},
	} {
		f.named[name] = f.change(f.own, header, nil)
		f.named[name+", signed with its key"] = f.change(f.stranger, header, nil)
	}
	for _, typ := range []any{nil, "", "id+jwt", "application/at+jwt", "AT+JWT", "logout+jwt", "token-introspection+jwt", "client-authentication+jwt", 1} {
		f.named[fmt.Sprintf("typ %v", typ)] = f.change(f.own, m{"typ": typ}, nil)
	}
}

// Names of attacks that a revocation may refuse.
const (
	noSession     = "a session that never was"
	anotherPlace  = "of another client for another place"
	anotherClient = "of a client that never was"
)

func (f *forger) claims() {
	for _, claim := range []string{"exp", "iat", "nbf", "jti", "sub", "aud", "iss", "token_type", "client_id"} {
		f.named["without "+claim] = f.change(f.own, nil, m{claim: nil})
		for _, value := range []any{true, m{}, []any{m{}}, -1.5, json.RawMessage("1e400")} {
			f.named[fmt.Sprintf("%s %v", claim, value)] = f.change(f.own, nil, m{claim: value})
		}
	}
	for name, claims := range map[string]m{
		"expired": {"exp": 1}, "exp as text": {"exp": "9999999999"}, "exp past all time": {"exp": int64(1) << 62}, "not yet": {"nbf": int64(253402300799)},
		"of another issuer": {"iss": f.elsewhere}, "of the issuer with a slash": {"iss": webtest.URL + "/"},
		"of another kind": {"token_type": "id"}, "no audience": {"aud": []string{}}, anotherPlace: {"aud": []string{"stock", "elsewhere"}, "client_id": "elsewhere"},
		"an empty jti": {"jti": ""}, noSession: {"sid": "0123456789abcdef0123456789abcdef"}, "sid as a number": {"sid": 1}, "scope as a list": {"scope": []string{"a"}},
		anotherClient: {"client_id": "nobody", "sub": "nobody", "aud": "nobody"},
	} {
		f.named[name] = f.change(f.own, nil, claims)
	}
	payload := f.object(f.payload, nil)
	head := f.object(f.header, nil)
	for name, text := range map[string]string{"exp twice": `{"exp":9999999999,` + payload[1:], "payload cut": payload[:len(payload)-1], "payload null": "null",
		"payload in a list": "[" + payload + "]", "payload not UTF-8": payload[:len(payload)-1] + ",\"x\":\"\xff\"}", "deep payload": `{"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "," + payload[1:]} {
		f.named[name] = signES256(f.t, f.own, head, text)
	}
	f.named["alg twice"] = signES256(f.t, f.own, `{"alg":"none",`+head[1:], payload)
}

func (f *forger) texts() {
	for _, space := range []string{" ", "\n", "\t", "\x00", "\u200b"} {
		f.named[fmt.Sprintf("%q behind", space)] = f.text + space
		f.named[fmt.Sprintf("%q before", space)] = space + f.text
	}
	for name, text := range map[string]string{"a fourth part": f.text + ".x", "padding": f.text + "=", "Bearer before": "Bearer " + f.text, "quotes": `"` + f.text + `"`,
		"dots": "...", "two parts": f.part[0] + "." + f.part[1], "60000 dots": strings.Repeat(".", 60000), "60000 letters": strings.Repeat("A", 60000),
		"a megabyte": strings.Repeat("A", 1<<20), "JWE": f.part[0] + "..AAAA.AAAA.AAAA", "markup": "<script>alert(1)</script>", "SQL": "' OR 1=1 --"} {
		f.named[name] = text
	}
	flat, err := json.Marshal(m{"protected": f.part[0], "payload": f.part[1], "signature": f.part[2]})
	if err != nil {
		f.t.Fatal(err)
	}
	f.named["JSON serialisation"] = string(flat)
	for cut := 1; cut < len(f.text); cut += 7 {
		f.named[fmt.Sprint("cut to ", cut)] = f.text[:cut]
		f.named[fmt.Sprint("without the first ", cut)] = f.text[cut:]
	}
}

// Attacks × the endpoints that take a token: no forgery is ever active, none ends a
// session, and none is the server's fault.
func TestNoForgeryIsActive(t *testing.T) {
	var hits atomic.Int64
	attacker := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer attacker.Close()
	s := start(t)
	own := s.private(t)
	access, refresh := s.login(t)
	session, err := s.Issuer.Login(t.Context(), "batch", webtest.Alice, webtest.Password) // refresh tokens are their owner's alone
	if err != nil {
		t.Fatal(err)
	}
	s.hideToken(session.Refresh)
	public := []string{"client_id", issuer.FirstParty}
	for _, base := range []struct {
		name, token string
		introspect  credentials
		revoke      func(token string) answer
	}{
		{"a machine's token", s.machine(t), s.ledger, func(token string) answer { return s.as(t, s.batch, revokePath, "token", token) }},
		{"a user's token", access, s.ledger, func(token string) answer { return s.post(t, revokePath, form(append(public, "token", token)...)) }},
		{"a refresh token", session.Refresh, s.batch, func(token string) answer { return s.as(t, s.batch, revokePath, "token", token) }},
		{"the login's refresh token", refresh, s.ledger, func(token string) answer { return s.post(t, revokePath, form(append(public, "token", token)...)) }},
	} {
		attacks := newForger(t, base.token, own, attacker.URL).attacks()
		if len(attacks) < 150 {
			t.Errorf("only %d attacks", len(attacks))
		}
		for name, token := range attacks {
			if token == base.token {
				t.Errorf("%s: the attack changes nothing", name)
			}
			what := base.name + ", " + name
			told, revoked := s.as(t, base.introspect, introspectPath, "token", token), base.revoke(token)
			if len(token) > 60<<10 {
				told.refuses(t, what+" at introspection", http.StatusRequestEntityTooLarge, "invalid_request")
				revoked.refuses(t, what+" at revocation", http.StatusRequestEntityTooLarge, "invalid_request")
				continue
			}
			told.says(t, what+" at introspection", 200, `{"active":false}`)
			if name == anotherPlace || name == anotherClient {
				if revoked.StatusCode == http.StatusBadRequest { // well signed, and not this client's
					revoked.refuses(t, what+" at revocation", 400, "invalid_grant")
					continue
				}
			}
			if name == noSession && revoked.StatusCode == http.StatusBadRequest { // an access token, of any session
				revoked.refuses(t, what+" at revocation", 400, "unsupported_token_type")
				continue
			}
			revoked.says(t, what+" at revocation", 200, "{}")
			s.refresh(t, token).says(t, what+" as a refresh token", 400, notHonoured)
		}
		if base.name != "the login's refresh token" && !s.active(t, base.introspect, base.token) {
			t.Errorf("%s is not active after the attacks", base.name)
		}
		// The same claims under a second signature are the token itself.
		if again := newForger(t, base.token, own, "").change(own, nil, nil); base.name == "a refresh token" && !s.active(t, s.batch, again) {
			t.Error("the forger's key is not the issuer's: the attacks fail for another reason")
		}
	}
	s.wantSessions(t, "after the attacks", 2)
	s.refresh(t, refresh).gives(t, "the genuine refresh token after the attacks")
	if n := hits.Load(); n != 0 {
		t.Errorf("%d requests went to a URL of a token", n)
	}
}
