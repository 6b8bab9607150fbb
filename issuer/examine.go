package issuer

import "context"

// Finding is what the issuer knows of a token.
type Finding struct {
	// Claims are nil unless the signature is good.
	Claims *Claims
	// Session is that of the token; the zero one if it has none or that was not found.
	Session Session
}

// Examine is Inspect for who may be told everything: what is known comes with an error
// too.
func (i *Issuer) Examine(ctx context.Context, token string) (Finding, error) {
	now := i.instant()
	c, err := i.parse(token, now)
	found := Finding{Claims: c}
	if err != nil || c.Session == "" {
		return found, err
	}
	_, found.Session, err = i.alive(ctx, i.policy.Load(), c, now)
	return found, err
}

// replacedError is ErrNoSession of a session that lives: whoever presents the token gets
// nothing, and need not know why.
type replacedError struct{}

func (replacedError) Error() string { return "the refresh token was replaced by another" }
func (replacedError) Unwrap() error { return ErrNoSession }
