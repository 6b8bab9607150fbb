package oidc_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"signet/internal/web/webtest"
	"signet/issuer/issuertest"
	"signet/issuer/oauth"
)

// keyed is a client that authenticates with keys, one for ES256 and one for RS256.
type keyed struct {
	id   string
	keys map[string]jwk.Key
}

func (s *server) keyed(t testing.TB, id string) keyed {
	t.Helper()
	c := keyed{id, issuertest.NewKeys(t)}
	s.registerKeyed(t, c)
	return c
}

func (s *server) registerKeyed(t testing.TB, c keyed) {
	t.Helper()
	set, err := oauth.ParseClientKeys(issuertest.PublicSet(t, c.keys))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Clients.Add(t.Context(), oauth.Client{ID: c.id, Grants: []string{oauth.ClientCredentials}, Audiences: []string{"ledger"}, Keys: set}, webtest.URL)
	if err != nil {
		t.Fatal(err)
	}
}

// assertion is one of c's, good for a minute, after changes; nil removes a claim.
func (s *server) assertion(t testing.TB, c keyed, alg string, changes issuertest.Members) string {
	t.Helper()
	now := s.Clock.Now()
	claims := issuertest.Members{"iss": c.id, "sub": c.id, "aud": webtest.URL, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	token := issuertest.Sign(t, c.keys[alg], alg, "JWT", issuertest.Merge(claims, changes))
	s.hideToken(token)
	return token
}

// assert posts to an endpoint what answers with 200, and the assertion.
func (s *server) assert(t testing.TB, path, assertion string, more ...string) answer {
	t.Helper()
	return s.post(t, path, form(append([]string{"grant_type", "client_credentials", "token", "x",
		"client_assertion_type", oauth.AssertionType, "client_assertion", assertion}, more...)...))
}

var endpoints = []string{tokenPath, revokePath, introspectPath}

const (
	notGood  = `{"error":"invalid_client","error_description":"the client is unknown or its assertion is not good"}`
	noAssert = `{"error":"invalid_request","error_description":"client_assertion_type is not jwt-bearer, or client_assertion is missing"}`
)

// RFC 7523 §2.2 and §3 point 7 (CVE-2020-5300): each key, each endpoint, each once.
func TestPrivateKeyJWT(t *testing.T) {
	s := start(t)
	c := s.keyed(t, "keyed")
	for _, alg := range []string{"ES256", "RS256"} {
		for _, path := range endpoints {
			what := alg + " at " + path
			assertion := s.assertion(t, c, alg, nil)
			if got := s.assert(t, path, assertion, "client_id", "keyed"); got.StatusCode != http.StatusOK {
				t.Errorf("%s: %d %s", what, got.StatusCode, got.body)
			}
			for _, again := range endpoints {
				s.assert(t, again, assertion).says(t, "replay of "+what+" at "+again, 401, notGood)
			}
		}
		token := s.assert(t, tokenPath, s.assertion(t, c, alg, nil)).gives(t, alg).Access
		if claims := webtest.Claims(t, token); claims["sub"] != "keyed" || claims["client_id"] != "keyed" {
			t.Errorf("%s: the token is not the client's: %v", alg, claims)
		}
	}
}

// CVE-2020-15222: of parallel requests one gets through.
func TestAssertionInParallelIsTakenOnce(t *testing.T) {
	s := start(t)
	c := s.keyed(t, "keyed")
	for _, alg := range []string{"ES256", "RS256"} {
		assertion := s.assertion(t, c, alg, nil)
		answers := make([]answer, 24)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = s.assert(t, endpoints[i%3], assertion) })
		}
		wg.Wait()
		taken := 0
		for _, got := range answers {
			if got.StatusCode == http.StatusOK {
				taken++
				continue
			}
			got.says(t, alg+" in parallel", 401, notGood)
		}
		if taken != 1 {
			t.Errorf("%s: taken %d times", alg, taken)
		}
	}
}

// One thing wrong, and the client is not believed; the answer does not say what.
func TestAssertionsThatAreRefused(t *testing.T) {
	s := start(t)
	c, other := s.keyed(t, "keyed"), s.keyed(t, "other")
	now := s.Clock.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	others := func(alg string) string {
		return issuertest.Sign(t, other.keys[alg], alg, "JWT", webtest.Claims(t, s.assertion(t, c, alg, nil)))
	}
	for what, make := range map[string]func(alg string) string{
		"aud is the token endpoint (CVE-2025-27370)": func(alg string) string {
			return s.assertion(t, c, alg, issuertest.Members{"aud": webtest.URL + tokenPath})
		},
		"aud is a list of one": func(alg string) string {
			return s.assertion(t, c, alg, issuertest.Members{"aud": []string{webtest.URL}})
		},
		"aud is a list": func(alg string) string {
			return s.assertion(t, c, alg, issuertest.Members{"aud": []string{webtest.URL, webtest.URL + tokenPath}})
		},
		"aud is another issuer": func(alg string) string {
			return s.assertion(t, c, alg, issuertest.Members{"aud": "https://other.example"})
		},
		"expired": func(alg string) string {
			return s.assertion(t, c, alg, issuertest.Members{"exp": at(-30 * time.Second)})
		},
		"too long-lived": func(alg string) string {
			return s.assertion(t, c, alg, issuertest.Members{"exp": at(10*time.Minute + 31*time.Second)})
		},
		"without exp": func(alg string) string { return s.assertion(t, c, alg, issuertest.Members{"exp": nil}) },
		"without jti": func(alg string) string { return s.assertion(t, c, alg, issuertest.Members{"jti": nil}) },
		"not valid yet": func(alg string) string {
			return s.assertion(t, c, alg, issuertest.Members{"nbf": at(31 * time.Second)})
		},
		"sub is another": func(alg string) string { return s.assertion(t, c, alg, issuertest.Members{"sub": "other"}) },
		"iss is another": func(alg string) string { return s.assertion(t, c, alg, issuertest.Members{"iss": "other"}) },
		"both are another": func(alg string) string {
			return s.assertion(t, c, alg, issuertest.Members{"iss": "other", "sub": "other"})
		},
		"both are unknown": func(alg string) string { return s.assertion(t, c, alg, issuertest.Members{"iss": "x", "sub": "x"}) },
		"sub has a secret": func(alg string) string {
			return s.assertion(t, c, alg, issuertest.Members{"iss": "batch", "sub": "batch"})
		},
		"sub is the login": func(alg string) string {
			return s.assertion(t, c, alg, issuertest.Members{"iss": "first-party", "sub": "first-party"})
		},
		"another client's key": others,
		"the issuer's key": func(alg string) string {
			keys := issuertest.PrivateKeys(t, s.Store, s.SealFile)
			return issuertest.Sign(t, keys["ES256"], "ES256", "JWT", webtest.Claims(t, s.assertion(t, c, alg, nil)))
		},
	} {
		for i, alg := range []string{"ES256", "RS256"} {
			for _, path := range endpoints {
				s.assert(t, path, make(alg)).says(t, fmt.Sprintf("%s, %s at %s", what, alg, path), 401, notGood)
			}
			s.assert(t, endpoints[i], make(alg), "client_id", "keyed").says(t, what+" with a client_id", 401, notGood)
		}
	}
	for name, exp := range map[string]int64{"in the leeway past exp": at(-29 * time.Second), "as long as it may live": at(10*time.Minute + 30*time.Second)} {
		s.assert(t, tokenPath, s.assertion(t, c, "ES256", issuertest.Members{"exp": exp})).gives(t, name)
	}
}

// RFC 6749 §2.3. What is refused before the assertion was looked at does not spend it.
func TestAssertionBesideAnotherWay(t *testing.T) {
	s := start(t)
	c := s.keyed(t, "keyed")
	s.keyed(t, "other")
	both := refusal("invalid_request", twoWays)
	for _, path := range endpoints {
		assertion := s.assertion(t, c, "ES256", nil)
		with := []string{"grant_type", "client_credentials", "token", "x", "client_assertion", assertion}
		typed := append(with, "client_assertion_type", oauth.AssertionType)
		for _, header := range []string{s.batch.basic(), credentials{"keyed", "x"}.basic(), "Bearer x", "Basic"} {
			s.post(t, path, form(typed...), "Authorization", header).says(t, "beside a header", 400, both)
		}
		s.assert(t, path, assertion, "client_secret", "x").says(t, "beside a secret", 400, both)
		s.assert(t, path, assertion, "client_id", "batch", "client_secret", s.batch.secret).says(t, "beside another's credentials", 400, both)
		s.assert(t, path, assertion, "client_id", "other").says(t, "beside another client_id", 401, notGood)
		s.assert(t, path, assertion, "client_id", "KEYED").says(t, "beside its client_id in another case", 401, notGood)
		s.assert(t, path, assertion, "client_assertion", assertion).refuses(t, "twice", 400, "invalid_request")
		s.post(t, path, form(with...)).says(t, "without a type", 400, noAssert)
		s.post(t, path, form(append(with, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")...)).says(t, "of another type", 400, noAssert)
		s.post(t, path, form("client_assertion_type", oauth.AssertionType)).says(t, "without an assertion", 400, noAssert)
		s.post(t, path, form("client_id", "keyed", "token", "x")).says(t, "without anything", 401, refusal("invalid_client", wrong))
		if got := s.assert(t, path, assertion); got.StatusCode != http.StatusOK {
			t.Errorf("%s: the assertion was spent by refusals: %d %s", path, got.StatusCode, got.body)
		}
	}
}

// An assertion is spent with the request that it came with, also if that then fails.
func TestAssertionOfARefusedRequestIsSpent(t *testing.T) {
	s := start(t)
	assertion := s.assertion(t, s.keyed(t, "keyed"), "ES256", nil)
	s.assert(t, tokenPath, assertion, "scope", "admin").refuses(t, "a scope too many", 400, "invalid_scope")
	s.assert(t, tokenPath, assertion).says(t, "the same again", 401, notGood)
}

// RFC 7523 §3 point 7: for as long as it may be taken, and longer.
func TestReplayAtTheEndOfTheLeeway(t *testing.T) {
	s := start(t)
	assertion := s.assertion(t, s.keyed(t, "keyed"), "ES256", nil)
	s.assert(t, tokenPath, assertion).gives(t, "at first")
	s.Clock.Step(time.Minute + 29*time.Second)
	if _, err := s.Store.SweepAssertions(t.Context(), s.Clock.Now().Add(-time.Minute), 100); err != nil {
		t.Fatal(err)
	}
	s.assert(t, tokenPath, assertion).says(t, "in the leeway past exp", 401, notGood)
}

// A client's keys are its own and not its id's; and what was used stays used, whoever
// comes after it with the same keys.
func TestAssertionOfAPredecessor(t *testing.T) {
	s := start(t)
	before := s.keyed(t, "keyed")
	used, kept := s.assertion(t, before, "ES256", nil), s.assertion(t, before, "RS256", nil)
	s.assert(t, tokenPath, used).gives(t, "before")
	remove := func() {
		t.Helper()
		if err := s.Clients.Remove(t.Context(), "keyed"); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	s.assert(t, tokenPath, kept).says(t, "of a removed client", 401, notGood)
	after := s.keyed(t, "keyed")
	s.assert(t, tokenPath, kept).says(t, "of the client before it", 401, notGood)
	s.assert(t, tokenPath, s.assertion(t, after, "ES256", nil)).gives(t, "its own")
	remove()
	s.registerKeyed(t, before)
	s.assert(t, tokenPath, used).says(t, "used by the client before it, with the same keys", 401, notGood)
	s.assert(t, tokenPath, kept).gives(t, "not used before, with the same keys")
}
