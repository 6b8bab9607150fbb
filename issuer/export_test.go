package issuer

import "signet/users"

// MintAccess makes an access token for s.
func (i *Issuer) MintAccess(s *Session) (string, error) {
	p := i.policy.Load()
	token, _, err := i.mint("", TypJWT, p.accessClaims(s, users.User{ID: s.Subject}, newID(), i.instant()), p.MaxTokenBytes)
	return token, err
}
