// Package webtest is a whole issuer for the tests of package web and its dialects:
// real keys, users and sessions in a real database file, under a clock that the
// test moves. Start at [New].
package webtest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"signet/internal/store/boltstore"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

// URL is the issuer of the tests.
const URL = "https://issuer.test"

// Alice has an account; the spaces belong to the password.
const (
	Alice    = "alice"
	Password = " correct horse battery staple "
)

// Env is one issuer and what it stands on.
type Env struct {
	Issuer *issuer.Issuer
	Users  *users.Directory
	Keys   *keystore.Manager
	Store  *boltstore.Store
	Clock  *Clock
	Policy issuer.Policy

	// Clients are the OAuth clients, none at first, and OAuth answers them.
	Clients *oauth.Clients
	OAuth   *oauth.Server
	// SealFile holds the key that the private keys in Store are sealed with.
	SealFile string
}

// Clock stands still until it is moved.
type Clock struct{ at atomic.Int64 }

// Now is the instant that the clock shows.
func (c *Clock) Now() time.Time { return time.Unix(0, c.at.Load()).UTC() }

// Step moves the clock on.
func (c *Clock) Step(d time.Duration) { c.at.Add(int64(d)) }

// New returns an issuer with the user Alice, which signs with ES256. log may be nil.
func New(t testing.TB, log *slog.Logger, alter func(*issuer.Policy)) *Env {
	t.Helper()
	return NewWith(t, []string{"ES256"}, log, alter)
}

// NewWith is New with keys for these algorithms; the first signs.
func NewWith(t testing.TB, algorithms []string, log *slog.Logger, alter func(*issuer.Policy)) *Env {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := &Env{Clock: new(Clock), Policy: issuer.Policy{
		URL: URL, AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour,
		SessionLifetime: 30 * 24 * time.Hour, Leeway: 30 * time.Second, MaxTokenBytes: 4096,
		Rotate: true, ReuseWindow: 10 * time.Second,
	}}
	e.Clock.at.Store(time.Now().Truncate(time.Second).UnixNano())
	if alter != nil {
		alter(&e.Policy)
	}
	e.open(t, algorithms, log)
	e.AddUser(t, Alice, Password)
	return e
}

func (e *Env) open(t testing.TB, algorithms []string, log *slog.Logger) {
	t.Helper()
	dir := t.TempDir()
	var err error
	e.Store, err = boltstore.Open(filepath.Join(dir, "signet.db"), boltstore.Options{Logger: log})
	must(t, err)
	t.Cleanup(func() { e.Store.Close() })
	e.SealFile = filepath.Join(dir, "seal.key")
	sealing, err := keystore.OpenSealingKey(e.SealFile, true)
	must(t, err)
	e.Keys, err = keystore.Open(t.Context(), keystore.Options{Store: e.Store, Sealing: sealing, Now: e.Clock.Now, Log: log,
		Policy: &keystore.Policy{Algorithms: algorithms, RSABits: 2048, PublishAhead: 24 * time.Hour, JWKSMaxAge: 5 * time.Minute,
			AccessLifetime: e.Policy.AccessLifetime, RefreshLifetime: e.Policy.RefreshLifetime}})
	must(t, err)
	e.Users, err = users.New(users.Options{Store: e.Store, Params: users.Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64}, Now: e.Clock.Now})
	must(t, err)
	e.Issuer = issuer.New(issuer.Options{Store: e.Store, Users: e.Users, Signer: e.Keys, Keys: e.Keys,
		Policy: e.Policy, Now: e.Clock.Now, Log: log})
	e.Clients = oauth.NewClients(e.Store, issuer.FirstParty, e.Clock.Now)
	e.OAuth = &oauth.Server{Issuer: e.Issuer, Clients: e.Clients, Now: e.Clock.Now}
}

// AddUser makes an account.
func (e *Env) AddUser(t testing.TB, name, password string) {
	t.Helper()
	_, err := e.Users.Create(context.Background(), name, password, users.Profile{})
	must(t, err)
}

// Login begins a session.
func (e *Env) Login(t testing.TB, name, password string) issuer.Tokens {
	t.Helper()
	tokens, err := e.Issuer.Login(context.Background(), issuer.Attempt{Client: issuer.FirstParty, Name: name, Password: password})
	must(t, err)
	return tokens
}

// Resign signs the claims of a token again, after each claim in changes was set,
// or removed if it is nil there: a token that is good but for that.
func (e *Env) Resign(t testing.TB, token string, changes map[string]any) string {
	t.Helper()
	claims := Claims(t, token)
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	payload, err := json.Marshal(claims)
	must(t, err)
	typ := issuer.TypJWT
	if Claims(t, token)["token_type"] == issuer.KindRefresh {
		typ = issuer.TypRefresh
	}
	signed, _, err := e.Keys.Sign("", typ, payload)
	must(t, err)
	return signed
}

// Claims decodes the payload of a token, without believing it.
func Claims(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a compact JWS: %q", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	dec := json.NewDecoder(strings.NewReader(string(payload)))
	dec.UseNumber()
	var claims map[string]any
	must(t, dec.Decode(&claims))
	return claims
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
