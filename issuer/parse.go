package issuer

import (
	"fmt"
	"slices"
	"time"

	"signet/internal/compactjws"
)

// parseLimit bounds the text of a presented token, in bytes. It is the largest
// tokens.max_bytes, so that lowering that setting invalidates no token.
const parseLimit = compactjws.MaxBytes

// algorithms is the allow-list (RFC 8725 §3.1). A token's alg must be the one of
// its key as well; none and the HMACs are in neither.
var algorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}

// parse verifies a token that this issuer made: first the signature, then the
// claims (RFC 8725 §3.3, §3.8-3.12).
func (i *Issuer) parse(text string, now time.Time) (*Claims, error) {
	token, err := compactjws.Parse(text, parseLimit)
	if err != nil {
		return nil, invalid(err)
	}
	if err := i.checkSignature(text, token); err != nil {
		return nil, err
	}
	claims, err := readClaims(token.Payload)
	if err != nil {
		return nil, err
	}
	return claims, i.checkClaims(claims, token.Header.Typ, now)
}

// checkSignature asks for the key also where the signature is known to be good: it may
// have been revoked since.
func (i *Issuer) checkSignature(text string, token *compactjws.Token) error {
	h := token.Header
	if !slices.Contains(algorithms, h.Alg) {
		return invalid(fmt.Errorf("%w: %.20q", ErrAlgorithm, h.Alg))
	}
	alg, public, err := i.publicKey(h.KID)
	switch {
	case err != nil:
		return err
	case alg != h.Alg:
		return invalid(fmt.Errorf("%w: kid %.50q, alg %.20q", ErrKeyAlgorithm, h.KID, h.Alg))
	}
	if !i.own.made(text) && !compactjws.Signed(alg, public, token.SigningInput, token.Signature) {
		return invalid(ErrSignature)
	}
	return nil
}

// readClaims decodes the payload of a token whose signature is good.
func readClaims(payload []byte) (*Claims, error) {
	members, err := compactjws.ReadMembers(payload)
	if err != nil {
		return nil, invalid(err)
	}
	var claims Claims
	for _, f := range claims.fields() {
		value, ok := members.Get(f.name)
		if !ok || string(value) == "null" {
			if f.required {
				return nil, &MissingClaimError{Claim: f.name}
			}
			continue
		}
		if f.read(value) != nil {
			return nil, invalid(fmt.Errorf("%w: %s", ErrClaim, f.name))
		}
	}
	for name, seconds := range map[string]int64{
		"exp": claims.Expires, "iat": claims.IssuedAt, "nbf": claims.NotBefore, "session_exp": claims.SessionEnds, "orig_iat": claims.OrigIssuedAt,
	} {
		if seconds < 0 || seconds > compactjws.MaxNumericDate {
			return nil, invalid(fmt.Errorf("%w: %s", ErrClaim, name))
		}
	}
	return &claims, nil
}

func (i *Issuer) checkClaims(c *Claims, typ string, now time.Time) error {
	p := i.policy.Load()
	switch {
	case c.Issuer != p.URL:
		return invalid(fmt.Errorf("%w: %.200q", ErrIssuer, c.Issuer))
	case now.Before(time.Unix(c.NotBefore, 0).Add(-p.Leeway)):
		return invalid(ErrNotYetValid)
	case !now.Before(time.Unix(c.Expires, 0).Add(p.Leeway)):
		return ErrExpired
	case c.ID == "":
		return &MissingClaimError{Claim: "jti"}
	}
	switch {
	case c.Kind == KindRefresh && typ == TypRefresh:
		if !slices.Equal(c.Audience, Audience{p.URL}) {
			return invalid(fmt.Errorf("%w: %.200q", ErrAudience, c.Audience))
		}
		return c.checkSession()
	case c.Kind == KindAccess && (typ == TypJWT || typ == TypAccess):
		if len(c.Audience) == 0 || slices.Contains(c.Audience, p.URL) {
			return invalid(fmt.Errorf("%w: %.200q", ErrAudience, c.Audience))
		}
	default:
		return ErrWrongType
	}
	return nil
}

// checkSession refuses a refresh token that does not say which session it is of, or
// when that ends.
func (c *Claims) checkSession() error {
	switch {
	case c.Session == "":
		return invalid(&MissingClaimError{Claim: "sid"})
	case c.SessionEnds == 0:
		return invalid(&MissingClaimError{Claim: "session_exp"})
	}
	return nil
}

// parseRefresh is parse for the places that take refresh tokens alone.
func (i *Issuer) parseRefresh(text string, now time.Time) (*Claims, error) {
	c, err := i.parse(text, now)
	switch {
	case err != nil:
		return nil, err
	case c.Kind != KindRefresh:
		return nil, ErrWrongType
	}
	return c, nil
}
