package oauth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"signet/internal/store/boltstore"
	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

const (
	issuerURL = "https://login.example.test"
	password  = "correct horse battery staple"
)

// start is not a whole second, as in life.
var start = time.Date(2026, 3, 1, 12, 0, 0, 678e6, time.UTC)

// clock is a time that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fixture is the rules over a real issuer and a real database, with one user.
type fixture struct {
	*oauth.Server
	*clock
	issuer *issuer.Issuer
	users  *users.Directory
	keys   *keystore.Manager
	store  *storetest.Faulty
	file   string // of the database
	kyoko  users.User
}

func newFixture(t testing.TB, algorithms ...string) *fixture {
	t.Helper()
	if len(algorithms) == 0 {
		algorithms = []string{"ES256"}
	}
	dir := t.TempDir()
	f := &fixture{clock: &clock{at: start}, file: filepath.Join(dir, "signet.db")}
	bolt, err := boltstore.Open(f.file, boltstore.Options{})
	must(t, err)
	t.Cleanup(func() { bolt.Close() })
	f.store = storetest.NewFaulty(bolt)
	sealing, err := keystore.OpenSealingKey(filepath.Join(dir, "seal.key"), true)
	must(t, err)
	f.keys, err = keystore.Open(t.Context(), keystore.Options{Store: f.store, Sealing: sealing, Now: f.now, Policy: &keystore.Policy{
		Algorithms: algorithms, RSABits: 2048, PublishAhead: 24 * time.Hour, JWKSMaxAge: 5 * time.Minute,
		AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour,
	}})
	must(t, err)
	f.users, err = users.New(users.Options{Store: f.store, Params: users.Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64}, Now: f.now})
	must(t, err)
	f.kyoko, err = f.users.Create(t.Context(), "kyoko", password, users.Profile{})
	must(t, err)
	f.issuer = issuer.New(issuer.Options{Store: f.store, Users: f.users, Signer: f.keys, Keys: f.keys, Policy: policy(), Now: f.now})
	f.Server = &oauth.Server{Issuer: f.issuer, Clients: oauth.NewClients(f.store, issuer.FirstParty, f.now), Now: f.now}
	return f
}

func policy() issuer.Policy {
	return issuer.Policy{
		URL: issuerURL, Audience: []string{"ledger"},
		AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour, SessionLifetime: 30 * 24 * time.Hour,
		Leeway: 30 * time.Second, MaxTokenBytes: 4096, Rotate: true, ReuseWindow: 10 * time.Second,
	}
}

// batch may have two scopes at two services.
func batch() oauth.Client {
	return oauth.Client{ID: "batch", Grants: []string{oauth.ClientCredentials},
		Scopes: []string{"invoices:read", "invoices:write"}, Audiences: []string{"https://billing.example", "ledger"}}
}

// service is a client that is a service too: its tokens are for another one.
func service(id string) oauth.Client {
	return oauth.Client{ID: id, Grants: []string{oauth.ClientCredentials}, Audiences: []string{"elsewhere"}}
}

// add registers c and returns it as it is after it has authenticated.
func (f *fixture) add(t testing.TB, c oauth.Client) oauth.Client {
	t.Helper()
	_, secret := f.register(t, c)
	return f.authenticated(t, c.ID, secret)
}

func (f *fixture) register(t testing.TB, c oauth.Client) (oauth.Client, string) {
	t.Helper()
	c, secret, err := f.Clients.Add(t.Context(), c, issuerURL)
	must(t, err)
	keepSecret(secret)
	return c, secret
}

func (f *fixture) authenticated(t testing.TB, id, secret string) oauth.Client {
	t.Helper()
	c, err := f.Clients.Authenticate(t.Context(), oauth.Credentials{ID: id, Secret: secret})
	if err != nil {
		t.Fatalf("Authenticate %s: %v", id, err)
	}
	return c
}

// firstParty is the client of the issuer's own login.
func (f *fixture) firstParty(t testing.TB) oauth.Client {
	t.Helper()
	return f.authenticated(t, issuer.FirstParty, "")
}

// machine gets an access token for the client itself.
func (f *fixture) machine(t testing.TB, c oauth.Client, audience ...string) string {
	t.Helper()
	got, err := f.Token(t.Context(), oauth.TokenRequest{Client: c, Grant: oauth.ClientCredentials, Audience: audience})
	must(t, err)
	return got.AccessToken
}

// login begins a session of kyoko's that belongs to a client.
func (f *fixture) login(t testing.TB, client string) issuer.Tokens {
	t.Helper()
	tokens, err := f.issuer.Login(t.Context(), issuer.Attempt{Client: client, Name: "kyoko", Password: password})
	must(t, err)
	return tokens
}

func (f *fixture) wantSessions(t testing.TB, what string, want int) {
	t.Helper()
	list, err := f.issuer.Sessions(t.Context(), "", "", 100)
	must(t, err)
	if len(list) != want {
		t.Errorf("%s: %d sessions are there, want %d", what, len(list), want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error = %v, want %v", what, got, want)
	}
}

// wantCode holds that err is the refusal with this code, or none if code is empty.
func wantCode(t testing.TB, what string, err error, code oauth.Code) {
	t.Helper()
	refused, ok := errors.AsType[*oauth.Error](err)
	switch {
	case code == "" && err != nil:
		t.Errorf("%s: error = %v, want none", what, err)
	case code != "" && !ok:
		t.Errorf("%s: error = %v, want %s", what, err, code)
	case code != "" && refused.Code != code:
		t.Errorf("%s: error = %v, want %s", what, err, code)
	}
}

// wantFault holds that err is the failure of the storage, and no refusal.
func wantFault(t testing.TB, what string, err error) {
	t.Helper()
	wantErr(t, what, err, storetest.ErrFault)
	if refused, ok := errors.AsType[*oauth.Error](err); ok {
		t.Errorf("%s: the client is blamed for a failure of the storage: %v", what, refused)
	}
}

// decode returns the header and the claims of a token, unverified.
func decode(t testing.TB, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts in %q, want 3", len(parts), token)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		must(t, err)
		must(t, json.Unmarshal(text, into))
	}
	return header, claims
}

// reclaim signs the claims of a token again after changes; nil removes one.
func (f *fixture) reclaim(t testing.TB, token, typ string, changes map[string]any) string {
	t.Helper()
	_, claims := decode(t, token)
	for _, instant := range []string{"exp", "iat", "nbf", "session_exp"} {
		if seconds, ok := claims[instant].(float64); ok {
			claims[instant] = int64(seconds)
		}
	}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	payload, err := json.Marshal(claims)
	must(t, err)
	signed, _, err := f.keys.Sign("", typ, payload)
	must(t, err)
	return signed
}

// secrets are all that the tests were given; none may be in the log.
var secrets struct {
	sync.Mutex
	all []string
}

func keepSecret(secret string) {
	secrets.Lock()
	defer secrets.Unlock()
	secrets.all = append(secrets.all, secret)
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// TestMain also looks into the log of the whole suite.
func TestMain(m *testing.M) {
	var log lockedBuffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	code := m.Run()
	for _, secret := range append(secrets.all, "eyJhbGci", password) {
		if secret != "" && strings.Contains(log.String(), secret) {
			fmt.Fprintf(os.Stderr, "the log holds %q\n", secret)
			code = 1
		}
	}
	os.Exit(code)
}
