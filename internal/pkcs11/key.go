//go:build pkcs11

package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"

	p11 "github.com/miekg/pkcs11"
)

// labelPrefix begins the CKA_LABEL of every key that is made here.
const labelPrefix = "signet "

// kind is how keys for an algorithm are made.
type kind struct {
	mechanism uint
	params    []byte // CKA_EC_PARAMS
	curve     elliptic.Curve
}

var kinds = map[string]kind{
	"RS256": {mechanism: p11.CKM_RSA_PKCS_KEY_PAIR_GEN},
	"PS256": {mechanism: p11.CKM_RSA_PKCS_KEY_PAIR_GEN},
	"ES256": {p11.CKM_EC_KEY_PAIR_GEN, []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"), elliptic.P256()},
	"ES384": {p11.CKM_EC_KEY_PAIR_GEN, []byte("\x06\x05\x2b\x81\x04\x00\x22"), elliptic.P384()},
	"EdDSA": {ckmEdwardsKeyPairGen, []byte("\x13\x0cedwards25519"), nil},
}

// Of PKCS #11 v3.0, which the binding does not know.
const (
	ckmEdwardsKeyPairGen = 0x1055
	ckmEdDSA             = 0x1057
	ckkEdwards           = 0x40
)

// Make makes a key pair for a JWS algorithm. kid names it by its public half, in its
// label. A key that the token would give away, or that it does not sign with, is
// destroyed and refused.
func (t *Token) Make(alg string, rsaBits int, kid func(crypto.PublicKey) (string, error)) (ref string, public crypto.PublicKey, err error) {
	k, ok := kinds[alg]
	if !ok {
		return "", nil, t.errorf("no keys for %q are made in a token", alg)
	}
	id := make([]byte, 16)
	rand.Read(id)
	err = t.with(func(s session) error {
		public, err = k.make(s, alg, id, rsaBits, kid)
		return err
	})
	if err == nil {
		err = t.proves(alg, id, public)
	}
	if err != nil {
		err = t.errorf("it makes no key for %s: %w", alg, unsupported(err))
		return "", nil, errors.Join(err, t.destroy(id))
	}
	return newRef(t.opts.Token, id), public, nil
}

func unsupported(err error) error {
	for _, code := range []p11.Error{p11.CKR_MECHANISM_INVALID, p11.CKR_CURVE_NOT_SUPPORTED, p11.CKR_DOMAIN_PARAMS_INVALID} {
		if errors.Is(err, code) {
			return fmt.Errorf("it does not support that (%w): leave it out of keys.algorithms", err)
		}
	}
	return err
}

func (k kind) make(s session, alg string, id []byte, rsaBits int, kid func(crypto.PublicKey) (string, error)) (crypto.PublicKey, error) {
	public, private := k.templates(labelPrefix+alg, id, rsaBits)
	mechanism := []*p11.Mechanism{p11.NewMechanism(k.mechanism, nil)}
	publicHandle, privateHandle, err := s.GenerateKeyPair(s.handle, mechanism, public, private)
	if err != nil {
		return nil, err
	}
	if err := s.keepsIn(privateHandle); err != nil {
		return nil, err
	}
	made, err := s.public(publicHandle)
	if err != nil {
		return nil, err
	}
	name, err := kid(made)
	if err != nil {
		return nil, err
	}
	label := []*p11.Attribute{p11.NewAttribute(p11.CKA_LABEL, labelPrefix+alg+" "+name)}
	for _, handle := range []p11.ObjectHandle{publicHandle, privateHandle} {
		s.SetAttributeValue(s.handle, handle, label) // some tokens change no label: they keep the shorter one
	}
	return made, nil
}

func (k kind) templates(label string, id []byte, rsaBits int) (public, private []*p11.Attribute) {
	common := func(class uint, own ...*p11.Attribute) []*p11.Attribute {
		return append(own, p11.NewAttribute(p11.CKA_CLASS, class), p11.NewAttribute(p11.CKA_TOKEN, true),
			p11.NewAttribute(p11.CKA_ID, id), p11.NewAttribute(p11.CKA_LABEL, label))
	}
	public = common(p11.CKO_PUBLIC_KEY, p11.NewAttribute(p11.CKA_VERIFY, true), p11.NewAttribute(p11.CKA_PRIVATE, false))
	private = common(p11.CKO_PRIVATE_KEY, p11.NewAttribute(p11.CKA_SIGN, true), p11.NewAttribute(p11.CKA_PRIVATE, true),
		p11.NewAttribute(p11.CKA_SENSITIVE, true), p11.NewAttribute(p11.CKA_EXTRACTABLE, false))
	if k.params != nil {
		public = append(public, p11.NewAttribute(p11.CKA_EC_PARAMS, k.params))
		return public, append(private, p11.NewAttribute(p11.CKA_DERIVE, false))
	}
	public = append(public, p11.NewAttribute(p11.CKA_MODULUS_BITS, rsaBits), p11.NewAttribute(p11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}))
	return public, append(private, p11.NewAttribute(p11.CKA_DECRYPT, false), p11.NewAttribute(p11.CKA_UNWRAP, false))
}

// keepsIn refuses a private key that a token would give away although it was told not to.
func (s session) keepsIn(private p11.ObjectHandle) error {
	is, err := s.GetAttributeValue(s.handle, private, []*p11.Attribute{
		p11.NewAttribute(p11.CKA_SENSITIVE, nil), p11.NewAttribute(p11.CKA_EXTRACTABLE, nil),
	})
	if err != nil {
		return err
	}
	if !bytes.Equal(is[0].Value, []byte{1}) || !bytes.Equal(is[1].Value, []byte{0}) {
		return errors.New("it makes private keys that can be read out of it")
	}
	return nil
}

// public reads a public key.
func (s session) public(handle p11.ObjectHandle) (crypto.PublicKey, error) {
	read := func(types ...uint) ([]*p11.Attribute, error) {
		var attributes []*p11.Attribute
		for _, t := range types {
			attributes = append(attributes, p11.NewAttribute(t, nil))
		}
		return s.GetAttributeValue(s.handle, handle, attributes)
	}
	what, err := read(p11.CKA_KEY_TYPE)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(what[0].Value, p11.NewAttribute(p11.CKA_KEY_TYPE, uint(p11.CKK_RSA)).Value) {
		n, err := read(p11.CKA_MODULUS, p11.CKA_PUBLIC_EXPONENT)
		if err != nil {
			return nil, err
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n[0].Value), E: int(new(big.Int).SetBytes(n[1].Value).Int64())}, nil
	}
	point, err := read(p11.CKA_EC_PARAMS, p11.CKA_EC_POINT)
	if err != nil {
		return nil, err
	}
	return parsePoint(point[0].Value, point[1].Value)
}

func parsePoint(params, point []byte) (crypto.PublicKey, error) {
	var inner []byte
	if rest, err := asn1.Unmarshal(point, &inner); err != nil || len(rest) > 0 {
		inner = point // some tokens leave out the OCTET STRING around it
	}
	for _, k := range kinds {
		switch {
		case k.params == nil || !bytes.Equal(k.params, params):
		case k.curve != nil:
			return ecdsa.ParseUncompressedPublicKey(k.curve, inner)
		case len(inner) == ed25519.PublicKeySize:
			return ed25519.PublicKey(inner), nil
		}
	}
	return nil, errors.New("the token has a key on a curve that signet does not know")
}

// find returns the objects with these attributes.
func (s session) find(attributes ...*p11.Attribute) (found []p11.ObjectHandle, err error) {
	if err := s.FindObjectsInit(s.handle, attributes); err != nil {
		return nil, err
	}
	for {
		some, _, err := s.FindObjects(s.handle, 100)
		if err != nil || len(some) == 0 {
			return found, errors.Join(err, s.FindObjectsFinal(s.handle))
		}
		found = append(found, some...)
	}
}

func (s session) one(class uint, id []byte) (p11.ObjectHandle, error) {
	found, err := s.find(p11.NewAttribute(p11.CKA_CLASS, class), p11.NewAttribute(p11.CKA_ID, id))
	switch {
	case err != nil:
		return 0, err
	case len(found) != 1:
		return 0, fmt.Errorf("%d objects have the CKA_ID %X where one is expected", len(found), id)
	}
	return found[0], nil
}

// Open finds the key that Make has named.
func (t *Token) Open(ref string) (crypto.Signer, error) {
	id, err := t.id(ref)
	if err != nil {
		return nil, err
	}
	k := &signer{token: t, id: id}
	err = t.with(func(s session) error {
		if _, err := k.object(s); err != nil {
			return err
		}
		handle, err := s.one(p11.CKO_PUBLIC_KEY, id)
		if err != nil {
			return err
		}
		k.public, err = s.public(handle)
		return err
	})
	if err != nil {
		return nil, t.errorf("it has no key %s: %w", ref, err)
	}
	return k, nil
}

func (t *Token) id(ref string) ([]byte, error) {
	token, id, err := parseRef(ref)
	if err == nil && token != t.opts.Token {
		err = t.errorf("the key %s is in the token %q", ref, token)
	}
	return id, err
}

// Destroy destroys both halves. That they are gone already is no error.
func (t *Token) Destroy(ref string) error {
	id, err := t.id(ref)
	if err != nil {
		return err
	}
	return t.destroy(id)
}

func (t *Token) destroy(id []byte) error {
	err := t.with(func(s session) error {
		found, err := s.find(p11.NewAttribute(p11.CKA_ID, id))
		for _, handle := range found {
			err = errors.Join(err, s.DestroyObject(s.handle, handle))
		}
		return err
	})
	if err != nil {
		return t.errorf("a key was not destroyed: %w", err)
	}
	return nil
}

// Refs are all keys that signet has made in the token.
func (t *Token) Refs() (refs []string, err error) {
	err = t.with(func(s session) error {
		refs = nil
		found, err := s.find(p11.NewAttribute(p11.CKA_CLASS, uint(p11.CKO_PRIVATE_KEY)))
		if err != nil {
			return err
		}
		for _, handle := range found {
			is, err := s.GetAttributeValue(s.handle, handle, []*p11.Attribute{p11.NewAttribute(p11.CKA_LABEL, nil), p11.NewAttribute(p11.CKA_ID, nil)})
			if err != nil {
				return err
			}
			if strings.HasPrefix(string(is[0].Value), labelPrefix) {
				refs = append(refs, newRef(t.opts.Token, is[1].Value))
			}
		}
		return nil
	})
	if err != nil {
		return nil, t.errorf("its keys cannot be listed: %w", err)
	}
	return refs, nil
}
