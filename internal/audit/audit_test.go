package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"signet/internal/audit"
	"signet/internal/event"
)

// marks is the database's side, in memory.
type marks struct {
	mu   sync.Mutex
	mark audit.Mark
	err  error
}

func (m *marks) AuditMark(context.Context) (audit.Mark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mark, m.err
}

func (m *marks) SetAuditMark(_ context.Context, mark audit.Mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.mark = mark
	}
	return m.err
}

type fixture struct {
	*audit.Log
	path  string
	marks *marks
	said  *bytes.Buffer
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{path: filepath.Join(t.TempDir(), "audit.log"), marks: &marks{}, said: new(bytes.Buffer)}
	f.open(t)
	return f
}

// open opens the log of the fixture, again after a close.
func (f *fixture) open(t testing.TB) {
	t.Helper()
	log, err := audit.Open(t.Context(), audit.Options{Path: f.path, Marks: f.marks, Log: slog.New(slog.NewTextHandler(f.said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	f.Log = log
	t.Cleanup(func() { log.Close() })
}

func (f *fixture) record(t testing.TB, events ...event.Event) {
	t.Helper()
	for _, e := range events {
		if err := f.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// verify reads the file as it is now, against the mark.
func (f *fixture) verify(t testing.TB) (audit.Report, error) {
	t.Helper()
	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	return audit.Verify([]audit.Source{{Name: "audit.log", Reader: bytes.NewReader(text)}}, f.marks.mark)
}

// lines are the records of the file.
func (f *fixture) lines(t testing.TB) (records []audit.Record) {
	t.Helper()
	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

func login(sub string) event.Event {
	return event.Event{Kind: event.Login, Outcome: event.Done, Subject: sub, Session: "s-" + sub, Client: "first-party"}
}

// TestARecordSaysWho: what stands in a line, and what of an event does not.
func TestARecordSaysWho(t *testing.T) {
	f := newFixture(t)
	ctx := event.WithCaller(t.Context(), event.Caller{Address: netip.MustParseAddr("192.0.2.7"), RequestID: "R1"})
	refused := event.Event{Kind: event.Login, Outcome: event.Refused, Subject: "SUB", Cause: errors.New("what a stranger sent")}
	command := event.Event{Kind: event.Command, Outcome: event.Refused, Action: "users add", Target: strings.Repeat("x", 2000), Cause: errors.New("the name is taken")}
	if err := f.Record(ctx, refused); err != nil {
		t.Fatal(err)
	}
	if err := f.Record(event.WithCaller(t.Context(), event.Caller{Operator: "1000"}), command); err != nil {
		t.Fatal(err)
	}
	got := f.lines(t)
	if len(got) != 2 {
		t.Fatalf("%d records, want 2", len(got))
	}
	if r := got[0]; r.Event != "login" || r.Outcome != "refused" || r.Subject != "SUB" || r.Address != "192.0.2.7" || r.RequestID != "R1" || r.Error != "" {
		t.Errorf("a refused login is %+v", r)
	}
	if r := got[1]; r.Action != "users add" || r.OperatorUID != "1000" || r.Error != "the name is taken" || len(r.Target) > 600 {
		t.Errorf("a refused command is %+v", r)
	}
}

// TestWhatIsRecorded goes through every kind and outcome.
func TestWhatIsRecorded(t *testing.T) {
	left := map[event.Event]bool{
		{Kind: event.Login, Outcome: event.Busy}: true, {Kind: event.Refresh, Outcome: event.Done}: true,
		{Kind: event.Refresh, Outcome: event.Expired}: true, {Kind: event.Refresh, Outcome: event.Invalid}: true,
		{Kind: event.Refresh, Outcome: event.Inactive}: true, {Kind: event.Refresh, Outcome: event.Ended}: true,
		{Kind: event.Refresh, Outcome: event.Failed}: true, {Kind: event.Token, Outcome: event.Done}: true,
		{Kind: event.Token, Outcome: event.Failed}: true,
	}
	kinds := map[event.Kind][]event.Outcome{
		event.Login:                {event.Done, event.Refused, event.Throttled, event.Busy, event.Failed},
		event.Refresh:              {event.Done, event.Reused, event.Expired, event.Invalid, event.Inactive, event.Ended, event.Failed},
		event.Logout:               {event.Done},
		event.Token:                {event.Done, event.Failed},
		event.ClientAuthentication: {event.Refused, event.Failed},
		event.Key:                  {event.Done},
		event.Command:              {event.Done, event.Refused},
		event.Server:               {event.Done, event.Failed},
	}
	for kind, outcomes := range kinds {
		for _, outcome := range outcomes {
			f := newFixture(t)
			e := event.Event{Kind: kind, Outcome: outcome}
			f.record(t, e)
			if recorded := f.Head().Seq == 1; recorded == left[e] {
				t.Errorf("%s %s: recorded %v", kind, outcome, recorded)
			}
		}
	}
}

// TestTheLogGoesOn over closes, and its files follow each other.
func TestTheLogGoesOn(t *testing.T) {
	f := newFixture(t)
	f.record(t, login("a"), login("b"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Record(t.Context(), login("c")); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("a record after the close: %v, want ErrClosed", err)
	}
	f.open(t)
	f.record(t, login("c"))
	report, err := f.verify(t)
	if err != nil || report.First != 1 || report.Last != 3 || !report.Marked {
		t.Errorf("%+v, %v", report, err)
	}
	if report.Head != f.Head() {
		t.Errorf("the head is %v, want %v", report.Head, f.Head())
	}
}

// TestEveryChangeShows changes, removes, doubles, swaps and inserts each record of a log.
func TestEveryChangeShows(t *testing.T) {
	f := newFixture(t)
	const records = 5
	for i := range records {
		f.record(t, login(fmt.Sprint("user", i)))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	lines[records-1] += "\n"
	forged := strings.Replace(lines[2], "user2", "mallory", 1)
	for name, c := range map[string]struct {
		text, problem string
	}{
		"a changed record":       {lines[0] + lines[1] + forged + lines[3] + lines[4], "audit.log:4: record 4 does not follow record 3 as that stands: one of the two was changed"},
		"a changed first record": {strings.Replace(lines[0], "user0", "x", 1) + strings.Join(lines[1:], ""), "audit.log:2: record 2 does not follow record 1 as that stands: one of the two was changed"},
		"a changed last record":  {strings.Join(lines[:4], "") + strings.Replace(lines[4], "user4", "x", 1), "audit.log:5: record 5 is not the one that signet wrote: it or records before it were changed"},
		"a cut at the front":     {lines[1] + lines[2] + lines[3] + lines[4], "audit.log:1: record 1 is missing at the beginning"},
		"a cut in the middle":    {lines[0] + lines[1] + lines[4], "audit.log:3: records 3 to 4 are missing before record 5"},
		"a cut at the end":       {lines[0] + lines[1] + lines[2] + lines[3], "audit.log: record 5 is missing at the end"},
		"all of it cut off":      {"", "audit.log: records 1 to 5 are missing at the end"},
		"half a record":          {lines[0] + lines[1][:20], "audit.log:2: the file ends in the middle of a record: a crash of the server leaves that until its next start, and so does a cut"},
		"two in another order":   {lines[0] + lines[2] + lines[1], "audit.log:2: record 2 is missing before record 3"},
		"a record twice":         {lines[0] + lines[1] + lines[1], "audit.log:3: record 2 follows record 2: the files are in the wrong order, or records were put in"},
		"something else":         {lines[0] + "hello\n", "audit.log:2: this is no record; it was changed, or written by something else"},
		"a line without an end":  {strings.Repeat("x", 1<<20), "audit.log:1: the line is longer than any record"},
		"another beginning":      {strings.Replace(lines[0], `"prev":"A`, `"prev":"B`, 1), "audit.log:1: record 1 says that another came before it: it was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := audit.Verify([]audit.Source{{Name: "audit.log", Reader: strings.NewReader(c.text)}}, f.marks.mark)
			var fault *audit.Fault
			if !errors.As(err, &fault) || err.Error() != c.problem {
				t.Errorf("%v, want %s", err, c.problem)
			}
		})
	}
	if report, err := f.verify(t); err != nil || !report.Marked {
		t.Errorf("the log as it was written: %+v, %v", report, err)
	}
}

// TestRewrittenHistory: a chain that is whole in itself is not the one of the mark.
func TestRewrittenHistory(t *testing.T) {
	f, other := newFixture(t), newFixture(t)
	f.record(t, login("kyoko"), login("mori"))
	other.record(t, login("kyoko"), login("mallory"))
	if err := errors.Join(f.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
	other.marks.mark = f.marks.mark
	_, err := other.verify(t)
	if want := "audit.log:2: record 2 is not the one that signet wrote: it or records before it were changed"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestMovedAway: after a move the log goes on in a new file, and both together are whole.
func TestMovedAway(t *testing.T) {
	f := newFixture(t)
	f.record(t, login("a"))
	old := f.path + ".1"
	if err := os.Rename(f.path, old); err != nil {
		t.Fatal(err)
	}
	f.record(t, login("b")) // still to the file that was moved
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	f.record(t, login("c"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	report, err := f.verify(t)
	if err != nil || report.First != 3 || !report.Marked {
		t.Errorf("the new file alone: %+v, %v", report, err)
	}
	second, _ := os.ReadFile(f.path)
	read := func(files ...[]byte) (audit.Report, error) {
		var sources []audit.Source
		for i, text := range files {
			sources = append(sources, audit.Source{Name: fmt.Sprint("file", i), Reader: bytes.NewReader(text)})
		}
		return audit.Verify(sources, f.marks.mark)
	}
	if report, err = read(first, second); err != nil || report.First != 1 || report.Last != 3 {
		t.Errorf("both files: %+v, %v", report, err)
	}
	if _, err = read(second, first); err == nil || !strings.Contains(err.Error(), "wrong order") {
		t.Errorf("the files in the wrong order: %v", err)
	}
}

// TestRemovedWhileWritten: a new file begins, loudly, and nothing more is lost.
func TestRemovedWhileWritten(t *testing.T) {
	f := newFixture(t)
	f.record(t, login("a"), login("b"))
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	f.record(t, login("c"))
	if !strings.Contains(f.said.String(), "level=ERROR msg=\"the file of the audit log was removed or emptied while it was written") {
		t.Errorf("the log does not say so: %s", f.said)
	}
	if got := f.lines(t); len(got) != 1 || got[0].Seq != 3 || got[0].Subject != "c" {
		t.Errorf("the new file has %+v", got)
	}
}

// TestRemovedBeforeAStart: that is said, and a cut at the front of the new file shows.
func TestRemovedBeforeAStart(t *testing.T) {
	f := newFixture(t)
	f.record(t, login("a"), login("b"))
	if err := errors.Join(f.Close(), os.Remove(f.path)); err != nil {
		t.Fatal(err)
	}
	f.open(t)
	if !strings.Contains(f.said.String(), "level=WARN msg=\"there was no audit log at its path") {
		t.Errorf("the log does not say so: %s", f.said)
	}
	f.record(t, login("c"), login("d"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if report, err := f.verify(t); err != nil || report.First != 3 {
		t.Errorf("%+v, %v", report, err)
	}
	text, _ := os.ReadFile(f.path)
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	for problem, text := range map[string][]byte{
		"audit.log:1: record 3 is missing at the beginning":                                         rest,
		"audit.log:1: record 3 does not follow the one that signet wrote before it: it was changed": append(bytes.Replace(first, []byte(`"prev":"`), []byte(`"prev":"x`), 1), '\n'),
	} {
		if err := os.WriteFile(f.path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if report, err := f.verify(t); err == nil || err.Error() != problem || report.Fault == nil {
			t.Errorf("%v, want %s", err, problem)
		}
	}
}

// TestCutBeforeAStart: records that were cut off while nothing ran are missing for ever.
func TestCutBeforeAStart(t *testing.T) {
	f := newFixture(t)
	f.record(t, login("a"), login("b"), login("c"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(f.path)
	if err := os.WriteFile(f.path, text[:bytes.IndexByte(text, '\n')+1], 0o600); err != nil {
		t.Fatal(err)
	}
	f.open(t)
	if !strings.Contains(f.said.String(), "the audit log does not end as it did") {
		t.Errorf("the log does not say so: %s", f.said)
	}
	f.record(t, login("d"))
	_, err := f.verify(t)
	if want := "audit.log:2: records 2 to 3 are missing before record 4"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestCrash leaves a file that is ahead of its mark, with half a record at its end.
func TestCrash(t *testing.T) {
	f := newFixture(t)
	f.record(t, login("a"), login("b"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.marks.mark = audit.Mark{}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	file.WriteString(`{"seq":3,"ti`)
	file.Close()
	f.open(t)
	f.record(t, login("c"))
	if report, err := f.verify(t); err != nil || report.Last != 3 {
		t.Errorf("%+v, %v", report, err)
	}
	if !strings.Contains(f.said.String(), "ended in the middle of a record") {
		t.Errorf("the log does not say so: %s", f.said)
	}
}

// TestFilesThatAreNotTaken: a start refuses them and changes nothing.
func TestFilesThatAreNotTaken(t *testing.T) {
	open := func(path string) error {
		log, err := audit.Open(t.Context(), audit.Options{Path: path, Marks: &marks{}})
		if err == nil {
			log.Close()
		}
		return err
	}
	dir := t.TempDir()
	held := newFixture(t)
	if err := open(held.path); !errors.Is(err, audit.ErrInUse) {
		t.Errorf("a log that another writes: %v, want ErrInUse", err)
	}
	for name, text := range map[string]string{"text": "hello\n", "long": strings.Repeat("x", 1<<20), "number": `{"seq":0}` + "\n", "a key": "-----BEGIN PRIVATE KEY", "JSON": `{"key":1}`} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(path); !errors.Is(err, audit.ErrForeign) {
			t.Errorf("%s: %v, want ErrForeign", name, err)
		}
		if after, _ := os.ReadFile(path); string(after) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if err := open(filepath.Join(dir, "missing", "audit.log")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := open(link); err == nil {
		t.Error("a symbolic link was followed")
	}
}

// TestUnwritten: what cannot be written is reported, waits, and is written later.
func TestUnwritten(t *testing.T) {
	f := newFixture(t)
	f.record(t, login("a"))
	if err := os.Rename(filepath.Dir(f.path), filepath.Dir(f.path)+"-gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(f.path)+"-gone", "audit.log")); err != nil {
		t.Fatal(err)
	}
	if err := f.Record(t.Context(), login("b")); !errors.Is(err, audit.ErrUnwritten) {
		t.Errorf("%v, want ErrUnwritten", err)
	}
	if err := f.Ready(); !errors.Is(err, audit.ErrUnwritten) {
		t.Errorf("it is ready: %v", err)
	}
	before := f.Stats().Failures
	failed := event.Event{Kind: event.Login, Outcome: event.Failed, Cause: audit.ErrUnwritten}
	if err := f.Record(t.Context(), failed); !errors.Is(err, audit.ErrUnwritten) || f.Stats().Unrecorded != 1 {
		t.Errorf("a login that is refused for it: %v, %+v", err, f.Stats())
	}
	if after := f.Stats().Failures; after > before+1 { // one by the ticker
		t.Errorf("it tried to write %d times", after-before)
	}
	if s := f.Stats(); !s.Failing || s.Failures == 0 || s.Records != 1 {
		t.Errorf("%+v", s)
	}
	if err := os.Rename(filepath.Dir(f.path)+"-gone", filepath.Dir(f.path)); err != nil {
		t.Fatal(err)
	}
	f.record(t, login("c"))
	if err := f.Ready(); err != nil {
		t.Errorf("it is not ready again: %v", err)
	}
	got := f.lines(t)
	if len(got) != 2 || got[0].Subject != "b" || got[0].Seq != 2 || got[1].Subject != "c" {
		t.Errorf("records %+v", got)
	}
}

// TestStrangersCannotFillTheDisk: many refused logins are counted, and one that is done
// is always written.
func TestStrangersCannotFillTheDisk(t *testing.T) {
	f := newFixture(t)
	const tries = 5000
	refused := event.Event{Kind: event.Login, Outcome: event.Refused}
	for range tries {
		f.record(t, refused)
	}
	f.record(t, login("kyoko"))
	got := f.lines(t)
	if len(got) > 1000 || len(got) < 200 {
		t.Errorf("%d records of %d tries", len(got), tries)
	}
	total := uint64(len(got)) - 1
	for _, r := range got {
		total += r.Unrecorded
	}
	if last := got[len(got)-1]; last.Subject != "kyoko" || total != tries || f.Stats().Unrecorded == 0 {
		t.Errorf("the last record is %+v, and the records tell of %d of %d tries", last, total, tries)
	}
}

// TestManyAtOnce: every record that was acknowledged is in the file, once.
func TestManyAtOnce(t *testing.T) {
	f := newFixture(t)
	const writers, each = 32, 50
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if err := f.Record(t.Context(), login(fmt.Sprintf("%d-%d", w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for _, r := range f.lines(t) {
		seen[r.Subject] = true
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if report, err := f.verify(t); err != nil || len(seen) != writers*each || report.Last != writers*each {
		t.Errorf("%d subjects, %+v, %v", len(seen), report, err)
	}
}

// TestTheMarkFollows within a second, also where the first try fails.
func TestTheMarkFollows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	synctest.Test(t, func(t *testing.T) {
		m := &marks{}
		log, err := audit.Open(t.Context(), audit.Options{Path: path, Marks: m, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		m.mu.Lock()
		m.err = errors.New("the database is gone")
		m.mu.Unlock()
		if err := log.Record(t.Context(), login("kyoko")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		m.mu.Lock()
		m.err = nil
		m.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if mark, _ := m.AuditMark(t.Context()); mark != log.Mark() || mark.Head.Seq != 1 {
			t.Errorf("the mark is %v, want %v", mark, log.Mark())
		}
	})
}

// FuzzVerify: whatever the file holds, Verify ends with a report or a fault.
func FuzzVerify(f *testing.F) {
	var line []byte
	line, _, _ = appendRecord(line)
	f.Add(line)
	f.Add([]byte(`{"seq":1,"prev":""}` + "\n" + `{"seq":18446744073709551615}` + "\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		report, err := audit.Verify([]audit.Source{{Name: "f", Reader: bytes.NewReader(text)}}, audit.Mark{Head: audit.Head{Seq: 3}})
		var fault *audit.Fault
		if err != nil && !errors.As(err, &fault) {
			t.Errorf("%v is no fault", err)
		}
		if err == nil && report.Last < 3 {
			t.Errorf("%+v, and the mark is of record 3", report)
		}
	})
}

func appendRecord(to []byte) ([]byte, int, error) {
	line, err := json.Marshal(audit.Record{Seq: 1, Event: "login", Prev: audit.Hash{}.String()})
	return append(append(to, line...), '\n'), len(line), err
}
