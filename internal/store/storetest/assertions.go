package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"signet/issuer/oauth"
)

func testAssertionOnce(t *testing.T, s Store) {
	ctx, expires := t.Context(), start.Add(time.Minute)
	must(t, s.UseAssertion(ctx, "billing", "one", expires))
	wantErr(t, "the same again", s.UseAssertion(ctx, "billing", "one", expires), oauth.ErrReplayed)
	must(t, s.UseAssertion(ctx, "billing", "two", expires))
	must(t, s.UseAssertion(ctx, "orders", "one", expires))
	must(t, s.UseAssertion(ctx, "billing", "one", expires.Add(time.Second))) // signed anew
}

// testAssertionRace: of many calls with one assertion exactly one succeeds.
func testAssertionRace(t *testing.T, s Store) {
	errs := together(64, func(int) error { return s.UseAssertion(t.Context(), "billing", "one", start) })
	used := 0
	for _, err := range errs {
		switch {
		case err == nil:
			used++
		case !errors.Is(err, oauth.ErrReplayed):
			t.Errorf("got %v, want %v", err, oauth.ErrReplayed)
		}
	}
	wantEqual(t, "successes", used, 1)
}

func testAssertionSweep(t *testing.T, s Store) {
	ctx := t.Context()
	for i := range 5 {
		must(t, s.UseAssertion(ctx, "billing", "jti", start.Add(time.Duration(i)*time.Minute)))
	}
	var swept []int
	for _, limit := range []int{2, 2, 9} {
		n, err := s.SweepAssertions(ctx, start.Add(3*time.Minute), limit)
		must(t, err)
		swept = append(swept, n)
	}
	if !slices.Equal(swept, []int{2, 1, 0}) {
		t.Errorf("swept %v, want [2 1 0]", swept)
	}
	wantErr(t, "one that has not expired", s.UseAssertion(ctx, "billing", "jti", start.Add(3*time.Minute)), oauth.ErrReplayed)
	must(t, s.UseAssertion(ctx, "billing", "jti", start)) // forgotten
}
