package keystore

import (
	"errors"
	"testing"
	"time"
)

func TestAddedAlgorithmIsPublishedBeforeItSigns(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	f.setPolicy(func(p *Policy) { p.Algorithms = []string{"EdDSA", "ES256"} })
	added := f.Keys()[1]
	if added.Alg != "EdDSA" || added.State != Pending || !added.SignsFrom.Equal(start.Add(day)) || !f.published(added.KID) {
		t.Fatalf("the added key: %+v", added)
	}
	if _, _, err := f.Sign("EdDSA", "JWT", nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("a pending key was asked to sign: %v, want %v", err, ErrNoKey)
	}
	if got := f.info(f.signer("")).Alg; got != "ES256" {
		t.Errorf("%s signs meanwhile, want ES256", got)
	}
	f.clock.advance(day)
	if f.signer("EdDSA") != added.KID || f.signer("") != added.KID {
		t.Error("the added algorithm does not sign when its turn has come")
	}
}

func TestWithdrawnAlgorithmStopsAtOnceIfAnotherSigns(t *testing.T) {
	f := newFixture(t, testPolicy())
	kid := f.signer("EdDSA")
	f.setPolicy(func(p *Policy) { p.Algorithms = []string{"ES256"} })
	f.expectState(kid, Retired)
	if !f.published(kid) {
		t.Error("tokens of the withdrawn algorithm no longer verify")
	}
	if _, _, err := f.Sign("EdDSA", "JWT", nil); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("Sign: %v, want %v", err, ErrAlgorithm)
	}
}

// The only algorithm is replaced by another: the old one signs until caches
// have seen the key of the new one.
func TestReplacedAlgorithmSignsUntilTheNewOneMay(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	old := f.signer("")
	f.setPolicy(func(p *Policy) { p.Algorithms = []string{"EdDSA"} })
	next := f.Keys()[1]
	for _, at := range []struct {
		after time.Duration
		want  string
	}{{0, old}, {time.Hour, old}, {day - 1, old}, {day, next.KID}, {2 * day, next.KID}} {
		f.clock.advance(start.Add(at.after).Sub(f.clock.Now()))
		if got := f.signer(""); got != at.want {
			t.Errorf("after %v %s signs, want %s", at.after, f.info(got).Alg, f.info(at.want).Alg)
		}
	}
}

func TestWithdrawnAlgorithmIsTakenBack(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	kid := f.signer("")
	f.setPolicy(func(p *Policy) { p.Algorithms = []string{"EdDSA"} })
	f.clock.advance(time.Hour)
	f.setPolicy(func(p *Policy) { p.Algorithms = []string{"ES256"} })
	f.clock.advance(10 * day)
	f.maintain()
	if got := f.signer(""); got != kid {
		t.Errorf("%s signs, want the key that was taken back", f.info(got).Alg)
	}
}

// Two rotations at one instant leave a key that never signed: it is not the end
// of the chain.
func TestTakenBackIsTheEndOfTheChain(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	f.rotate(RotateRequest{Now: true})
	f.rotate(RotateRequest{Now: true})
	kid := f.signer("")
	f.setPolicy(func(p *Policy) { p.Algorithms = []string{"EdDSA"} })
	f.setPolicy(func(p *Policy) { p.Algorithms = []string{"ES256"} })
	if got := f.info(kid); !got.SignsUntil.IsZero() {
		t.Errorf("the key still ends at %v", got.SignsUntil)
	}
	f.clock.advance(2 * day)
	if got := f.signer(""); got != kid {
		t.Errorf("%s signs, want %s", got, kid)
	}
}

func TestAlgorithmThatIsOverStartsAgain(t *testing.T) {
	f := newFixture(t, testPolicy())
	old := f.signer("EdDSA")
	f.setPolicy(func(p *Policy) { p.Algorithms = []string{"ES256"} })
	f.clock.advance(time.Minute)
	f.setPolicy(func(p *Policy) { p.Algorithms = []string{"ES256", "EdDSA"} })
	if _, _, err := f.Sign("EdDSA", "JWT", nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("before caches have seen the new key: %v, want %v", err, ErrNoKey)
	}
	f.clock.advance(day)
	if got := f.signer("EdDSA"); got == old {
		t.Error("a retired key signs again")
	}
}

func TestChainOfReplacementsNeverStopsSigning(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	for _, alg := range []string{"EdDSA", "ES384", "ES256", "EdDSA", "ES256"} {
		f.setPolicy(func(p *Policy) { p.Algorithms = []string{alg} })
		for range 7 {
			if got := f.info(f.signer("")); got.State != Active {
				t.Fatalf("a %s key signs at %v", got.State, f.clock.Now())
			}
			f.clock.advance(time.Hour)
		}
	}
}

// SetPolicy records longer lifetimes before tokens with them can be made.
func TestPolicyIsInForceOnceItIsStored(t *testing.T) {
	f := newFixture(t, testPolicy())
	before := f.Policy()
	f.store.faults = []fault{lost}
	longer := before
	longer.AccessLifetime = 40 * time.Hour
	if err := f.SetPolicy(t.Context(), longer); !errors.Is(err, errDisk) {
		t.Fatalf("SetPolicy: %v, want %v", err, errDisk)
	}
	if got := f.Policy().AccessLifetime; got != before.AccessLifetime {
		t.Errorf("access lifetime %v is in force, and no key is kept for it", got)
	}
	f.setPolicy(func(p *Policy) { *p = longer })
	for _, k := range f.store.ring().Keys {
		if k.MaxAccess != 40*time.Hour {
			t.Errorf("key %s is kept for %v", k.KID, k.MaxAccess)
		}
	}
}
