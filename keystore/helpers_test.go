package keystore

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

var (
	start  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	silent = slog.New(slog.NewTextHandler(io.Discard, nil))
)

const day = 24 * time.Hour

// clock is a clock that stands still until it is told to move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(start.UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// testPolicy has the defaults of the configuration, but for RSA: its keys take
// long to make.
func testPolicy(algs ...string) Policy {
	if len(algs) == 0 {
		algs = []string{"ES256", "EdDSA"}
	}
	return Policy{
		Algorithms: algs, RSABits: 2048, RotateEvery: 90 * day, PublishAhead: day,
		JWKSMaxAge: 5 * time.Minute, AccessLifetime: 5 * time.Minute, RefreshLifetime: day,
	}
}

func newSealingKey(t testing.TB) *SealingKey {
	t.Helper()
	key, err := OpenSealingKey(filepath.Join(t.TempDir(), "seal.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// fixture is a Manager with everything around it in reach.
type fixture struct {
	*Manager
	t     testing.TB
	clock *clock
	store *memStore
	opts  Options
}

func newFixture(t testing.TB, policy Policy) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: newClock(), store: &memStore{}}
	f.opts = Options{Store: f.store, Sealing: newSealingKey(t), Policy: &policy, Now: f.clock.Now, Log: silent}
	f.store.sealing = f.opts.Sealing
	f.reopen()
	return f
}

// reopen is a restart.
func (f *fixture) reopen() {
	f.t.Helper()
	m, err := Open(f.t.Context(), f.opts)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Manager = m
}

func (f *fixture) rotate(req RotateRequest) []Takeover {
	f.t.Helper()
	takeovers, err := f.Rotate(f.t.Context(), req, false)
	if err != nil {
		f.t.Fatal(err)
	}
	return takeovers
}

func (f *fixture) revoke(kid string) Takeover {
	f.t.Helper()
	takeover, err := f.Revoke(f.t.Context(), kid, false)
	if err != nil {
		f.t.Fatal(err)
	}
	return takeover
}

func (f *fixture) maintain() time.Time {
	f.t.Helper()
	next, err := f.Maintain(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return next
}

func (f *fixture) setPolicy(change func(*Policy)) {
	f.t.Helper()
	p := f.Policy()
	change(&p)
	if err := f.SetPolicy(f.t.Context(), p); err != nil {
		f.t.Fatal(err)
	}
	f.opts.Policy = &p
}

// signer is the kid that signs for alg now.
func (f *fixture) signer(alg string) string {
	f.t.Helper()
	_, kid, err := f.Sign(alg, "JWT", []byte("{}"))
	if err != nil {
		f.t.Fatal(err)
	}
	return kid
}

// info is what the Manager tells of a key; the zero Info if it has no such key.
func (f *fixture) info(kid string) Info {
	for _, k := range f.Keys() {
		if k.KID == kid {
			return k
		}
	}
	return Info{}
}

func (f *fixture) expectState(kid string, want State) {
	f.t.Helper()
	if got := f.info(kid).State; got != want {
		f.t.Errorf("key %s is %q, want %q", kid, got, want)
	}
}

// jwks is the key set of now, as a client reads it.
func (f *fixture) jwks() jwk.Set {
	f.t.Helper()
	doc, err := f.Document(f.clock.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	set, err := jwk.Parse(doc.Body())
	if err != nil {
		f.t.Fatal(err)
	}
	return set
}

func (f *fixture) published(kid string) bool {
	f.t.Helper()
	_, ok := f.jwks().LookupKeyID(kid)
	return ok
}

func (f *fixture) expectVerifies(token string) {
	f.t.Helper()
	if _, err := jws.Verify([]byte(token), jws.WithKeySet(f.jwks())); err != nil {
		f.t.Errorf("the published keys do not verify a token: %v", err)
	}
}

// expectAsStored holds the Manager to what is stored: it is what a restart finds.
func (f *fixture) expectAsStored() {
	f.t.Helper()
	if memory, stored := asJSON(f.t, f.state.Load().ring), asJSON(f.t, f.store.ring()); memory != stored {
		f.t.Errorf("in memory %s\nstored    %s", memory, stored)
	}
	for i := range f.store.ring().Keys {
		k := f.store.ring().Keys[i]
		if open := f.state.Load().keys[k.KID]; open == nil || (open.private != nil) != (k.Sealed != "") {
			f.t.Errorf("key %s: stored with private half %v, in memory it is otherwise", k.KID, k.Sealed != "")
		}
	}
}

func asJSON(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decodePart decodes one part of a compact JWS or JWE as a JSON object.
func decodePart(t testing.TB, part string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	return object
}
