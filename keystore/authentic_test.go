package keystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tamper changes what is stored as whoever can write the database, and lacks the
// sealing key, can.
func (f *fixture) tamper(change func(*Ring)) {
	sealing := f.store.sealing
	f.store.sealing = nil
	defer func() { f.store.sealing = sealing }()
	f.store.edit(change)
}

// alterations are what an attacker would like of a ring.
func alterations(foreign Key) map[string]func(*Ring) {
	return map[string]func(*Ring){
		"a key added":              func(r *Ring) { r.Keys = append(r.Keys, foreign) },
		"a key removed":            func(r *Ring) { r.Keys = r.Keys[1:] },
		"keys in another order":    func(r *Ring) { r.Keys[0], r.Keys[1] = r.Keys[1], r.Keys[0] },
		"a private half removed":   func(r *Ring) { r.Keys[0].Sealed = "" },
		"a revocation undone":      func(r *Ring) { r.Keys[0].Revoked = time.Time{} },
		"a time":                   func(r *Ring) { r.Keys[1].SignsUntil = start.Add(time.Hour) },
		"a lifetime":               func(r *Ring) { r.Keys[1].MaxAccess *= 1000 },
		"an extension":             func(r *Ring) { r.Keys[1].Extended = day },
		"an algorithm":             func(r *Ring) { r.Keys[1].Alg = "ES384" },
		"the policy":               func(r *Ring) { r.Policy.RotateEvery = 0 },
		"the time of the clock":    func(r *Ring) { r.Seen = r.Seen.Add(day) },
		"the schedule stopped":     func(r *Ring) { r.Stopped = start },
		"refused keys":             func(r *Ring) { r.Refused = []string{"x"} },
		"the version":              func(r *Ring) { r.Version += 10 },
		"no code":                  func(r *Ring) { r.MAC = "" },
		"another code":             func(r *Ring) { r.MAC = strings.Repeat("A", len(r.MAC)) },
		"passed for an old format": func(r *Ring) { r.Format, r.MAC, r.SealedBy = 0, "", "" },
	}
}

func TestChangedRingIsRefused(t *testing.T) {
	foreign := newFixture(t, testPolicy()).store.ring().Keys[0]
	for name, alter := range alterations(foreign) {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testPolicy())
			f.revoke(f.signer("ES256"))
			signs := f.signer("")
			f.tamper(alter)
			before := f.store.bytes()
			if m, err := Open(t.Context(), f.opts); m != nil || !errors.Is(err, ErrRing) || !strings.Contains(err.Error(), "restore the database from a backup") {
				t.Errorf("at a start: %v, want %v", err, ErrRing)
			}
			for what, change := range changes {
				if what == "revoke" || what == "maintain" {
					continue // of this key; and it moves the clock
				}
				if err := change(t.Context(), f); !errors.Is(err, ErrRing) {
					t.Errorf("%s while it runs: %v, want %v", what, err, ErrRing)
				}
			}
			if f.signer("") != signs || len(f.Keys()) != 3 || f.published(foreign.KID) {
				t.Error("the running process does not go on with what it had")
			}
			if f.store.bytes() != before {
				t.Error("what is stored was changed")
			}
		})
	}
}

// An older ring that was authentic is authentic: a restart takes it, and a running
// process does not.
func TestOldRingPutBack(t *testing.T) {
	f := newFixture(t, testPolicy())
	old := f.store.text
	f.revoke(f.signer("ES256"))
	f.store.text = old
	if _, err := f.Maintain(t.Context()); !errors.Is(err, ErrRing) || !strings.Contains(err.Error(), "older than what this process has") {
		t.Errorf("while it runs: %v, want %v", err, ErrRing)
	}
	f.reopen()
}

func TestRingOfANewerVersion(t *testing.T) {
	f := newFixture(t, testPolicy())
	var members map[string]any
	if err := json.Unmarshal(f.store.text, &members); err != nil {
		t.Fatal(err)
	}
	members["format"], members["of_the_future"] = sharedFormat+1, true
	f.store.text = []byte(asJSON(t, members))
	if m, err := Open(t.Context(), f.opts); m != nil || !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "format is 4 and this one knows 3") {
		t.Errorf("at a start: %v, want %v", err, ErrNewer)
	}
	if _, err := f.Rotate(t.Context(), RotateRequest{}, false); !errors.Is(err, ErrNewer) {
		t.Errorf("while it runs: %v, want %v", err, ErrNewer)
	}
	f.signer("")
}

// A ring from before there were MACs is taken once, with the sealing key from then.
func TestRingOfTheOldFormatIsRewritten(t *testing.T) {
	f := newFixture(t, testPolicy())
	path := f.opts.Sealing.from
	if err := os.WriteFile(path, []byte(strings.Replace(read(t, path), authenticating, "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	f.opts.Sealing = must[*SealingKey](t)(ReadSealingKey(path))
	f.tamper(func(r *Ring) { r.Format, r.MAC, r.SealedBy, r.Seen = 0, "", "", time.Time{} })
	for _, policy := range []*Policy{nil, f.opts.Policy} {
		old := bytes.Clone(f.store.text)
		var log bytes.Buffer
		opts := f.opts
		opts.Policy, opts.Log = policy, slog.New(slog.NewTextHandler(&log, nil))
		must[*Manager](t)(Open(t.Context(), opts))
		if got := f.store.ring(); got.Format != ringFormat || got.MAC == "" || !strings.Contains(log.String(), "had no authentication code") {
			t.Errorf("format %d, MAC %q, log %s", got.Format, got.MAC, &log)
		}
		log.Reset()
		if must[*Manager](t)(Open(t.Context(), opts)); log.Len() > 0 {
			t.Errorf("a second start logs %s", &log)
		}
		f.store.text = old
	}
}

func TestIdentityOfASealingKeyTellsNothingOfIt(t *testing.T) {
	a, b := newSealingKey(t), newSealingKey(t)
	if a.ID() == b.ID() || len(a.ID()) != 22 || bytes.Equal(a.Derive("ring"), a.Derive("sealing key id")) {
		t.Errorf("%s, %s", a.ID(), b.ID())
	}
}

// interruptions are the states of the files that a crash during Reseal can leave.
func TestResealInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		crash    func(t *testing.T, f *fixture, path string)
		finished bool
		said     string
	}{
		"before the file is whole": {func(t *testing.T, f *fixture, path string) {
			if err := os.WriteFile(nextSealingKey(path), []byte("# Signet's sea"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, false, "undid a change of the sealing key"},
		"before the store": {func(t *testing.T, f *fixture, path string) { create(t, nextSealingKey(path)) }, false, "undid a change of the sealing key"},
		"before the rename": {func(t *testing.T, f *fixture, path string) {
			old := read(t, path)
			must[Resealed](t)(f.Reseal(t.Context(), false))
			if err := os.Rename(path, nextSealingKey(path)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
				t.Fatal(err)
			}
		}, true, "finished a change of the sealing key"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testPolicy())
			path, id := f.opts.Sealing.from, f.opts.Sealing.ID()
			signs := f.signer("")
			c.crash(t, f, path)
			var log bytes.Buffer
			key, err := SettleSealingKey(t.Context(), Settling{Store: f.store, Path: path, Own: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil || (key.ID() != id) != c.finished || !strings.Contains(log.String(), c.said) {
				t.Fatalf("%v, finished %v, log %s", err, key.ID() != id, &log)
			}
			expectAlone(t, path)
			f.opts.Sealing = key
			f.reopen()
			if f.signer("") != signs {
				t.Error("another key signs")
			}
		})
	}
}

// Of two sealing keys neither opens the ring: none is thrown away.
func TestSettleThrowsNothingAwayThatItDoesNotUnderstand(t *testing.T) {
	f := newFixture(t, testPolicy())
	path := sealingPath(t)
	create(t, path)
	create(t, nextSealingKey(path))
	key := must[*SealingKey](t)(SettleSealingKey(t.Context(), Settling{Store: f.store, Path: path, Own: true, Log: silent}))
	f.opts.Sealing = key
	f.expectOpenRefused()
	read(t, nextSealingKey(path))
}

func TestReseal(t *testing.T) {
	f := newFixture(t, testPolicy())
	path, before := f.opts.Sealing.from, f.store.ring()
	old := f.opts.Sealing
	token, _, err := f.Sign("", "JWT", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if plan, err := f.Reseal(t.Context(), true); err != nil || plan.Keys != 2 || f.store.ring().SealedBy != old.ID() {
		t.Errorf("plan %+v, %v", plan, err)
	}
	if done, err := f.Reseal(t.Context(), false); err != nil || done.Keys != 2 || done.Path != path {
		t.Errorf("done %+v, %v", done, err)
	}
	expectAlone(t, path)
	after := f.store.ring()
	for i := range after.Keys {
		if after.Keys[i].Sealed == before.Keys[i].Sealed || after.Keys[i].KID != before.Keys[i].KID {
			t.Errorf("key %d was not sealed anew", i)
		}
	}
	f.expectVerifies(token)
	f.rotate(RotateRequest{}) // goes on with the new key
	f.opts.Sealing = old
	f.expectOpenRefused()
	f.opts.Sealing = must[*SealingKey](t)(ReadSealingKey(path))
	f.reopen()
	f.expectVerifies(token)
	if info := must[os.FileInfo](t)(os.Stat(path)); info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// A write that is reported as failed was made or not: what is stored decides which
// sealing key is in force.
func TestResealWhenTheWriteFails(t *testing.T) {
	for name, c := range map[string]struct {
		fault fault
		done  bool
	}{"not made": {lost, false}, "made": {applied, true}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testPolicy())
			path, id := f.opts.Sealing.from, f.opts.Sealing.ID()
			f.store.faults = []fault{c.fault}
			if _, err := f.Reseal(t.Context(), false); (err == nil) != c.done || err != nil && !errors.Is(err, errDisk) {
				t.Errorf("%v", err)
			}
			expectAlone(t, path)
			if got := must[*SealingKey](t)(ReadSealingKey(path)); (got.ID() != id) != c.done || got.ID() != f.store.ring().SealedBy {
				t.Errorf("changed %v, want %v", got.ID() != id, c.done)
			}
			f.rotate(RotateRequest{})
			if _, err := f.Reseal(t.Context(), false); err != nil {
				t.Errorf("the next attempt: %v", err)
			}
		})
	}
}

func TestResealWithoutItsFile(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"gone":     os.Remove,
		"another":  func(path string) error { return errors.Join(os.Remove(path), CreateSealingKey(path)) },
		"damaged":  func(path string) error { return os.WriteFile(path, []byte("garbage"), 0o600) },
		"readable": func(path string) error { return os.Chmod(path, 0o644) },
	} {
		f := newFixture(t, testPolicy())
		if err := spoil(f.opts.Sealing.from); err != nil {
			t.Fatal(err)
		}
		before := f.store.bytes()
		_, err := f.Reseal(t.Context(), false)
		if !errors.Is(err, ErrSealingKey) || !strings.Contains(err.Error(), "goes on with the one it has") || f.store.bytes() != before {
			t.Errorf("%s: %v", name, err)
		}
		open, advice := name == "readable", "restore it from its backup"
		if open {
			advice = "run chmod 600 "
		}
		if err := f.CheckSealingKey(); !errors.Is(err, ErrSealingKey) || errors.Is(err, ErrSealingKeyOpen) != open ||
			!strings.Contains(err.Error(), advice) || open && strings.Contains(err.Error(), "restore") {
			t.Errorf("%s: %v", name, err)
		}
		f.signer("")
	}
}

func TestResealThroughALink(t *testing.T) {
	f := newFixture(t, testPolicy())
	target := f.opts.Sealing.from
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	f.opts.Sealing = must[*SealingKey](t)(ReadSealingKey(link))
	f.reopen()
	must[Resealed](t)(f.Reseal(t.Context(), false))
	expectAlone(t, target)
	if info := must[os.FileInfo](t)(os.Lstat(link)); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	f.opts.Sealing = must[*SealingKey](t)(SettleSealingKey(t.Context(), Settling{Store: f.store, Path: link, Own: true, Log: silent}))
	f.reopen()
	if f.opts.Sealing.ID() != f.store.ring().SealedBy {
		t.Errorf("sealed by %s", f.store.ring().SealedBy)
	}
}
