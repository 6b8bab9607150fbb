package control

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"signet/internal/compactjws"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
)

// Cause says why a token is not valid. Their set is closed: programs branch on it.
type Cause string

// The causes.
const (
	CauseMalformed    Cause = "malformed" // not a token at all
	CauseAlgorithm    Cause = "algorithm"
	CauseUnknownKey   Cause = "unknown_key"
	CauseRevokedKey   Cause = "revoked_key"
	CauseSignature    Cause = "signature"
	CauseClaim        Cause = "claim" // missing, or of a wrong form
	CauseIssuer       Cause = "issuer"
	CauseAudience     Cause = "audience"
	CauseType         Cause = "type"
	CauseExpired      Cause = "expired"
	CauseNotYetValid  Cause = "not_yet_valid"
	CauseSessionEnded Cause = "session_ended"
	CauseReplaced     Cause = "replaced" // a refresh token whose successor is in force
	CauseInactive     Cause = "inactive" // the account is disabled or gone
	CauseClientGone   Cause = "client_removed"
)

// TokenQuestion is a token, and the service that it should be for; empty is any.
type TokenQuestion struct {
	Token    string `json:"token"`
	Audience string `json:"audience,omitempty"`
}

// Verification is what is known of a token. What the token says is there if its signature
// is good, whether or not it is valid.
type Verification struct {
	Valid bool `json:"valid"`
	// Cause and Detail say why it is not valid, for programs and for people.
	Cause  Cause  `json:"cause,omitempty"`
	Detail string `json:"reason,omitempty"`

	Alg string `json:"alg,omitempty"`
	KID string `json:"kid,omitempty"`
	Typ string `json:"typ,omitempty"`

	Kind      string    `json:"token_type,omitempty"` // access or refresh
	Issuer    string    `json:"iss,omitempty"`
	Subject   string    `json:"sub,omitempty"`
	User      string    `json:"user,omitempty"` // the name, if sub is a user who is there
	Client    string    `json:"client_id,omitempty"`
	Audience  []string  `json:"aud,omitempty"`
	Scope     string    `json:"scope,omitempty"`
	ID        string    `json:"jti,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`
	Session   string    `json:"sid,omitempty"`
	// SessionExpires is when the session ends if it is not refreshed.
	SessionExpires time.Time `json:"session_expires,omitzero"`
}

// verifyToken changes nothing, and never fails on a bad token: saying what is wrong with
// it is its use.
func (o *Operator) verifyToken(ctx context.Context, in TokenQuestion) (Verification, error) {
	found, err := o.examine(ctx, in.Token)
	v := o.view(ctx, in.Token, found)
	cause := causeOf(err)
	switch {
	case err == nil:
		v.asks(in.Audience)
		return v, nil
	case cause == "":
		return Verification{}, err
	case cause == CauseUnknownKey && o.revoked(v.KID):
		cause = CauseRevokedKey
	case cause == CauseSessionEnded && !o.now().Before(v.Expires):
		cause = CauseExpired // within the leeway: a session may end with its only token
	}
	v.Cause, v.Detail = cause, strings.TrimPrefix(err.Error(), issuer.ErrInvalid.Error()+": ")
	return v, nil
}

// examine is what introspection goes by (RFC 7662 §4), for a caller who may know all.
func (o *Operator) examine(ctx context.Context, token string) (issuer.Finding, error) {
	found, err := o.Issuer.Examine(ctx, token)
	if err == nil {
		err = o.oauth().CheckClients(ctx, found.Claims)
	}
	return found, err
}

func (o *Operator) view(ctx context.Context, token string, found issuer.Finding) (v Verification) {
	if t, err := compactjws.Parse(token, compactjws.MaxBytes); err == nil {
		v.Alg, v.KID, v.Typ = t.Header.Alg, t.Header.KID, t.Header.Typ
	}
	c := found.Claims
	if c == nil {
		return v
	}
	v.Kind, v.Issuer, v.Subject, v.Client, v.Session = c.Kind, c.Issuer, c.Subject, c.Client, c.Session
	v.Audience, v.Scope, v.ID = c.Audience, c.Scope, c.ID
	v.NotBefore, v.Expires = time.Unix(c.NotBefore, 0).UTC(), time.Unix(c.Expires, 0).UTC()
	v.SessionExpires = found.Session.Expires
	if c.Session != "" {
		v.User = o.userName(ctx, c.Subject)
	}
	return v
}

// asks says whether the token is for the service, or is valid for whoever asks.
func (v *Verification) asks(audience string) {
	switch {
	case audience == "" || v.Kind == issuer.KindAccess && slices.Contains(v.Audience, audience):
		v.Valid = true
	case v.Kind == issuer.KindAccess:
		v.Cause, v.Detail = CauseAudience, issuer.ErrAudience.Error()
	default:
		v.Cause, v.Detail = CauseType, issuer.ErrWrongType.Error()
	}
}

func (o *Operator) revoked(kid string) bool {
	return slices.ContainsFunc(o.Keys.Keys(), func(k keystore.Info) bool { return k.KID == kid && k.State == keystore.Revoked })
}

// causes are those of errors; the first that an error wraps decides.
var causes = []struct {
	err   error
	cause Cause
}{
	{compactjws.ErrTooLong, CauseMalformed},
	{issuer.ErrAlgorithm, CauseAlgorithm},
	{issuer.ErrKeyAlgorithm, CauseAlgorithm},
	{issuer.ErrUnknownKey, CauseUnknownKey},
	{issuer.ErrSignature, CauseSignature},
	{issuer.ErrClaim, CauseClaim},
	{issuer.ErrIssuer, CauseIssuer},
	{issuer.ErrAudience, CauseAudience},
	{issuer.ErrNotYetValid, CauseNotYetValid},
	{issuer.ErrExpired, CauseExpired},
	{issuer.ErrWrongType, CauseType},
	{issuer.ErrReplaced, CauseReplaced},
	{issuer.ErrNoSession, CauseSessionEnded},
	{issuer.ErrInactive, CauseInactive},
	{oauth.ErrClientGone, CauseClientGone},
}

// causeOf is empty for an error that is not about the token.
func causeOf(err error) Cause {
	for _, known := range causes {
		if errors.Is(err, known.err) {
			return known.cause
		}
	}
	var missing *issuer.MissingClaimError
	switch {
	case errors.As(err, &missing):
		return CauseClaim
	case errors.Is(err, issuer.ErrInvalid):
		return CauseMalformed
	}
	return ""
}
