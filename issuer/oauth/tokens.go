package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"signet/internal/event"
	"signet/issuer"
)

// Revoke ends the session of a client's refresh token (RFC 7009 §2.1), also of one that
// was replaced: whoever has it had the session. A token that is not honoured any more is revoked already: that is no error (§2.2). One of
// another client is refused and stays. An access token is believed by services until
// it expires, and saying that it was revoked would not be true (§2.2.1).
func (s *Server) Revoke(ctx context.Context, client Client, token string) error {
	if token == "" {
		return refuse(InvalidRequest, "token is missing")
	}
	c, err := s.Issuer.Parse(token)
	switch {
	case err != nil && notHonoured(err):
		return nil
	case err != nil:
		return err
	case c.Client != client.ID || client.registeredAfter(c):
		return refuse(InvalidGrant, "the token belongs to another client")
	case c.Kind != issuer.KindRefresh:
		return refuse(UnsupportedTokenType, "an access token cannot be revoked; it expires soon")
	}
	switch err := s.Issuer.EndSession(ctx, c.Session); {
	case errors.Is(err, issuer.ErrNoSession):
		return nil // and no record: whoever has a dead token could fill the disk with them
	case err != nil:
		return err
	}
	return s.Clients.events.Record(ctx, event.Event{Kind: event.Logout, Outcome: event.Done,
		Subject: c.Subject, Session: c.Session, Client: c.Client})
}

// Introspection is what a client is told of a token (RFC 7662 §2.2). The zero value
// is an inactive one.
type Introspection struct {
	Active    bool            `json:"active"`
	Scope     string          `json:"scope,omitempty"`
	Client    string          `json:"client_id,omitempty"`
	TokenType string          `json:"token_type,omitempty"`
	Expires   int64           `json:"exp,omitempty"`
	IssuedAt  int64           `json:"iat,omitempty"`
	NotBefore int64           `json:"nbf,omitempty"`
	Subject   string          `json:"sub,omitempty"`
	Audience  issuer.Audience `json:"aud,omitempty"`
	Issuer    string          `json:"iss,omitempty"`
	ID        string          `json:"jti,omitempty"`
}

// Introspect says whether a token is active, to the client that it was issued to and
// to the clients that it is for: those whose id is in its audience. To all others it
// is as inactive as no token at all (CVE-2026-37979).
func (s *Server) Introspect(ctx context.Context, client Client, token string) (Introspection, error) {
	switch {
	case client.Public:
		return Introspection{}, refuse(InvalidClient, "introspection needs a client with a secret")
	case token == "":
		return Introspection{}, refuse(InvalidRequest, "token is missing")
	}
	c, err := s.Issuer.Inspect(ctx, token)
	switch {
	case err != nil && notHonoured(err):
		return Introspection{}, nil
	case err != nil:
		return Introspection{}, err
	}
	if alive, err := s.concerns(ctx, client, c); err != nil || !alive {
		return Introspection{}, err
	}
	answer := Introspection{
		Active: true, Scope: c.Scope, Client: c.Client, Expires: c.Expires, IssuedAt: c.IssuedAt, NotBefore: c.NotBefore,
		Subject: c.Subject, Audience: c.Audience, Issuer: c.Issuer, ID: c.ID,
	}
	if c.Kind == issuer.KindAccess {
		answer.TokenType = bearer
	}
	return answer, nil
}

// concerns reports whether client may know of the token, which is its own or for it,
// and whether the clients that the token rests on are still there. A refresh token is
// its owner's alone.
func (s *Server) concerns(ctx context.Context, client Client, c *issuer.Claims) (bool, error) {
	own := c.Client == client.ID
	isFor := c.Kind == issuer.KindAccess && slices.Contains(c.Audience, client.ID)
	if !own && !isFor || client.registeredAfter(c) {
		return false, nil
	}
	err := s.CheckClients(ctx, c, client.ID)
	if errors.Is(err, ErrClientGone) {
		return false, nil
	}
	return err == nil, err
}

// CheckClients returns ErrClientGone if a client that the token rests on is not there any more, or
// was registered anew. Those that the caller vouches for are not looked up.
func (s *Server) CheckClients(ctx context.Context, c *issuer.Claims, vouched ...string) error {
	for _, id := range parties(c) {
		if id == s.Clients.firstParty || slices.Contains(vouched, id) {
			continue
		}
		party, err := s.Clients.store.Client(ctx, id)
		if errors.Is(err, ErrNoClient) || err == nil && party.registeredAfter(c) {
			return fmt.Errorf("%w: %.100q", ErrClientGone, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parties are the clients that a token rests on: the one that it was issued to, and the
// subject if that is no user. Those have sessions, and Issuer.Inspect asks for them.
func parties(c *issuer.Claims) []string {
	if c.Session == "" && c.Subject != c.Client {
		return []string{c.Client, c.Subject}
	}
	return []string{c.Client}
}

// registeredAfter reports whether the token is older than this registration of its id:
// it belongs to, or was meant for, whoever had the id before, and is refused. Both
// instants are whole seconds, rounded down, so the client's own tokens are never older.
// A predecessor's token is not told apart if it was made in the very second of the
// registration: refusing that second would refuse the client's own first tokens.
func (c *Client) registeredAfter(token *issuer.Claims) bool {
	return token.IssuedAt < c.Created.Unix()
}
