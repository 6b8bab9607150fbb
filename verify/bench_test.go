package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"signet/internal/ofraw"
)

// BenchmarkCold verifies a token as if it were new, beside the bare check of its
// signature.
func BenchmarkCold(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256"} {
		b.Run(alg, func(b *testing.B) {
			key := newKey(b, alg, "k")
			v := static(b, key)
			v.CacheSize = -1
			token := key.token(time.Now(), nil, nil)
			ofraw.Report(b, 4, func() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}, rawCheck(b, key, token))
		})
	}
}

// rawCheck checks the signature of a token, all else done before.
func rawCheck(t testing.TB, key *signingKey, token string) func() {
	at := strings.LastIndexByte(token, '.')
	sum := sha256.Sum256([]byte(token[:at]))
	signature, err := base64.RawURLEncoding.DecodeString(token[at+1:])
	if err != nil {
		t.Fatal(err)
	}
	if public, ok := key.private.Public().(*rsa.PublicKey); ok {
		return func() {
			if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature); err != nil {
				t.Fatal(err)
			}
		}
	}
	public := key.private.Public().(*ecdsa.PublicKey)
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return func() {
		if !ecdsa.Verify(public, sum[:], r, s) {
			t.Fatal("raw")
		}
	}
}

// BenchmarkCached verifies a token that was seen, with keys from a Remote.
func BenchmarkCached(b *testing.B) {
	key := newKey(b, "ES256", "k")
	v := newVerifier(b, newKeyServer(key))
	token := key.token(time.Now(), nil, nil)
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkRefused is what a megabyte of dots and a forged token cost.
func BenchmarkRefused(b *testing.B) {
	key := newKey(b, "ES256", "k")
	v := static(b, key)
	for name, token := range map[string]string{
		"dots": strings.Repeat(".", 1<<20), "unknown-kid": forged(key, 1),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v.Verify(b.Context(), token)
			}
		})
	}
}

// A token that is new costs few allocations beyond those of the bare check of its
// signature, whatever these are in this release of Go. One of those is the race detector's.
func TestAllocationsOfANewToken(t *testing.T) {
	for alg, beyond := range map[string]float64{"ES256": 29, "RS256": 27} {
		key := newKey(t, alg, "k")
		v := static(t, key)
		v.CacheSize = -1
		token := key.token(time.Now(), nil, nil)
		bare := testing.AllocsPerRun(50, rawCheck(t, key, token))
		whole := testing.AllocsPerRun(50, func() {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		})
		if whole > bare+beyond {
			t.Errorf("%s: %v allocations, of which %v for the signature and at most %v besides", alg, whole, bare, beyond)
		}
	}
}

// A token that is seen again costs no more allocations than the copy of its claims.
func TestCachedTokenIsCheap(t *testing.T) {
	key := newKey(t, "ES256", "k")
	v := newVerifier(t, newKeyServer(key))
	token := key.token(time.Now(), nil, nil)
	n := testing.AllocsPerRun(100, func() {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	})
	if n > 3 {
		t.Errorf("%v allocations, want at most 3", n)
	}
}
