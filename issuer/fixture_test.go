package issuer_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"signet/internal/store/boltstore"
	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/issuertest"
	"signet/keystore"
	"signet/users"
)

const (
	issuerURL = "https://login.example.test"
	password  = "correct horse battery staple"
)

// start is the instant at which tests begin; not a whole second, as in life.
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

// fixture is an issuer over a real database and real keys, with one user.
type fixture struct {
	*issuer.Issuer
	*clock
	users    *users.Directory
	keys     *keystore.Manager
	store    *storetest.Faulty
	sealFile string
	kyoko    users.User
}

func policy() issuer.Policy {
	return issuer.Policy{
		URL:            issuerURL,
		AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour, SessionLifetime: 30 * 24 * time.Hour,
		Leeway: 30 * time.Second, MaxTokenBytes: 4096,
		Rotate: true, ReuseWindow: 10 * time.Second,
	}
}

func newFixture(t testing.TB) *fixture { return newFixtureWith(t, "ES256") }

func newFixtureWith(t testing.TB, algorithms ...string) *fixture {
	c := &clock{at: start}
	return newFixtureAt(t, c, c.now, algorithms...)
}

func newFixtureAt(t testing.TB, c *clock, now func() time.Time, algorithms ...string) *fixture {
	t.Helper()
	f := &fixture{clock: c, store: storetest.NewFaulty(openStore(t)), sealFile: filepath.Join(t.TempDir(), "seal.key")}
	sealing, err := keystore.OpenSealingKey(f.sealFile, true)
	must(t, err)
	f.keys, err = keystore.Open(t.Context(), keystore.Options{Store: f.store, Sealing: sealing, Now: now, Policy: &keystore.Policy{
		Algorithms: algorithms, RSABits: 2048, PublishAhead: 24 * time.Hour, JWKSMaxAge: 5 * time.Minute,
		AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour,
	}})
	must(t, err)
	f.users, err = users.New(users.Options{Store: f.store, Params: users.Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64}, Now: now})
	must(t, err)
	f.kyoko = f.create(t, "kyoko")
	f.Issuer = f.issuerWith(func(o *issuer.Options) { o.Now = now })
	return f
}

// issuerWith returns another issuer over the same store and keys.
func (f *fixture) issuerWith(alter func(*issuer.Options)) *issuer.Issuer {
	opts := issuer.Options{Store: f.store.Sessions(), Users: f.users, Signer: f.keys, Keys: f.keys, Policy: policy(), Now: f.now}
	alter(&opts)
	return issuer.New(opts)
}

func openStore(t testing.TB) storetest.Store {
	t.Helper()
	if os.Getenv(overPostgres) != "" {
		return openPostgres(t)
	}
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "signet.db"), boltstore.Options{})
	must(t, err)
	t.Cleanup(func() {
		if err := store.Check(); err != nil {
			t.Errorf("the database after the test: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func (f *fixture) create(t testing.TB, name string) users.User {
	t.Helper()
	u, err := f.users.Create(t.Context(), name, password, users.Profile{})
	must(t, err)
	return u
}

// set puts the policy in force that alter makes of the usual one.
func (f *fixture) set(alter func(*issuer.Policy)) {
	p := policy()
	alter(&p)
	f.SetPolicy(p)
}

func (f *fixture) login(t testing.TB) issuer.Tokens { return f.loginAs(t, "kyoko") }

func (f *fixture) loginAs(t testing.TB, name string) issuer.Tokens {
	t.Helper()
	tokens, err := f.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: name, Password: password})
	if err != nil {
		t.Fatalf("Login: %v", err)
	}
	return tokens
}

// refresh fails the test if the token is refused.
func (f *fixture) refresh(t testing.TB, token string) issuer.Tokens {
	t.Helper()
	tokens, err := f.Refresh(t.Context(), token)
	if err != nil {
		t.Fatalf("Refresh: %v", err)
	}
	return tokens
}

func (f *fixture) wantRefresh(t testing.TB, token string, want error) {
	t.Helper()
	tokens, err := f.Refresh(t.Context(), token)
	wantErr(t, "Refresh", err, want)
	if want != nil && tokens != (issuer.Tokens{}) {
		t.Error("Refresh: tokens were made beside the error")
	}
}

func (f *fixture) wantVerify(t testing.TB, token string, want error) {
	t.Helper()
	claims, err := f.Verify(t.Context(), token)
	wantErr(t, "Verify", err, want)
	if (claims == nil) != (want != nil) {
		t.Errorf("Verify: claims %v beside the error %v", claims, err)
	}
}

// sessions returns the stored sessions of a subject, or all if it is empty.
func (f *fixture) sessions(t testing.TB, subject string) []issuer.Session {
	t.Helper()
	list, err := f.Sessions(t.Context(), subject, "", 10_000)
	must(t, err)
	return list
}

func (f *fixture) wantSessions(t testing.TB, want int) {
	t.Helper()
	if got := len(f.sessions(t, "")); got != want {
		t.Errorf("%d sessions are stored, want %d", got, want)
	}
}

// private returns the private signing keys by algorithm, each with its kid.
func (f *fixture) private(t testing.TB) map[string]jwk.Key {
	t.Helper()
	return issuertest.PrivateKeys(t, f.store, f.sealFile)
}

// genuine takes a token apart, to make others like it.
func (f *fixture) genuine(t testing.TB, token string) *issuertest.Genuine {
	t.Helper()
	return issuertest.New(t, issuertest.Source{Text: token, Kind: issuertest.Own, URL: issuerURL, Keys: f.private(t)})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErr compares by errors.Is, and a *MissingClaimError by its claim.
func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !isErr(got, want) {
		t.Errorf("%s: error = %v, want %v", what, got, want)
	}
}

func isErr(got, want error) bool {
	var missing, wanted *issuer.MissingClaimError
	if errors.As(want, &wanted) {
		return errors.As(got, &missing) && *missing == *wanted
	}
	return errors.Is(got, want)
}

// decode returns the header and the claims of a token, unverified.
func decode(t testing.TB, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts in %q, want 3", len(parts), token)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		must(t, err)
		must(t, json.Unmarshal(raw, into))
	}
	return header, claims
}

// claim returns one claim of a token.
func claim(t testing.TB, token, name string) any {
	t.Helper()
	_, claims := decode(t, token)
	return claims[name]
}

func seconds(t time.Time) float64 { return float64(t.Unix()) }

// lockedBuffer is where the log of the whole suite goes.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// secrets matches what must never be logged: JWTs and parts of them (a kid has
// 43 characters and an id 32), passwords and hashes.
var secrets = regexp.MustCompile(`eyJhbGci|[A-Za-z0-9_-]{60,}|\$argon2|` + password)

// TestMain also looks into the log of the whole suite.
func TestMain(m *testing.M) {
	var log lockedBuffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	code := m.Run()
	if leak := secrets.Find(log.Bytes()); leak != nil {
		fmt.Fprintf(os.Stderr, "the log holds a secret: %q\n", leak)
		code = 1
	}
	os.Exit(code)
}
