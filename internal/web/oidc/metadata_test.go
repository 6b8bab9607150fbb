package oidc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/issuer/oauth"
)

var wellKnown = []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}

// document reads the metadata as a client does.
func (s *server) document(t testing.TB) map[string]any {
	t.Helper()
	got := s.send(t, "GET", wellKnown[0], nil)
	var doc map[string]any
	if err := json.Unmarshal([]byte(got.body), &doc); err != nil || got.StatusCode != http.StatusOK {
		t.Fatalf("%d %s: %v", got.StatusCode, got.body, err)
	}
	return doc
}

func list(t testing.TB, doc map[string]any, name string) []string {
	t.Helper()
	values, ok := doc[name].([]any)
	if !ok || len(values) == 0 {
		t.Fatalf("%s is %v, want a list", name, doc[name])
	}
	var texts []string
	for _, v := range values {
		texts = append(texts, v.(string))
	}
	return texts
}

// RFC 8414 §6.2, GHSA-93m4-mfpg-c3xf, CVE-2025-64101: the configuration alone says
// who the issuer is.
func TestMetadataIsTheSameForEveryHost(t *testing.T) {
	s := start(t)
	want := s.send(t, "GET", wellKnown[0], nil).body
	for _, path := range wellKnown {
		for _, header := range [][]string{
			nil,
			{"Host", "evil.example"},
			{"X-Forwarded-Host", "evil.example"},
			{"X-Forwarded-Proto", "http", "X-Forwarded-Host", "evil.example", "X-Forwarded-Port", "81", "X-Forwarded-Prefix", "/evil"},
			{"Forwarded", "host=evil.example;proto=http"},
			{"X-Original-URL", "http://evil.example/", "X-Host", "evil.example", "Origin", "https://evil.example"},
		} {
			got := s.send(t, "GET", path, nil, header...)
			got.says(t, fmt.Sprint(path, header), 200, want)
			got.has(t, "Content-Type", "application/json")
			got.has(t, "Access-Control-Allow-Origin", "*")
			got.has(t, "Cache-Control", "public, max-age=300")
		}
		// A query changes nothing, nor does a path behind it.
		s.send(t, "GET", path+"?issuer=https://evil.example", nil).says(t, path, 200, want)
		if got := s.send(t, "GET", path+"/evil", nil); got.StatusCode != http.StatusNotFound {
			t.Errorf("%s/evil: %d %s", path, got.StatusCode, got.body)
		}
		if got := s.send(t, "POST", path, nil); got.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, got.StatusCode)
		}
		if got := s.send(t, "HEAD", path, nil); got.StatusCode != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, got.StatusCode)
		}
	}
	// Nor does a token's iss.
	got := s.post(t, tokenPath, machineForm, "Authorization", s.batch.basic(), "Host", "evil.example", "X-Forwarded-Host", "evil.example").gives(t, "a token")
	if iss := webtest.Claims(t, got.Access)["iss"]; iss != webtest.URL {
		t.Errorf("iss is %v", iss)
	}
	if doc := s.document(t); doc["issuer"] != webtest.URL {
		t.Errorf("issuer is %v", doc["issuer"])
	}
}

// Every URL leads somewhere, with the method that it is for.
func TestMetadataNamesEndpointsThatAnswer(t *testing.T) {
	s := start(t)
	doc := s.document(t)
	found := 0
	for name, value := range doc {
		url, ok := value.(string)
		if !ok || name == "issuer" {
			continue
		}
		found++
		path, ok := strings.CutPrefix(url, webtest.URL+"/")
		if !ok {
			t.Errorf("%s %q does not begin with the issuer", name, url)
		}
		switch {
		case name == "jwks_uri":
			if got := s.send(t, "GET", "/"+path, nil); got.StatusCode != 200 || !strings.Contains(got.body, `"keys":[{`) {
				t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
			}
		case strings.HasSuffix(name, "_endpoint"):
			s.post(t, "/"+path, "token=x&grant_type=x", "Authorization", credentials{"nobody", "x"}.basic()).refuses(t, name, 401, "invalid_client")
		default:
			t.Errorf("nobody knows what %s is", name)
		}
	}
	if found < 4 {
		t.Errorf("only %d URLs", found)
	}
	if types, ok := doc["response_types_supported"].([]any); !ok || len(types) != 0 {
		t.Errorf("response_types_supported is %v, and there is no authorization endpoint", doc["response_types_supported"])
	}
}

// Every grant that is listed works, and no other.
func TestMetadataListsGrantsThatWork(t *testing.T) {
	s := start(t)
	grants := list(t, s.document(t), "grant_types_supported")
	drive := map[string]func(){
		"client_credentials": func() { s.machine(t) },
		"refresh_token": func() {
			_, refresh := s.login(t)
			s.refresh(t, refresh).gives(t, "refresh_token")
		},
		// Its rules have tests of their own; here: it is not unknown.
		oauth.TokenExchange: func() {
			s.as(t, s.batch, tokenPath, "grant_type", oauth.TokenExchange).refuses(t, "token exchange", 400, "unauthorized_client")
		},
	}
	for _, grant := range grants {
		if drive[grant] == nil {
			t.Errorf("nobody knows how to use the grant %q", grant)
			continue
		}
		drive[grant]()
	}
	for _, grant := range []string{"password", "implicit", "authorization_code", "urn:ietf:params:oauth:grant-type:device_code",
		"urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:saml2-bearer"} {
		if slices.Contains(grants, grant) {
			continue
		}
		s.as(t, s.batch, tokenPath, "grant_type", grant, "assertion", "x", "code", "x", "username", webtest.Alice, "password", webtest.Password).
			refuses(t, grant, 400, "unsupported_grant_type")
	}
}

// Every way to authenticate that is listed works at its endpoint, and no other.
func TestMetadataListsAuthenticationThatWorks(t *testing.T) {
	s := start(t)
	doc := s.document(t)
	keyed := s.keyed(t, "keyed")
	drive := map[string]func(path string) answer{
		"client_secret_basic": func(path string) answer {
			return s.post(t, path, machineForm+"&token=x", "Authorization", s.batch.basic())
		},
		"client_secret_post": func(path string) answer {
			return s.post(t, path, machineForm+"&token=x&client_id=batch&client_secret="+s.batch.secret)
		},
		"private_key_jwt": func(path string) answer {
			return s.post(t, path, form("grant_type", "client_credentials", "token", "x",
				"client_assertion_type", oauth.AssertionType, "client_assertion", s.assertion(t, keyed, "ES256", nil)))
		},
		"none": func(path string) answer {
			_, refresh := s.login(t)
			return s.post(t, path, "grant_type=refresh_token&client_id="+issuer.FirstParty+"&token=x&refresh_token="+refresh)
		},
	}
	for name, path := range map[string]string{"token": tokenPath, "revocation": revokePath, "introspection": introspectPath} {
		methods := list(t, doc, name+"_endpoint_auth_methods_supported")
		for _, method := range methods {
			if drive[method] == nil {
				t.Errorf("%s: nobody knows how to use %q", name, method)
				continue
			}
			if got := drive[method](path); got.StatusCode != http.StatusOK {
				t.Errorf("%s with %s: %d %s", name, method, got.StatusCode, got.body)
			}
		}
		for method, call := range drive {
			if !slices.Contains(methods, method) {
				call(path).refuses(t, name+" with "+method, 401, "invalid_client")
			}
		}
	}
}

// Without clients there are no routes, and the index leads to none.
func TestOAuthOff(t *testing.T) {
	s := start(t)
	off := httptest.NewRecorder()
	withoutOAuth(s).ServeHTTP(off, httptest.NewRequest("GET", "/", nil))
	if off.Code != 200 || strings.Contains(off.Body.String(), "oauth") {
		t.Errorf("the index: %d %s", off.Code, off.Body)
	}
	for _, path := range append([]string{tokenPath, revokePath, introspectPath}, wellKnown...) {
		for _, method := range []string{"GET", "POST"} {
			off := httptest.NewRecorder()
			withoutOAuth(s).ServeHTTP(off, httptest.NewRequest(method, path, nil))
			if off.Code != http.StatusNotFound {
				t.Errorf("%s %s: %d %s", method, path, off.Code, off.Body)
			}
		}
	}
}
