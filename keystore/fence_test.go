package keystore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// timed is a memStore that several processes may use.
type timed struct {
	*memStore
	now func() time.Time
}

func (s timed) Time(context.Context) (time.Time, error) { return s.now(), nil }

func newSharedFixture(t *testing.T, vault Vault) *fixture {
	f := &fixture{t: t, clock: newClock(), store: &memStore{}}
	policy := testPolicy("ES256")
	f.opts = Options{Store: timed{f.store, f.clock.Now}, Shared: true, Sealing: newSealingKey(t), Vault: vault,
		Policy: &policy, Now: f.clock.Now, Log: silent}
	f.store.sealing = f.opts.Sealing
	f.reopen()
	return f
}

// restart is a start of the server, from the files.
func (f *fixture) restart() string {
	f.t.Helper()
	var log bytes.Buffer
	f.opts.Sealing = must[*SealingKey](f.t)(SettleSealingKey(f.t.Context(), Settling{Store: f.opts.Store, Path: f.opts.Sealing.from,
		Own: true, Log: slog.New(slog.NewTextHandler(&log, nil))}))
	f.reopen()
	f.signer("")
	return log.String()
}

// A write of Reseal that is reported as failed comes to the database later. Either it is
// refused there, or the key that it is sealed with is still at hand.
func TestResealWhoseWriteIsLate(t *testing.T) {
	for name, c := range map[string]struct {
		how    fault
		polled bool
	}{"fenced off": {late, false}, "cannot be fenced off, and a restart": {blocking, false}, "cannot be fenced off, and it runs on": {blocking, true}} {
		t.Run(name, func(t *testing.T) {
			f, how := newSharedFixture(t, nil), c.how
			path := f.opts.Sealing.from
			f.store.faults = []fault{how}
			_, err := f.Reseal(t.Context(), false)
			if !errors.Is(err, errDisk) || errors.Is(err, errUnsettled) != (how == blocking) {
				t.Fatalf("got %v", err)
			}
			if how == blocking && !strings.Contains(err.Error(), "the new sealing key stays at "+nextSealingKey(path)) {
				t.Errorf("it does not say what to keep: %v", err)
			}
			if made := f.store.land(); made != (how == blocking) {
				t.Fatalf("the late write was made: %v", made)
			}
			if !c.polled && how == blocking {
				if log := f.restart(); !strings.Contains(log, "finished a change") {
					t.Errorf("log: %s", log)
				}
			}
			f.look(t.Context())
			f.signer("")
			expectAlone(t, path)
			f.restart()
		})
	}
}

// What an interrupted change left is removed only when its write can be made no more: at a
// start, and by the next change.
func TestLateWriteAfterACrash(t *testing.T) {
	for name, begin := range map[string]func(*fixture) error{
		"start":  func(f *fixture) error { f.restart(); return nil },
		"reseal": func(f *fixture) error { _, err := f.Reseal(f.t.Context(), false); return err },
	} {
		for _, how := range []fault{late, blocking} {
			f := newSharedFixture(t, nil)
			path := f.opts.Sealing.from
			create(t, nextSealingKey(path))
			next := must[*SealingKey](t)(ReadSealingKey(nextSealingKey(path)))
			old := f.opts.Sealing
			sealed := newChange(f.store.ring(), instant{at: start, shared: true}, nil)
			if err := sealed.reseal(old, next); err != nil {
				t.Fatal(err)
			}
			lost := must[Ring](t)(next.authenticate(*sealed.Ring))
			f.store.lost, f.store.locked = &lost, how == blocking

			if err := begin(f); how == blocking && name == "reseal" && (!errors.Is(err, ErrSealingKey) || !strings.Contains(err.Error(), "may still be made")) || how == late && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := os.Stat(nextSealingKey(path)); (err == nil) != (how == blocking) {
				t.Errorf("%s: the new key is there: %v, want %v", name, err == nil, how == blocking)
			}
			if made := f.store.land(); made != (how == blocking) {
				t.Errorf("%s: the late write was made: %v", name, made)
			}
			f.restart()
			expectAlone(t, path)
		}
	}
}

// A key in a vault is not destroyed while a ring that refers to it may come.
func TestVaultWhoseWriteIsLate(t *testing.T) {
	for name, how := range map[string]fault{"fenced off": late, "cannot be fenced off": blocking} {
		t.Run(name, func(t *testing.T) {
			vault := newVault()
			f := newSharedFixture(t, vault)
			f.store.faults = []fault{how}
			if _, err := f.Rotate(t.Context(), RotateRequest{Now: true}, false); !errors.Is(err, errDisk) {
				t.Fatalf("got %v", err)
			}
			if made := f.store.land(); made != (how == blocking) {
				t.Fatalf("the late write was made: %v", made)
			}
			f.reopen()
			f.signer("")
			if _, err := f.Maintain(t.Context()); err != nil {
				t.Error(err)
			}
			f.clock.advance(time.Hour)
			f.reopen()
			f.maintain()
			f.expectInVault(vault)
		})
	}
}

// Others than the server leave what an interrupted change left, and go by what is stored.
func TestSettleForACommand(t *testing.T) {
	f := newSharedFixture(t, nil)
	path := f.opts.Sealing.from
	create(t, nextSealingKey(path))
	key := must[*SealingKey](t)(SettleSealingKey(t.Context(), Settling{Store: f.store, Path: path, Log: silent}))
	if key.ID() != f.store.ring().SealedBy || f.store.ring().Version != 1 {
		t.Errorf("opened %s, version %d", key.ID(), f.store.ring().Version)
	}
	read(t, nextSealingKey(path))
}
