package oidc_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"signet/internal/web"
	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/issuer/oauth"
)

func refusal(code, description string) string {
	return fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, description)
}

const (
	machineForm = "grant_type=client_credentials&audience=ledger"
	repeated    = "a parameter is there more than once"
	twoWays     = "the client authenticates in two ways"
	notBasic    = "the Authorization header is not Basic with a client id and secret"
	wrong       = "the client is unknown or its secret is wrong"
	noName      = "the client does not say who it is"
)

// RFC 6749 §5.2, one by one. What is true of all answers is in wantForm.
func TestErrors(t *testing.T) {
	s := start(t)
	basic := s.batch.basic()
	plain := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	id, secret := s.batch.id, s.batch.secret
	post := "&client_id=" + id + "&client_secret=" + secret
	_, refresh := s.login(t)
	for _, tt := range []struct {
		name, path, auth, form string
		status                 int
		code, description      string
	}{
		{"no grant_type", tokenPath, basic, "audience=ledger", 400, "invalid_request", "grant_type is missing"},
		{"an empty body", tokenPath, basic, "", 400, "invalid_request", "grant_type is missing"},
		{"an empty grant_type", tokenPath, basic, "grant_type=&audience=ledger", 400, "invalid_request", "grant_type is missing"},
		{"grant_type twice", tokenPath, basic, machineForm + "&grant_type=client_credentials", 400, "invalid_request", repeated},
		{"scope twice", tokenPath, basic, machineForm + "&scope=invoices:read&scope=invoices:write", 400, "invalid_request", repeated},
		{"client_id twice", tokenPath, "", machineForm + post + "&client_id=" + id, 400, "invalid_request", repeated},
		{"client_secret twice", tokenPath, "", machineForm + post + "&client_secret=x", 400, "invalid_request", repeated},
		{"refresh_token twice", tokenPath, "", "grant_type=refresh_token&client_id=first-party&refresh_token=a&refresh_token=b", 400, "invalid_request", repeated},
		{"an unknown parameter twice", tokenPath, basic, machineForm + "&x=1&x=2", 400, "invalid_request", repeated},
		{"token twice", revokePath, "", "client_id=first-party&token=a&token=b", 400, "invalid_request", repeated},
		{"token twice at introspection", introspectPath, basic, "token=a&token=b", 400, "invalid_request", repeated},
		{"65 audiences", tokenPath, basic, "grant_type=client_credentials" + strings.Repeat("&audience=ledger", 65), 400, "invalid_request", repeated},
		{"a broken escape", tokenPath, basic, machineForm + "&x=%zz", 400, "invalid_request", "the body is not a form"},
		{"semicolons", tokenPath, basic, "grant_type=client_credentials;audience=ledger", 400, "invalid_request", "the body is not a form"},
		{"a value that is not UTF-8", tokenPath, basic, machineForm + "&scope=%ff", 400, "invalid_request", "a parameter is not UTF-8"},
		{"a surrogate", tokenPath, basic, machineForm + "&x=%ed%a0%80", 400, "invalid_request", "a parameter is not UTF-8"},
		{"raw bytes that are not UTF-8", tokenPath, basic, machineForm + "&x=\xc0\xaf", 400, "invalid_request", "a parameter is not UTF-8"},

		{"no client", tokenPath, "", machineForm, 401, "invalid_client", noName},
		{"an empty client_id", tokenPath, "", machineForm + "&client_id=&client_secret=" + secret, 401, "invalid_client", noName},
		{"an unknown client", tokenPath, credentials{"nobody", secret}.basic(), machineForm, 401, "invalid_client", wrong},
		{"an unknown client in the body", tokenPath, "", machineForm + "&client_id=nobody&client_secret=" + secret, 401, "invalid_client", wrong},
		{"a wrong secret", tokenPath, credentials{id, "wrong"}.basic(), machineForm, 401, "invalid_client", wrong},
		{"a wrong secret in the body", tokenPath, "", machineForm + "&client_id=batch&client_secret=wrong", 401, "invalid_client", wrong},
		{"no secret", tokenPath, "", machineForm + "&client_id=batch", 401, "invalid_client", wrong},
		{"an empty secret", tokenPath, credentials{id, ""}.basic(), machineForm, 401, "invalid_client", wrong},
		{"another client's secret", tokenPath, credentials{id, s.ledger.secret}.basic(), machineForm, 401, "invalid_client", wrong},
		{"an empty header", tokenPath, " ", machineForm, 401, "invalid_client", notBasic},
		{"Bearer", tokenPath, "Bearer " + secret, machineForm, 401, "invalid_client", notBasic},
		{"Basic of nothing", tokenPath, "Basic ", machineForm, 401, "invalid_client", notBasic},
		{"Basic without a colon", tokenPath, plain(id), machineForm, 401, "invalid_client", notBasic},
		{"Basic without an id", tokenPath, plain(":" + secret), machineForm, 401, "invalid_client", notBasic},
		{"Basic with a broken escape", tokenPath, plain(id + ":%zz"), machineForm, 401, "invalid_client", notBasic},
		{"Basic with a broken escape in the id", tokenPath, plain("%zz:" + secret), machineForm, 401, "invalid_client", notBasic},
		{"Basic that is not base64", tokenPath, "Basic !!", machineForm, 401, "invalid_client", notBasic},
		{"Basic of bytes that are not UTF-8", tokenPath, plain("\xff:\xff"), machineForm, 401, "invalid_client", wrong},
		{"both ways", tokenPath, basic, machineForm + post, 400, "invalid_request", twoWays},
		{"both ways, the second wrong", tokenPath, basic, machineForm + "&client_secret=wrong", 400, "invalid_request", twoWays},
		{"another client_id in the body", tokenPath, basic, machineForm + "&client_id=ledger", 400, "invalid_request", "client_id is not the one of the Authorization header"},
		{"the public client beside Basic", tokenPath, basic, "grant_type=refresh_token&client_id=first-party&refresh_token=" + refresh, 400, "invalid_request", "client_id is not the one of the Authorization header"},
		{"a secret for the public client", tokenPath, "", "grant_type=refresh_token&client_id=first-party&client_secret=x&refresh_token=" + refresh, 401, "invalid_client", wrong},
		{"the id in another case", tokenPath, "", machineForm + "&client_id=BATCH&client_secret=" + secret, 401, "invalid_client", wrong},
		{"the names in another case", tokenPath, "", machineForm + "&Client_Id=" + id + "&Client_Secret=" + secret, 401, "invalid_client", noName},

		{"an unknown grant", tokenPath, basic, "grant_type=magic", 400, "unsupported_grant_type", ""},
		{"authorization_code", tokenPath, basic, "grant_type=authorization_code&code=x", 400, "unsupported_grant_type", ""},
		{"the password grant (RFC 9700 §2.4)", tokenPath, basic, "grant_type=password&username=alice&password=" + url.QueryEscape(webtest.Password), 400, "unsupported_grant_type", ""},
		{"the password grant of the login", tokenPath, "", "grant_type=password&client_id=first-party&username=alice&password=" + url.QueryEscape(webtest.Password), 400, "unsupported_grant_type", ""},
		{"a grant that is not registered", tokenPath, basic, "grant_type=refresh_token&refresh_token=" + refresh, 400, "unauthorized_client", "the client is not registered for this grant"},
		{"client_credentials of the public client (RFC 6749 §4.4)", tokenPath, "", machineForm + "&client_id=first-party", 400, "unauthorized_client", "the client is not registered for this grant"},
		{"a refresh token that is none", tokenPath, "", "grant_type=refresh_token&client_id=first-party&refresh_token=x", 400, "invalid_grant", "the refresh token is not honoured"},
		{"no refresh token", tokenPath, "", "grant_type=refresh_token&client_id=first-party", 400, "invalid_request", "refresh_token is missing"},
		{"an empty refresh token", tokenPath, "", "grant_type=refresh_token&client_id=first-party&refresh_token=", 400, "invalid_request", "refresh_token is missing"},
		{"a wider scope", tokenPath, basic, machineForm + "&scope=invoices:read+admin", 400, "invalid_scope", "the client is not registered for one of these scopes"},
		{"a scope with odd characters", tokenPath, basic, machineForm + "&scope=%22%5C%00%C3%A4%3Cscript%3E", 400, "invalid_scope", "the client is not registered for one of these scopes"},
		{"a scope of a session", tokenPath, "", "grant_type=refresh_token&client_id=first-party&scope=x&refresh_token=" + refresh, 400, "invalid_scope", "the session has no scope"},
		{"no service", tokenPath, basic, "grant_type=client_credentials", 400, "invalid_target", "name the service the token is for: resource or audience"},
		{"a foreign service", tokenPath, basic, machineForm + "&resource=https://evil.example", 400, "invalid_target", "the client is not registered for one of these services"},
		{"the issuer as service", tokenPath, basic, "grant_type=client_credentials&audience=" + webtest.URL, 400, "invalid_target", "the client is not registered for one of these services"},
		{"a service of a session", tokenPath, "", "grant_type=refresh_token&client_id=first-party&resource=ledger&refresh_token=" + refresh, 400, "invalid_target", "the session is for the services of the login alone"},

		{"nothing to revoke", revokePath, basic, "token=", 400, "invalid_request", "token is missing"},
		{"a stranger's refresh token", revokePath, basic, "token=" + refresh, 400, "invalid_grant", "the token belongs to another client"},
		{"its own access token", revokePath, basic, "token=" + s.machine(t), 400, "unsupported_token_type", "an access token cannot be revoked; it expires soon"},
		{"revocation by nobody", revokePath, "", "token=" + refresh, 401, "invalid_client", noName},
		{"revocation with a wrong secret", revokePath, credentials{id, "wrong"}.basic(), "token=" + refresh, 401, "invalid_client", wrong},

		{"nothing to introspect", introspectPath, basic, "x=y", 400, "invalid_request", "token is missing"},
		{"introspection by nobody", introspectPath, "", "token=" + refresh, 401, "invalid_client", noName},
		{"introspection with a wrong secret", introspectPath, credentials{id, "wrong"}.basic(), "token=" + refresh, 401, "invalid_client", wrong},
		{"introspection by the public client", introspectPath, "", "client_id=first-party&token=" + refresh, 401, "invalid_client", "introspection needs a client with a secret"},
	} {
		got := s.post(t, tt.path, tt.form, "Authorization", tt.auth)
		got.refuses(t, tt.name, tt.status, tt.code)
		if tt.description != "" {
			got.says(t, tt.name, tt.status, refusal(tt.code, tt.description))
		}
	}
	if got := s.api(t, "refresh/", map[string]string{"refresh": refresh}); got.StatusCode != http.StatusOK {
		t.Errorf("refusals ended the session: %d %s", got.StatusCode, got.body)
	}
}

// RFC 6749 §3.2 and RFC 8707 §2: what a machine may send.
func TestRequestsThatAreTaken(t *testing.T) {
	s := start(t)
	basic, post := s.batch.basic(), "&client_id=batch&client_secret="+s.batch.secret
	for _, tt := range []struct {
		name, auth, form string
		scope            string
		aud              any
	}{
		{"Basic", basic, machineForm, "invoices:read invoices:write", "ledger"},
		{"Basic, without the escapes it does not need", "Basic " + base64.StdEncoding.EncodeToString([]byte("batch:"+s.batch.secret)), machineForm, "invoices:read invoices:write", "ledger"},
		{"Basic, with escapes it does not need", "Basic " + base64.StdEncoding.EncodeToString([]byte("%62atch:"+s.batch.secret)), machineForm, "invoices:read invoices:write", "ledger"},
		{"basic in lower case", "basic " + strings.TrimPrefix(basic, "Basic "), machineForm, "invoices:read invoices:write", "ledger"},
		{"in the body", "", machineForm + post, "invoices:read invoices:write", "ledger"},
		{"Basic and the same client_id", basic, machineForm + "&client_id=batch", "invoices:read invoices:write", "ledger"},
		{"Basic and an empty secret", basic, machineForm + "&client_secret=&client_id=", "invoices:read invoices:write", "ledger"},
		{"a resource", basic, "grant_type=client_credentials&resource=https%3A%2F%2Fbilling.example", "invoices:read invoices:write", "https://billing.example"},
		{"two resources", basic, "grant_type=client_credentials&resource=ledger&resource=https://billing.example", "invoices:read invoices:write", []any{"ledger", "https://billing.example"}},
		{"two audiences", basic, "grant_type=client_credentials&audience=ledger&audience=https://billing.example", "invoices:read invoices:write", []any{"ledger", "https://billing.example"}},
		{"a resource and an audience", basic, "grant_type=client_credentials&audience=ledger&resource=https://billing.example", "invoices:read invoices:write", []any{"https://billing.example", "ledger"}},
		{"one service by both names", basic, "grant_type=client_credentials&audience=ledger&resource=ledger", "invoices:read invoices:write", "ledger"},
		{"a scope", basic, machineForm + "&scope=invoices%3Aread", "invoices:read", "ledger"},
		{"empty is absent", basic, machineForm + "&scope=&resource=&refresh_token=", "invoices:read invoices:write", "ledger"},
		{"empty and set", basic, machineForm + "&scope=&scope=invoices:read", "invoices:read", "ledger"},
		{"unknown parameters", basic, machineForm + "&x=1&username=a&password=b&assertion=x", "invoices:read invoices:write", "ledger"},
	} {
		got := s.post(t, tokenPath, tt.form, "Authorization", tt.auth).gives(t, tt.name)
		claims := webtest.Claims(t, got.Access)
		if fmt.Sprint(claims["aud"]) != fmt.Sprint(tt.aud) || claims["scope"] != tt.scope || got.Scope != tt.scope {
			t.Errorf("%s: aud %v, scope %v (answer %q), want %v, %q", tt.name, claims["aud"], claims["scope"], got.Scope, tt.aud, tt.scope)
		}
		if got.Type != "Bearer" || got.ExpiresIn != 300 || got.Refresh != "" {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	for _, contentType := range []string{"application/x-www-form-urlencoded; charset=utf-8", "Application/X-WWW-Form-Urlencoded;charset=UTF-8", formType + "; boundary=x"} {
		s.send(t, "POST", tokenPath, strings.NewReader(machineForm), "Content-Type", contentType, "Authorization", basic).gives(t, contentType)
	}
}

// RFC 6749 §2.3.1: both parts are form-encoded, and any character may be in them.
func TestOddCharactersInCredentials(t *testing.T) {
	s := start(t)
	secrets := []string{"käthe's p:ss%20+w\u00f6rd&=;", "100%", "a+b c", ":", "%", "%41", "\x00\n", "日本"}
	for i, secret := range secrets {
		c := credentials{fmt.Sprintf("ödd:%% +&=%d", i), secret}
		s.hide(secret)
		hash := sha256.Sum256([]byte(secret))
		if err := s.Store.CreateClient(t.Context(), oauth.Client{ID: c.id, Grants: []string{oauth.ClientCredentials},
			Audiences: []string{"ledger"}, Secrets: []oauth.Secret{{Hash: hash[:]}}}); err != nil {
			t.Fatal(err)
		}
		s.as(t, c, tokenPath, "grant_type", "client_credentials").gives(t, "Basic with "+c.id)
		s.post(t, tokenPath, form("grant_type", "client_credentials", "client_id", c.id, "client_secret", c.secret)).gives(t, "post with "+c.id)
		// Not encoded, the parts are other ones.
		raw := "Basic " + base64.StdEncoding.EncodeToString([]byte(c.id+":"+c.secret))
		s.post(t, tokenPath, machineForm, "Authorization", raw).refuses(t, "not encoded", 401, "invalid_client")
	}
}

func TestTwoAuthorizationHeaders(t *testing.T) {
	s := start(t)
	s.post(t, tokenPath, machineForm, "Authorization", s.batch.basic(), "Authorization", s.batch.basic()).
		says(t, "two headers", 400, refusal("invalid_request", twoWays))
}

func TestBodiesThatAreRefused(t *testing.T) {
	s := start(t)
	basic := s.batch.basic()
	const noForm = "the body must be application/x-www-form-urlencoded"
	multi := "--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--x--"
	for _, path := range []string{tokenPath, revokePath, introspectPath} {
		for contentType, body := range map[string]string{
			"application/json":                `{"grant_type":"client_credentials","audience":"ledger","token":"x"}`,
			"multipart/form-data; boundary=x": multi,
			"text/plain":                      machineForm,
			"":                                machineForm,
			"application/x-www-form-urlencoded, application/json": machineForm,
			"application/x-www-form-urlencoded; charset":          machineForm,
		} {
			s.send(t, "POST", path, strings.NewReader(body), "Content-Type", contentType, "Authorization", basic).
				says(t, path+" with "+contentType, http.StatusUnsupportedMediaType, refusal("invalid_request", noForm))
		}
		s.send(t, "POST", path, strings.NewReader(machineForm), "Content-Type", formType+"; charset=utf-16", "Authorization", basic).
			says(t, path+" in UTF-16", http.StatusUnsupportedMediaType, refusal("invalid_request", "the body must be UTF-8"))

		large := s.post(t, path, machineForm+"&token=x&x="+strings.Repeat("a", 64<<10), "Authorization", basic)
		large.says(t, path+" with a large body", http.StatusRequestEntityTooLarge,
			refusal("invalid_request", "The body is too large; at most 64 KiB are taken."))
		large.has(t, "Connection", "close")
		s.post(t, path, strings.Repeat("&a=b", 16000), "Authorization", basic).refuses(t, path+" with many parameters", 400, "invalid_request")

		for _, query := range []string{"?grant_type=client_credentials", "?token=x", "?x", "?client_id=batch&client_secret=" + s.batch.secret} {
			s.post(t, path+query, machineForm+"&token=x", "Authorization", basic).
				says(t, path+query, 400, refusal("invalid_request", "parameters belong in the body"))
		}
	}
	fits := machineForm + "&x="
	s.post(t, tokenPath, fits+strings.Repeat("a", 64<<10-len(fits)), "Authorization", basic).gives(t, "a body of 64 KiB")
}

func TestOtherMethodsAreRefused(t *testing.T) {
	s := start(t)
	for _, path := range []string{tokenPath, revokePath, introspectPath} {
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post"} {
			got := s.send(t, method, path+"?"+machineForm+"&token=x", nil, "Authorization", s.batch.basic())
			got.says(t, method+" "+path, http.StatusMethodNotAllowed, refusal("invalid_request", "the method must be POST"))
			got.has(t, "Allow", "POST")
			s.wantForm(t, got)
		}
	}
}

func TestOtherPathsAreRefused(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/oauth2/", "/oauth2/token/", "/oauth2/authorize", "/oauth2/Token", "/oauth2//token", "/oauth2/token/../revoke", "/oauth2/%00"} {
		for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
			got := s.send(t, method, path, strings.NewReader(machineForm), "Content-Type", formType, "Authorization", s.batch.basic())
			got.says(t, method+" "+path, http.StatusNotFound, refusal("invalid_request", "there is no such endpoint; the metadata names those that there are"))
			s.wantForm(t, got)
		}
	}
	if text := s.log.String(); strings.Contains(text, "authorize") || !strings.Contains(text, "route=/oauth2/ ") {
		t.Errorf("the log has the path of a stranger, or not the route:\n%s", text)
	}
}

// No secret is sent from a browser: no page may read an answer (OAuth 2.1 §3.1).
func TestNoEndpointIsForScriptsOfOtherOrigins(t *testing.T) {
	s := start(t)
	for _, path := range []string{tokenPath, revokePath, introspectPath} {
		for _, method := range []string{"POST", "OPTIONS"} {
			got := s.send(t, method, path, strings.NewReader(machineForm+"&token=x"), "Content-Type", formType,
				"Authorization", s.batch.basic(), "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
			got.has(t, "Access-Control-Allow-Origin", "")
			got.has(t, "Access-Control-Allow-Credentials", "")
		}
	}
}

func TestStorageFailure(t *testing.T) {
	s := start(t)
	_, refresh := s.login(t)
	if err := s.Store.Close(); err != nil {
		t.Fatal(err)
	}
	login := "client_id=" + issuer.FirstParty
	for _, tt := range []struct{ name, path, auth, form string }{
		{"a machine's token", tokenPath, s.batch.basic(), machineForm},
		{"refresh", tokenPath, "", login + "&grant_type=refresh_token&refresh_token=" + refresh},
		{"revocation (CVE-2020-15223)", revokePath, "", login + "&token=" + refresh},
		{"introspection", introspectPath, s.ledger.basic(), "token=" + refresh},
	} {
		got := s.post(t, tt.path, tt.form, "Authorization", tt.auth)
		got.says(t, tt.name, 503, fmt.Sprintf(`{"error":"temporarily_unavailable","error_description":"The storage does not answer; try again.","request_id":%q}`,
			got.Header.Get("X-Request-Id")))
		got.has(t, "Retry-After", "5")
	}
}

// failing is a server that does not know what to do.
type failing struct {
	err    error
	panics bool
}

func (f failing) fail() error {
	if f.panics {
		panic(f.err)
	}
	return f.err
}

func (f failing) Token(context.Context, oauth.TokenRequest) (oauth.TokenResponse, error) {
	return oauth.TokenResponse{}, f.fail()
}
func (f failing) Revoke(context.Context, oauth.Client, string) error { return f.fail() }
func (f failing) Introspect(context.Context, oauth.Client, string) (oauth.Introspection, error) {
	return oauth.Introspection{}, f.fail()
}

func TestUnknownErrorIsOurs(t *testing.T) {
	s := start(t)
	for name, server := range map[string]failing{
		"an error": {err: errors.New("secret cause")}, "a panic": {err: errors.New("secret cause"), panics: true},
	} {
		s.log.clear()
		s.handler = web.NewHandler(web.Options{URL: webtest.URL, OAuth: server, Clients: s.Clients, Keys: s.Keys,
			Log: slog.New(slog.NewTextHandler(s.log, nil))})
		for _, path := range []string{tokenPath, revokePath, introspectPath} {
			got := s.post(t, path, machineForm, "Authorization", s.batch.basic())
			id := got.Header.Get("X-Request-Id")
			got.says(t, name+" at "+path, 500, fmt.Sprintf(`{"error":"server_error","error_description":"internal error","request_id":%q}`, id))
			if !strings.Contains(s.log.String(), "request_id="+id) || !strings.Contains(s.log.String(), "secret cause") {
				t.Errorf("%s at %s: the log does not say why", name, path)
			}
		}
	}
}

// panicking panics where it should know a client.
type panicking struct{}

func (panicking) Authenticate(context.Context, oauth.Credentials) (oauth.Client, error) {
	panic("secret cause")
}

// Outside of the dialect a panic is answered in the form of its own routes.
func TestPanicHasTheFormOfItsDialect(t *testing.T) {
	s := start(t)
	s.handler = web.NewHandler(web.Options{URL: webtest.URL, OAuth: s.OAuth, Clients: panicking{}, SimpleJWT: true, Keys: s.Keys,
		Log: slog.New(slog.NewTextHandler(s.log, nil))})
	s.post(t, tokenPath, machineForm, "Authorization", s.batch.basic()).refuses(t, "in the authentication", 500, "server_error")
	got := s.api(t, "refresh/", map[string]string{"refresh": "x"}) // without an issuer
	got.says(t, "at /api/token/", 500, fmt.Sprintf(`{"detail":"internal error","request_id":%q}`, got.Header.Get("X-Request-Id")))
}
