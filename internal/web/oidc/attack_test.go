package oidc_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/issuer/issuertest"
	"signet/issuer/oauth"
)

const accessType = "urn:ietf:params:oauth:token-type:access_token"

// outcome is a status, and what the body is or begins with.
type outcome struct {
	status int
	body   string
}

func code(status int, code string) outcome { return outcome{status, `{"error":"` + code + `",`} }

var (
	inactive = outcome{200, `{"active":false}`}
	ignored  = outcome{200, `{}`}
	tooLarge = code(http.StatusRequestEntityTooLarge, "invalid_request")
)

// entry is a parameter that takes a token, and how the endpoint answers attacks on it.
type entry struct {
	path, param string
	auth        string   // the Authorization header
	rest        []string // parameters beside it
	refused     outcome
	missing     outcome // of an empty one, which is absent (RFC 6749 §3.2)
	parses      outcome // of one that is in order by itself; the zero value is refused
}

func (e *entry) want(a issuertest.Attack, form string) outcome {
	switch {
	case len(form) > 64<<10:
		return tooLarge
	case a.Token == "":
		return e.missing
	case a.Parses && e.parses.status != 0:
		return e.parses
	default:
		return e.refused
	}
}

// attack drives one attack at one entry, and reports whether it was answered as it must.
func (s *server) attack(t *testing.T, e entry, what string, a issuertest.Attack) bool {
	t.Helper()
	body := form(append(slices.Clone(e.rest), e.param, a.Token)...)
	want := e.want(a, body)
	got := s.post(t, e.path, body, "Authorization", e.auth)
	right := got.StatusCode == want.status && strings.HasPrefix(got.body, want.body)
	if !right {
		t.Errorf("%s, %s as %s at %s: got %d %.80s, want %d %s", what, a.Name, e.param, e.path, got.StatusCode, got.body, want.status, want.body)
	}
	return right
}

// introspection is by a client that a genuine token concerns.
func introspection(by credentials) entry {
	return entry{path: introspectPath, param: "token", auth: by.basic(), refused: inactive, missing: code(400, "invalid_request")}
}

// revocation is by the client that the genuine token was issued to; auth is empty for
// the login. What parses is an access token of its own.
func revocation(auth string, parses outcome) entry {
	e := entry{path: revokePath, param: "token", auth: auth, refused: ignored, missing: code(400, "invalid_request"), parses: parses}
	if auth == "" {
		e.rest = []string{"client_id", issuer.FirstParty}
	}
	return e
}

// grants are the parameters of the token endpoint; genuine is a subject token that the
// service may exchange.
func (s *server) grants(genuine string) []entry {
	invalid := code(400, "invalid_request")
	exchange := []string{"grant_type", oauth.TokenExchange, "subject_token_type", accessType}
	return []entry{
		{path: tokenPath, param: "refresh_token", rest: []string{"grant_type", "refresh_token", "client_id", issuer.FirstParty},
			refused: code(400, "invalid_grant"), missing: invalid},
		{path: tokenPath, param: "subject_token", rest: exchange, auth: s.ledger.basic(), refused: invalid, missing: invalid},
		{path: tokenPath, param: "actor_token", rest: append(exchange, "subject_token", genuine, "actor_token_type", accessType),
			auth: s.ledger.basic(), refused: invalid, missing: invalid},
	}
}

// target is a genuine token, attacked at entries.
type target struct {
	name, token string
	kind        issuertest.Kind
	keys        map[string]jwk.Key // that signed it
	own         func(*issuertest.Genuine) []issuertest.Attack
	entries     []entry
}

// attackAll drives the whole table at a target.
func (s *server) attackAll(t *testing.T, target target, stranger map[string]jwk.Key, elsewhere string) {
	t.Helper()
	g := issuertest.New(t, issuertest.Source{Text: target.token, Kind: target.kind, URL: webtest.URL,
		Keys: target.keys, Stranger: stranger, Elsewhere: elsewhere})
	attacks := slices.Concat(g.Attacks(), g.Cuts(7))
	if target.own != nil {
		attacks = append(attacks, target.own(g)...)
	}
	if len(attacks) < 300 {
		t.Errorf("%s: only %d attacks", target.name, len(attacks))
	}
	wrong := 0
	for _, a := range attacks {
		if a.Token == target.token {
			t.Errorf("%s, %s: the attack changes nothing", target.name, a.Name)
		}
		for _, e := range target.entries {
			if !s.attack(t, e, target.name, a) {
				wrong++
			}
		}
		if wrong > 20 {
			t.Fatalf("%s: too many wrong answers", target.name)
		}
	}
}

// Attacks × the parameters that take a token of the issuer's own: no forgery is active
// or traded, none ends a session, and none is the server's fault.
func TestNoForgeryIsActive(t *testing.T) {
	elsewhere, stranger := issuertest.Attacker(t), issuertest.NewKeys(t)
	for _, algorithms := range [][]string{{"ES256", "RS256"}, {"RS256", "ES256"}} {
		t.Run(algorithms[0], func(t *testing.T) {
			s := start(t, algorithms...)
			keys := issuertest.PrivateKeys(t, s.Store, s.SealFile)
			machine := s.machine(t)
			access, refresh := s.login(t)
			session, err := s.Issuer.Login(t.Context(), issuer.Attempt{Client: "batch", Name: webtest.Alice, Password: webtest.Password}) // refresh tokens are their owner's alone
			if err != nil {
				t.Fatal(err)
			}
			s.hideToken(session.Refresh)
			own, none := code(400, "unsupported_token_type"), outcome{}
			for _, target := range []target{
				{"a machine's token", machine, issuertest.Own, keys, (*issuertest.Genuine).Access,
					append(s.grants(machine), introspection(s.ledger), revocation(s.batch.basic(), own))},
				{"a user's token", access, issuertest.Own, keys, (*issuertest.Genuine).Access,
					append(s.grants(machine), introspection(s.ledger), revocation("", own))},
				{"a refresh token", session.Refresh, issuertest.Own, keys, (*issuertest.Genuine).Refresh,
					append(s.grants(machine), introspection(s.batch), revocation(s.batch.basic(), none))},
				{"the login's refresh token", refresh, issuertest.Own, keys, (*issuertest.Genuine).Refresh,
					append(s.grants(machine), introspection(s.ledger), revocation("", none))},
			} {
				s.attackAll(t, target, stranger, elsewhere)
			}
			s.wantSessions(t, "after the attacks", 2)
			for by, token := range map[credentials]string{s.ledger: machine, s.batch: session.Refresh} {
				if !s.active(t, by, token) {
					t.Errorf("a token of %s is not active after the attacks", by.id)
				}
			}
			s.exchange(t, machine).gives(t, "the genuine subject token after the attacks")
			s.refresh(t, refresh).gives(t, "the genuine refresh token after the attacks")
			// The same claims under a second signature are the token itself: the attacks do
			// not fail because the forger's keys are not the issuer's.
			again := issuertest.New(t, issuertest.Source{Text: machine, Keys: keys}).WithClaims(nil)
			if again == machine || !s.active(t, s.ledger, again) {
				t.Error("a token of the forger's without an attack is not active")
			}
		})
	}
}

// exchange trades a token for one for stock, as ledger.
func (s *server) exchange(t testing.TB, subject string) answer {
	t.Helper()
	return s.as(t, s.ledger, tokenPath, "grant_type", oauth.TokenExchange, "subject_token_type", accessType, "subject_token", subject)
}

// Attacks × the endpoints that a client authenticates at with an assertion.
func TestNoForgedAssertionIsTaken(t *testing.T) {
	elsewhere, stranger := issuertest.Attacker(t), issuertest.NewKeys(t)
	s := start(t)
	c := s.keyed(t, "keyed")
	rest := []string{"grant_type", "client_credentials", "token", "x", "client_assertion_type", oauth.AssertionType}
	var entries []entry
	for _, path := range endpoints {
		entries = append(entries, entry{path: path, param: "client_assertion", rest: rest,
			refused: outcome{401, notGood}, missing: outcome{400, noAssert}})
	}
	for _, alg := range []string{"ES256", "RS256"} {
		assertion := s.assertion(t, c, alg, nil)
		s.attackAll(t, target{alg + " assertion", assertion, issuertest.Assertion, c.keys, nil, entries}, stranger, elsewhere)
		s.assert(t, tokenPath, assertion).gives(t, "the genuine assertion after the attacks") // none of them has spent it
	}
}

// A verdict on one token is not kept for another.
func TestBrokenSignatureBeforeAndAfterAGoodOne(t *testing.T) {
	s := start(t)
	c := s.keyed(t, "keyed")
	machine := s.machine(t)
	_, refresh := s.login(t)
	broken := func(token string) string {
		sig := []byte(token)
		sig[len(sig)-40] ^= 1 // a letter or digit, for another one
		return string(sig)
	}
	for range 3 {
		s.as(t, s.ledger, introspectPath, "token", broken(machine)).says(t, "introspection", 200, inactive.body)
		if !s.active(t, s.ledger, machine) {
			t.Error("the good token is not active after a broken one")
		}
		s.as(t, s.ledger, introspectPath, "token", broken(machine)).says(t, "introspection, again", 200, inactive.body)

		s.exchange(t, broken(machine)).refuses(t, "exchange", 400, "invalid_request")
		s.exchange(t, machine).gives(t, "exchange")
		s.exchange(t, broken(machine)).refuses(t, "exchange, again", 400, "invalid_request")

		s.refresh(t, broken(refresh)).says(t, "refresh", 400, notHonoured)
		next := s.refresh(t, refresh).gives(t, "refresh").Refresh
		s.refresh(t, broken(refresh)).says(t, "refresh, again", 400, notHonoured)
		refresh = next

		assertion := s.assertion(t, c, "ES256", nil)
		s.assert(t, tokenPath, broken(assertion)).says(t, "assertion", 401, notGood)
		s.assert(t, tokenPath, assertion).gives(t, "assertion")
		s.assert(t, tokenPath, broken(assertion)).says(t, "assertion, again", 401, notGood)
	}
}

// RFC 8725 §3.12: every kind of token at every parameter that takes one.
func TestKindsOfTokensExcludeEachOtherOverHTTP(t *testing.T) {
	s := start(t)
	c := s.keyed(t, "keyed")
	machine := s.machine(t)
	access, refresh := s.login(t)
	exchanged := s.exchange(t, machine).gives(t, "an exchanged token").Access // for stock
	assertion := func() string { return s.assertion(t, c, "ES256", nil) }
	login := func(path string, pairs ...string) answer {
		return s.post(t, path, form(append(pairs, "client_id", issuer.FirstParty)...))
	}
	at := map[string]func(token string) answer{
		"introspection": func(token string) answer { return s.as(t, s.ledger, introspectPath, "token", token) },
		"refresh_token": func(token string) answer { return s.refresh(t, token) },
		"subject_token": func(token string) answer { return s.exchange(t, token) },
		"assertion":     func(token string) answer { return s.assert(t, tokenPath, token) },
		"revocation":    func(token string) answer { return login(revokePath, "token", token) },
	}
	invalid, grant, client := code(400, "invalid_request"), code(400, "invalid_grant"), code(401, "invalid_client")
	active, traded := outcome{200, `{"active":true,`}, outcome{200, `{"access_token":`}
	for _, tt := range []struct {
		name, token string
		want        map[string]outcome
	}{
		{"a machine's token", machine, map[string]outcome{"introspection": active, "refresh_token": grant, "subject_token": traded, "assertion": client, "revocation": grant}},
		{"a user's token", access, map[string]outcome{"introspection": active, "refresh_token": grant, "subject_token": traded, "assertion": client, "revocation": code(400, "unsupported_token_type")}},
		{"an exchanged token, by its owner", exchanged, map[string]outcome{"introspection": active, "refresh_token": grant, "subject_token": traded, "assertion": client, "revocation": grant}},
		{"an assertion", assertion(), map[string]outcome{"introspection": inactive, "refresh_token": grant, "subject_token": invalid, "revocation": ignored}},
		{"a refresh token", refresh, map[string]outcome{"introspection": inactive, "subject_token": invalid, "assertion": client}},
	} {
		for name, want := range tt.want {
			if got := at[name](tt.token); got.StatusCode != want.status || !strings.HasPrefix(got.body, want.body) {
				t.Errorf("%s at %s: got %d %s, want %d %s", tt.name, name, got.StatusCode, got.body, want.status, want.body)
			}
		}
	}
	s.refresh(t, refresh).gives(t, "the refresh token in its own place")
	s.assert(t, tokenPath, assertion()).gives(t, "an assertion in its own place")
}

// A token that is well made, and names other clients than whoever presents it.
func TestWellMadeTokensOfOthers(t *testing.T) {
	s := start(t)
	g := issuertest.New(t, issuertest.Source{Text: s.machine(t), Keys: issuertest.PrivateKeys(t, s.Store, s.SealFile)})
	for name, claims := range map[string]issuertest.Members{
		"of another client for another place":     {"aud": []string{"stock", "elsewhere"}, "client_id": "elsewhere"},
		"of a client that never was":              {"client_id": "nobody", "sub": "nobody"},
		"of one that never was, for one":          {"client_id": "nobody", "sub": "nobody", "aud": "nobody"},
		"of a client for one that never was":      {"client_id": "nobody"},
		"of a machine, with the scope as a list":  {"scope": []string{"a"}},
		"of a machine, with an actor as a string": {"act": "ledger"},
	} {
		token := g.WithClaims(claims)
		s.as(t, s.ledger, introspectPath, "token", token).says(t, name+" at introspection", 200, inactive.body)
		s.exchange(t, token).refuses(t, name+" at exchange", 400, "invalid_request")
		want := code(400, "invalid_grant")
		if claims["client_id"] == nil { // no token at all
			want = ignored
		}
		if got := s.as(t, s.batch, revokePath, "token", token); got.StatusCode != want.status || !strings.HasPrefix(got.body, want.body) {
			t.Errorf("%s at revocation: got %d %s, want %d %s", name, got.StatusCode, got.body, want.status, want.body)
		}
	}
	for name, claims := range map[string]issuertest.Members{
		"for a subject that never was":  {"sub": "nobody"},
		"for a user without a session":  {"sub": "MJ6CX3DE4ROHB6R5UPYW3KMXWO", "user_id": "MJ6CX3DE4ROHB6R5UPYW3KMXWO"},
		"with a session that never was": {"sid": "0123456789abcdef0123456789abcdef"},
		"made before the clients were":  {"iat": s.Clock.Now().Unix() - 1},
	} {
		token := g.WithClaims(claims)
		s.as(t, s.ledger, introspectPath, "token", token).says(t, name+" at introspection", 200, inactive.body)
		s.as(t, s.batch, introspectPath, "token", token).says(t, name+" at introspection by its owner", 200, inactive.body)
		s.exchange(t, token).refuses(t, name+" at exchange", 400, "invalid_request")
	}
	if token := g.WithClaims(issuertest.Members{"x": fmt.Sprint(1)}); !s.active(t, s.ledger, token) {
		t.Error("the forger's key is not the issuer's: the attacks fail for another reason")
	}
}
