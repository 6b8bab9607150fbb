// Package jwks is the published key document: what the world may know of the
// signing keys, and how long it may believe it.
//
// Start at [NewDocument], which builds the JWK Set (RFC 7517 §5) once, at [Handler],
// which serves it, and at [Parse], which reads one on the other side. A Document
// holds the members that verify a signature and no others: whatever it is given,
// private and symmetric members do not come out. Serving reads no database.
package jwks

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Errors that NewDocument wraps.
var (
	// ErrSymmetric: a symmetric key has no public half to publish.
	ErrSymmetric = errors.New("a symmetric key cannot be published")
	// ErrKey: the key lacks a kid or an alg, shares its kid with another, or is
	// of a type that is not published.
	ErrKey = errors.New("key cannot be published")
)

// ContentType is the media type of a JWK Set (RFC 7517 §8.5.2).
const ContentType = "application/jwk-set+json"

// Document is one JWK Set, ready to be sent. It is never changed.
type Document struct {
	body   []byte
	etag   string
	kids   []string
	change time.Time
	// tag and length are the header fields of etag and of len(body).
	tag, length []string
}

// NewDocument publishes the public halves of keys, in their order. change is the
// next instant at which the set is planned to differ, zero if none is planned.
// Every key needs a distinct kid and an alg.
func NewDocument(keys []jwk.Key, change time.Time) (*Document, error) {
	set := struct {
		Keys []publicKey `json:"keys"`
	}{Keys: make([]publicKey, 0, len(keys))}
	kids := make([]string, 0, len(keys))
	for _, key := range keys {
		public, err := publish(key)
		if err != nil {
			return nil, err
		}
		if slices.Contains(kids, public.KID) {
			return nil, fmt.Errorf("%w: two keys have the kid %q", ErrKey, public.KID)
		}
		kids = append(kids, public.KID)
		set.Keys = append(set.Keys, public)
	}
	body, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("encode the key set: %w", err)
	}
	sum := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	return &Document{body: body, etag: etag, kids: kids, change: change,
		tag: []string{etag}, length: []string{strconv.Itoa(len(body))}}, nil
}

// Body is the JSON text. The caller must not change it.
func (d *Document) Body() []byte { return d.body }

// ETag is the strong entity tag of Body, quoted (RFC 9110 §8.8.3).
func (d *Document) ETag() string { return d.etag }

// KIDs are the kids of its keys, in their order. The caller must not change them.
func (d *Document) KIDs() []string { return d.kids }

// Change is the next instant at which the set is planned to differ; zero if none is.
func (d *Document) Change() time.Time { return d.change }

// MaxAge is how long a cache may keep the document from now on: limit, or the
// time to the next planned change if that is shorter; never negative.
func (d *Document) MaxAge(now time.Time, limit time.Duration) time.Duration {
	if !d.change.IsZero() {
		limit = min(limit, d.change.Sub(now))
	}
	return max(limit, 0)
}

// publicKey lists the members that leave the issuer (RFC 7517 §4, RFC 7518 §6.2.1,
// §6.3.1, RFC 8037 §2). No member of a private key has a place in it.
type publicKey struct {
	KTY string `json:"kty"`
	KID string `json:"kid"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
}

func publish(key jwk.Key) (publicKey, error) {
	if _, symmetric := key.(jwk.SymmetricKey); symmetric {
		return publicKey{}, fmt.Errorf("%w: kid %q", ErrSymmetric, key.KeyID())
	}
	public, err := key.PublicKey()
	if err != nil {
		return publicKey{}, fmt.Errorf("%w: kid %q: %v", ErrKey, key.KeyID(), err)
	}
	raw, err := json.Marshal(public)
	if err != nil {
		return publicKey{}, fmt.Errorf("%w: kid %q: %v", ErrKey, key.KeyID(), err)
	}
	var out publicKey
	if err := json.Unmarshal(raw, &out); err != nil {
		return publicKey{}, fmt.Errorf("%w: kid %q: %v", ErrKey, key.KeyID(), err)
	}
	out.Use = "sig"
	if out.KID == "" || out.Alg == "" {
		return publicKey{}, fmt.Errorf("%w: it needs a kid and an alg", ErrKey)
	}
	return out, nil
}
