package issuer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"signet/internal/compactjws"
	"signet/users"
)

// The typ of the protected header (RFC 8725 §3.11), and the token_type claim that
// an unmodified simplejwt service asks for. A token's kind is what both say.
const (
	TypJWT     = "JWT"    // access token of the first-party login
	TypAccess  = "at+jwt" // access token by RFC 9068 §2.1
	TypRefresh = "rt+jwt" // refresh token; for this issuer alone

	KindAccess  = "access"
	KindRefresh = "refresh"
)

// Claims is the payload of a token (RFC 7519 §4.1, RFC 9068 §2.2).
type Claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  Audience `json:"aud"`
	Expires   int64    `json:"exp"` // seconds since 1970, as all instants here
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	ID        string   `json:"jti"`
	Client    string   `json:"client_id"`
	Scope     string   `json:"scope,omitempty"` // values with spaces between them
	Session   string   `json:"sid,omitempty"`
	Kind      string   `json:"token_type"`
	// UserID is what simplejwt calls the subject.
	UserID UserID `json:"user_id,omitzero"`
	// Actor is who acts for the subject, if another does (RFC 8693 §4.1).
	Actor *Actor `json:"act,omitempty"`
	// SessionEnds, in refresh tokens, is when the session ends for good.
	SessionEnds int64 `json:"session_exp,omitempty"`
	// OrigIssuedAt, in renewable access tokens, is when the session began.
	OrigIssuedAt int64 `json:"orig_iat,omitempty"`
	// Profile is what the token says about the user besides, as it was written: the
	// members of an object without its braces, or nothing. It is not read back.
	Profile []byte `json:"-"`
}

// field is a claim that is read by its exact name: encoding/json alone would take
// EXP for exp, and then hold another claim true than the next verifier.
type field struct {
	name     string
	into     any
	required bool
}

func (c *Claims) fields() []field {
	return []field{
		{"exp", &c.Expires, true}, {"jti", &c.ID, true}, {"token_type", &c.Kind, true},
		{"iss", &c.Issuer, true}, {"sub", &c.Subject, true}, {"aud", &c.Audience, true},
		{"iat", &c.IssuedAt, true}, {"nbf", &c.NotBefore, true}, {"client_id", &c.Client, true},
		{"scope", &c.Scope, false}, {"sid", &c.Session, false}, {"user_id", &c.UserID, false}, {"act", &c.Actor, false}, {"session_exp", &c.SessionEnds, false},
		{"orig_iat", &c.OrigIssuedAt, false},
	}
}

// read is json.Unmarshal; for most claims without its reflection.
func (f *field) read(value json.RawMessage) error {
	switch into := f.into.(type) {
	case *string:
		return compactjws.Text(value, into)
	case *int64:
		return compactjws.Integer(value, into)
	case *Audience:
		return into.UnmarshalJSON(value)
	case *UserID:
		return into.UnmarshalJSON(value)
	}
	return json.Unmarshal(value, f.into)
}

// Audience is one string, or a list of them (RFC 7519 §4.1.3).
type Audience []string

// MarshalJSON writes a single audience as a string: some verifiers take only that.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON takes a string or a list of strings, and nothing else.
func (a *Audience) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		*a = make(Audience, 1)
		return json.Unmarshal(text, &(*a)[0])
	}
	var list []string
	if err := json.Unmarshal(text, &list); err != nil || list == nil {
		return fmt.Errorf("aud: %w", ErrClaim)
	}
	*a = list
	return nil
}

// mint signs claims with the key in force for alg; empty is the first algorithm.
func (i *Issuer) mint(alg, typ string, claims *Claims, limit int) (token, kid string, err error) {
	token, kid, err = i.sign(alg, typ, claims, limit)
	if err == nil {
		i.uses.note(kid, claims)
		if claims.Kind == KindRefresh {
			i.own.remember(token)
		}
	}
	return token, kid, err
}

func (i *Issuer) sign(alg, typ string, claims *Claims, limit int) (token, kid string, err error) {
	payload := claims.appendPayload(make([]byte, 0, payloadRoom+len(claims.Profile)))
	token, kid, err = i.signer.Sign(alg, typ, payload)
	if err != nil {
		return "", "", err
	}
	if len(token) > limit {
		return "", "", &TooLongError{Bytes: len(token), Limit: limit, Claims: longest(payload)}
	}
	return token, kid, nil
}

// longest names the three claims of payload that take the most room.
func longest(payload []byte) []string {
	var members map[string]json.RawMessage
	if json.Unmarshal(payload, &members) != nil {
		return nil
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(members[b]), len(members[a])), cmp.Compare(a, b))
	})
	names = names[:min(3, len(names))]
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%d bytes)", name, len(members[name]))
	}
	return names
}

// accessClaims are those of an access token that ends with the session at the latest.
func (p *Policy) accessClaims(s *Session, u users.User, jti string, now time.Time) *Claims {
	expires := now.Add(p.AccessLifetime)
	if s.Ends.Before(expires) {
		expires = s.Ends
	}
	audience := p.audience()
	return &Claims{
		Issuer: p.URL, Subject: s.Subject, Audience: audience, Profile: p.profile(u, audience),
		Expires: expires.Unix(), IssuedAt: now.Unix(), NotBefore: now.Unix(),
		ID: jti, Client: s.Client, Session: s.ID, Kind: KindAccess, UserID: p.userID(u),
	}
}

// refreshClaims are those of the refresh token that s holds as the current one.
// They follow from the record and the user alone: a repeated answer has the same claims
// under another signature, and is the same token by its jti.
func (p *Policy) refreshClaims(s *Session, u users.User) *Claims {
	return &Claims{
		Issuer: p.URL, Subject: s.Subject, Audience: Audience{p.URL},
		Expires: s.Expires.Unix(), IssuedAt: s.Rotated.Unix(), NotBefore: s.Rotated.Unix(),
		ID: s.Current, Client: s.Client, Session: s.ID, Kind: KindRefresh, UserID: p.userID(u),
		SessionEnds: s.Ends.Unix(),
	}
}
