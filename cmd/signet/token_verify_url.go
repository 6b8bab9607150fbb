package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"signet/internal/compactjws"
	"signet/internal/control"
	"signet/internal/shell"
	"signet/issuer"
	"signet/verify"
)

// urlCauses are those of errors of the package verify.
var urlCauses = []struct {
	err   error
	cause control.Cause
}{
	{verify.ErrTooLong, control.CauseMalformed},
	{verify.ErrMalformed, control.CauseMalformed},
	{verify.ErrHeader, control.CauseMalformed},
	{verify.ErrAlgorithm, control.CauseAlgorithm},
	{verify.ErrKeyAlgorithm, control.CauseAlgorithm},
	{verify.ErrUnknownKey, control.CauseUnknownKey},
	{verify.ErrSignature, control.CauseSignature},
	{verify.ErrIssuer, control.CauseIssuer},
	{verify.ErrAudience, control.CauseAudience},
	{verify.ErrExpired, control.CauseExpired},
	{verify.ErrNotYetValid, control.CauseNotYetValid},
	{verify.ErrWrongType, control.CauseType},
	{verify.ErrClaim, control.CauseClaim},
}

// verifyByURL is the library that services use, by the published keys.
func (a *app) verifyByURL(ctx context.Context, flags verifyFlags, token string) (verification, error) {
	found := peek(token)
	v, err := verifierFor(flags, found.Audience)
	if err != nil {
		return verification{}, err
	}
	defer v.Close()
	claims, err := v.Verify(ctx, token)
	cause := urlCause(err)
	switch {
	case err == nil:
		found.believe(claims)
	case cause == "":
		return verification{}, hintedError{fmt.Errorf("nothing is known of the token: %.1000w", err),
			shell.Command("signet", "doctor", "--url", flags.url) + "  # shows why its keys cannot be had"}
	default:
		found.refuse(cause, err)
	}
	return verification{Verification: found.Verification, asked: flags, now: time.Now()}, nil
}

// urlCause is empty for an error that is not about the token.
func urlCause(err error) control.Cause {
	if errors.Is(err, verify.ErrKeysUnavailable) {
		return "" // also where it is of what the issuer answered, and names its form
	}
	for _, known := range urlCauses {
		if errors.Is(err, known.err) {
			return known.cause
		}
	}
	return ""
}

// verifierFor takes the token for whomever it says it is, unless an audience was named.
func verifierFor(flags verifyFlags, says []string) (*verify.Verifier, error) {
	audience := flags.audience
	if audience == "" && len(says) > 0 {
		audience = says[0]
	}
	keys := &verify.Remote{Issuer: flags.url}
	roots, err := readAuthorities(flags.authorities)
	if err != nil {
		return nil, err
	}
	if roots != nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		keys.Transport = transport
	}
	return &verify.Verifier{Issuer: flags.url, Audience: cmp.Or(audience, "none"), Keys: keys, CacheSize: -1, MaxBytes: compactjws.MaxBytes}, nil
}

// peeked is what a token says. Before believe it is for the sentence alone that says why
// the token is refused.
type peeked struct{ control.Verification }

// peek reads what there is, and leaves out the rest: what is wrong with a token the
// package verify says.
func peek(token string) (p peeked) {
	header, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	of := members(header)
	p.Alg, p.KID, p.Typ = textOf(of, "alg"), textOf(of, "kid"), textOf(of, "typ")
	says := members(payload)
	p.Kind, p.Issuer = textOf(says, "token_type"), textOf(says, "iss")
	p.Expires, p.NotBefore = instantOf(says, "exp"), instantOf(says, "nbf")
	var audience issuer.Audience
	if value, ok := says.Get("aud"); ok && audience.UnmarshalJSON(value) == nil {
		p.Audience = audience
	}
	return p
}

// refuse keeps what a good signature stands for: package verify tells of these causes only
// then.
func (p *peeked) refuse(cause control.Cause, err error) {
	switch cause {
	case control.CauseIssuer, control.CauseAudience, control.CauseType, control.CauseExpired, control.CauseNotYetValid:
	default:
		p.Verification = control.Verification{Alg: p.Alg, KID: p.KID, Typ: p.Typ}
	}
	p.Cause, p.Detail = cause, err.Error()
}

// believe takes the claims of a verified token.
func (p *peeked) believe(c *verify.Claims) {
	p.Valid, p.Issuer, p.Subject, p.Client = true, c.Issuer, c.Subject, c.ClientID
	p.Audience, p.Scope, p.ID, p.Session = c.Audience, c.Scope, c.ID, c.SessionID
	p.NotBefore, p.Expires = c.NotBefore.UTC(), c.Expires.UTC()
}

func members(part string) compactjws.Members {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil || len(raw) > compactjws.MaxBytes {
		return nil
	}
	found, err := compactjws.ReadMembers(raw)
	if err != nil {
		return nil
	}
	return found
}

func textOf(m compactjws.Members, name string) (text string) {
	value, ok := m.Get(name)
	if !ok || compactjws.Text(value, &text) != nil {
		return ""
	}
	return text
}

func instantOf(m compactjws.Members, name string) time.Time {
	value, ok := m.Get(name)
	var seconds int64
	if !ok || compactjws.Integer(value, &seconds) != nil || seconds < 0 || seconds > compactjws.MaxNumericDate {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
