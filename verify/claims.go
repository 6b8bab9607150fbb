package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"signet/internal/compactjws"
)

// Claims is what a verified token says (RFC 7519 §4.1, RFC 9068 §2.2). Each call of
// Verify returns Claims of its own, which the caller may change.
type Claims struct {
	Issuer    string
	Subject   string
	Audience  []string
	Expires   time.Time
	IssuedAt  time.Time
	NotBefore time.Time // zero if the token has no nbf
	ID        string    // jti
	ClientID  string
	Scope     string // separated by spaces
	SessionID string // sid
	UserID    string // user_id
	// Groups is the claim groups if that is a list of strings.
	Groups []string

	members compactjws.Members // never changed
	typ     string             // of the header, as shortType
	kid     string
	key     *Key
}

// Claim decodes the claim with this name, as encoding/json does. A claim that is
// missing or does not fit is an ErrClaim.
func (c *Claims) Claim(name string, into any) error {
	value, ok := c.members.Get(name)
	if !ok {
		return fmt.Errorf("%w: no %.50q", ErrClaim, name)
	}
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("%w: %.50q: %v", ErrClaim, name, err)
	}
	return nil
}

// Has tells whether there is a claim with this name.
func (c *Claims) Has(name string) bool {
	_, ok := c.members.Get(name)
	return ok
}

// HasScope tells whether the token was granted this scope (RFC 6749 §3.3).
func (c *Claims) HasScope(scope string) bool {
	for s := range strings.SplitSeq(c.Scope, " ") {
		if s == scope && s != "" {
			return true
		}
	}
	return false
}

// clone shares only what nobody can change.
func (c *Claims) clone() *Claims {
	d := *c
	d.Audience = slices.Clone(c.Audience)
	d.Groups = slices.Clone(c.Groups)
	return &d
}

// readClaims reads the payload of a token with a good signature.
func readClaims(t *token) (*Claims, error) {
	members, err := object(t.payload)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	c := &Claims{members: members, typ: shortType(t.header.typ)}
	for _, err := range []error{
		c.text("iss", &c.Issuer), c.text("sub", &c.Subject), c.text("jti", &c.ID),
		c.text("client_id", &c.ClientID), c.text("scope", &c.Scope), c.text("sid", &c.SessionID),
		c.instant("exp", &c.Expires), c.instant("iat", &c.IssuedAt), c.instant("nbf", &c.NotBefore),
		c.audience(), c.userID(), c.kind(),
	} {
		if err != nil {
			return nil, err
		}
	}
	if c.Claim("groups", &c.Groups) != nil {
		c.Groups = nil // RFC 9068 §2.2.3.1 allows other shapes: the caller reads them
	}
	return c, c.complete()
}

// value is a claim by its exact name; null is none.
func (c *Claims) value(name string) (json.RawMessage, bool) {
	value, ok := c.members.Get(name)
	return value, ok && !bytes.Equal(value, []byte("null"))
}

func (c *Claims) text(name string, into *string) error {
	value, ok := c.value(name)
	if ok && compactjws.Text(value, into) != nil {
		return fmt.Errorf("%w: %s is not a string", ErrClaim, name)
	}
	return nil
}

// instant reads a NumericDate, which may have a fraction (RFC 7519 §2).
func (c *Claims) instant(name string, into *time.Time) error {
	value, ok := c.value(name)
	if !ok {
		return nil
	}
	var seconds float64
	var whole int64
	if compactjws.Integer(value, &whole) == nil && whole >= 0 && whole <= compactjws.MaxNumericDate {
		*into = time.Unix(whole, 0)
		return nil
	}
	if json.Unmarshal(value, &seconds) != nil || seconds < 0 || seconds > compactjws.MaxNumericDate {
		return fmt.Errorf("%w: %s is not a date", ErrClaim, name)
	}
	floor, fraction := math.Modf(seconds)
	*into = time.Unix(int64(floor), int64(fraction*1e9))
	return nil
}

// audience is one string, or a list of them (RFC 7519 §4.1.3).
func (c *Claims) audience() error {
	value, ok := c.value("aud")
	if !ok {
		return nil
	}
	if value[0] == '"' {
		c.Audience = make([]string, 1)
		return c.text("aud", &c.Audience[0])
	}
	var list []*string
	if json.Unmarshal(value, &list) != nil || slices.Contains(list, nil) {
		return fmt.Errorf("%w: aud is neither a string nor a list of strings", ErrClaim)
	}
	for _, s := range list {
		c.Audience = append(c.Audience, *s)
	}
	return nil
}

// userID is a string, or a number, which simplejwt writes for a Django user.
func (c *Claims) userID() error {
	value, ok := c.value("user_id")
	var number json.Number
	if ok && value[0] != '"' && json.Unmarshal(value, &number) == nil {
		c.UserID = number.String()
		return nil
	}
	return c.text("user_id", &c.UserID)
}

// kind is the second thing that tells an access token from others. The typ at+jwt
// says it by itself; under JWT an identity token has the same issuer, and perhaps the
// same audience.
func (c *Claims) kind() error {
	value, ok := c.members.Get("token_type")
	switch {
	case ok && string(value) != `"access"`:
		return fmt.Errorf("%w: token_type %.20s", ErrWrongType, value)
	case !ok && c.typ != "at+jwt":
		return fmt.Errorf("%w: no token_type", ErrWrongType)
	}
	return nil
}

// complete holds the claims against those that must be there: without them a
// check would have nothing to check. RFC 9068 §2.2 asks at+jwt for more.
func (c *Claims) complete() error {
	required := []string{"iss", "sub", "aud", "exp", "iat"}
	if c.typ == "at+jwt" {
		required = append(required, "client_id", "jti")
	}
	for _, name := range required {
		if value, ok := c.value(name); !ok || string(value) == `""` {
			return fmt.Errorf("%w: no %s", ErrClaim, name)
		}
	}
	return nil
}

func (v *Verifier) checkClaims(c *Claims, now time.Time) error {
	switch {
	case c.Issuer != v.Issuer:
		return fmt.Errorf("%w: %.200q", ErrIssuer, c.Issuer)
	case !slices.Contains(c.Audience, v.Audience):
		return fmt.Errorf("%w: %.200q", ErrAudience, c.Audience)
	}
	return v.checkTime(c, now)
}

func (v *Verifier) checkTime(c *Claims, now time.Time) error {
	leeway := v.config.leeway
	switch {
	case !now.Before(c.Expires.Add(leeway)):
		return fmt.Errorf("%w at %s", ErrExpired, c.Expires.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore.Add(-leeway)):
		return fmt.Errorf("%w: nbf is %s", ErrNotYetValid, c.NotBefore.UTC().Format(time.RFC3339))
	case now.Before(c.IssuedAt.Add(-leeway)):
		return fmt.Errorf("%w: iat is %s", ErrNotYetValid, c.IssuedAt.UTC().Format(time.RFC3339))
	}
	return nil
}
