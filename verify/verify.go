// Package verify is for resource servers: is this token ours, for me, now?
//
//	v := verify.New("https://login.example.com", "orders")
//	mux.Handle("/orders", v.Middleware(handler)) // claims from verify.FromContext
//
// Start at [New]. The [Verifier] finds the issuer's keys by discovery, keeps them
// fresh ([Remote]), and checks access tokens without asking anyone:
// [Verifier.Verify] for any text, [Verifier.Middleware] and
// [Verifier.RequireScope] for net/http and whatever takes its middleware, package
// grpcverify for gRPC. A token that was verified is remembered, so that its
// signature is checked once.
//
// It refuses the algorithm none and every HMAC, keys that a token brings along or
// points to (jwk, x5c, jku, x5u), critical extensions, encrypted tokens, the JSON
// serialisation, a text that is not the only one of its token's parts, refresh
// and identity tokens, and tokens of another issuer or for another service. It
// does not ask the issuer whether a token was revoked: a token lives until its
// exp, or until its key is no longer published.
//
// It opens no database and starts no server; a fetch of keys runs in the
// background only when a request has found them due.
package verify

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"signet/internal/compactjws"
	"signet/jwks"
)

// What a Verifier does where nothing else is said.
const (
	DefaultLeeway   = 30 * time.Second
	DefaultMaxBytes = 16 << 10
	// DefaultCacheSize is a number of tokens.
	DefaultCacheSize = 10_000
)

// algorithms are those that a Verifier can allow (RFC 7518 §3.1, RFC 8037 §3.1).
var algorithms = []string{"ES256", "RS256", "PS256", "ES384", "EdDSA"}

// Key is a public key with the one algorithm that it is used with.
type Key = jwks.Key

// KeySource has the public keys of an issuer. [Remote] fetches them, [Static]
// holds them.
type KeySource interface {
	// Key returns the key with this kid. ErrUnknownKey says that there is none,
	// ErrKeysUnavailable that it cannot be told. It returns the same pointer for
	// as long as the key stands: a verified token is remembered for that long.
	Key(ctx context.Context, kid string) (*Key, error)
}

// Verifier checks access tokens of one issuer for one audience. The zero Verifier
// refuses everything. Its fields must not be changed after the first use; its
// methods may then be called at the same time.
type Verifier struct {
	// Issuer is what iss must be, to the letter.
	Issuer string
	// Audience is this service; aud must name it.
	Audience string
	// Keys are the issuer's.
	Keys KeySource

	// Algorithms narrows what is allowed; nil allows ES256, RS256, PS256, ES384
	// and EdDSA. Others cannot be added.
	Algorithms []string
	// Types are the accepted values of the header's typ, without "application/";
	// nil means JWT and at+jwt. An empty string accepts tokens without typ.
	// Refresh tokens (rt+jwt) are never accepted.
	Types []string
	// Leeway allows for clocks that differ; 0 means DefaultLeeway, and a negative
	// one none.
	Leeway time.Duration
	// MaxBytes bounds the text of a token; 0 means DefaultMaxBytes.
	MaxBytes int
	// CacheSize is how many verified tokens are remembered; 0 means
	// DefaultCacheSize, and a negative one none.
	CacheSize int
	// Realm is named in WWW-Authenticate (RFC 6750 §3); empty means Audience.
	Realm string
	// Error answers a refused request in the Middleware, with the headers of the
	// refusal already set; nil writes Status and a short text.
	Error ErrorHandler
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	once   sync.Once
	config config
	latest latestHeader
}

// config is what follows from the fields.
type config struct {
	fault      error
	algorithms []string
	types      []string
	leeway     time.Duration
	maxBytes   int
	now        func() time.Time
	cache      *cache
}

// New returns a Verifier with the defaults, whose keys are a [Remote] that finds
// them by discovery. It fetches nothing before the first token arrives.
func New(issuer, audience string) *Verifier {
	return &Verifier{Issuer: issuer, Audience: audience, Keys: &Remote{Issuer: issuer}}
}

// Close ends what Keys does in the background. A Verifier that is no longer used
// does nothing in the background, closed or not.
func (v *Verifier) Close() error {
	if closer, ok := v.Keys.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Verify returns the claims of an access token that Issuer made for Audience and
// that is valid now. First the signature, then the claims (RFC 8725 §3.3, RFC 9068
// §4). Any error means that the token is not to be believed; which of the errors
// of this package it wraps says why.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	c, err := v.setup()
	if err != nil {
		return nil, err
	}
	if len(token) > c.maxBytes { // before any work that grows with it (CVE-2025-30204)
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(token), c.maxBytes)
	}
	now := c.now()
	if c.cache == nil || len(token) > maxCachedBytes {
		return v.first(ctx, token, now)
	}
	id := identify(token)
	if claims := c.cache.get(id); claims != nil && v.stands(ctx, claims) {
		if err := v.checkTime(claims, now); err != nil {
			c.cache.remove(id)
			return nil, err
		}
		return claims.clone(), nil
	}
	claims, err := v.first(ctx, token, now)
	if err != nil {
		c.cache.remove(id)
		return nil, err
	}
	c.cache.add(id, claims)
	return claims.clone(), nil
}

// first verifies a token that was not seen before.
func (v *Verifier) first(ctx context.Context, text string, now time.Time) (*Claims, error) {
	t, err := parse(text, &v.latest)
	if err != nil {
		return nil, err
	}
	key, err := v.checkSignature(ctx, t)
	if err != nil {
		return nil, err
	}
	v.latest.keep(t)
	if !v.acceptsType(t.header.typ) {
		return nil, fmt.Errorf("%w: typ %.30q", ErrWrongType, t.header.typ)
	}
	claims, err := readClaims(t)
	if err != nil {
		return nil, err
	}
	claims.key, claims.kid = key, t.header.kid
	if err := v.checkClaims(claims, now); err != nil {
		return nil, err
	}
	return claims, nil
}

// stands tells whether the key that once verified a token is still the issuer's,
// and the very one: as soon as a source has new keys, each token is verified anew.
func (v *Verifier) stands(ctx context.Context, claims *Claims) bool {
	key, err := v.Keys.Key(ctx, claims.kid)
	return err == nil && key == claims.key
}

func (v *Verifier) checkSignature(ctx context.Context, t *token) (*Key, error) {
	h := t.header
	if !slices.Contains(v.config.algorithms, h.alg) {
		return nil, fmt.Errorf("%w: %.20q", ErrAlgorithm, h.alg)
	}
	key, err := v.Keys.Key(ctx, h.kid)
	switch {
	case err != nil:
		return nil, err
	case key == nil:
		return nil, fmt.Errorf("%w: %.50q", ErrUnknownKey, h.kid)
	case key.Alg != h.alg:
		return nil, fmt.Errorf("%w: kid %.50q, alg %.20q", ErrKeyAlgorithm, h.kid, h.alg)
	case !compactjws.Signed(key.Alg, key.Public, t.signingInput, t.signature):
		return nil, ErrSignature
	}
	return key, nil
}

// acceptsType compares typ as the media type that it is (RFC 7515 §4.1.9).
func (v *Verifier) acceptsType(typ string) bool {
	typ = shortType(typ)
	return typ != typRefresh && slices.Contains(v.config.types, typ)
}

const typRefresh = "rt+jwt"

func shortType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// setup reads the fields once.
func (v *Verifier) setup() (*config, error) {
	if v == nil {
		return nil, fmt.Errorf("%w: it is nil", ErrConfig)
	}
	v.once.Do(func() { v.config = v.read() })
	return &v.config, v.config.fault
}

func (v *Verifier) read() config {
	c := config{
		fault: v.check(), algorithms: algorithms, types: []string{"jwt", "at+jwt"},
		leeway: DefaultLeeway, maxBytes: DefaultMaxBytes, now: time.Now,
		cache: newCache(v.CacheSize),
	}
	if v.Algorithms != nil {
		c.algorithms = slices.Clone(v.Algorithms)
	}
	if v.Types != nil {
		c.types = nil
		for _, typ := range v.Types {
			c.types = append(c.types, shortType(typ))
		}
	}
	if v.Leeway != 0 {
		c.leeway = max(v.Leeway, 0)
	}
	if v.MaxBytes > 0 {
		c.maxBytes = v.MaxBytes
	}
	if v.Now != nil {
		c.now = v.Now
	}
	return c
}

func (v *Verifier) check() error {
	switch {
	case v.Issuer == "":
		return fmt.Errorf("%w: no issuer", ErrConfig)
	case v.Audience == "":
		return fmt.Errorf("%w: no audience", ErrConfig)
	case v.Keys == nil:
		return fmt.Errorf("%w: no keys", ErrConfig)
	}
	for _, alg := range v.Algorithms {
		if !slices.Contains(algorithms, alg) {
			return fmt.Errorf("%w: algorithm %.20q cannot be allowed", ErrConfig, alg)
		}
	}
	return nil
}
