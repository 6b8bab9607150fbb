package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"signet/issuer/oauth"
)

// fixture is what the client libraries are given: an issuer and who they may be.
type fixture struct {
	Issuer   string                     `json:"issuer"`
	User     string                     `json:"user"`
	Password string                     `json:"password"`
	Secrets  map[string]string          `json:"secrets"` // by client
	Keys     map[string]json.RawMessage `json:"keys"`    // private JWKs of the client keyed, by algorithm
	server   *process
}

// TestClientLibraries drives client libraries that people use against the real
// binary. A script prints the result of each case.
func TestClientLibraries(t *testing.T) {
	f := newFixture(t)
	t.Run("openid-client", func(t *testing.T) { f.node(t, "openid_client.mjs") })
	t.Run("oauth4webapi", func(t *testing.T) { f.node(t, "oauth4webapi.mjs") })
	t.Run("Authlib", f.authlib)
	t.Run("go-oidc", f.goOIDC)
}

// newFixture serves with an account and four clients. The login's tokens are for
// the client orders, which can then introspect and exchange them. Only at debug does
// the log say why a request was refused.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := serveBinary(t, dir, addr, "SIGNET_TOKENS_AUDIENCE=orders", "SIGNET_LOG_LEVEL=debug")
	f := &fixture{Issuer: p.base, User: "kyoko", Password: "correct horse battery staple", Secrets: map[string]string{}, server: p}
	mustSignet(t, f.Password, "users", "add", f.User, "--password-stdin", "--data", dir)
	f.add(t, dir, "billing-2.eu_west", "--audience", "orders,ledger", "--scope", "orders:read")
	f.add(t, dir, "orders", "--audience", "ledger", "--scope", "orders:read", "--grant", "client_credentials,token-exchange")
	f.add(t, dir, "rsa", "--audience", "orders", "--alg", "RS256")
	f.add(t, dir, "keyed", "--audience", "orders", "--scope", "orders:read", "--key", f.makeKeys(t))
	return f
}

// add registers a client and keeps its secret, if it has one.
func (f *fixture) add(t *testing.T, dir, id string, flags ...string) {
	t.Helper()
	var added struct {
		Secret string `json:"client_secret"`
	}
	args := append([]string{"clients", "add", id, "--data", dir, "-o", "json"}, flags...)
	if err := json.Unmarshal([]byte(mustSignet(t, "", args...)), &added); err != nil {
		t.Fatal(err)
	}
	f.Secrets[id] = added.Secret
}

// makeKeys makes a key for two algorithms and returns the file with the public JWK Set.
func (f *fixture) makeKeys(t *testing.T) string {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, err2 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	f.Keys = map[string]json.RawMessage{}
	set := jwk.NewSet()
	for alg, private := range map[string]any{"ES256": ec, "RS256": rsaKey} {
		key, err := jwk.FromRaw(private)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(key.Set(jwk.AlgorithmKey, alg), key.Set(jwk.KeyIDKey, "key-"+alg), set.AddKey(key)); err != nil {
			t.Fatal(err)
		}
		f.Keys[alg] = mustJSON(t, key)
	}
	public, err := jwk.PublicSetOf(set)
	if err != nil {
		t.Fatal(err)
	}
	return snippet(t, t.TempDir(), "keys.json", string(mustJSON(t, public)))
}

func mustJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// node runs a script where it finds the packages.
func (f *fixture) node(t *testing.T, script string) {
	modules := os.Getenv("TEST_NODE_MODULES")
	needs(t, modules != "", "TEST_NODE_MODULES names a node_modules directory with openid-client and oauth4webapi")
	dir := t.TempDir()
	if err := errors.Join(os.CopyFS(dir, os.DirFS("testdata/clients")), os.Symlink(modules, filepath.Join(dir, "node_modules"))); err != nil {
		t.Fatal(err)
	}
	f.run(t, "node", filepath.Join(dir, script))
}

// authlib also reads the log: a client is never told why its assertion was refused.
func (f *fixture) authlib(t *testing.T) {
	python := os.Getenv("TEST_PYTHON")
	needs(t, python != "", "TEST_PYTHON names a python with Authlib and requests")
	before := len(f.server.stderr.String())
	f.run(t, python, "testdata/clients/authlib_session.py")
	for _, reason := range []string{
		"the assertion is for another audience", "the assertion lives too long", oauth.ErrReplayed.Error(),
		"the assertion's aud is missing or of a wrong form",
	} {
		if log := f.server.waitLog(t, reason); strings.LastIndex(log, reason) < before {
			t.Errorf("no assertion was refused because %s", reason)
		}
	}
}

// run makes a subtest of each case that a script reports. One that ends before its
// last line has failed, however good the cases before were.
func (f *fixture) run(t *testing.T, name string, args ...string) {
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "FIXTURE="+string(mustJSON(t, f)))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	cases, done := 0, 0
	for line := range strings.Lines(string(out)) {
		var result scriptResult
		if err := json.Unmarshal([]byte(line), &result); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if done = result.Done; done == 0 {
			cases++
			t.Run(result.Name, result.check)
		}
	}
	if err != nil || cases == 0 || cases != done {
		t.Errorf("the script ended with %v after %d of %d cases\n%s", err, cases, done, &stderr)
	}
}

// scriptResult is a line of a script: a case and its error, or the number of cases.
type scriptResult struct {
	Name, Error string
	Done        int
}

func (r scriptResult) check(t *testing.T) {
	if r.Error != "" {
		t.Error(r.Error)
	}
}

// goOIDC: go-oidc knows ID tokens, and services use its verifier for access tokens.
func (f *fixture) goOIDC(t *testing.T) {
	provider, err := oidc.NewProvider(t.Context(), f.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	f.goOIDCDiscovers(t, provider)
	t.Run("token of a service", func(t *testing.T) { f.goOIDCVerifies(t, provider, "billing-2.eu_west", "ES256") })
	t.Run("token of a service with RS256", func(t *testing.T) { f.goOIDCVerifies(t, provider, "rsa") })
	t.Run("token of a login", func(t *testing.T) {
		token, err := provider.Verifier(forOrders()).Verify(t.Context(), f.login(t)["access"])
		if err != nil || token.Issuer != f.Issuer || len(token.Subject) != 26 {
			t.Errorf("%+v, %v", token, err)
		}
	})
	t.Run("keys without discovery", func(t *testing.T) {
		keys := oidc.NewRemoteKeySet(t.Context(), f.Issuer+"/.well-known/jwks.json")
		if _, err := oidc.NewVerifier(f.Issuer, keys, forOrders()).Verify(t.Context(), f.machine(t, provider, "billing-2.eu_west")); err != nil {
			t.Error(err)
		}
	})
	f.goOIDCRefuses(t, provider)
}

func forOrders() *oidc.Config {
	return &oidc.Config{ClientID: "orders", SupportedSigningAlgs: []string{"ES256"}}
}

func (f *fixture) goOIDCDiscovers(t *testing.T, provider *oidc.Provider) {
	t.Run("endpoint", func(t *testing.T) {
		if got, want := provider.Endpoint(), (oauth2.Endpoint{TokenURL: f.Issuer + "/oauth2/token"}); got != want {
			t.Errorf("endpoint %+v, want %+v", got, want)
		}
	})
	t.Run("metadata", func(t *testing.T) { f.goOIDCMetadata(t, provider) })
	t.Run("issuer of another name", func(t *testing.T) {
		_, err := oidc.NewProvider(t.Context(), f.Issuer+"/")
		if mismatch, ok := errors.AsType[*oidc.IssuerMismatchError](err); !ok || mismatch.Discovered != f.Issuer {
			t.Errorf("error = %v, want an IssuerMismatchError that names %s", err, f.Issuer)
		}
	})
	t.Run("no userinfo endpoint", func(t *testing.T) {
		_, err := provider.UserInfo(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "x"}))
		refusesWith(t, err, "user info endpoint is not supported by this provider")
	})
}

func (f *fixture) goOIDCMetadata(t *testing.T, provider *oidc.Provider) {
	var metadata struct {
		Issuer        string   `json:"issuer"`
		Introspection string   `json:"introspection_endpoint"`
		Grants        []string `json:"grant_types_supported"`
		Responses     []string `json:"response_types_supported"`
	}
	if err := provider.Claims(&metadata); err != nil {
		t.Fatal(err)
	}
	if metadata.Issuer != f.Issuer || metadata.Introspection != f.Issuer+"/oauth2/introspect" || len(metadata.Grants) == 0 || metadata.Responses == nil {
		t.Errorf("%+v", metadata)
	}
}

// goOIDCVerifies lets the verifier read a token. Without id_token_signing_alg_values_supported
// go-oidc takes RS256 alone, so that another algorithm must be named.
func (f *fixture) goOIDCVerifies(t *testing.T, provider *oidc.Provider, id string, algs ...string) {
	verifier := provider.Verifier(&oidc.Config{ClientID: "orders", SupportedSigningAlgs: algs})
	token, err := verifier.Verify(t.Context(), f.machine(t, provider, id))
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Client string `json:"client_id"`
		ID     string `json:"jti"`
	}
	if err := token.Claims(&claims); err != nil || claims.Client != id || claims.ID == "" {
		t.Errorf("claims %+v, %v", claims, err)
	}
	if left := time.Until(token.Expiry); token.Subject != id || token.Audience[0] != "orders" || left < 4*time.Minute || left > 5*time.Minute {
		t.Errorf("sub %s, aud %s, %v left", token.Subject, token.Audience, left)
	}
}

func (f *fixture) goOIDCRefuses(t *testing.T, provider *oidc.Provider) {
	good, pair := f.machine(t, provider, "billing-2.eu_west"), f.login(t)
	header, _, _ := strings.Cut(good, ".")
	_, foreign, _ := strings.Cut(pair["access"], ".")
	for name, c := range map[string]struct {
		token string
		alter func(*oidc.Config)
		want  string
	}{
		"algorithm that was not named": {good, func(c *oidc.Config) { c.SupportedSigningAlgs = nil }, "unexpected signature algorithm"},
		"other audience":               {good, func(c *oidc.Config) { c.ClientID = "ledger" }, `expected audience "ledger"`},
		"refresh token":                {pair["refresh"], func(*oidc.Config) {}, `expected audience "orders"`},
		"header of another token":      {header + "." + foreign, func(*oidc.Config) {}, "failed to verify id token signature"},
	} {
		t.Run(name, func(t *testing.T) {
			config := forOrders()
			c.alter(config)
			_, err := provider.Verifier(config).Verify(t.Context(), c.token)
			refusesWith(t, err, c.want)
		})
	}
	t.Run("expired", func(t *testing.T) {
		config := forOrders()
		config.Now = func() time.Time { return time.Now().Add(5*time.Minute + time.Second) }
		_, err := provider.Verifier(config).Verify(t.Context(), good)
		if _, ok := errors.AsType[*oidc.TokenExpiredError](err); !ok {
			t.Errorf("error = %v, want a TokenExpiredError", err)
		}
	})
	t.Run("wrong secret", func(t *testing.T) {
		config := clientcredentials.Config{ClientID: "orders", ClientSecret: "wrong", TokenURL: provider.Endpoint().TokenURL}
		_, err := config.Token(t.Context())
		if refused, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || refused.ErrorCode != "invalid_client" {
			t.Errorf("error = %v, want invalid_client", err)
		}
	})
}

func refusesWith(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want %q", err, want)
	}
}

// machine gets the client a token for orders at the endpoint that was discovered.
func (f *fixture) machine(t *testing.T, provider *oidc.Provider, id string) string {
	t.Helper()
	config := clientcredentials.Config{ClientID: id, ClientSecret: f.Secrets[id], TokenURL: provider.Endpoint().TokenURL}
	config.EndpointParams = map[string][]string{"audience": {"orders"}}
	token, err := config.Token(t.Context())
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", id, err))
	}
	return token.AccessToken
}

func (f *fixture) login(t *testing.T) map[string]string {
	t.Helper()
	pair, err := login(t.Context(), http.DefaultClient, f.Issuer, f.User, f.Password)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
