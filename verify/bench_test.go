package verify_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"strings"
	"testing"
	"time"
)

// BenchmarkCold verifies a token as if it were new, and reports as "x-raw" how many
// times the cost of the bare signature check that is.
func BenchmarkCold(b *testing.B) {
	key := newKey(b, "ES256", "k")
	v := static(b, key)
	v.CacheSize = -1
	token := key.token(time.Now(), nil, nil)
	at := strings.LastIndexByte(token, '.')
	sum := sha256.Sum256([]byte(token[:at]))
	private := key.private.(*ecdsa.PrivateKey)
	signature, err := ecdsa.SignASN1(nil, private, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	var spent [2]time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
		spent[0] += time.Since(began)
		began = time.Now()
		if !ecdsa.VerifyASN1(&private.PublicKey, sum[:], signature) {
			b.Fatal("raw")
		}
		spent[1] += time.Since(began)
	}
	b.ReportMetric(float64(spent[0])/float64(b.N), "ns/verify")
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "x-raw")
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
