package keystore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A process that starts while another changes the sealing key waits, and takes nothing away
// that the other needs. A second change waits too.
func TestOneProcessChangesTheSealingKey(t *testing.T) {
	f := newSharedFixture(t, nil)
	path, old := f.opts.Sealing.from, f.opts.Sealing.ID()
	other := must[*Manager](t)(Open(t.Context(), f.opts))
	settling := Settling{Store: f.opts.Store, Path: path, Own: true, Log: silent}
	f.store.before = func() {
		ctx, cancel := context.WithTimeout(t.Context(), 3*sealLockPoll)
		defer cancel()
		if _, err := SettleSealingKey(ctx, settling); !errors.Is(err, errSealLocked) || !errors.Is(err, ErrSealingKey) {
			t.Errorf("a start meanwhile: %v, want %v", err, errSealLocked)
		}
		if _, err := other.Reseal(ctx, false); !errors.Is(err, errSealLocked) {
			t.Errorf("a second change meanwhile: %v, want %v", err, errSealLocked)
		}
		read(t, nextSealingKey(path))
	}
	must[Resealed](t)(f.Reseal(t.Context(), false))
	expectAlone(t, path)
	key := must[*SealingKey](t)(SettleSealingKey(t.Context(), settling))
	if key.ID() == old || key.ID() != f.store.ring().SealedBy {
		t.Errorf("afterwards it opens %s, and the ring is sealed with %s", key.ID(), f.store.ring().SealedBy)
	}
	must[Resealed](t)(other.Reseal(t.Context(), false)) // it has taken up the new one
}

// Who has opened the file before it was replaced has locked nothing.
func TestLockOfAFileThatIsReplaced(t *testing.T) {
	path := sealingPath(t)
	create(t, path)
	f := must[*os.File](t)(openForLock(path))
	create(t, nextSealingKey(path))
	if err := os.Rename(nextSealingKey(path), path); err != nil {
		t.Fatal(err)
	}
	if _, err := lockOpened(f, path); !errors.Is(err, errSealLocked) {
		t.Errorf("the file that was replaced: %v, want %v", err, errSealLocked)
	}
	must[func()](t)(tryLockSealingKey(path))()
}

// A sealing key that is missing, or that its owner may only read, can be settled.
func TestLockNeedsNoWriting(t *testing.T) {
	must[func()](t)(lockSealingKey(t.Context(), filepath.Join(t.TempDir(), "seal.key")))()
	path := sealingPath(t)
	create(t, path)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	unlock := must[func()](t)(lockSealingKey(t.Context(), path))
	if _, err := tryLockSealingKey(path); !errors.Is(err, errSealLocked) {
		t.Errorf("not locked: %v", err)
	}
	unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	must[func()](t)(lockSealingKey(ctx, path))()
}
