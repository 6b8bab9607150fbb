package keystore

import (
	"errors"
	"testing"
	"time"
)

func TestRotationPublishesThenSwitches(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	old := f.signer("")
	token, _, err := f.Sign("", "JWT", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	takeovers := f.rotate(RotateRequest{})
	if len(takeovers) != 1 || takeovers[0].Old.KID != old || takeovers[0].New.KID == old {
		t.Fatalf("takeovers %+v of %s", takeovers, old)
	}
	next, switches := takeovers[0].New.KID, start.Add(day)
	if got := takeovers[0]; !got.New.SignsFrom.Equal(switches) || !got.Old.SignsUntil.Equal(switches) {
		t.Errorf("the new key signs from %v, the old one until %v; want %v", got.New.SignsFrom, got.Old.SignsUntil, switches)
	}
	p := f.Policy()
	retires := switches.Add(p.AccessLifetime + clientLeeway + p.JWKSMaxAge)
	forgotten := switches.Add(p.RefreshLifetime + clientLeeway)
	for _, at := range []struct {
		when          time.Time
		oldIs, newIs  State
		signs         string
		oldIsInTheSet bool
	}{
		{start, Active, Pending, old, true},
		{switches.Add(-time.Nanosecond), Active, Pending, old, true},
		{switches, Retired, Active, next, true},
		{retires.Add(-time.Nanosecond), Retired, Active, next, true},
		{retires, Removed, Active, next, false},
		{forgotten.Add(-time.Nanosecond), Removed, Active, next, false},
	} {
		f.clock.advance(at.when.Sub(f.clock.Now()))
		f.expectState(old, at.oldIs)
		f.expectState(next, at.newIs)
		if got := f.signer(""); got != at.signs {
			t.Errorf("at %v: %s signs, want %s", at.when, got, at.signs)
		}
		if f.published(old) != at.oldIsInTheSet || !f.published(next) {
			t.Errorf("at %v: published are old %v, new %v", at.when, f.published(old), f.published(next))
		}
		if _, _, ok := f.PublicKey(old); !ok {
			t.Errorf("at %v: a refresh token of the old key would be refused", at.when)
		}
		if at.oldIsInTheSet {
			f.expectVerifies(token)
		}
	}
	f.clock.advance(time.Nanosecond)
	if _, _, ok := f.PublicKey(old); ok {
		t.Error("the old key verifies although every token it signed has expired")
	}
	f.maintain()
	if got := f.info(old); got.KID == "" {
		t.Error("the old key is forgotten at once: a clock that is ahead would lose it")
	}
	f.clock.advance(forgetAfter)
	f.maintain()
	if got := f.info(old); got.KID != "" {
		t.Errorf("the old key is still known: %+v", got)
	}
}

func TestRotateIn(t *testing.T) {
	f := newFixture(t, testPolicy())
	for _, takeover := range f.rotate(RotateRequest{In: 2 * time.Hour}) {
		if got := takeover.New.SignsFrom.Sub(start); got != 2*time.Hour {
			t.Errorf("%s signs in %v, want 2h", takeover.New.Alg, got)
		}
	}
}

func TestRotateInIsAtLeastWhatCachesHold(t *testing.T) {
	f := newFixture(t, testPolicy())
	before := f.store.bytes()
	for _, in := range []time.Duration{-time.Hour, 1, time.Second, 5*time.Minute - time.Second} {
		if _, err := f.Rotate(t.Context(), RotateRequest{In: in}, false); !errors.Is(err, ErrTooSoon) {
			t.Errorf("--in %v: %v, want %v", in, err, ErrTooSoon)
		}
	}
	if f.store.bytes() != before {
		t.Error("a refused rotation changed the keys")
	}
	takeover := f.rotate(RotateRequest{Alg: "ES256", In: 5 * time.Minute})[0]
	if in := takeover.New.SignsFrom.Sub(start); in < 5*time.Minute || in > 5*time.Minute+settle {
		t.Errorf("--in 5m signs in %v", in)
	}
}

// A lower jwks_max_age does not shorten what caches were promised before.
func TestLoweredMaxAgeIsStillHeld(t *testing.T) {
	policy := testPolicy("ES256")
	policy.JWKSMaxAge, policy.PublishAhead = time.Hour, time.Hour
	f := newFixture(t, policy)
	f.setPolicy(func(p *Policy) { p.JWKSMaxAge = time.Minute })
	f.clock.advance(10 * time.Minute)
	if _, err := f.Rotate(t.Context(), RotateRequest{In: 5 * time.Minute}, false); !errors.Is(err, ErrTooSoon) {
		t.Errorf("--in 5m: %v, want %v", err, ErrTooSoon)
	}
	f.clock.advance(50 * time.Minute)
	f.rotate(RotateRequest{In: 5 * time.Minute})
}

func TestPublishAheadIsAtLeastWhatCachesHold(t *testing.T) {
	policy := testPolicy("ES256")
	policy.PublishAhead, policy.JWKSMaxAge = time.Minute, time.Hour
	f := newFixture(t, policy)
	if in := f.rotate(RotateRequest{})[0].New.SignsFrom.Sub(start); in < time.Hour {
		t.Errorf("the new key signs in %v, and caches hold the old set for an hour", in)
	}
}

func TestRotateNow(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	old := f.signer("")
	next := f.rotate(RotateRequest{Now: true})[0]
	if next.Old.KID != old || next.Old.State != Retired || next.New.State != Active || f.signer("") != next.New.KID {
		t.Errorf("takeover %+v, %s signs", next, f.signer(""))
	}
	if !f.published(old) {
		t.Error("tokens of the old key no longer verify")
	}
}

func TestRotateNowGivesThePendingKeyItsTurn(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	old, pending := f.signer(""), f.rotate(RotateRequest{})[0].New.KID
	f.clock.advance(time.Hour)
	got := f.rotate(RotateRequest{Now: true})[0]
	if got.New.KID != pending || got.Old.KID != old || f.signer("") != pending || len(f.Keys()) != 2 {
		t.Errorf("takeover %+v; %s signs of %d keys, want %s of 2", got, f.signer(""), len(f.Keys()), pending)
	}
}

func TestSecondRotationIsRefusedWhileOneIsUnderWay(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	pending := f.rotate(RotateRequest{})[0].New
	f.clock.advance(10 * time.Hour)
	before := f.store.bytes()
	for _, req := range []RotateRequest{{}, {Alg: "ES256"}, {In: 48 * time.Hour}} {
		_, err := f.Rotate(t.Context(), req, false)
		var under *PendingError
		if !errors.As(err, &under) {
			t.Fatalf("Rotate(%+v) = %v, want a *PendingError", req, err)
		}
		if want := (PendingError{Alg: "ES256", KID: pending.KID, SignsFrom: pending.SignsFrom, Left: 14 * time.Hour}); *under != want {
			t.Errorf("%+v, want %+v", *under, want)
		}
	}
	if f.store.bytes() != before {
		t.Error("a refused rotation changed the keys")
	}
	f.clock.advance(14 * time.Hour)
	f.rotate(RotateRequest{})
}

func TestRotateOneAlgorithm(t *testing.T) {
	f := newFixture(t, testPolicy())
	es, ed := f.signer("ES256"), f.signer("EdDSA")
	takeovers := f.rotate(RotateRequest{Alg: "EdDSA"})
	if len(takeovers) != 1 || takeovers[0].Old.KID != ed {
		t.Errorf("takeovers %+v, want one of %s", takeovers, ed)
	}
	if got := f.info(es); !got.SignsUntil.IsZero() {
		t.Errorf("the other algorithm's key ends: %+v", got)
	}
}

func TestRotateUnknownAlgorithm(t *testing.T) {
	f := newFixture(t, testPolicy())
	before := f.store.bytes()
	for _, alg := range []string{"RS256", "none", "es256", " "} {
		if _, err := f.Rotate(t.Context(), RotateRequest{Alg: alg, Now: true}, false); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%q: %v, want %v", alg, err, ErrAlgorithm)
		}
	}
	if f.store.bytes() != before {
		t.Error("a refused rotation changed the keys")
	}
}

func TestRotateAllOrNothing(t *testing.T) {
	f := newFixture(t, testPolicy())
	f.rotate(RotateRequest{Alg: "EdDSA"}) // the second: ES256 has got its new key when it is refused
	before := f.store.bytes()
	var pending *PendingError
	if _, err := f.Rotate(t.Context(), RotateRequest{}, false); !errors.As(err, &pending) || pending.Alg != "EdDSA" {
		t.Errorf("%v, want a *PendingError of EdDSA", err)
	}
	if f.store.bytes() != before {
		t.Error("half a rotation was stored")
	}
	f.expectAsStored()
}

func TestDryRunChangesNothing(t *testing.T) {
	f := newFixture(t, testPolicy())
	kid := f.signer("ES256")
	before, writes, known := f.store.bytes(), f.store.writes, asJSON(t, f.Keys())
	for _, req := range []RotateRequest{{}, {Now: true}, {Alg: "ES256", In: time.Hour}} {
		takeovers, err := f.Rotate(t.Context(), req, true)
		if err != nil || len(takeovers) == 0 || takeovers[0].Old.KID != kid || takeovers[0].New.KID == "" {
			t.Errorf("Rotate(%+v) = %+v, %v", req, takeovers, err)
		}
	}
	if takeover, err := f.Revoke(t.Context(), kid, true); err != nil || takeover.Old.State != Revoked || takeover.New.State != Active {
		t.Errorf("Revoke = %+v, %v", takeover, err)
	}
	if _, err := f.Revoke(t.Context(), "unknown", true); !errors.Is(err, ErrNoKey) {
		t.Errorf("Revoke of an unknown key: %v, want %v", err, ErrNoKey)
	}
	if f.store.bytes() != before || f.store.writes != writes || asJSON(t, f.Keys()) != known {
		t.Error("a dry run changed something")
	}
	f.expectAsStored()
	if f.signer("ES256") != kid {
		t.Error("another key signs")
	}
}

func TestDryRunTellsWhatIsDone(t *testing.T) {
	f := newFixture(t, testPolicy())
	plan, err := f.Rotate(t.Context(), RotateRequest{}, true)
	if err != nil {
		t.Fatal(err)
	}
	done := f.rotate(RotateRequest{})
	for i := range plan {
		plan[i].New.KID = done[i].New.KID // the key itself is made when it is needed
	}
	if asJSON(t, plan) != asJSON(t, done) || len(plan) != 2 {
		t.Errorf("planned %s, done %s", asJSON(t, plan), asJSON(t, done))
	}
}

func TestRetiredPrivateHalfIsDestroyed(t *testing.T) {
	f := newFixture(t, testPolicy())
	var old []string
	for _, takeover := range f.rotate(RotateRequest{}) {
		old = append(old, takeover.Old.KID)
	}
	f.clock.advance(day - time.Millisecond)
	f.maintain()
	for _, kid := range old {
		if !f.info(kid).PrivateHalf {
			t.Errorf("%s lost its private half while it signs", kid)
		}
	}
	f.clock.advance(time.Millisecond)
	f.maintain()
	for _, kid := range old {
		if f.info(kid).PrivateHalf {
			t.Errorf("%s keeps its private half", kid)
		}
		if open := f.state.Load().keys[kid]; open.private != nil {
			t.Errorf("%s keeps its private half in memory", kid)
		}
		if !f.published(kid) {
			t.Errorf("%s is no longer published", kid)
		}
	}
	f.expectAsStored()
}

func TestMaintainTwiceIsAsGoodAsOnce(t *testing.T) {
	f := newFixture(t, testPolicy())
	f.rotate(RotateRequest{})
	for range 40 {
		f.clock.advance(10 * day)
		next := f.maintain()
		stored, writes := f.store.bytes(), f.store.writes
		if again := f.maintain(); !again.Equal(next) || f.store.bytes() != stored || f.store.writes != writes {
			t.Fatalf("at %v a second run changed something: next %v, then %v", f.clock.Now(), next, again)
		}
		if !next.After(f.clock.Now()) {
			t.Fatalf("at %v the next thing is due at %v", f.clock.Now(), next)
		}
	}
}

func TestMaxLifetimesFollowThePolicyAndOnlyGrow(t *testing.T) {
	f := newFixture(t, testPolicy("ES256"))
	old := f.signer("")
	f.setPolicy(func(p *Policy) { p.AccessLifetime, p.RefreshLifetime = 3*time.Hour, 60*day })
	f.setPolicy(func(p *Policy) { p.AccessLifetime, p.RefreshLifetime = time.Minute, time.Hour })
	f.rotate(RotateRequest{Now: true})
	f.setPolicy(func(p *Policy) { p.AccessLifetime, p.RefreshLifetime = 10*time.Hour, 90*day })
	got := f.info(old)
	if want := start.Add(3*time.Hour + clientLeeway + 5*time.Minute); !got.PublishedUntil.Equal(want) {
		t.Errorf("published until %v, want %v", got.PublishedUntil, want)
	}
	if want := start.Add(60*day + clientLeeway); !got.KeptUntil.Equal(want) {
		t.Errorf("kept until %v, want %v", got.KeptUntil, want)
	}
}

func TestDocumentIsBuiltOncePerChange(t *testing.T) {
	f := newFixture(t, testPolicy())
	f.rotate(RotateRequest{In: time.Hour})
	first, err := f.Document(f.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	var changes []time.Time
	for last := first; f.clock.Now().Before(start.Add(3 * time.Hour)); f.clock.advance(time.Second) {
		doc, err := f.Document(f.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		if doc != last {
			changes, last = append(changes, f.clock.Now()), doc
		}
	}
	p := f.Policy()
	want := start.Add(time.Hour + p.AccessLifetime + clientLeeway + p.JWKSMaxAge)
	if len(changes) != 1 || !changes[0].Equal(want) || !first.Change().Equal(want) {
		t.Errorf("built anew at %v, announced for %v; want once, at %v", changes, first.Change(), want)
	}
}
