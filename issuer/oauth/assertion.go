package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"signet/internal/compactjws"
)

// AssertionType is the client_assertion_type of a JWT (RFC 7523 §2.2).
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Limits of an assertion: bytes, how long it may live, and by how much clocks may
// differ. It is made for one request; a long life is only good for a thief.
const (
	maxAssertionBytes = 8 << 10
	maxAssertionLife  = 10 * time.Minute
	assertionLeeway   = 30 * time.Second
)

// assertion is the claims of a client assertion (RFC 7523 §3).
type assertion struct {
	issuer, subject, audience, id string
	expires, notBefore            int64
}

// authenticateAssertion returns the client that signed the assertion for this issuer,
// and has not used it before (RFC 7523 §3); with an error the one that it names.
func (r *Clients) authenticateAssertion(ctx context.Context, given Credentials) (Client, error) {
	token, err := compactjws.Parse(given.Assertion, maxAssertionBytes)
	if err != nil {
		return Client{}, wrongAssertion(err)
	}
	claims, err := readAssertion(token.Payload)
	if err != nil {
		return Client{}, wrongAssertion(err)
	}
	c, err := r.store.Client(ctx, claims.subject)
	if err != nil && !errors.Is(err, ErrNoClient) {
		return Client{}, err
	}
	if err := verifyAssertion(c.Keys, token); err != nil {
		return c, wrongAssertion(err)
	}
	if err := claims.check(given, r.now()); err != nil {
		return c, wrongAssertion(err)
	}
	switch err := r.store.UseAssertion(ctx, c.ID, claims.id, time.Unix(claims.expires, 0)); {
	case errors.Is(err, ErrReplayed):
		return c, wrongAssertion(err)
	case err != nil:
		return Client{}, err
	}
	return c, nil
}

// wrongAssertion keeps the reason for the log: whoever presents it learns nothing.
func wrongAssertion(cause error) error {
	return &Error{Code: InvalidClient, Description: "the client is unknown or its assertion is not good", Cause: cause}
}

// readAssertion reads the claims by their exact names. An audience that is a list is
// refused, also of one: it is for this issuer alone (rfc7523bis §4).
func readAssertion(payload []byte) (*assertion, error) {
	members, err := compactjws.Object(payload)
	if err != nil {
		return nil, err
	}
	var a assertion
	for _, field := range []struct {
		name     string
		into     any
		optional bool
	}{
		{"iss", &a.issuer, false}, {"sub", &a.subject, false}, {"aud", &a.audience, false},
		{"jti", &a.id, false}, {"exp", &a.expires, false}, {"nbf", &a.notBefore, true},
	} {
		value, ok := members[field.name]
		if !ok && field.optional {
			continue
		}
		if !ok || string(value) == "null" || json.Unmarshal(value, field.into) != nil {
			return nil, fmt.Errorf("the assertion's %s is missing or of a wrong form", field.name)
		}
	}
	if min(a.expires, a.notBefore) < 0 || max(a.expires, a.notBefore) > compactjws.MaxNumericDate {
		return nil, errors.New("a time of the assertion is out of range")
	}
	return &a, nil
}

// verifyAssertion checks the signature with the key of the client that the kid names,
// or with its only one.
func verifyAssertion(keys []byte, token *compactjws.Token) error {
	if len(keys) == 0 {
		return errors.New("the client has no keys")
	}
	if typ := token.Header.Typ; !slices.Contains([]string{"", "JWT", "client-authentication+jwt"}, typ) {
		return fmt.Errorf("a token of type %.30q is no client assertion", typ)
	}
	set, err := jwk.Parse(keys)
	if err != nil {
		return fmt.Errorf("the client's keys: %w", err)
	}
	key, ok := set.LookupKeyID(token.Header.KID)
	if token.Header.KID == "" && set.Len() == 1 {
		key, ok = set.Key(0)
	}
	if !ok || key.Algorithm().String() != token.Header.Alg { // RFC 8725 §3.1
		return errors.New("no key of the client with this kid and algorithm")
	}
	verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(token.Header.Alg))
	if err != nil {
		return err
	}
	var public any
	if err := key.Raw(&public); err != nil {
		return err
	}
	return verifier.Verify(token.SigningInput, token.Signature, public)
}

// check holds the claims against the request, once the signature is known to be good.
func (a *assertion) check(given Credentials, now time.Time) error {
	expires := time.Unix(a.expires, 0)
	switch {
	case a.issuer != a.subject || given.ID != "" && given.ID != a.subject:
		return errors.New("iss, sub and client_id are not one client")
	case a.audience != given.Issuer:
		return errors.New("the assertion is for another audience")
	case a.id == "" || len(a.id) > maxValueBytes:
		return errors.New("the jti is empty or too long")
	case !now.Before(expires.Add(assertionLeeway)):
		return errors.New("the assertion has expired")
	case expires.After(now.Add(maxAssertionLife + assertionLeeway)):
		return errors.New("the assertion lives too long")
	case time.Unix(a.notBefore, 0).After(now.Add(assertionLeeway)):
		return errors.New("the assertion is not valid yet")
	}
	return nil
}

// sweepEvery is the pause between two sweeps of used assertions, sweepStep how many
// one step forgets: no writer waits for more.
const (
	sweepEvery = time.Minute
	sweepStep  = 500
)

// Run forgets used assertions that have expired, until ctx ends. They are kept past
// the leeway that an assertion is given.
func (r *Clients) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		r.sweep(ctx) // what failed is tried again the next time
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (r *Clients) sweep(ctx context.Context) {
	passed, err := r.passed(ctx)
	for n := sweepStep; err == nil && n == sweepStep; {
		n, err = r.store.SweepAssertions(ctx, passed.Add(-2*assertionLeeway), sweepStep)
	}
}
