package keystore

import (
	"crypto"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"signet/internal/compactjws"
	"signet/jwks"
)

// snapshot is a ring with its keys opened. Only its cached document changes.
type snapshot struct {
	ring  Ring
	known known
	keys  map[string]*openKey
	doc   atomic.Pointer[builtDocument]
}

// openKey is a key in the form that signing and verifying use.
type openKey struct {
	stored *Key // in snapshot.ring
	*material
}

// material is what does not change while a key lives: it is made once and
// shared by the snapshots.
type material struct {
	kid    string
	jwk    jwk.Key // public
	public any

	private       crypto.Signer // nil if there is no private half
	signatureSize int
	prefixes      sync.Map // typ -> encoded protected header and a dot
}

type builtDocument struct {
	from, until time.Time // until is zero while no change is planned
	held        bool
	*jwks.Document
}

// newSnapshot opens ring. What previous has opened is taken over, except for
// private halves that ring no longer holds.
func newSnapshot(ring Ring, previous *snapshot, open privateHalves) (*snapshot, error) {
	s := &snapshot{ring: ring, keys: make(map[string]*openKey, len(ring.Keys))}
	for i := range ring.Keys {
		k := &ring.Keys[i]
		if previous != nil {
			if known := previous.keys[k.KID]; known != nil && (known.private != nil) == (k.Sealed != "") {
				s.keys[k.KID] = &openKey{stored: k, material: known.material}
				continue
			}
		}
		m, err := newMaterial(k, open)
		if err != nil {
			return nil, err
		}
		s.keys[k.KID] = &openKey{stored: k, material: m}
	}
	return s, nil
}

func newMaterial(k *Key, open privateHalves) (*material, error) {
	m := &material{kid: k.KID}
	var err error
	if m.jwk, err = jwk.ParseKey(k.Public); err != nil {
		return nil, fmt.Errorf("key %s: the public half cannot be read: %w", k.KID, err)
	}
	if kid, err := thumbprint(m.jwk); err != nil || kid != k.KID {
		return nil, fmt.Errorf("key %s: the public half is of another key", k.KID)
	}
	if err := m.jwk.Raw(&m.public); err != nil {
		return nil, fmt.Errorf("key %s: the public half cannot be read: %w", k.KID, err)
	}
	if k.Sealed == "" {
		return m, nil
	}
	if m.private, err = open.private(k, m.public); err != nil {
		return nil, err
	}
	if !slices.Contains(Algorithms, k.Alg) {
		return nil, fmt.Errorf("key %s: %w: %.20q", k.KID, ErrAlgorithm, k.Alg)
	}
	m.signatureSize = signatureSize(m.public)
	return m, nil
}

// prefix is the encoded protected header for typ, built once.
func (k *openKey) prefix(typ string) []byte {
	if p, ok := k.prefixes.Load(typ); ok {
		return p.([]byte)
	}
	header := compactjws.Header{Alg: k.stored.Alg, KID: k.kid, Typ: typ}
	p, _ := k.prefixes.LoadOrStore(typ, header.Prefix())
	return p.([]byte)
}

// signer returns the key that signs for alg at now, or for an empty alg the key
// of the first algorithm that has one.
func (s *snapshot) signer(alg string, now time.Time) (*openKey, error) {
	var k *Key
	switch {
	case alg == "":
		k = s.anySigner(now)
	case !slices.Contains(s.ring.Policy.Algorithms, alg):
		return nil, fmt.Errorf("%w: %q is not among keys.algorithms", ErrAlgorithm, alg)
	default:
		k = s.ring.signer(alg, now)
		if k == nil && s.ring.missesTurn(alg, now) {
			k = s.ring.reserve(alg, now)
		}
	}
	if k == nil {
		return nil, fmt.Errorf("%w: none signs at %s", ErrNoKey, now.UTC().Format(time.RFC3339))
	}
	return s.keys[k.KID], nil
}

// anySigner returns a key of the first algorithm that has one; then one of an
// algorithm that is on its way out, which signs until those that replace it may;
// and only if the clock leaves no key its turn one that stands in.
func (s *snapshot) anySigner(now time.Time) *Key {
	for _, alg := range s.ring.Policy.Algorithms {
		if k := s.ring.signer(alg, now); k != nil {
			return k
		}
	}
	for i := range s.ring.Keys {
		if k := &s.ring.Keys[i]; k.State(now) == Active && k.Sealed != "" {
			return k
		}
	}
	for _, alg := range s.ring.Policy.Algorithms {
		if k := s.ring.reserve(alg, now); k != nil {
			return k
		}
	}
	return nil
}

// document returns the key set of the instant, built once per change. While the
// schedule is stopped none announces when it changes: that is of another time than the
// clock of those who ask.
func (s *snapshot) document(at instant) (*jwks.Document, error) {
	now := at.ends()
	if d := s.doc.Load(); d != nil && d.held == at.held && !now.Before(d.from) && (d.until.IsZero() || now.Before(d.until)) {
		return d.Document, nil
	}
	var keys []jwk.Key
	for i := range s.ring.Keys {
		if k := &s.ring.Keys[i]; k.published(now) {
			keys = append(keys, s.keys[k.KID].jwk)
		}
	}
	until := s.ring.nextChange(now)
	announced := until
	if at.held {
		announced = time.Time{}
	}
	doc, err := jwks.NewDocument(keys, announced)
	if err != nil {
		return nil, err
	}
	s.doc.Store(&builtDocument{from: now, until: until, held: at.held, Document: doc})
	return doc, nil
}
