package boltstore

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"signet/internal/store/record"
	"signet/issuer"
)

// schema2 are a database of schema 2 with these sessions.
func schema2(t *testing.T, sessions ...issuer.Session) map[string]map[string]string {
	t.Helper()
	contents := oldBuckets(t, 0)
	contents["meta"]["schema"] = "\x00\x00\x00\x02"
	contents["user-ids"], contents["hashes"] = nil, nil
	contents["sessions"], contents["by-subject"] = map[string]string{}, map[string]string{}
	for _, s := range sessions {
		contents["sessions"][s.ID] = oldSession(t, s)
		contents["by-subject"][string(subjectKey(s.Subject, s.ID))] = ""
	}
	return contents
}

// refreshed is the session after its nth refresh.
func refreshed(s issuer.Session, n int) (issuer.Session, issuer.Step) {
	step := issuer.Step{
		Presented: s.Current, Next: fmt.Sprintf("%032x", 900+n), KID: s.KID, Epoch: s.Epoch,
		Now: s.Rotated.Add(time.Minute), Expires: s.Expires.Add(time.Minute),
	}
	s.Advance(step)
	return s, step
}

// Sessions of an older file are honoured as they are, and take the new form one by one.
func TestUpgradeOfSchema2(t *testing.T) {
	var want []issuer.Session
	for n := range 50 {
		s := testSession(n)
		s.Epoch = uint64(n % 2)
		if n%3 == 0 {
			s, _ = refreshed(s, n)
		}
		want = append(want, s)
	}
	path := newPath(t)
	rawBuckets(t, path, schema2(t, want...))
	var log bytes.Buffer
	for range 2 {
		s, err := Open(path, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		wantSessions(t, s, want)
		checkClosed(t, s)
		if found, _ := schemaOf(t, path); found != 3 {
			t.Errorf("schema %d after a start", found)
		}
	}
	if n := strings.Count(log.String(), "from=2 to=3"); n != 1 {
		t.Errorf("two starts log %d upgrades:\n%s", n, &log)
	}
	s := openTest(t, path)
	for n, session := range want {
		next, step := refreshed(session, n)
		got, outcome, err := s.AdvanceSession(t.Context(), session.ID, step)
		if diff := gocmp.Diff(next, got); err != nil || outcome != issuer.Advanced || diff != "" {
			t.Fatalf("a refresh of session %d: outcome %v, error %v (-want +got):\n%s", n, outcome, err, diff)
		}
		want[n] = next
		wantSessions(t, s, want)
	}
	if err := s.db.View(func(btx *bbolt.Tx) error {
		return btx.Bucket(bucketSessions).ForEach(func(id, record []byte) error {
			if record[0] != headLayout {
				t.Errorf("the record of %s has no head after its refresh", id)
			}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.EndSubjectSessions(t.Context(), want[3].Subject); n != 7 || err != nil {
		t.Errorf("ended %d of a subject, error %v, want 7", n, err)
	}
}

// A backup of an older file is read, and counted.
func TestBackupOfSchema2(t *testing.T) {
	path := newPath(t)
	rawBuckets(t, path, schema2(t, testSession(1), testSession(2)))
	c, err := ReadBackup(path, "the backup")
	if err != nil || c.Schema != 2 || c.Sessions != 2 {
		t.Errorf("schema %d with %d sessions, error %v", c.Schema, c.Sessions, err)
	}
}

// A head that is cut off is reported, and not read past.
func TestShortSessionRecord(t *testing.T) {
	record, err := encodeSession(testSession(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, atEnds, headLength - 1, headLength} {
		path, contents := newPath(t), schema2(t)
		contents["meta"]["schema"] = "\x00\x00\x00\x03"
		contents["sessions"][testSession(1).ID] = string(record[:n])
		rawBuckets(t, path, contents)
		s := openTest(t, path)
		_, err := s.Session(t.Context(), testSession(1).ID)
		wantText(t, err, "a record", "restore a backup")
	}
}

func wantSessions(t *testing.T, s *Store, want []issuer.Session) {
	t.Helper()
	got, err := s.ListSessions(t.Context(), "", "", len(want)+1)
	if diff := gocmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("error %v, sessions (-want +got):\n%s", err, diff)
	}
}

// TestSweepStepIsShort: one step ends no more than sweepBatch, whatever it may look at.
func TestSweepStepIsShort(t *testing.T) {
	s := openTest(t, newPath(t))
	const n = 2*sweepBatch + sweepBatch/2
	bulk(t, s, n, func(t *tx, i int) error {
		session := testSession(i)
		return cmp.Or(storeSession(t, session), t.put(bucketBySubject, subjectKey(session.Subject, session.ID), nil))
	})
	var got []int
	for after := ""; ; {
		ended, last, err := s.SweepSessions(t.Context(), issuer.Sweep{All: true}, after, 10*n)
		if err != nil {
			t.Fatal(err)
		}
		if got, after = append(got, ended), last; last == "" {
			break
		}
	}
	if want := []int{sweepBatch, sweepBatch, sweepBatch / 2}; !slices.Equal(got, want) {
		t.Errorf("steps ended %v, want %v", got, want)
	}
}

// sessionIDGen yields IDs as this Signet makes them, as older ones did, and others.
func sessionIDGen() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`019[0-9a-f]{2}0000000[0-9a-f]{20}`),
		rapid.StringMatching(`[0-9a-f]{32}`),
		rapid.StringMatching(`[0-9a-f]{1,3}`),
	)
}

var textGen = rapid.OneOf(rapid.Just(""), rapid.Just(strings.Repeat("0", 32)), rapid.StringMatching(`[0-9a-f]{32}`),
	rapid.StringMatching(`[A-Z2-7]{26}`), rapid.String())

var kidGen = rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[A-Za-z0-9_-]{43}`), rapid.StringMatching(`[A-Za-z0-9_\n-]{42}[AEIMQUYcgkosw048]`), rapid.String())

var sessionGen = rapid.Custom(func(t *rapid.T) issuer.Session {
	at := func(what string) time.Time { return record.Instant(rapid.Int64Range(-1e14, 1e14).Draw(t, what)) }
	return issuer.Session{
		ID: sessionIDGen().Draw(t, "id"), Subject: textGen.Draw(t, "subject"), Client: rapid.String().Draw(t, "client"),
		Created: at("created"), Rotated: at("rotated"), Expires: at("expires"), Ends: at("ends"),
		Generation: rapid.Uint64().Draw(t, "generation"), Epoch: rapid.Uint64().Draw(t, "epoch"),
		Current: textGen.Draw(t, "current"), Previous: textGen.Draw(t, "previous"), KID: kidGen.Draw(t, "kid"),
	}
})

// TestSessionRecords: whatever is stored comes back.
func TestSessionRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := sessionGen.Draw(t, "session")
		stored, err := encodeSession(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeSession(want.ID, stored)
		if diff := gocmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("error %v (-want +got):\n%s", err, diff)
		}
		sweep := issuer.Sweep{ExpiredAt: record.Instant(rapid.Int64Range(-1e14, 1e14).Draw(t, "now"))}
		if ends, err := matches(sweep, []byte(want.ID), stored); err != nil || ends != sweep.Matches(want) {
			t.Fatalf("a sweep: %v, error %v, want %v", ends, err, sweep.Matches(want))
		}
	})
}

// TestRefreshKeepsTheLength: what a refresh writes is as long as what was there.
func TestRefreshKeepsTheLength(t *testing.T) {
	session := testSession(1)
	for n := range 300 {
		before, err1 := encodeSession(session)
		session, _ = refreshed(session, n)
		after, err2 := encodeSession(session)
		if err := cmp.Or(err1, err2); err != nil || len(before) != len(after) {
			t.Fatalf("refresh %d: from %d bytes to %d, error %v", n, len(before), len(after), err)
		}
	}
}

// TestPagingAgainstModel: lists and sweeps by ID miss nothing and repeat nothing, however
// old and new IDs and records are mixed, and whatever is added, refreshed or ended
// between two steps: what was there all the time is seen once.
func TestPagingAgainstModel(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		file, err := os.CreateTemp(dir, "*")
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(file.Name())
		defer file.Close()
		os.Remove(file.Name())
		s, err := Open(file.Name(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.db.NoSync = true
		m := &pagingModel{s: s, sessions: map[string]issuer.Session{}}
		for range rapid.IntRange(0, 40).Draw(t, "sessions") {
			m.add(t)
		}
		m.list(t)
		m.sweep(t)
		m.compare(t)
	})
}

// pagingModel is a store, and what shall be in it.
type pagingModel struct {
	s        *Store
	sessions map[string]issuer.Session
}

func (m *pagingModel) add(t *rapid.T) {
	session := testSession(rapid.IntRange(0, 99).Draw(t, "n"))
	session.ID = sessionIDGen().Draw(t, "id")
	session.Expires = testNow.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "expires")) * time.Hour)
	_, taken := m.sessions[session.ID]
	err := m.s.CreateSession(t.Context(), session)
	if taken != (err != nil) {
		t.Fatalf("create %s: %v", session.ID, err)
	}
	if taken {
		return
	}
	m.sessions[session.ID] = session
	if rapid.Bool().Draw(t, "old") {
		record := oldSession(t, session)
		if err := m.s.write(t.Context(), func(t *tx) error { return t.put(bucketSessions, []byte(session.ID), []byte(record)) }); err != nil {
			t.Fatal(err)
		}
	}
}

// disturb adds or ends a session, and returns the ID if there was one that ended.
func (m *pagingModel) disturb(t *rapid.T) (ended string) {
	if len(m.sessions) == 0 || rapid.Bool().Draw(t, "add") {
		m.add(t)
		return ""
	}
	id := rapid.SampledFrom(m.ids()).Draw(t, "end")
	if err := m.s.EndSession(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	delete(m.sessions, id)
	return id
}

func (m *pagingModel) ids() []string {
	ids := make([]string, 0, len(m.sessions))
	for id := range m.sessions {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// list walks through pages while sessions come and go.
func (m *pagingModel) list(t *rapid.T) {
	stays := map[string]bool{}
	for id := range m.sessions {
		stays[id] = true
	}
	limit := rapid.IntRange(1, 9).Draw(t, "limit")
	var seen []string
	for after := ""; ; {
		page, err := m.s.ListSessions(t.Context(), "", after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, session := range page {
			seen = append(seen, session.ID)
			after = session.ID
		}
		if len(page) < limit {
			break
		}
		if ended := m.disturb(t); ended != "" {
			delete(stays, ended)
		}
	}
	if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
		t.Fatalf("the pages are %q", seen)
	}
	for id := range stays {
		if !slices.Contains(seen, id) {
			t.Fatalf("%s was there all the time, and not on the pages %q", id, seen)
		}
	}
}

// sweep goes through to the end while sessions come and go.
func (m *pagingModel) sweep(t *rapid.T) {
	what := issuer.Sweep{ExpiredAt: testNow.Add(time.Hour)}
	if rapid.Bool().Draw(t, "all") {
		what = issuer.Sweep{All: true}
	}
	limit := rapid.IntRange(1, 9).Draw(t, "limit")
	for after := ""; ; {
		ended, last, err := m.s.SweepSessions(t.Context(), what, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for id, session := range m.sessions {
			if id > after && (last == "" || id <= last) && what.Matches(session) {
				delete(m.sessions, id)
				want++
			}
		}
		if ended != want {
			t.Fatalf("from %q to %q: ended %d, want %d", after, last, ended, want)
		}
		if last == "" {
			return
		}
		if last <= after {
			t.Fatalf("from %q to %q", after, last)
		}
		after = last
		m.disturb(t)
	}
}

// compare looks at all that is left, and at the index.
func (m *pagingModel) compare(t *rapid.T) {
	var want []issuer.Session
	bySubject := map[string]int{}
	for _, id := range m.ids() {
		want = append(want, m.sessions[id])
		bySubject[m.sessions[id].Subject]++
	}
	got, err := m.s.ListSessions(t.Context(), "", "", 999)
	if diff := gocmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("error %v, sessions (-want +got):\n%s", err, diff)
	}
	for n := range 7 {
		subject := testSession(n).Subject
		if got, err := m.s.ListSessions(t.Context(), subject, "", 999); err != nil || len(got) != bySubject[subject] {
			t.Fatalf("of %s: %d, error %v, want %d", subject, len(got), err, bySubject[subject])
		}
	}
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatal(args ...any)
}
