package users

import (
	"errors"
	"strings"
	"testing"
)

// cheap are parameters for tests: a hash takes some ten microseconds.
var cheap = Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64}

// Hashes of the reference implementation's own test vectors (phc-winner-argon2,
// src/test.c): the password is "password", the salt "somesalt".
var referenceHashes = []string{
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
	"$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQ$9qWtwbpyPd3vm1rB1GThgPzZ3/ydHL92zKL+15XZypg",
}

func TestOwnHashesParse(t *testing.T) {
	for _, p := range []Params{cheap, {MemoryKiB: 128, Time: 3, Threads: 4}} {
		hash := p.hash("correct horse")
		parsed, err := parsePHC(hash)
		if err != nil {
			t.Fatalf("parsePHC(%q): %v", hash, err)
		}
		want := Params{MemoryKiB: p.MemoryKiB, Time: p.Time, Threads: p.Threads}
		if parsed.Params != want || !p.made(hash) {
			t.Errorf("parameters of %q = %+v, want %+v", hash, parsed.Params, want)
		}
		if len(parsed.salt) != saltBytes || len(parsed.key) != keyBytes {
			t.Errorf("salt and key have %d and %d bytes, want %d and %d", len(parsed.salt), len(parsed.key), saltBytes, keyBytes)
		}
		if !parsed.matches("correct horse") || parsed.matches("correct horse ") || parsed.matches("") {
			t.Errorf("%q does not match exactly its own password", hash)
		}
		if again := p.hash("correct horse"); again == hash {
			t.Error("two hashes of one password are equal: the salt is not fresh")
		}
	}
}

func TestHashesOfTheReferenceImplementationVerify(t *testing.T) {
	for _, hash := range referenceHashes {
		parsed, err := parsePHC(hash)
		if err != nil {
			t.Errorf("parsePHC(%q): %v", hash, err)
			continue
		}
		if !parsed.matches("password") || parsed.matches("Password") {
			t.Errorf("%q does not match exactly its own password", hash)
		}
	}
}

func TestMalformedAndTooCostlyHashesAreRefused(t *testing.T) {
	const good = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	if _, err := parsePHC(good); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, new string }{
		{"empty", good, ""},
		{"five dollars", good, "$$$$$"},
		{"no leading dollar", "$argon2id", "argon2id"},
		{"a part too many", "/4", "/4$"},
		{"a part too few", "$c29tZXNhbHQ", ""},
		{"argon2i", "argon2id", "argon2i"},
		{"argon2d", "argon2id", "argon2d"},
		{"upper case", "argon2id", "ARGON2ID"},
		{"bcrypt", good, "$2b$12$WApznUPhDubN0oeveSXHp.Rk0rMWu8W3sUCXzdGtc3bIkIJiRzNXy"},
		{"django", good, "pbkdf2_sha256$600000$salt$hash"},
		{"plain text", good, "password"},
		{"no version", "$v=19", ""},
		{"older version", "v=19", "v=16"},
		{"no memory", "m=64,", ""},
		{"another order", "m=64,t=1", "t=1,m=64"},
		{"extra parameter", "p=1", "p=1,keyid=eA"},
		{"negative memory", "m=64", "m=-64"},
		{"signed memory", "m=64", "m=+64"},
		{"empty memory", "m=64", "m="},
		{"memory in hexadecimal", "m=64", "m=0x40"},
		{"memory of 2^32+64", "m=64", "m=4294967360"},
		{"memory of 2^64+64", "m=64", "m=18446744073709551680"},
		{"memory past the limit", "m=64", "m=1048577"},
		{"memory below what argon2 takes", "m=64", "m=7"},
		{"memory below 8 per thread", "p=1", "p=9"},
		{"no time", "t=1", "t=0"},
		{"time past the limit", "t=1", "t=17"},
		{"time of 2^32+1", "t=1", "t=4294967297"},
		{"no threads", "p=1", "p=0"},
		{"threads past the limit", "m=64,t=1,p=1", "m=1024,t=1,p=17"},
		{"threads of 257", "m=64,t=1,p=1", "m=4096,t=1,p=257"},
		{"space in the cost", "m=64", "m= 64"},
		{"padded salt", "c29tZXNhbHQ", "c29tZXNhbHQ="},
		{"stray bits in the salt", "c29tZXNhbHQ", "c29tZXNhbHR"},
		{"line break in the salt", "c29tZXNhbHQ", "c29tZXNh\nbHQ"},
		{"line break at the end", "/4", "/4\n"},
		{"short salt", "c29tZXNhbHQ", "c29tZXNhbA"},
		{"long salt", "c29tZXNhbHQ", strings.Repeat("c29t", 22)},
		{"no key", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", ""},
		{"short key", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "nf65EOgLrQMR/uIPnA4r"},
		{"long key", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", strings.Repeat("nf65", 22)},
		{"base64url key", "QMR/uIP", "QMR_uIP"},
		{"a megabyte of dollars", good, strings.Repeat("$", 1<<20)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(good, tt.old, tt.new, 1)
			if text == good {
				t.Fatal("the test changes nothing")
			}
			if _, err := parsePHC(text); !errors.Is(err, errHash) {
				t.Errorf("parsePHC(%.100q) = %v, want %v", text, err, errHash)
			}
		})
	}
}

func TestParamsCheck(t *testing.T) {
	tests := []struct {
		name string
		p    Params
		ok   bool
	}{
		{"default", Params{MemoryKiB: 19 * 1024, Time: 2, Threads: 1, Queue: 64}, true},
		{"smallest", Params{MemoryKiB: 8, Time: 1, Threads: 1}, true},
		{"largest", Params{MemoryKiB: maxMemoryKiB, Time: maxTime, Threads: maxThreads}, true},
		{"zero", Params{}, false},
		{"no memory", Params{MemoryKiB: 7, Time: 1, Threads: 1}, false},
		{"no time", Params{MemoryKiB: 8, Threads: 1}, false},
		{"too much memory", Params{MemoryKiB: maxMemoryKiB + 1, Time: 1, Threads: 1}, false},
		{"too much time", Params{MemoryKiB: 8, Time: maxTime + 1, Threads: 1}, false},
		{"too many threads", Params{MemoryKiB: 1024, Time: 1, Threads: maxThreads + 1}, false},
		{"negative queue", Params{MemoryKiB: 8, Time: 1, Threads: 1, Queue: -1}, false},
	}
	for _, tt := range tests {
		if err := tt.p.Check(); (err == nil) != tt.ok {
			t.Errorf("%s: Check() = %v, want ok = %v", tt.name, err, tt.ok)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	for _, hash := range referenceHashes {
		f.Add(hash)
	}
	f.Add(cheap.hash("x"))
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePHC(text)
		if err != nil {
			if !errors.Is(err, errHash) {
				t.Fatalf("parsePHC(%q) = %v, want %v", text, err, errHash)
			}
			return
		}
		if h.MemoryKiB > maxMemoryKiB || h.Time < 1 || h.Time > maxTime || h.Threads < 1 || h.Threads > maxThreads ||
			h.MemoryKiB < 8*uint32(h.Threads) {
			t.Errorf("parsePHC(%q) accepts the cost %+v", text, h.Params)
		}
		if len(h.salt) < 8 || len(h.salt) > 64 || len(h.key) < 16 || len(h.key) > 64 {
			t.Errorf("parsePHC(%q) accepts a salt of %d and a key of %d bytes", text, len(h.salt), len(h.key))
		}
	})
}
