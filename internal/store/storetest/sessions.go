package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"signet/issuer"
)

// sampleSession is session n of the user with this number, not yet refreshed.
func sampleSession(n, user int) issuer.Session {
	return issuer.Session{
		ID: hex32('5', n), Subject: hex32('a', user), Client: "web",
		Created: start, Rotated: start.Add(time.Second),
		Expires: start.Add(24 * time.Hour), Ends: start.Add(720 * time.Hour),
		Current: hex32('c', n), KID: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
	}
}

// sampleStep presents the session's current token, at the nth refresh.
func sampleStep(s issuer.Session, n int) issuer.Step {
	now := s.Rotated.Add(time.Minute)
	return issuer.Step{
		Presented: s.Current, Next: hex32('e', n), KID: fmt.Sprint("key-", n),
		Now: now, Expires: now.Add(24 * time.Hour), Window: 10 * time.Second, Epoch: s.Epoch,
	}
}

func testSessionRoundTrip(t *testing.T, s Store) {
	full := sampleSession(1, 1)
	full.Generation, full.Previous = 1<<40, hex32('f', 1)
	odd := issuer.Session{
		ID: "odd \xff\x00", Subject: "", Client: "ünï \xfe", Created: start.In(time.FixedZone("elsewhere", 3600)),
		Current: "0123456789ABCDEF0123456789ABCDEF", Previous: "sixteen bytes at", KID: "\x00", Epoch: 7,
	}
	for _, want := range []issuer.Session{sampleSession(2, 1), full, odd} {
		must(t, s.CreateSession(t.Context(), want))
		got, err := s.Session(t.Context(), want.ID)
		must(t, err)
		wantEqual(t, "session", got, want)
		wantUTC(t, "session", got.Created, got.Rotated, got.Expires, got.Ends)
	}
}

func testSessionExists(t *testing.T, s Store) {
	want := sampleSession(1, 1)
	must(t, s.CreateSession(t.Context(), want))
	other := sampleSession(1, 2)
	wantErr(t, "same id", s.CreateSession(t.Context(), other), issuer.ErrSessionExists)
	got, err := s.Session(t.Context(), want.ID)
	must(t, err)
	wantEqual(t, "session", got, want)
	listed, err := s.ListSessions(t.Context(), other.Subject, "", 9)
	must(t, err)
	wantEqual(t, "sessions of the refused subject", len(listed), 0)
}

func testSessionMissing(t *testing.T, s Store) {
	for _, id := range []string{hex32('5', 1), ""} {
		wantErr(t, "Session", err2(s.Session(t.Context(), id)), issuer.ErrNoSession)
		wantErr(t, "EndSession", s.EndSession(t.Context(), id), issuer.ErrNoSession)
		_, _, err := s.AdvanceSession(t.Context(), id, issuer.Step{Now: start})
		wantErr(t, "AdvanceSession", err, issuer.ErrNoSession)
	}
	n, err := s.EndSubjectSessions(t.Context(), hex32('a', 1))
	must(t, err)
	wantEqual(t, "ended", n, 0)
}

// wantAdvance applies step and compares outcome and session, the one returned
// and the one stored afterwards.
func wantAdvance(t *testing.T, s Store, id string, step issuer.Step, outcome issuer.Outcome, want issuer.Session) {
	t.Helper()
	got, o, err := s.AdvanceSession(t.Context(), id, step)
	must(t, err)
	wantEqual(t, "outcome", o, outcome)
	wantEqual(t, "session returned", got, want)
	stored, err := s.Session(t.Context(), id)
	if outcome == issuer.Reused {
		wantErr(t, "after a reuse", err, issuer.ErrNoSession)
		return
	}
	must(t, err)
	wantEqual(t, "session stored", stored, want)
}

func testSessionOutcomes(t *testing.T, s Store) {
	want := sampleSession(1, 1)
	must(t, s.CreateSession(t.Context(), want))
	first := sampleStep(want, 1)
	want.Advance(first)
	wantAdvance(t, s, want.ID, first, issuer.Advanced, want)

	retry := first
	retry.Next, retry.Now = hex32('e', 2), first.Now.Add(first.Window)
	wantAdvance(t, s, want.ID, retry, issuer.Repeated, want)

	late := sampleStep(want, 3)
	late.Now = want.Expires
	wantAdvance(t, s, want.ID, late, issuer.Expired, want)

	reuse := retry
	reuse.Now = reuse.Now.Add(time.Millisecond)
	wantAdvance(t, s, want.ID, reuse, issuer.Reused, want)
	listed, err := s.ListSessions(t.Context(), want.Subject, "", 9)
	must(t, err)
	wantEqual(t, "sessions after a reuse", len(listed), 0)
}

// testSessionAdvanceRace: one presented token, many at once. One advances, all
// see the same successor.
func testSessionAdvanceRace(t *testing.T, s Store) {
	const callers, rounds = 16, 100
	session := sampleSession(1, 1)
	must(t, s.CreateSession(t.Context(), session))
	for round := range rounds {
		current := session.Current
		advanced := make([]bool, callers)
		left := make([]issuer.Session, callers)
		errs := together(callers, func(i int) (err error) {
			step := sampleStep(session, round*callers+i)
			step.Now = session.Rotated.Add(time.Second)
			var outcome issuer.Outcome
			left[i], outcome, err = s.AdvanceSession(t.Context(), session.ID, step)
			advanced[i] = outcome == issuer.Advanced
			if err == nil && !advanced[i] && outcome != issuer.Repeated {
				return fmt.Errorf("outcome %d", outcome)
			}
			return err
		})
		must(t, errors.Join(errs...))
		winner := slices.Index(advanced, true)
		if winner < 0 || slices.Contains(advanced[winner+1:], true) {
			t.Fatalf("round %d: advanced: %v, want exactly one", round, advanced)
		}
		session = left[winner]
		wantEqual(t, "current", session.Current, hex32('e', round*callers+winner))
		wantEqual(t, "previous", session.Previous, current)
		wantEqual(t, "generation", session.Generation, uint64(round+1))
		for _, other := range left {
			wantEqual(t, "what the others see", other, session)
		}
	}
}

func testSessionCreateRace(t *testing.T, s Store) {
	errs := together(64, func(i int) error { return s.CreateSession(t.Context(), sampleSession(1, i)) })
	wantOne(t, errs, issuer.ErrSessionExists)
	all, err := s.ListSessions(t.Context(), "", "", 100)
	must(t, err)
	wantEqual(t, "sessions", all, []issuer.Session{sampleSession(1, slices.Index(errs, nil))})
}

// testSessionSuperseded: a session of an earlier epoch ends with the step that
// finds out.
func testSessionSuperseded(t *testing.T, s Store) {
	want := sampleSession(1, 1)
	must(t, s.CreateSession(t.Context(), want))
	step := sampleStep(want, 1)
	step.Epoch++
	_, outcome, err := s.AdvanceSession(t.Context(), want.ID, step)
	must(t, err)
	wantEqual(t, "outcome", outcome, issuer.Superseded)
	if _, err := s.Session(t.Context(), want.ID); !errors.Is(err, issuer.ErrNoSession) {
		t.Errorf("after that: got %v, want %v", err, issuer.ErrNoSession)
	}
}

// testSessionEndRace: whatever runs at the same moment, an ended session stays
// ended.
func testSessionEndRace(t *testing.T, s Store) {
	for round := range 50 {
		session := sampleSession(round, 1)
		must(t, s.CreateSession(t.Context(), session))
		errs := together(9, func(i int) error {
			if i == 4 {
				return s.EndSession(t.Context(), session.ID)
			}
			_, _, err := s.AdvanceSession(t.Context(), session.ID, sampleStep(session, i))
			if errors.Is(err, issuer.ErrNoSession) {
				return nil // came after the end
			}
			return err
		})
		must(t, errors.Join(errs...))
		wantErr(t, "after the end", err2(s.Session(t.Context(), session.ID)), issuer.ErrNoSession)
	}
	left, err := s.ListSessions(t.Context(), sampleSession(0, 1).Subject, "", 100)
	must(t, err)
	wantEqual(t, "sessions left", len(left), 0)
}

// listIDs walks through all pages of a list of sessions.
func listIDs(t *testing.T, s Store, subject string, limit int) (ids []string) {
	t.Helper()
	for after := ""; ; {
		page, err := s.ListSessions(t.Context(), subject, after, limit)
		must(t, err)
		for _, session := range page {
			after = session.ID
			ids = append(ids, session.ID)
		}
		if len(page) < limit {
			return ids
		}
	}
}

func testSessionPages(t *testing.T, s Store) {
	var want []string
	for n := range 25 {
		session := sampleSession((n*7)%25, n%3)
		must(t, s.CreateSession(t.Context(), session))
		want = append(want, session.ID)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 5, 24, 25, 26} {
		wantEqual(t, fmt.Sprintf("pages of %d", limit), listIDs(t, s, "", limit), want)
	}
}

// testSessionPagesBySubject: no subject sees the sessions of one whose name
// begins like its own.
func testSessionPagesBySubject(t *testing.T, s Store) {
	want := map[string][]string{}
	for n := range 30 {
		session := sampleSession(n, 0)
		session.Subject = []string{"a", "a\x00", "ab", hex32('a', 1), hex32('a', 2)}[n%5]
		must(t, s.CreateSession(t.Context(), session))
		want[session.Subject] = append(want[session.Subject], session.ID)
	}
	for subject, ids := range want {
		for _, limit := range []int{1, 4, 6, 7} {
			wantEqual(t, fmt.Sprintf("%q in pages of %d", subject, limit), listIDs(t, s, subject, limit), ids)
		}
	}
	wantEqual(t, "no such subject", len(listIDs(t, s, "b", 9)), 0)
}

func testSessionEndSubject(t *testing.T, s Store) {
	for n := range 10 {
		must(t, s.CreateSession(t.Context(), sampleSession(n, n%2)))
	}
	ended, err := s.EndSubjectSessions(t.Context(), hex32('a', 1))
	must(t, err)
	wantEqual(t, "ended", ended, 5)
	wantEqual(t, "left of the subject", len(listIDs(t, s, hex32('a', 1), 9)), 0)
	wantEqual(t, "left of the other", len(listIDs(t, s, hex32('a', 0), 9)), 5)
	wantEqual(t, "left", len(listIDs(t, s, "", 99)), 5)
	for n := range 10 {
		err := err2(s.Session(t.Context(), sampleSession(n, 0).ID))
		if n%2 == 1 {
			wantErr(t, "an ended one", err, issuer.ErrNoSession)
		} else {
			must(t, err)
		}
	}
}

// testSessionEndSubjectRace: no refresh revives a session of an ended subject.
func testSessionEndSubjectRace(t *testing.T, s Store) {
	for round := range 20 {
		for n := range 8 {
			must(t, s.CreateSession(t.Context(), sampleSession(round*8+n, 1)))
		}
		errs := together(9, func(i int) error {
			if i == 8 {
				n, err := s.EndSubjectSessions(t.Context(), hex32('a', 1))
				if err == nil && n != 8 {
					err = fmt.Errorf("ended %d, want 8", n)
				}
				return err
			}
			session := sampleSession(round*8+i, 1)
			_, _, err := s.AdvanceSession(t.Context(), session.ID, sampleStep(session, i))
			if errors.Is(err, issuer.ErrNoSession) {
				return nil
			}
			return err
		})
		must(t, errors.Join(errs...))
		wantEqual(t, "left", len(listIDs(t, s, "", 99)), 0)
	}
}

// sweepAll walks a sweep to the end and returns how many it ended.
func sweepAll(t *testing.T, s Store, sweep issuer.Sweep, limit int) (total int) {
	t.Helper()
	for after := ""; ; {
		ended, last, err := s.SweepSessions(t.Context(), sweep, after, limit)
		must(t, err)
		total += ended
		if last == "" {
			return total
		}
		if last <= after {
			t.Fatalf("the sweep went from %q to %q", after, last)
		}
		after = last
	}
}

func testSweep(t *testing.T, s Store) {
	idle, old, rekeyed, alive := sampleSession(1, 1), sampleSession(2, 1), sampleSession(3, 1), sampleSession(4, 1)
	at := start.Add(time.Hour)
	idle.Expires = at
	old.Ends = at
	rekeyed.KID = "revoked"
	for _, session := range []issuer.Session{idle, old, rekeyed, alive} {
		must(t, s.CreateSession(t.Context(), session))
	}
	wantEqual(t, "matched by nothing", sweepAll(t, s, issuer.Sweep{}, 9), 0)
	wantEqual(t, "expired a moment before", sweepAll(t, s, issuer.Sweep{ExpiredAt: at.Add(-time.Millisecond)}, 9), 0)
	wantEqual(t, "expired", sweepAll(t, s, issuer.Sweep{ExpiredAt: at}, 9), 2)
	wantEqual(t, "left", listIDs(t, s, "", 9), []string{rekeyed.ID, alive.ID})
	wantEqual(t, "by key", sweepAll(t, s, issuer.Sweep{KID: "revoked"}, 9), 1)
	wantEqual(t, "left of the subject", listIDs(t, s, alive.Subject, 9), []string{alive.ID})
	wantEqual(t, "all", sweepAll(t, s, issuer.Sweep{All: true}, 9), 1)
	wantEqual(t, "left in the end", len(listIDs(t, s, alive.Subject, 9)), 0)
}

func testSweepPages(t *testing.T, s Store) {
	for _, limit := range []int{1, 4, 12, 13} {
		var keep []string
		for n := range 12 {
			session := sampleSession(n, n%3)
			if n%2 == 0 {
				session.KID = "revoked"
			} else {
				keep = append(keep, session.ID)
			}
			must(t, s.CreateSession(t.Context(), session))
		}
		wantEqual(t, "swept", sweepAll(t, s, issuer.Sweep{KID: "revoked"}, limit), 6)
		wantEqual(t, "kept", listIDs(t, s, "", 99), keep)
		wantEqual(t, "swept at last", sweepAll(t, s, issuer.Sweep{All: true}, limit), 6)
	}
	ended, last, err := s.SweepSessions(t.Context(), issuer.Sweep{All: true}, "", 9)
	must(t, err)
	wantEqual(t, "ended in an empty store", ended, 0)
	wantEqual(t, "last in an empty store", last, "")
}

// testSweepRace: a session that is refreshed while the sweep runs is either
// swept, and the refresh finds none, or it lives on with its next token.
func testSweepRace(t *testing.T, s Store) {
	const sessions = 8
	for round := range 20 {
		for n := range sessions {
			session := sampleSession(n, 1)
			session.KID = "revoked"
			must(t, s.CreateSession(t.Context(), session))
		}
		lives := make([]bool, sessions)
		errs := together(sessions+1, func(i int) error {
			if i == sessions {
				_, _, err := s.SweepSessions(t.Context(), issuer.Sweep{KID: "revoked"}, "", sessions)
				return err
			}
			session := sampleSession(i, 1)
			_, outcome, err := s.AdvanceSession(t.Context(), session.ID, sampleStep(session, round))
			lives[i] = err == nil && outcome == issuer.Advanced
			if errors.Is(err, issuer.ErrNoSession) {
				return nil
			}
			return err
		})
		must(t, errors.Join(errs...))
		for i, alive := range lives {
			got, err := s.Session(t.Context(), sampleSession(i, 1).ID)
			if !alive {
				wantErr(t, "a session that was swept", err, issuer.ErrNoSession)
				continue
			}
			must(t, err)
			wantEqual(t, "token of a session that was refreshed", got.Current, hex32('e', round))
		}
		must(t, err2(s.EndSubjectSessions(t.Context(), hex32('a', 1))))
	}
}
