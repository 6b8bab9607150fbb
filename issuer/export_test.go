package issuer

import "signet/users"

// MintAccess makes an access token for s.
func (i *Issuer) MintAccess(s *Session) (string, error) {
	p := i.policy.Load()
	token, _, err := i.mint("", TypJWT, p.accessClaims(s, users.User{ID: s.Subject}, newID(), i.instant()), p.MaxTokenBytes)
	return token, err
}

// OwnTokens is ownTokens.
type OwnTokens struct{ own ownTokens }

// OwnSlots is ownSlots.
const OwnSlots = ownSlots

// Remember is remember.
func (o *OwnTokens) Remember(text string) { o.own.remember(text) }

// Made is made.
func (o *OwnTokens) Made(text string) bool { return o.own.made(text) }

// Size is how many tokens there is room for.
func (o *OwnTokens) Size() int { return len(o.own.slots) }
