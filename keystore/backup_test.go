package keystore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSealingKeyForARing says what a start would, and changes nothing.
func TestSealingKeyForARing(t *testing.T) {
	path := func(f *fixture) string { return f.opts.Sealing.from }
	for name, c := range map[string]struct {
		prepare func(t *testing.T, f *fixture, path string) error
		want    error
	}{
		"right": {func(*testing.T, *fixture, string) error { return nil }, nil},
		"renewed": {func(t *testing.T, f *fixture, _ string) error {
			_, err := f.Reseal(t.Context(), false)
			return err
		}, nil},
		"renewed, and not yet in its place": {func(t *testing.T, f *fixture, path string) error {
			old, err := os.ReadFile(path)
			_, reseal := f.Reseal(t.Context(), false)
			return errors.Join(err, reseal, os.Rename(path, nextSealingKey(path)), os.WriteFile(path, old, 0o600))
		}, nil},
		"renewed, and the old one is here": {func(t *testing.T, f *fixture, path string) error {
			old, err := os.ReadFile(path)
			_, reseal := f.Reseal(t.Context(), false)
			return errors.Join(err, reseal, os.WriteFile(path, old, 0o600))
		}, ErrSealingKey},
		"of another": {func(t *testing.T, _ *fixture, path string) error {
			return errors.Join(os.Remove(path), CreateSealingKey(path))
		}, ErrSealingKey},
		"missing":  {func(_ *testing.T, _ *fixture, path string) error { return os.Remove(path) }, fs.ErrNotExist},
		"readable": {func(_ *testing.T, _ *fixture, path string) error { return os.Chmod(path, 0o644) }, ErrSealingKey},
		"a changed ring": {func(_ *testing.T, f *fixture, _ string) error {
			f.tamper(func(r *Ring) { r.Keys[0].MaxAccess *= 2 })
			return nil
		}, ErrRing},
		"a ring of a newer signet": {func(_ *testing.T, f *fixture, _ string) error {
			f.tamper(func(r *Ring) { r.Format = sharedFormat + 1 })
			return nil
		}, ErrNewer},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testPolicy())
			if err := c.prepare(t, f, path(f)); err != nil {
				t.Fatal(err)
			}
			before, err := filepath.Glob(filepath.Join(filepath.Dir(path(f)), "*"))
			if err != nil {
				t.Fatal(err)
			}
			key, got := SealingKeyFor(path(f), f.store.ring())
			if !errors.Is(got, c.want) || got == nil && key.ID() != f.store.ring().SealedBy {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if after, err := filepath.Glob(filepath.Join(filepath.Dir(path(f)), "*")); err != nil || strings.Join(before, " ") != strings.Join(after, " ") {
				t.Errorf("the directory has %q, and had %q: %v", after, before, err)
			}
		})
	}
}

// TestPrivateHalvesAreOpened where a ring has no authentication code.
func TestPrivateHalvesAreOpened(t *testing.T) {
	f := newFixture(t, testPolicy())
	old := f.store.ring()
	old.Format, old.SealedBy, old.MAC = 0, "", ""
	if err := (&SealingKey{secret: f.opts.Sealing.secret}).CheckRing(old); err != nil {
		t.Error(err)
	}
	if err := (&SealingKey{secret: make([]byte, 32), from: "seal.key"}).CheckRing(old); !errors.Is(err, ErrSealingKey) || !strings.Contains(err.Error(), "seal.key does not open key "+old.Keys[0].KID) {
		t.Errorf("got %v, want %v", err, ErrSealingKey)
	}
}

// TestSealingKeyFileHasItsName: an operator who has several finds the one that a backup needs.
func TestSealingKeyFileHasItsName(t *testing.T) {
	key := newSealingKey(t)
	text, err := os.ReadFile(key.from)
	if err != nil || !strings.Contains(string(text), key.ID()) {
		t.Errorf("the file does not hold %s: %v", key.ID(), err)
	}
}

// TestStopsAt goes by the rule of a start.
func TestStopsAt(t *testing.T) {
	f := newFixture(t, testPolicy())
	for after, want := range map[time.Duration]bool{time.Hour: false, day: false, day + time.Second: true, -2 * day: true} {
		if got := f.store.ring().StopsAt(start.Add(after)); got != want {
			t.Errorf("after %s: %v", after, got)
		}
		f.clock.ns.Store(start.Add(after).UnixNano())
		f.reopen()
		if stopped := !f.Schedule().Stopped.IsZero(); stopped != want {
			t.Errorf("a start after %s: stopped: %v", after, stopped)
		}
		f = newFixture(t, testPolicy())
	}
	if (Ring{}).StopsAt(start) || !(Ring{Stopped: start}).StopsAt(start) {
		t.Error("a ring that was never stored, or is stopped")
	}
}

func TestInVault(t *testing.T) {
	if (Ring{Keys: []Key{{}, {Sealed: "eyJ"}}}).InVault() || !(Ring{Keys: []Key{{}, {Sealed: "pkcs11:token=x"}}}).InVault() {
		t.Error("a reference is not told from a sealed key")
	}
}
