package control

import (
	"bytes"
	"context"
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

	"signet/internal/audit"
	"signet/internal/consumers"
	"signet/internal/store/boltstore"
	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

const password = "correct horse battery staple"

// start is the instant at which tests begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fixture is an Operator over a real database, with a clock that stands still
// until it is moved.
type fixture struct {
	*Operator
	store *hookedStore

	mu sync.Mutex
	at time.Time
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fixture) move(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

// hookedStore can fail on demand, and can stop for a test before and after a
// change of the accounts or of the keys.
type hookedStore struct {
	*storetest.Faulty
	before, after func(ctx context.Context)
}

func (s *hookedStore) around(ctx context.Context, change func() error) error {
	if s.before != nil {
		s.before(ctx)
	}
	err := change()
	if s.after != nil {
		s.after(ctx)
	}
	return err
}

func (s *hookedStore) CreateUser(ctx context.Context, u users.User) error {
	return s.around(ctx, func() error { return s.Faulty.CreateUser(ctx, u) })
}

func (s *hookedStore) UpdateUser(ctx context.Context, u users.User) error {
	return s.around(ctx, func() error { return s.Faulty.UpdateUser(ctx, u) })
}

func (s *hookedStore) RemoveUser(ctx context.Context, id string) error {
	return s.around(ctx, func() error { return s.Faulty.RemoveUser(ctx, id) })
}

func (s *hookedStore) ReplaceRing(ctx context.Context, r keystore.Ring) error {
	return s.around(ctx, func() error { return s.Faulty.ReplaceRing(ctx, r) })
}

// newFixture is an issuer with one key for each of two algorithms and no account.
func newFixture(t testing.TB) *fixture {
	t.Helper()
	dir := t.TempDir()
	database, err := boltstore.Open(filepath.Join(dir, "signet.db"), boltstore.Options{})
	must(t, err)
	t.Cleanup(func() {
		if err := errors.Join(database.Check(), database.Close()); err != nil {
			t.Errorf("the database after the test: %v", err)
		}
	})
	f := &fixture{store: &hookedStore{Faulty: storetest.NewFaulty(database)}, at: start}
	sealing, err := keystore.OpenSealingKey(filepath.Join(dir, "seal.key"), true)
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	keys, err := keystore.Open(t.Context(), keystore.Options{
		Store: f.store, Sealing: sealing, Now: f.now, Log: log,
		Policy: &keystore.Policy{
			Algorithms: []string{"ES256", "ES384"}, RotateEvery: 90 * 24 * time.Hour,
			PublishAhead: 24 * time.Hour, JWKSMaxAge: 5 * time.Minute,
			AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour,
		},
	})
	must(t, err)
	records, err := audit.Open(t.Context(), audit.Options{Path: filepath.Join(dir, "audit.log"), Marks: f.store, Now: f.now, Log: log})
	must(t, err)
	t.Cleanup(func() { must(t, records.Close()) })
	directory, err := users.New(users.Options{Store: f.store, Params: users.Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64}, Now: f.now})
	must(t, err)
	f.Operator = &Operator{Users: directory, Keys: keys, Audit: records, Now: f.now, Clients: oauth.NewClients(f.store, issuer.FirstParty, f.now), Issuer: issuer.New(issuer.Options{
		Store: f.store, Users: directory, Signer: keys, Keys: keys, Now: f.now, Log: log,
		Policy: issuer.Policy{
			URL:            "https://login.example.test",
			AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour, SessionLifetime: 30 * 24 * time.Hour,
			Leeway: 30 * time.Second, MaxTokenBytes: 4096, Rotate: true, ReuseWindow: 10 * time.Second,
		},
	})}
	f.Watch(consumers.New())
	return f
}

func (f *fixture) create(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := f.Users.Create(t.Context(), name, password, users.Profile{})
		must(t, err)
	}
}

func (f *fixture) login(t testing.TB, name string) issuer.Tokens {
	t.Helper()
	tokens, err := f.Issuer.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: name, Password: password})
	must(t, err)
	return tokens
}

// sessions returns the IDs of the sessions of an account, or all if the name is empty.
func (f *fixture) sessions(t testing.TB, name string) []string {
	t.Helper()
	list, err := f.listSessions(t.Context(), SessionQuery{User: name})
	must(t, err)
	ids := []string{}
	for _, s := range list.Sessions {
		ids = append(ids, s.ID)
	}
	return ids
}

// kid returns the key of the algorithm that is in the state.
func (f *fixture) kid(t testing.TB, alg string, state keystore.State) string {
	t.Helper()
	for _, k := range f.Keys.Keys() {
		if k.Alg == alg && k.State == state {
			return k.KID
		}
	}
	t.Fatalf("no %s key of %s", state, alg)
	return ""
}

func (f *fixture) ring(t testing.TB) keystore.Ring {
	t.Helper()
	ring, err := f.store.LoadRing(t.Context())
	must(t, err)
	return ring
}

// served is a Server for the Operator on a socket of its own.
type served struct {
	*Server
	path  string
	log   *lockedBuffer
	ended chan error
}

func serve(t testing.TB, o *Operator, path string) *served {
	t.Helper()
	s := &served{path: path, log: new(lockedBuffer), ended: make(chan error, 1)}
	var err error
	s.Server, err = Listen(path, o, slog.New(slog.NewTextHandler(s.log, nil)))
	must(t, err)
	go func() { s.ended <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return s
}

func (s *served) dial(t testing.TB) *Remote {
	t.Helper()
	remote, err := Dial(t.Context(), s.path)
	must(t, err)
	t.Cleanup(func() { remote.Close() })
	return remote
}

// socketPath is a path short enough for a socket address, whatever the name of
// the test.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "door-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "control.sock")
}

// bothDoors are the two ways to an Operator.
var bothDoors = map[string]func(t testing.TB, o *Operator) Door{
	"local":  func(_ testing.TB, o *Operator) Door { return Local(o) },
	"remote": func(t testing.TB, o *Operator) Door { return serve(t, o, socketPath(t)).dial(t) },
}

func throughBothDoors(t *testing.T, test func(t *testing.T, f *fixture, door Door)) {
	t.Helper()
	for name, open := range bothDoors {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			test(t, f, open(t, f.Operator))
		})
	}
}

// names gives the random parts of an answer names that are the same each time.
type names struct{ known map[string]string }

var randomPart = regexp.MustCompile(`"(x|y|client_secret|access_token)":"[\w.-]+"|"(etag)":"\\"[\w-]+\\""|[A-Za-z0-9_-]{43}|\b[0-9a-f]{32}\b|\b[A-Z2-7]{26}\b`)

func (n *names) normalize(text string) string {
	if n.known == nil {
		n.known = map[string]string{}
	}
	kinds := map[int]string{43: "KID", 32: "SESSION", 26: "SUB"}
	return randomPart.ReplaceAllStringFunc(text, func(found string) string {
		if member, _, ok := strings.Cut(found, ":"); ok {
			return member + ":..."
		}
		if _, ok := n.known[found]; !ok {
			kind := kinds[len(found)]
			count := 1
			for _, name := range n.known {
				if strings.HasPrefix(name, kind) {
					count++
				}
			}
			n.known[found] = fmt.Sprintf("%s%d", kind, count)
		}
		return n.known[found]
	})
}

// encode writes an answer in a form that can be read in a test.
func encode(t testing.TB, value any) string {
	t.Helper()
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	must(t, enc.Encode(value))
	return strings.TrimSpace(text.String())
}

// refused returns err as the *Error that it must be.
func refused(t testing.TB, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error %v (%T), want an *Error", err, err)
	}
	return e
}

func wantRefused(t testing.TB, err error, want Error) {
	t.Helper()
	if got := refused(t, err); *got != want {
		t.Errorf("refused with\n%+v, want\n%+v", *got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lockedBuffer collects a log while a test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
