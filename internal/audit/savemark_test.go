package audit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"signet/internal/audit"
)

// TestALookStoresNoMark: a command that recorded nothing leaves the mark to the server
// that has begun while it ran.
func TestALookStoresNoMark(t *testing.T) {
	f := newFixture(t)
	f.record(t, login("a"))
	f.Close()
	said := new(bytes.Buffer)
	look, err := audit.Open(t.Context(), audit.Options{Path: f.path, Marks: f.marks, Lazy: true, Log: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	f.open(t)
	f.record(t, login("b"))
	f.Close()
	if err := look.Close(); err != nil {
		t.Fatal(err)
	}
	if f.marks.mark.Head.Seq != 2 || said.Len() > 0 {
		t.Errorf("the mark is of record %d, want 2; it said\n%s", f.marks.mark.Head.Seq, said)
	}
}

// TestTwoLogsOfOneName: the second one says what is wrong, once, and the mark stays that
// of the first.
func TestTwoLogsOfOneName(t *testing.T) {
	f, said := newFixture(t), new(bytes.Buffer)
	second, err := audit.Open(t.Context(), audit.Options{Path: filepath.Join(t.TempDir(), "audit.log"), Marks: f.marks, Log: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	f.record(t, login("a"))
	f.Close()
	first := f.marks.mark
	for range 3 {
		if err := second.Record(t.Context(), login("b")); err != nil {
			t.Error(err)
		}
	}
	second.Close()
	if f.marks.mark != first {
		t.Error("the mark is not that of the first one")
	}
	if n := strings.Count(said.String(), "level=ERROR"); n != 1 || !strings.Contains(said.String(), "another process stores the mark of its audit log under the same name; give each server a replica") {
		t.Errorf("it said %d errors:\n%s", n, said)
	}
}

// lostAnswers are marks whose answer to a write is lost, as long as lose says.
type lostAnswers struct {
	*marks
	lose bool
}

func (l *lostAnswers) SetAuditMark(ctx context.Context, m audit.Mark) error {
	if err := l.marks.SetAuditMark(ctx, m); err != nil || !l.lose {
		return err
	}
	return errors.New("the answer was lost")
}

// TestOwnMarkAfterALostAnswer: a mark that was stored all the same is nobody else's.
func TestOwnMarkAfterALostAnswer(t *testing.T) {
	said := new(bytes.Buffer)
	kept := &lostAnswers{marks: &marks{}, lose: true}
	path := filepath.Join(t.TempDir(), "audit.log")
	log, err := audit.Open(t.Context(), audit.Options{Path: path, Marks: kept, Log: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Record(t.Context(), login("a")); err != nil {
		t.Fatal(err)
	}
	audit.SaveMark(log)
	kept.lose = false
	if err := log.Record(t.Context(), login("b")); err != nil {
		t.Fatal(err)
	}
	log.Close()
	if kept.mark.Head.Seq != 2 || said.Len() > 0 {
		t.Errorf("the mark is of record %d, want 2; it said\n%s", kept.mark.Head.Seq, said)
	}
}
