package pgstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signet/issuer"
	"signet/users"
)

var testNow = time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC)

// drawn are random sessions and steps that often meet: few identifiers and epochs, and
// instants within some milliseconds.
type drawn struct {
	*rapid.T
	n int
}

func (d *drawn) jti(what string) string {
	return rapid.SampledFrom([]string{"", fmt.Sprintf("%032x", 1), fmt.Sprintf("%032x", 2), "odd \xff"}).Draw(d.T, what)
}

func (d *drawn) near(what string) time.Time {
	return d.from(what, -2)
}

// from is an instant of few milliseconds.
func (d *drawn) from(what string, first int) time.Time {
	return testNow.Add(time.Duration(rapid.IntRange(first, 2).Draw(d.T, what)) * time.Millisecond)
}

func (d *drawn) epoch(what string) uint64 {
	return rapid.SampledFrom([]uint64{1, 1, 1, 2}).Draw(d.T, what)
}

func (d *drawn) session() issuer.Session {
	d.n++
	return issuer.Session{
		ID: fmt.Sprintf("%032x", d.n), Subject: fmt.Sprintf("user-%d", d.n), Client: "web", KID: rapid.SampledFrom([]string{"", "k"}).Draw(d.T, "kid"),
		Created: testNow, Rotated: d.near("rotated"), Expires: d.from("expires", 0), Ends: d.from("ends", 0),
		Generation: rapid.Uint64Range(0, 9).Draw(d.T, "generation"), Epoch: d.epoch("epoch"),
		Current: d.jti("current"), Previous: d.jti("previous"),
	}
}

func (d *drawn) step(s issuer.Session) issuer.Step {
	return issuer.Step{
		Presented: rapid.SampledFrom([]string{s.Current, s.Previous, d.jti("another")}).Draw(d.T, "presented"), Next: d.jti("next"), KID: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		// The store keeps milliseconds: what is below them decides nothing.
		Now: d.near("now").Add(time.Duration(rapid.IntRange(0, 999_999).Draw(d.T, "fraction"))), Expires: d.near("until"),
		Window: time.Duration(rapid.IntRange(0, 2).Draw(d.T, "window")) * time.Millisecond, Epoch: d.epoch("user's epoch"),
	}
}

// check draws five times as often as rapid does by itself: the cases are many and small.
func check(t *testing.T, one func(*rapid.T)) {
	t.Helper()
	for range 5 {
		rapid.Check(t, one)
	}
}

// wantStored compares what is stored with what Session.Advance made of it.
func wantStored(t *rapid.T, s *Store, want issuer.Session, outcome issuer.Outcome) {
	t.Helper()
	got, err := s.Session(t.Context(), want.ID)
	if outcome == issuer.Reused || outcome == issuer.Superseded {
		if !errors.Is(err, issuer.ErrNoSession) {
			t.Fatalf("after outcome %d: %v, want %v", outcome, err, issuer.ErrNoSession)
		}
		return
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Fatalf("stored after outcome %d: %v (-want +got):\n%s", outcome, err, d)
	}
}

// TestAdvanceIsSessionAdvance: for random sessions and steps the database does what
// Session.Advance does.
func TestAdvanceIsSessionAdvance(t *testing.T) {
	s := openTest(t, newDatabase(t))
	seen := map[issuer.Outcome]int{}
	d := &drawn{}
	check(t, func(r *rapid.T) {
		d.T = r
		want := d.session()
		step := d.step(want)
		if err := s.CreateSession(r.Context(), want); err != nil {
			r.Fatal(err)
		}
		before := want
		rounded := step
		rounded.Now = milliseconds(step.Now)
		outcome := want.Advance(rounded)
		got, o, err := s.AdvanceSession(r.Context(), want.ID, step)
		if diff := cmp.Diff(want, got); err != nil || o != outcome || diff != "" {
			r.Fatalf("outcome %d, %v, want %d of %+v by %+v (-want +got):\n%s", o, err, outcome, before, step, diff)
		}
		wantStored(r, s, want, outcome)
		seen[outcome]++
	})
	wantAllOutcomes(t, seen)
}

func wantAllOutcomes(t *testing.T, seen map[issuer.Outcome]int) {
	t.Helper()
	for outcome := issuer.Advanced; outcome <= issuer.Superseded; outcome++ {
		if seen[outcome] == 0 {
			t.Errorf("no step had outcome %d", outcome)
		}
	}
}

// TestAdvanceWithUserIsBothSteps: a step with the look at its user does what the two do
// one after the other, and nothing for a user who is disabled, gone, or has too many
// claims.
func TestAdvanceWithUserIsBothSteps(t *testing.T) {
	s := openTest(t, newDatabase(t))
	seen := map[issuer.Outcome]int{}
	d := &drawn{}
	check(t, func(r *rapid.T) {
		d.T = r
		want := d.session()
		step := d.step(want)
		u := users.User{ID: want.Subject, Name: want.Subject, Epoch: step.Epoch, Version: 1, Hash: "$", Profile: users.Profile{
			UserID: rapid.SampledFrom([]string{"", want.Subject + "'s"}).Draw(r, "user_id"), Email: "a@example.com"},
			Disabled: rapid.IntRange(0, 9).Draw(r, "disabled") == 0}
		u.Created, u.PasswordChanged = testNow, testNow
		known, logged := rapid.IntRange(0, 9).Draw(r, "known") > 0, rapid.IntRange(0, 9).Draw(r, "logged in") > 0
		room := issuer.ClaimBytes(u) - 1 + rapid.IntRange(0, 9).Draw(r, "room")
		if known {
			must(r, s.CreateUser(r.Context(), u))
		}
		if logged {
			must(r, s.CreateSession(r.Context(), want))
		}
		before := want
		step.Epoch += 7 // not looked at
		gotUser, got, o, err := s.AdvanceWithUser(r.Context(), want.ID, want.Subject, step, room)
		switch {
		case !known:
			wantRefused(r, err, users.ErrNotFound)
			u = users.User{}
		case !logged:
			wantRefused(r, err, issuer.ErrNoSession)
		case u.Disabled || room < issuer.ClaimBytes(u):
			if err != nil || o != 0 {
				r.Fatalf("outcome %d, %v, want none", o, err)
			}
		default:
			step.Epoch, step.Now = u.Epoch, milliseconds(step.Now)
			outcome := want.Advance(step)
			if diff := cmp.Diff(want, got); err != nil || o != outcome || diff != "" {
				r.Fatalf("outcome %d, %v, want %d of %+v by %+v (-want +got):\n%s", o, err, outcome, before, step, diff)
			}
			seen[outcome]++
		}
		if diff := cmp.Diff(u, gotUser); diff != "" {
			r.Fatalf("user (-want +got):\n%s", diff)
		}
		if logged {
			wantStored(r, s, want, o)
		}
	})
	wantAllOutcomes(t, seen)
}

// TestSweepIsMatches: for random sessions and sweeps the database ends those that
// Sweep.Matches.
func TestSweepIsMatches(t *testing.T) {
	s := openTest(t, newDatabase(t))
	d := &drawn{}
	check(t, func(r *rapid.T) {
		d.T = r
		session := d.session()
		must(r, s.CreateSession(r.Context(), session))
		sweep := issuer.Sweep{KID: rapid.SampledFrom([]string{"", "k", "other"}).Draw(r, "swept kid"), All: rapid.IntRange(0, 9).Draw(r, "all") == 0}
		if rapid.Bool().Draw(r, "by time") {
			sweep.ExpiredAt = d.near("at")
		}
		ended, last, err := s.SweepSessions(r.Context(), sweep, fmt.Sprintf("%032x", d.n-1), 9)
		if want := sweep.Matches(session); err != nil || last != "" || (ended == 1) != want {
			r.Fatalf("ended %d, last %q, %v; matches: %v", ended, last, err, want)
		}
		if ended == 0 {
			must(r, s.EndSession(r.Context(), session.ID))
		}
	})
}

func wantRefused(t *rapid.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// failer is a test of either kind.
type failer interface {
	Helper()
	Fatal(...any)
}

func must(t failer, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
