package verify_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"signet/verify"
)

// What a token is told does not depend on the header of the one before.
func TestHeadersAreNotConfused(t *testing.T) {
	one, two := newKey(t, "ES256", "one"), newKey(t, "ES256", "two")
	now := time.Now()
	good := one.token(now, nil, nil)
	rest := good[strings.IndexByte(good, '.'):]
	cases := map[string]struct {
		token string
		want  error
	}{
		"good":                      {good, nil},
		"good, of another key":      {two.token(now, nil, nil), nil},
		"good, of another typ":      {one.token(now, object{"typ": "JWT"}, nil), nil},
		"refresh token":             {one.token(now, object{"typ": "rt+jwt"}, nil), verify.ErrWrongType},
		"critical extension":        {one.token(now, object{"crit": []string{"x"}}, nil), verify.ErrHeader},
		"the other key's kid":       {two.token(now, object{"kid": "one"}, nil), verify.ErrSignature},
		"no signature":              {unsigned("none", "{}"), verify.ErrAlgorithm},
		"unknown kid":               {one.token(now, object{"kid": "three"}, nil), verify.ErrUnknownKey},
		"another header, signed as": {b64([]byte(`{"alg":"ES256","kid":"one","typ":"at+jwt","x":1}`)) + rest, verify.ErrSignature},
		"header cut off":            {good[1:], verify.ErrMalformed},
	}
	v := static(t, one, two)
	v.CacheSize = -1
	for first, before := range cases {
		for name, tt := range cases {
			if _, err := v.Verify(t.Context(), before.token); !errors.Is(err, before.want) {
				t.Fatalf("%s: %v, want %v", first, err, before.want)
			}
			if _, err := v.Verify(t.Context(), tt.token); !errors.Is(err, tt.want) {
				t.Errorf("%s, after %s: %v, want %v", name, first, err, tt.want)
			}
		}
	}
}
