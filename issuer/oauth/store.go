package oauth

import (
	"context"
	"time"
)

// Client is one registered OAuth client (RFC 6749 §2), as it is stored.
type Client struct {
	// ID is the client_id; see Check.
	ID string
	// Public clients have no secret (RFC 6749 §2.1).
	Public bool
	// Grants are the grant_type values the client may use.
	Grants []string
	// Scopes are the scope values it may ask for, Audiences the services that
	// it may ask tokens for.
	Scopes, Audiences []string
	// Alg signs its tokens; empty means the issuer's first algorithm.
	Alg string
	// Secrets are those in force, the newest last; at most MaxSecrets.
	Secrets []Secret
	// Keys is the JWK Set of a client that authenticates with private_key_jwt
	// (RFC 7523 §2.2) and has no secret; public keys alone, each with kid and alg.
	Keys []byte
	// Created is when the ID was registered, with a resolution of a second: tokens
	// older than that are of another client with the same ID, which was removed.
	Created time.Time
	// Version counts the updates of this record; see Registry.UpdateClient.
	Version uint64
}

// Secret is a client secret as it is kept. The secret itself is 256 random bits,
// which no one can guess, so its hash needs no salt and no work factor.
type Secret struct {
	// Hash is the SHA-256 of the secret's text.
	Hash []byte
	// Created is an instant with a resolution of a second.
	Created time.Time
}

// MaxSecrets is how many secrets of a client are in force at once: two, so that a
// secret can be replaced without an outage.
const MaxSecrets = 2

// Store is what Clients needs of its storage.
type Store interface {
	Registry
	Assertions
}

// Assertions remembers which client assertions were used, so that none is used again,
// also after a restart (RFC 7523 §3 point 7).
type Assertions interface {
	// UseAssertion remembers the assertion with this jti and exp of a client, or
	// returns ErrReplayed if it does so already: of two calls at the same moment
	// exactly one succeeds. Durable when it returns nil.
	UseAssertion(ctx context.Context, client, jti string, expires time.Time) error
	// SweepAssertions forgets up to limit assertions that expired before now, and
	// says how many; fewer than limit means that there are no more.
	SweepAssertions(ctx context.Context, now time.Time, limit int) (int, error)
}

// Registry keeps the clients. An empty list comes back as nil. Every method is one atomic step, durable when it
// returns nil. A method that returns an error has changed nothing, except where the
// storage itself failed: then the change may or may not have been made.
type Registry interface {
	// CreateClient adds c with Version 1, whatever c.Version is. ErrClientExists
	// if the ID is taken; of two calls at the same moment exactly one succeeds.
	CreateClient(ctx context.Context, c Client) error
	// Client returns the client with this ID, or ErrNoClient.
	Client(ctx context.Context, id string) (Client, error)
	// UpdateClient replaces the record with c's ID if the stored Version still
	// equals c.Version, and stores it with Version+1. ErrNoClient if there is
	// none, ErrClientConflict if its Version is another.
	UpdateClient(ctx context.Context, c Client) error
	// RemoveClient deletes the client, or returns ErrNoClient.
	RemoveClient(ctx context.Context, id string) error
	// Clients returns up to limit clients whose ID is greater than after, in the
	// byte order of IDs. Fewer than limit, which is 1 or more, means that there
	// are no more.
	Clients(ctx context.Context, after string, limit int) ([]Client, error)
}
