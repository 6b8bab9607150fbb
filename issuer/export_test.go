package issuer

// MintAccess makes an access token for s.
func (i *Issuer) MintAccess(s *Session) (string, error) {
	p := i.policy.Load()
	token, _, err := i.mint("", TypJWT, p.accessClaims(s, newID(), i.instant()), p.MaxTokenBytes)
	return token, err
}
