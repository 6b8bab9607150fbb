package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"signet/internal/event"
)

// Grant types (RFC 6749 §1.3).
const (
	ClientCredentials = "client_credentials"                              // RFC 6749 §4.4
	RefreshToken      = "refresh_token"                                   // RFC 6749 §6
	TokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 §2.1
)

// Grants are the grant types that the token endpoint offers.
var Grants = []string{ClientCredentials, RefreshToken, TokenExchange}

// Registrable are the grant types that a client can be registered for. Refresh
// tokens come from the first-party login alone, and are refreshed by its client.
var Registrable = []string{ClientCredentials, TokenExchange}

// Clients is the registry of one issuer's clients: safe for concurrent use.
type Clients struct {
	store Store
	// firstParty is the client_id of the issuer's own login: public, and never
	// registered.
	firstParty string
	now        func() time.Time
	passed     func(ctx context.Context) (time.Time, error) // for sweeps
	events     event.Recorder
}

// NewClients returns the registry over store; now is the clock, nil means time.Now.
func NewClients(store Store, firstParty string, now func() time.Time) *Clients {
	if now == nil {
		now = time.Now
	}
	passed := func(context.Context) (time.Time, error) { return now(), nil }
	return &Clients{store: store, firstParty: firstParty, now: now, passed: passed, events: event.All()}
}

// SweepBy lets Run go by instants that have come also by other clocks than that of this
// machine: forgetting an assertion that another process still takes would allow its replay.
func (r *Clients) SweepBy(passed func(ctx context.Context) (time.Time, error)) { r.passed = passed }

// Tell makes events hear of clients that do not prove who they are. It is called before
// the first request.
func (r *Clients) Tell(events event.Recorder) { r.events = event.All(events) }

// Limits of a registration: counts, and bytes of one value.
const (
	maxIDBytes    = 64
	maxValues     = 64
	maxValueBytes = 255
)

// A client_id is typed, stands in URLs and logs, and is the sub of the client's own
// tokens: it must never look like a user's sub, which is 26 upper-case letters and
// digits (RFC 9700 §4.15).
var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// A scope value is a token of RFC 6749 §3.3, an audience the same: both are lists
// with spaces between them somewhere.
var validValue = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`)

// Check refuses what cannot be registered, with ErrRegistration.
func (c *Client) Check(firstParty, issuer string) error {
	no := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrRegistration, fmt.Sprintf(format, args...))
	}
	switch {
	case len(c.ID) > maxIDBytes || !validID.MatchString(c.ID):
		return no("an id has 1 to %d of a-z, 0-9, dot, dash and underscore, and begins with a letter or digit", maxIDBytes)
	case c.ID == firstParty:
		return no("%q is the id of the issuer's own login", c.ID)
	case len(c.Grants) == 0:
		return no("it needs a grant: %v", Registrable)
	case c.Public:
		return no("a public client has no grant that it could use")
	case slices.Contains(c.Audiences, issuer):
		return no("the issuer is the audience of refresh tokens alone")
	}
	for _, grant := range c.Grants {
		if !slices.Contains(Registrable, grant) {
			return no("unknown grant %.50q; there is %v", grant, Registrable)
		}
	}
	for _, list := range []struct {
		what   string
		values []string
	}{{"grant", c.Grants}, {"scope", c.Scopes}, {"audience", c.Audiences}} {
		if err := checkValues(list.what, list.values); err != nil {
			return no("%v", err)
		}
	}
	return nil
}

func checkValues(what string, values []string) error {
	if len(values) > maxValues {
		return fmt.Errorf("more than %d %s values", maxValues, what)
	}
	for i, v := range values {
		switch {
		case len(v) > maxValueBytes || !validValue.MatchString(v):
			return fmt.Errorf("%s %.50q: it has 1 to %d printable ASCII characters without space, quote and backslash", what, v, maxValueBytes)
		case slices.Contains(values[:i], v):
			return fmt.Errorf("%s %q is named twice", what, v)
		}
	}
	return nil
}

// Add registers c and returns its first secret, which is not kept and cannot be
// shown again; empty for a client that has keys. ErrRegistration or ErrClientExists if it
// cannot be.
func (r *Clients) Add(ctx context.Context, c Client, issuer string) (Client, string, error) {
	if err := c.Check(r.firstParty, issuer); err != nil {
		return Client{}, "", err
	}
	c.Created, c.Version, c.Secrets = r.second(), 1, nil
	secret := ""
	if len(c.Keys) == 0 {
		secret = r.addSecret(&c)
	}
	if err := r.store.CreateClient(ctx, c); err != nil {
		return Client{}, "", fmt.Errorf("%q: %w", c.ID, err)
	}
	return c, secret, nil
}

// NewSecret gives the client another secret and returns it. The one before stays in
// force, unless only says that the new one is to be alone.
func (r *Clients) NewSecret(ctx context.Context, id string, only bool) (c Client, secret string, err error) {
	c, err = r.update(ctx, id, func(c *Client) error {
		if len(c.Keys) > 0 {
			return fmt.Errorf("%w: it authenticates with its keys and has no secret", ErrRegistration)
		}
		if only {
			c.Secrets = nil
		}
		secret = r.addSecret(c)
		return nil
	})
	if err != nil {
		return Client{}, "", err
	}
	return c, secret, nil
}

// SetKeys lets the client authenticate with these keys alone, as ParseClientKeys
// returns them. Secrets and keys before them are in force no more.
func (r *Clients) SetKeys(ctx context.Context, id string, keys []byte) (Client, error) {
	return r.update(ctx, id, func(c *Client) error {
		c.Keys, c.Secrets = keys, nil
		return nil
	})
}

// update alters the client as it is stored, again if it changes in between.
func (r *Clients) update(ctx context.Context, id string, alter func(*Client) error) (Client, error) {
	for range 10 {
		c, err := r.Get(ctx, id)
		if err != nil {
			return Client{}, err
		}
		if err := alter(&c); err != nil {
			return Client{}, err
		}
		err = r.store.UpdateClient(ctx, c)
		if err == nil {
			c.Version++
			return c, nil
		}
		if !errors.Is(err, ErrClientConflict) {
			return Client{}, err
		}
	}
	return Client{}, ErrClientConflict
}

// addSecret makes a secret of 256 random bits and keeps its hash, and at most one
// other.
func (r *Clients) addSecret(c *Client) string {
	random := make([]byte, 32)
	rand.Read(random)
	secret := base64.RawURLEncoding.EncodeToString(random)
	hash := sha256.Sum256([]byte(secret))
	c.Secrets = append(slices.Clone(c.Secrets), Secret{Hash: hash[:], Created: r.second()})
	c.Secrets = c.Secrets[max(0, len(c.Secrets)-MaxSecrets):]
	return secret
}

// Get returns the client with this ID, or ErrNoClient.
func (r *Clients) Get(ctx context.Context, id string) (Client, error) {
	c, err := r.store.Client(ctx, id)
	if err != nil {
		return Client{}, fmt.Errorf("%.100q: %w", id, err)
	}
	return c, nil
}

// List returns up to limit clients whose IDs come after the given one. Fewer than
// limit means that there are no more.
func (r *Clients) List(ctx context.Context, after string, limit int) ([]Client, error) {
	return r.store.Clients(ctx, after, limit)
}

// Remove deletes the client. Its secrets get nothing more; tokens that are out
// verify at services until they expire. Here they are inactive, also once the id is
// registered again.
func (r *Clients) Remove(ctx context.Context, id string) error {
	if err := r.store.RemoveClient(ctx, id); err != nil {
		return fmt.Errorf("%.100q: %w", id, err)
	}
	return nil
}

// Credentials are what a client presents: an id and a secret (RFC 6749 §2.3.1), or an
// assertion that it signed for Issuer (RFC 7523 §2.2).
type Credentials struct {
	ID, Secret string
	Assertion  string
	Issuer     string
}

// errCredentials never says whether the client exists.
var errCredentials = refuse(InvalidClient, "the client is unknown or its secret is wrong")

// Authenticate returns the client whose credentials are good, or an *Error with
// InvalidClient. A public client presents its ID alone; for the issuer's own login
// that is enough to refresh and to revoke.
func (r *Clients) Authenticate(ctx context.Context, given Credentials) (Client, error) {
	c, err := r.authenticate(ctx, given)
	if err == nil {
		return c, nil
	}
	e := event.Event{Kind: event.ClientAuthentication, Outcome: event.Failed, Client: c.ID, Cause: err}
	if _, refused := errors.AsType[*Error](err); refused {
		e.Outcome = event.Refused
	}
	if failed := r.events.Record(ctx, e); failed != nil {
		return Client{}, failed
	}
	return Client{}, err
}

// authenticate returns the registered client also with an error, for the record.
func (r *Clients) authenticate(ctx context.Context, given Credentials) (Client, error) {
	if given.Assertion != "" {
		return r.authenticateAssertion(ctx, given)
	}
	if given.ID == r.firstParty && given.Secret == "" {
		return Client{ID: r.firstParty, Public: true, Grants: []string{RefreshToken}}, nil
	}
	if len(given.ID) > maxIDBytes || len(given.Secret) > maxValueBytes {
		return Client{}, errCredentials
	}
	c, err := r.store.Client(ctx, given.ID)
	if err != nil && !errors.Is(err, ErrNoClient) {
		return Client{}, err
	}
	if !c.accepts(given.Secret) {
		return c, errCredentials
	}
	return c, nil
}

// accepts compares the hash of a secret with those in force, in constant time. No
// secret is one that nobody has.
func (c *Client) accepts(secret string) bool {
	hash := sha256.Sum256([]byte(secret))
	match := 0
	for _, s := range c.Secrets {
		match |= subtle.ConstantTimeCompare(hash[:], s.Hash)
	}
	return match == 1 || c.Public && c.ID != "" && secret == ""
}

func (r *Clients) second() time.Time { return r.now().UTC().Truncate(time.Second) }
