package issuer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"testing"
)

// TestAllocationsOfAToken: an access token costs a few allocations beyond those of the
// bare signature in it, whatever these are in this release of Go. One of those is the
// race detector's.
func TestAllocationsOfAToken(t *testing.T) {
	digest := sha256.Sum256([]byte("x"))
	for alg, tt := range map[string]struct {
		beyond float64
		bare   func(key any) error
	}{
		"ES256": {7, func(key any) error {
			_, _, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), digest[:])
			return err
		}},
		"RS256": {10, func(key any) error {
			_, err := rsa.SignPKCS1v15(nil, key.(*rsa.PrivateKey), crypto.SHA256, digest[:])
			return err
		}},
	} {
		f := newFixtureWith(t, alg)
		key := f.rawKey(t, alg)
		bare := testing.AllocsPerRun(50, func() { must(t, tt.bare(key)) })
		token := testing.AllocsPerRun(50, f.minting(t))
		if token > bare+tt.beyond {
			t.Errorf("%s: %v allocations, of which %v for the signature and at most %v besides", alg, token, bare, tt.beyond)
		}
	}
}
