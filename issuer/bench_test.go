package issuer_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"sync/atomic"
	"testing"
	"time"

	"signet/issuer"
)

// BenchmarkMintES256 compares an access token with the bare signature in it, in
// turns so that both meet the same machine. Besides the time of a token it
// reports how many bare signatures that is.
func BenchmarkMintES256(b *testing.B) {
	f := newFixture(b)
	session := &issuer.Session{
		ID: "0123456789abcdef0123456789abcdef", Subject: f.kyoko.ID, Client: issuer.FirstParty, Ends: start.Add(time.Hour),
	}
	var private any
	must(b, f.private(b)["ES256"].Raw(&private))
	key, digest := private.(*ecdsa.PrivateKey), sha256.Sum256([]byte("x"))
	mint := func() {
		if _, err := f.MintAccess(session); err != nil {
			b.Fatal(err)
		}
	}
	sign := func() {
		if _, _, err := ecdsa.Sign(rand.Reader, key, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
	const turn = 100
	var minting, signing time.Duration
	measure := func(op func(), took *time.Duration) {
		begin := time.Now()
		for range turn {
			op()
		}
		*took += time.Since(begin)
	}
	turns := 0
	for b.Loop() {
		measure(mint, &minting)
		measure(sign, &signing)
		turns++
	}
	b.ReportMetric(float64(minting.Nanoseconds())/float64(turns*turn), "ns/op")
	b.ReportMetric(float64(minting)/float64(signing), "signatures")
	b.ReportMetric(testing.AllocsPerRun(turn, mint), "allocs/token")
	b.ReportMetric(testing.AllocsPerRun(turn, sign), "allocs/signature")
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

func BenchmarkVerify(b *testing.B) {
	f := newFixture(b)
	token := f.login(b).Access
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
