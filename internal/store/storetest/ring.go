package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"signet/keystore"
)

func sampleRing() keystore.Ring {
	return keystore.Ring{
		Keys: []keystore.Key{{
			KID: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", Alg: "ES256",
			Public:  json.RawMessage(`{"kty":"EC","crv":"P-256","x":"<&>"}`),
			Created: start, SignsFrom: start.Add(time.Hour),
			SignsUntil: start.Add(2 * time.Hour), Revoked: start.Add(3 * time.Hour),
			MaxAccess: time.Minute, MaxRefresh: time.Hour, MaxCache: time.Second,
		}, {
			KID: "second", Alg: "RS256", Public: json.RawMessage(`{"kty":"RSA"}`), Sealed: "a.b.c.d.e",
			Created: start.In(time.FixedZone("elsewhere", 3600)), SignsFrom: start,
		}},
		Policy:    keystore.Policy{Algorithms: []string{"ES256"}, RSABits: 2048, JWKSMaxAge: 5 * time.Minute},
		HeldUntil: start.Add(4 * time.Hour),
	}
}

func testRingRoundTrip(t *testing.T, s Store) {
	empty, err := s.LoadRing(t.Context())
	must(t, err)
	wantEqual(t, "ring never stored", empty, keystore.Ring{})

	want := sampleRing()
	must(t, s.ReplaceRing(t.Context(), want))
	want.Version = 1
	got, err := s.LoadRing(t.Context())
	must(t, err)
	wantEqual(t, "ring", got, want)
	for _, k := range got.Keys {
		wantUTC(t, k.KID, k.Created, k.SignsFrom, k.SignsUntil, k.Revoked)
	}
	wantUTC(t, "ring", got.HeldUntil)

	want.Keys = want.Keys[1:]
	must(t, s.ReplaceRing(t.Context(), want))
	want.Version = 2
	got, err = s.LoadRing(t.Context())
	must(t, err)
	wantEqual(t, "second ring", got, want)
}

func testRingConflict(t *testing.T, s Store) {
	ahead := keystore.Ring{Version: 1}
	wantErr(t, "a version never stored", s.ReplaceRing(t.Context(), ahead), keystore.ErrConflict)
	must(t, s.ReplaceRing(t.Context(), sampleRing()))
	wantErr(t, "an old version", s.ReplaceRing(t.Context(), keystore.Ring{}), keystore.ErrConflict)
	got, err := s.LoadRing(t.Context())
	must(t, err)
	want := sampleRing()
	want.Version = 1
	wantEqual(t, "ring after the refusals", got, want)
}

func testRingRace(t *testing.T, s Store) {
	for round := range 20 {
		ring, err := s.LoadRing(t.Context())
		must(t, err)
		wantOne(t, together(16, func(i int) error {
			mine := ring
			mine.Policy.JWKSMaxAge = time.Duration(i)
			return s.ReplaceRing(t.Context(), mine)
		}), keystore.ErrConflict)
		ring, err = s.LoadRing(t.Context())
		must(t, err)
		if want := uint64(round + 1); ring.Version != want {
			t.Fatalf("version %d, want %d", ring.Version, want)
		}
	}
}
