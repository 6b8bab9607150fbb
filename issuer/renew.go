package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"signet/users"
)

// LoginRenewable begins a session without a refresh token: its access tokens, which
// say in orig_iat when it began, are traded for new ones by Renew. It ends after
// Policy.RenewLifetime. The errors are those of Login.
func (i *Issuer) LoginRenewable(ctx context.Context, a Attempt) (Tokens, error) {
	return i.login(ctx, a, func(p *Policy, u users.User, now time.Time) (s Session, tokens Tokens, err error) {
		s = newSession(u, a.Client, now, p.renewal())
		s.Expires = s.Ends
		tokens, s.KID, err = i.mintRenewable(p, &s, u, now)
		return s, tokens, err
	})
}

// Renew trades an access token of LoginRenewable that has not expired for a new one,
// and leaves the session as it is. A *MissingClaimError of orig_iat if the token is of
// another login, ErrRenewalOver if too much time has passed since its own; ErrInactive
// and ErrNoSession as for Refresh.
func (i *Issuer) Renew(ctx context.Context, token string) (Tokens, error) {
	p, now := i.policy.Load(), i.instant()
	c, err := i.parseRenewable(p, token, now)
	tokens := Tokens{}
	if err == nil {
		tokens, err = i.renew(ctx, p, c, now)
	}
	if err := i.recorded(ctx, refreshOf(c), err); err != nil {
		return Tokens{}, err
	}
	return tokens, nil
}

func (i *Issuer) renew(ctx context.Context, p *Policy, c *Claims, now time.Time) (Tokens, error) {
	u, s, err := i.alive(ctx, p, c, now)
	if err != nil {
		return Tokens{}, err
	}
	if err := s.checkSealed(c); err != nil {
		return Tokens{}, err
	}
	tokens, _, err := i.mintRenewable(p, &s, u, now)
	return tokens, err
}

func (i *Issuer) parseRenewable(p *Policy, text string, now time.Time) (*Claims, error) {
	c, err := i.parse(text, now)
	switch {
	case err != nil:
		return nil, err
	case c.Kind != KindAccess:
		return nil, ErrWrongType
	case c.OrigIssuedAt == 0:
		return nil, &MissingClaimError{Claim: "orig_iat"}
	case c.Session == "":
		return nil, invalid(&MissingClaimError{Claim: "sid"})
	case !now.Before(time.Unix(c.OrigIssuedAt, 0).Add(p.renewal())):
		return nil, ErrRenewalOver
	}
	return c, nil
}

// renewal is how long after a login its tokens can be renewed.
func (p *Policy) renewal() time.Duration { return min(p.RenewLifetime, p.SessionLifetime) }

func (i *Issuer) mintRenewable(p *Policy, s *Session, u users.User, now time.Time) (Tokens, string, error) {
	c := p.accessClaims(s, u, "", now)
	c.OrigIssuedAt = s.Created.Unix()
	c.ID = s.seal(c, newID()[:sealedAt])
	return i.signAccess(p, c)
}

// sealedAt is where the MAC in the jti of a renewable token begins.
const sealedAt = 16

// seal returns the jti of a renewable token: random bits, and a MAC of the claims under
// Current, which no token of such a session says. A signing key that has leaked renews
// nothing: else a forgery could be traded for a token of another key, and outlive the
// revocation of the first.
func (s *Session) seal(c *Claims, random string) string {
	sealed := *c
	sealed.ID, sealed.Profile = random, nil
	mac := hmac.New(sha256.New, []byte(s.Current))
	mac.Write(sealed.appendPayload(make([]byte, 0, payloadRoom)))
	return random + hex.EncodeToString(mac.Sum(nil)[:8])
}

// checkSealed refuses a token that was not made for the session.
func (s *Session) checkSealed(c *Claims) error {
	want := s.seal(c, c.ID[:min(sealedAt, len(c.ID))])
	if !hmac.Equal([]byte(want), []byte(c.ID)) {
		return invalid(ErrUnsealed)
	}
	return nil
}
