package audit

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"signet/internal/event"
)

// noMarks is a store that keeps nothing.
type noMarks struct{}

func (noMarks) AuditMark(context.Context) (Mark, error)  { return Mark{}, nil }
func (noMarks) SetAuditMark(context.Context, Mark) error { return nil }

// TestADiskThatHangs: nobody waits for it longer than answerLimit, also where the queue is
// full, and once that is known nobody waits at all. What was queued is written when it
// comes back.
func TestADiskThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.Context(), Options{Path: path, Marks: noMarks{}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		back := make(chan struct{})
		l.appendTo = func(f *file, text []byte) error { <-back; return f.append(text) }
		done := event.Event{Kind: event.Logout, Outcome: event.Done}
		within := func(what string, limit time.Duration, call func() error) {
			t.Helper()
			began := time.Now()
			if err := call(); !errors.Is(err, ErrUnwritten) {
				t.Errorf("%s: %v, want ErrUnwritten", what, err)
			}
			if took := time.Since(began); took > limit {
				t.Errorf("%s took %s", what, took)
			}
		}
		record := func() error { return l.Record(context.Background(), done) }
		for range maxQueue + 1 {
			go record()
		}
		synctest.Wait()
		within("a record behind a full queue", answerLimit, record)
		within("a reopen", answerLimit, l.Reopen)
		if err := l.Ready(); !errors.Is(err, ErrUnwritten) {
			t.Errorf("it is ready: %v", err)
		}
		time.Sleep(time.Second)
		within("the next record", 0, record)
		within("the next reopen", 0, l.Reopen)
		within("a close", answerLimit, l.Close)
		close(back)
		synctest.Wait()
		if got := l.Head().Seq; got < maxQueue {
			t.Errorf("%d records of %d that were queued are on the disk", got, maxQueue)
		}
	})
}

// TestADeadlineIsKept: who has less time than the disk may take says so.
func TestADeadlineIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.Context(), Options{Path: path, Marks: noMarks{}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		back := make(chan struct{})
		l.appendTo = func(f *file, text []byte) error { <-back; return f.append(text) }
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		if err := l.Record(ctx, event.Event{Kind: event.Key, Outcome: event.Done}); !errors.Is(err, ErrUnwritten) {
			t.Errorf("%v, want ErrUnwritten", err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %s", took)
		}
		close(back)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestOperatorsKeepTheirRoom: a flood during a full disk does not push out what operators
// did, whichever came first.
func TestOperatorsKeepTheirRoom(t *testing.T) {
	l := &Log{}
	command := held{Record: Record{Event: "command"}}
	l.held = append(l.held, command)
	for range 2 * maxHeld {
		l.held = append(l.held, held{Record: Record{Event: "login"}, strangers: true})
	}
	l.held = append(l.held, command)
	l.drop()
	commands := 0
	for _, r := range l.held {
		if r.Event == "command" {
			commands++
		}
	}
	if commands != 2 || len(l.held) != maxHeld/2+2 || l.unrecorded.Load() != 2*maxHeld-maxHeld/2 {
		t.Errorf("%d of 2 commands are kept among %d records, and %d were left out", commands, len(l.held), l.unrecorded.Load())
	}
	for range 2 * maxHeld {
		l.held = append(l.held, command)
	}
	if l.drop(); len(l.held) != maxHeld {
		t.Errorf("%d records are kept", len(l.held))
	}
}
