package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"signet/internal/audit"
	"signet/internal/event"
)

// TestHangingUpHidesNothing: whoever goes away before the answer is on record.
func TestHangingUpHidesNothing(t *testing.T) {
	f := newFixture(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	const tries = 100
	for range tries {
		if err := f.Record(gone, login("kyoko")); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(f.lines(t)); got != tries {
		t.Errorf("%d of %d records", got, tries)
	}
}

// TestNoFloodHidesAnAttack: neither other kinds of events nor other names keep the tries of
// one account out.
func TestNoFloodHidesAnAttack(t *testing.T) {
	f := newFixture(t)
	flood := []event.Event{
		{Kind: event.ClientAuthentication, Outcome: event.Refused},
		{Kind: event.Login, Outcome: event.Throttled},
		{Kind: event.Login, Outcome: event.Refused},
	}
	for range 1000 {
		f.record(t, flood...)
	}
	for range 10 {
		f.record(t, event.Event{Kind: event.Login, Outcome: event.Refused, Subject: "VICTIM"})
	}
	tries := 0
	for _, r := range f.lines(t) {
		if r.Subject == "VICTIM" {
			tries++
		}
	}
	if tries < 3 {
		t.Errorf("%d tries of the victim are on record, want 3 or more", tries)
	}
}

// TestForgedHistory: a file that somebody else has written is not taken for the log, while
// signet runs and at its next start.
func TestForgedHistory(t *testing.T) {
	honest := func(t *testing.T) *fixture {
		f := newFixture(t)
		f.record(t, login("kyoko"), login("mallory"), login("mori"))
		return f
	}
	// A chain of its own, whole in itself, longer than the real one.
	other := newFixture(t)
	for i := range 9 {
		other.record(t, login(fmt.Sprint("invented", i)))
	}
	forged, err := os.ReadFile(other.path)
	if err != nil {
		t.Fatal(err)
	}
	_, fromSecond, _ := bytes.Cut(forged, []byte("\n"))
	for name, text := range map[string][]byte{
		"another history":       forged,
		"another, cut in front": fromSecond,
		"one line of the future": []byte(`{"seq":99999999,"time":"2026-01-01T00:00:00Z","event":"login","outcome":"done","prev":"` +
			audit.Hash{}.String() + `"}` + "\n"),
	} {
		t.Run(name+", while it runs", func(t *testing.T) {
			f := honest(t)
			replace(t, f.path, text)
			if err := f.Reopen(); err != nil {
				t.Fatal(err)
			}
			f.record(t, login("after"))
			f.wantForged(t)
		})
		t.Run(name+", before a start", func(t *testing.T) {
			f := honest(t)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			replace(t, f.path, text)
			f.open(t)
			f.record(t, login("after"))
			f.wantForged(t)
		})
	}
}

func (f *fixture) wantForged(t *testing.T) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if report, err := f.verify(t); err == nil {
		t.Errorf("verify finds nothing: %+v", report)
	}
	if !strings.Contains(f.said.String(), "level=ERROR") {
		t.Errorf("the log does not say so: %s", f.said)
	}
}

func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	fresh := path + ".forged"
	if err := errors.Join(os.WriteFile(fresh, text, 0o600), os.Rename(fresh, path)); err != nil {
		t.Fatal(err)
	}
}

// TestRestoredDatabase: its mark is older than the file, also where that was moved away
// since; the log goes on, and verify asks for the older files.
func TestRestoredDatabase(t *testing.T) {
	f := newFixture(t)
	f.record(t, login("a"))
	old := f.Mark()
	f.record(t, login("b"))
	moved := f.path + ".1"
	if err := errors.Join(os.Rename(f.path, moved), f.Reopen()); err != nil {
		t.Fatal(err)
	}
	f.record(t, login("c"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.marks.mark = old
	f.open(t)
	f.record(t, login("d"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.verify(t); err == nil || !strings.Contains(err.Error(), "record 2 is missing at the beginning") {
		t.Errorf("the newer file alone: %v", err)
	}
	first, _ := os.ReadFile(moved)
	second, _ := os.ReadFile(f.path)
	report, err := audit.Verify([]audit.Source{{Name: "1", Reader: bytes.NewReader(first)}, {Name: "2", Reader: bytes.NewReader(second)}}, f.marks.mark)
	if err != nil || report.Last != 4 || !report.Marked {
		t.Errorf("both files: %+v, %v", report, err)
	}
}

// TestPowerCut: zeros behind the last record are of writes that never were acknowledged.
func TestPowerCut(t *testing.T) {
	for _, zeros := range []int{1, 4096, 300_000} {
		f := newFixture(t)
		f.record(t, login("a"))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.Write(append([]byte(`{"seq":2,"t`), make([]byte, zeros)...))
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		f.open(t)
		f.record(t, login("b"))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if report, err := f.verify(t); err != nil || report.Last != 2 {
			t.Errorf("%d zeros: %+v, %v", zeros, report, err)
		}
	}
}
