package issuer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"sync/atomic"
	"testing"
	"time"

	"signet/internal/ofraw"
	"signet/issuer"
)

// BenchmarkMint compares an access token with the bare signature in it, by the same
// key.
func BenchmarkMint(b *testing.B) {
	digest := sha256.Sum256([]byte("x"))
	b.Run("ES256", func(b *testing.B) {
		f := newFixture(b)
		key := f.rawKey(b, "ES256").(*ecdsa.PrivateKey)
		ofraw.Report(b, 4, f.minting(b), func() {
			if _, _, err := ecdsa.Sign(rand.Reader, key, digest[:]); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("RS256", func(b *testing.B) {
		f := newFixtureWith(b, "RS256")
		key := f.rawKey(b, "RS256").(*rsa.PrivateKey)
		ofraw.Report(b, 1, f.minting(b), func() {
			if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// minting makes one access token a call.
func (f *fixture) minting(t testing.TB) func() {
	session := &issuer.Session{
		ID: "0123456789abcdef0123456789abcdef", Subject: f.kyoko.ID, Client: issuer.FirstParty, Ends: start.Add(time.Hour),
	}
	return func() {
		if _, err := f.MintAccess(session); err != nil {
			t.Fatal(err)
		}
	}
}

// rawKey is the private key that signs for alg, in the form that signs fastest.
func (f *fixture) rawKey(t testing.TB, alg string) (private any) {
	must(t, f.private(t)[alg].Raw(&private))
	if key, ok := private.(*rsa.PrivateKey); ok {
		key.Precompute()
	}
	return private
}

// BenchmarkRefresh is a refresh with everything but HTTP: verify, ask users,
// sign twice, commit. Many at once share commits.
func BenchmarkRefresh(b *testing.B) {
	b.Run("one session", func(b *testing.B) {
		f := newFixture(b)
		token := f.login(b).Refresh
		b.ReportAllocs()
		for b.Loop() {
			token = f.refresh(b, token).Refresh
		}
	})
	b.Run("64 sessions", func(b *testing.B) {
		f := newFixture(b)
		var tokens [64]string
		for i := range tokens {
			tokens[i] = f.login(b).Refresh
		}
		var next atomic.Int64
		b.ReportAllocs()
		b.SetParallelism(len(tokens)) // for each core; those past the 64th do nothing
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			i := int(next.Add(1)) - 1
			if i >= len(tokens) {
				return
			}
			for pb.Next() {
				answer, err := f.Refresh(b.Context(), tokens[i])
				if err != nil {
					b.Error(err)
					return
				}
				tokens[i] = answer.Refresh
			}
		})
	})
}

// BenchmarkVerify is what the endpoints do that are asked about a token.
func BenchmarkVerify(b *testing.B) {
	f := newFixture(b)
	token := f.login(b).Access
	key := f.rawKey(b, "ES256").(*ecdsa.PrivateKey)
	digest := sha256.Sum256([]byte("x"))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	must(b, err)
	ofraw.Report(b, 4, func() {
		if _, err := f.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}, func() {
		if !ecdsa.Verify(&key.PublicKey, digest[:], r, s) {
			b.Fatal("raw")
		}
	})
}
