package keystore

import (
	"errors"
	"testing"
	"time"
)

// expectRevoked holds a revoked key to what the word means.
func (f *fixture) expectRevoked(kid string) {
	f.t.Helper()
	f.expectState(kid, Revoked)
	if f.published(kid) {
		f.t.Errorf("revoked key %s is published", kid)
	}
	if _, _, ok := f.PublicKey(kid); ok {
		f.t.Errorf("revoked key %s verifies", kid)
	}
	if f.info(kid).PrivateHalf || f.state.Load().keys[kid].private != nil {
		f.t.Errorf("revoked key %s keeps its private half", kid)
	}
	f.expectAsStored()
}

// expectFresh holds the replacement of a revoked key to its purpose: clients
// that keep keys until they meet an unknown kid must meet one.
func (f *fixture) expectFresh(kid string, before []Info) {
	f.t.Helper()
	for _, k := range before {
		if k.KID == kid {
			f.t.Errorf("the replacement %s was published before", kid)
		}
	}
	f.expectState(kid, Active)
	if got := f.signer(f.info(kid).Alg); got != kid {
		f.t.Errorf("%s signs, want the replacement %s", got, kid)
	}
	if !f.published(kid) {
		f.t.Errorf("the replacement %s is not published", kid)
	}
}

func TestRevokeActive(t *testing.T) {
	f := newFixture(t, testPolicy())
	kid, before := f.signer("ES256"), f.Keys()
	other := f.signer("EdDSA")
	got := f.revoke(kid)
	if got.Old.KID != kid || !got.Old.Revoked.Equal(start) {
		t.Errorf("takeover %+v of %s", got, kid)
	}
	f.expectRevoked(kid)
	f.expectFresh(got.New.KID, before)
	if f.signer("EdDSA") != other {
		t.Error("the other algorithm changed its key")
	}
}

func TestRevokeActiveLeavesThePendingKeyItsTurn(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	kid, pending := f.signer(""), f.rotate(RotateRequest{})[0].New
	f.clock.advance(time.Hour)
	before := f.Keys()
	got := f.revoke(kid)
	f.expectRevoked(kid)
	f.expectFresh(got.New.KID, before)
	f.expectState(pending.KID, Pending)
	if !got.New.SignsUntil.Equal(pending.SignsFrom) || !f.info(pending.KID).SignsFrom.Equal(start.Add(day)) {
		t.Errorf("the replacement signs until %v, the pending key from %v", got.New.SignsUntil, f.info(pending.KID).SignsFrom)
	}
	f.clock.advance(23 * time.Hour)
	if f.signer("") != pending.KID {
		t.Error("the pending key did not get its turn")
	}
}

func TestRevokePending(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	old, pending := f.signer(""), f.rotate(RotateRequest{})[0].New.KID
	before := f.Keys()
	got := f.revoke(pending)
	f.expectRevoked(pending)
	f.expectFresh(got.New.KID, before)
	f.expectState(old, Retired)
	if !got.New.SignsUntil.IsZero() {
		t.Errorf("the replacement ends at %v, with nothing behind it", got.New.SignsUntil)
	}
	f.clock.advance(10 * day)
	if f.signer("") != got.New.KID {
		t.Error("the replacement does not sign any more")
	}
}

func TestRevokeRetiredAndRemoved(t *testing.T) {
	for name, after := range map[State]time.Duration{Retired: time.Minute, Removed: time.Hour} {
		t.Run(string(name), func(t *testing.T) {
			f := newFixture(t, testPolicy("ES256"))
			old := f.rotate(RotateRequest{Now: true})[0].Old.KID
			f.clock.advance(after)
			f.maintain()
			f.expectState(old, name)
			before, signing := f.Keys(), f.signer("")
			got := f.revoke(old)
			f.expectRevoked(old)
			f.expectFresh(got.New.KID, before)
			f.expectState(signing, Retired)
			if !f.published(signing) {
				t.Error("tokens of the key that signed until now no longer verify")
			}
		})
	}
}

func TestRevokeTwice(t *testing.T) {
	f := newFixture(t, testPolicy())
	kid := f.signer("ES256")
	first := f.revoke(kid)
	before := f.store.bytes()
	if _, err := f.Revoke(t.Context(), kid, false); !errors.Is(err, ErrRevoked) {
		t.Errorf("a second time: %v, want %v", err, ErrRevoked)
	}
	if f.store.bytes() != before {
		t.Error("a refused revocation changed the keys")
	}
	known := f.Keys()
	second := f.revoke(first.New.KID)
	f.expectRevoked(first.New.KID)
	f.expectFresh(second.New.KID, known)
}

func TestRevokeUnknown(t *testing.T) {
	f := newFixture(t, testPolicy())
	before := f.store.bytes()
	for _, kid := range []string{"", "unknown", "../../etc/passwd", f.signer("") + " "} {
		if _, err := f.Revoke(t.Context(), kid, false); !errors.Is(err, ErrNoKey) {
			t.Errorf("%q: %v, want %v", kid, err, ErrNoKey)
		}
	}
	if f.store.bytes() != before {
		t.Error("a refused revocation changed the keys")
	}
}

func TestRevokeSurvivesARestartAndIsForgottenInTheEnd(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	kid := f.signer("")
	f.revoke(kid)
	f.reopen()
	f.expectRevoked(kid)
	f.clock.advance(day + clientLeeway + forgetAfter)
	f.maintain()
	if got := f.info(kid); got.KID != "" {
		t.Errorf("still known: %+v", got)
	}
}

// The chain of an algorithm that is on its way out stays on its way out.
func TestRevokeInAWithdrawnChain(t *testing.T) {
	for name, after := range map[string]time.Duration{"while it signs": time.Hour, "when it is over": day + time.Minute} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testPolicy("ES256"))
			kid := f.signer("")
			f.setPolicy(func(p *Policy) { p.Algorithms = []string{"EdDSA"} })
			f.clock.advance(after)
			before := f.Keys()
			got := f.revoke(kid)
			f.expectRevoked(kid)
			f.expectFresh(got.New.KID, before)
			if f.signer("") != got.New.KID {
				t.Error("the next token does not show the unknown kid")
			}
			f.clock.advance(10 * day)
			for _, k := range f.Keys() {
				if k.Alg == "ES256" && (k.State == Active || k.State == Pending) {
					t.Errorf("the withdrawn algorithm has an %s key", k.State)
				}
			}
			f.signer("")
			f.maintain()
			stored := f.store.bytes()
			f.reopen()
			if f.store.bytes() != stored {
				t.Error("a restart had something to repair")
			}
		})
	}
}

// A clock that is set back brings no revoked key back into the set.
func TestRevokedKeyStaysOutWhateverTheClockSays(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	kid := f.signer("")
	f.clock.advance(day)
	f.revoke(kid)
	for _, step := range []time.Duration{-time.Minute, -day, -365 * day, 400 * day} {
		f.clock.advance(step)
		if f.published(kid) {
			t.Errorf("published at %v", f.clock.Now())
		}
		if _, _, ok := f.PublicKey(kid); ok {
			t.Errorf("honoured at %v", f.clock.Now())
		}
	}
}

func TestRevokingARetiredKeyNamesTheActiveOneThatItRetires(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	old := f.signer("")
	f.rotate(RotateRequest{Now: true})
	active := f.signer("")
	got := f.revoke(old)
	if got.Superseded == nil || got.Superseded.KID != active || got.Superseded.State != Retired {
		t.Errorf("superseded: %+v, want %s, retired", got.Superseded, active)
	}
	if got.Superseded.PrivateHalf {
		t.Error("its private half is still there")
	}
}
