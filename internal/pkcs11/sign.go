//go:build pkcs11

package pkcs11

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"

	p11 "github.com/miekg/pkcs11"
)

// signer is a private key in the token.
type signer struct {
	token  *Token
	id     []byte
	public crypto.PublicKey

	mu     sync.Mutex
	handle p11.ObjectHandle
	of     *connection // that handle is of
}

// Public returns the public half.
func (k *signer) Public() crypto.PublicKey { return k.public }

// object finds the private key, once for each connection.
func (k *signer) object(s session) (p11.ObjectHandle, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == s.connection {
		return k.handle, nil
	}
	handle, err := s.one(p11.CKO_PRIVATE_KEY, k.id)
	if err == nil {
		k.handle, k.of = handle, s.connection
	}
	return handle, err
}

// Sign signs a digest or, for Ed25519, a message, as crypto.Signer says. The randomness
// is that of the token.
func (k *signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	mechanism, input, err := mechanismFor(k.public, digest, opts)
	if err != nil {
		return nil, err
	}
	var signature []byte
	err = k.token.with(func(s session) error {
		handle, err := k.object(s)
		if err != nil {
			return err
		}
		if err := s.SignInit(s.handle, []*p11.Mechanism{mechanism}, handle); err != nil {
			return err
		}
		signature, err = s.Sign(s.handle, input)
		return err
	})
	if err != nil {
		return nil, k.token.errorf("it does not sign: %w", err)
	}
	if _, ok := k.public.(*ecdsa.PublicKey); ok {
		return asASN1(signature)
	}
	return signature, nil
}

// sha256Prefix begins the DigestInfo of SHA-256 (RFC 8017 §9.2, note 1).
var sha256Prefix = []byte("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20")

func mechanismFor(public crypto.PublicKey, digest []byte, opts crypto.SignerOpts) (*p11.Mechanism, []byte, error) {
	if hash := opts.HashFunc(); hash != 0 && len(digest) != hash.Size() {
		return nil, nil, fmt.Errorf("a digest of %d bytes is not one of %s", len(digest), hash)
	}
	switch public.(type) {
	case *ecdsa.PublicKey:
		return p11.NewMechanism(p11.CKM_ECDSA, nil), digest, nil
	case ed25519.PublicKey:
		if opts.HashFunc() != 0 {
			return nil, nil, errors.New("Ed25519 signs messages, not digests")
		}
		return p11.NewMechanism(ckmEdDSA, nil), digest, nil
	}
	if opts.HashFunc() != crypto.SHA256 {
		return nil, nil, fmt.Errorf("RSA signs SHA-256 here, not %s", opts.HashFunc())
	}
	if _, pss := opts.(*rsa.PSSOptions); pss { // RFC 7518 §3.5: MGF1 with the same hash, a salt of its length
		params := p11.NewPSSParams(p11.CKM_SHA256, p11.CKG_MGF1_SHA256, sha256.Size)
		return p11.NewMechanism(p11.CKM_RSA_PKCS_PSS, params), digest, nil
	}
	return p11.NewMechanism(p11.CKM_RSA_PKCS, nil), append(append([]byte{}, sha256Prefix...), digest...), nil
}

// asASN1 turns r and s, as a token writes them, into what crypto.Signer gives.
func asASN1(signature []byte) ([]byte, error) {
	half := len(signature) / 2
	if half == 0 || len(signature)%2 != 0 {
		return nil, fmt.Errorf("the token gave an ECDSA signature of %d bytes", len(signature))
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]),
	})
}

// proves signs and verifies once: a token may make keys for a mechanism that it lacks.
func (t *Token) proves(alg string, id []byte, public crypto.PublicKey) error {
	message := []byte("signet makes a key")
	digest := sha256.Sum256(message)
	k := &signer{token: t, id: id, public: public}
	good := false
	var signature []byte
	var err error
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		signature, err = k.Sign(nil, digest[:], crypto.SHA256)
		good = err == nil && ecdsa.VerifyASN1(key, digest[:], signature)
	case ed25519.PublicKey:
		signature, err = k.Sign(nil, message, crypto.Hash(0))
		good = err == nil && ed25519.Verify(key, message, signature)
	case *rsa.PublicKey:
		good, err = k.provesRSA(key, alg == "PS256", digest[:])
	}
	if err == nil && !good {
		err = errors.New("its signature does not verify")
	}
	return err
}

func (k *signer) provesRSA(key *rsa.PublicKey, pss bool, digest []byte) (bool, error) {
	if !pss {
		signature, err := k.Sign(nil, digest, crypto.SHA256)
		return err == nil && rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, signature) == nil, err
	}
	opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	signature, err := k.Sign(nil, digest, opts)
	return err == nil && rsa.VerifyPSS(key, crypto.SHA256, digest, signature, opts) == nil, err
}
