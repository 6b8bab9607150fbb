package verify

import "context"

// MaxAge is maxAge.
var MaxAge = maxAge

// CheckSignature does all of Verify that comes before the type and the claims.
func (v *Verifier) CheckSignature(ctx context.Context, text string) ([]byte, error) {
	if _, err := v.setup(); err != nil {
		return nil, err
	}
	t, err := parse(text, &v.latest)
	if err != nil {
		return nil, err
	}
	_, err = v.checkSignature(ctx, t)
	return t.payload, err
}
