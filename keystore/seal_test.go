package keystore

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func sealingPath(t *testing.T) string { return filepath.Join(t.TempDir(), "seal.key") }

func create(t *testing.T, path string) string {
	t.Helper()
	if err := CreateSealingKey(path); err != nil {
		t.Fatal(err)
	}
	return read(t, path)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expectAlone holds a directory to one file: nothing temporary is left.
func expectAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("the directory holds %v, %v; want only %s", entries, err, filepath.Base(path))
	}
}

func TestSealingKeyIsForItsOwnerAlone(t *testing.T) {
	path := sealingPath(t)
	create(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	expectAlone(t, path)
}

func TestSealingKeysDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 8 {
		path := sealingPath(t)
		create(t, path)
		key, err := ReadSealingKey(path)
		if err != nil || len(key.secret) != 32 || seen[string(key.secret)] {
			t.Fatalf("%d bytes, %v, seen before: %v", len(key.secret), err, seen[string(key.secret)])
		}
		seen[string(key.secret)] = true
	}
}

func TestSealingKeyIsNeverReplaced(t *testing.T) {
	path := sealingPath(t)
	before := create(t, path)
	if err := CreateSealingKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second creation: %v, want %v", err, fs.ErrExist)
	}
	if read(t, path) != before {
		t.Error("the file was changed")
	}
	expectAlone(t, path)
}

func TestSealingKeyIsNotWrittenThroughALink(t *testing.T) {
	path := sealingPath(t)
	target := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if err := CreateSealingKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creation over a dangling link: %v, want %v", err, fs.ErrExist)
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the target of the link: %v, want %v", err, fs.ErrNotExist)
	}
}

func TestCreateSealingKeyNeedsADirectory(t *testing.T) {
	err := CreateSealingKey(filepath.Join(t.TempDir(), "missing", "seal.key"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want %v", err, fs.ErrNotExist)
	}
}

func TestCreatedAtOnceOneSealingKeyRemains(t *testing.T) {
	path := sealingPath(t)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = CreateSealingKey(path) })
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, fs.ErrExist):
			t.Errorf("%v, want %v", err, fs.ErrExist)
		}
	}
	if made != 1 {
		t.Errorf("%d of %d made the key", made, len(errs))
	}
	if _, err := ReadSealingKey(path); err != nil {
		t.Error(err)
	}
	expectAlone(t, path)
}

func TestSealingKeyFilesThatAreRefused(t *testing.T) {
	line := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	tests := []struct{ name, text string }{
		{"blank", "\n"},
		{"only comments", "# nothing\n\n"},
		{"truncated", line[:42] + "\n"},
		{"much truncated", line[:10]},
		{"too long", line + "AAAA\n"},
		{"two keys", line + "\n" + line + "\n"},
		{"a key and garbage", line + "\ngarbage\n"},
		{"garbage and a key", "garbage\n" + line + "\n"},
		{"garbage", "not a key at all\n"},
		{"padded", line + "=\n"},
		{"stray bits", line[:42] + "B\n"},
		{"binary", strings.Repeat("\x00\xff", 16)},
		{"hexadecimal", strings.Repeat("0f", 32) + "\n"},
		{"comment that hides the key", strings.Repeat("#", sealingKeyFileLimit) + "\n" + line + "\n"},
		{"very long line", strings.Repeat("A", 1<<20)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := sealingPath(t)
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, fresh := range []bool{false, true} {
				expectRefused(t, path, fresh)
			}
			if read(t, path) != tt.text {
				t.Error("the file was changed")
			}
		})
	}
}

// expectRefused opens a sealing key that is not to be used.
func expectRefused(t *testing.T, path string, fresh bool) {
	t.Helper()
	key, err := OpenSealingKey(path, fresh)
	if key != nil || !errors.Is(err, ErrSealingKey) {
		t.Fatalf("OpenSealingKey(fresh %v) = %v, %v; want %v", fresh, key, err, ErrSealingKey)
	}
	if !strings.Contains(err.Error(), path) {
		t.Errorf("the error does not name %s: %v", path, err)
	}
}

func TestSealingKeyThatOthersMayReadIsRefused(t *testing.T) {
	path := sealingPath(t)
	create(t, path)
	for mode, ok := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o640: true, // a group may be let in to read: secrets are mounted so
		0o604: false, 0o644: false, 0o660: false, 0o666: false, 0o602: false, 0o777: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSealingKey(path); ok && err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if !ok {
			expectRefused(t, path, true)
		}
	}
}

func TestSealingKeyFileMayHaveComments(t *testing.T) {
	line := base64.RawURLEncoding.EncodeToString([]byte("thirty-two bytes for a test, yes"))
	for name, text := range map[string]string{
		"bare": line, "comments": "# a\n\n" + line + "\n# b\n", "CRLF": "# a\r\n" + line + "\r\n", "spaces": "  " + line + " \n",
	} {
		path := sealingPath(t)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := ReadSealingKey(path); err != nil || string(key.secret) != "thirty-two bytes for a test, yes" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMissingSealingKeyIsNotReplacedWhileKeysDependOnIt(t *testing.T) {
	path := sealingPath(t)
	expectRefused(t, path, false)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file: %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := ReadSealingKey(path); !errors.Is(err, ErrSealingKey) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadSealingKey: %v, want %v and %v", err, ErrSealingKey, fs.ErrNotExist)
	}
}

func TestSealedKeyIsAnEncryptedJWK(t *testing.T) {
	f := newFixture(t, testPolicy())
	for _, k := range f.store.ring().Keys {
		parts := strings.Split(k.Sealed, ".")
		if len(parts) != 5 || parts[1] != "" {
			t.Fatalf("%d parts, encrypted key %q; want 5 and none", len(parts), parts[1])
		}
		want := map[string]any{"alg": "dir", "enc": "A256GCM", "kid": k.KID, "cty": "jwk+json"}
		if got := decodePart(t, parts[0]); !maps.Equal(got, want) {
			t.Errorf("header %v, want %v", got, want)
		}
	}
}

func TestNonceIsNeverReused(t *testing.T) {
	s := newSealingKey(t)
	private, err := generate("EdDSA", 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := newJWK("EdDSA", private)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 100 {
		sealed, err := s.seal(key)
		if err != nil {
			t.Fatal(err)
		}
		nonce := strings.Split(sealed, ".")[2]
		if seen[nonce] {
			t.Fatalf("nonce %s twice", nonce)
		}
		seen[nonce] = true
	}
}

// What is stored may have been changed by someone who has the database and not
// the sealing key.
func TestChangedRecordsAreRefused(t *testing.T) {
	part := func(k *Key, n int, change func(string) string) {
		parts := strings.Split(k.Sealed, ".")
		parts[n] = change(parts[n])
		k.Sealed = strings.Join(parts, ".")
	}
	flip := func(text string) string {
		if text[0] == 'A' {
			return "B" + text[1:]
		}
		return "A" + text[1:]
	}
	tests := []struct {
		name   string
		change func(*Ring)
	}{
		{"sealed halves swapped", func(r *Ring) {
			r.Keys[0].Sealed, r.Keys[1].Sealed = r.Keys[1].Sealed, r.Keys[0].Sealed
		}},
		{"sealed halves swapped, headers kept", func(r *Ring) {
			a, b := strings.SplitN(r.Keys[0].Sealed, ".", 2), strings.SplitN(r.Keys[1].Sealed, ".", 2)
			r.Keys[0].Sealed, r.Keys[1].Sealed = a[0]+"."+b[1], b[0]+"."+a[1]
		}},
		{"one half copied", func(r *Ring) { r.Keys[1].Sealed = r.Keys[0].Sealed }},
		{"nonce", func(r *Ring) { part(&r.Keys[0], 2, flip) }},
		{"ciphertext", func(r *Ring) { part(&r.Keys[0], 3, flip) }},
		{"tag", func(r *Ring) { part(&r.Keys[0], 4, flip) }},
		{"tag cut off", func(r *Ring) { part(&r.Keys[0], 4, func(string) string { return "" }) }},
		{"other content encryption", func(r *Ring) {
			part(&r.Keys[0], 0, func(string) string {
				return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"dir","enc":"A128CBC-HS256","cty":"jwk+json","kid":"` + r.Keys[0].KID + `"}`))
			})
		}},
		{"no JWE", func(r *Ring) { r.Keys[0].Sealed = "garbage" }},
		{"plain JWK", func(r *Ring) { r.Keys[0].Sealed = string(r.Keys[0].Public) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, testPolicy())
			f.store.edit(tt.change)
			f.expectOpenRefused()
		})
	}
}

// expectOpenRefused opens a ring that the sealing key does not fit: the error
// names the file, and nothing is changed.
func (f *fixture) expectOpenRefused() {
	f.t.Helper()
	before := f.store.bytes()
	m, err := Open(f.t.Context(), f.opts)
	if m != nil || !errors.Is(err, ErrSealingKey) {
		f.t.Fatalf("Open = %v, %v; want %v", m, err, ErrSealingKey)
	}
	if !strings.Contains(err.Error(), f.opts.Sealing.from) {
		f.t.Errorf("the error does not name %s: %v", f.opts.Sealing.from, err)
	}
	if f.store.bytes() != before {
		f.t.Error("what is stored was changed")
	}
}

func TestWrongSealingKeyIsRefused(t *testing.T) {
	f := newFixture(t, testPolicy())
	f.opts.Sealing = newSealingKey(t)
	f.expectOpenRefused()
}

// A public half that does not belong to its kid would be published as it.
func TestForeignPublicHalfIsRefused(t *testing.T) {
	f := newFixture(t, testPolicy())
	f.store.edit(func(r *Ring) { r.Keys[0].Public, r.Keys[1].Public = r.Keys[1].Public, r.Keys[0].Public })
	if m, err := Open(t.Context(), f.opts); m != nil || err == nil || !strings.Contains(err.Error(), "of another key") {
		t.Errorf("Open = %v, %v; want a refusal", m, err)
	}
}

// A crash at the first start can leave a file without content; nothing depends on it.
func TestEmptySealingKeyFileIsReplacedAtAFirstStartAlone(t *testing.T) {
	path := sealingPath(t)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expectRefused(t, path, false)
	if _, err := OpenSealingKey(path, true); err != nil {
		t.Errorf("at a first start: %v", err)
	}
	if _, err := ReadSealingKey(path); err != nil {
		t.Errorf("after that: %v", err)
	}
}
