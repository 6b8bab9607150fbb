package passhash_test

import (
	"errors"
	"runtime/metrics"
	"slices"
	"testing"

	"signet/users/passhash"
)

// maxParseBytes bounds what Parse allocates, for a text of any length.
const maxParseBytes = 64 << 10

// FuzzParse: a text is read or refused with one of the errors, at a price that its
// costs do not raise; what is read has a kind that Decoy takes.
func FuzzParse(f *testing.F) {
	seen := make(map[string]bool)
	for _, e := range slices.Concat(entries(f, "django-5.2.json"), entries(f, "others.json")) {
		if kind := parse(f, e.Encoded).Kind(); !seen[kind+e.Encoded[:4]] {
			seen[kind+e.Encoded[:4]] = true
			f.Add(e.Encoded)
		}
	}
	for _, text := range []string{
		"", "!", "$", "$$", "md5$salt$digest", "argon2$argon2id$v=16$m=8,t=1,p=1$c2FsdHNhbHQ$" + sum43,
		"$argon2id$v=19$m=4294967295,t=4294967295,p=255$" + salt + "$" + sum43,
		"scrypt$18446744073709551615$s$18446744073709551615$18446744073709551615$" + sum44,
		"$scrypt$ln=63,r=8,p=1$" + salt + "$" + sum43, "$2b$31$" + salt22 + sum31, "pbkdf2_sha256$99999999999999999999$s$" + sum44,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		h, err := passhash.Parse(encoded)
		if bytes := leastAllocated(encoded); bytes > maxParseBytes {
			t.Errorf("Parse allocates %d bytes", bytes)
		}
		if err != nil {
			if h != nil || !errors.Is(err, passhash.ErrScheme) && !errors.Is(err, passhash.ErrShape) && !errors.Is(err, passhash.ErrCost) {
				t.Fatalf("Parse: %v with error %v", h, err)
			}
			return
		}
		decoy, err := passhash.Decoy(h.Kind())
		if err != nil || decoy.Kind() != h.Kind() {
			t.Fatalf("Decoy(%q): %v", h.Kind(), err)
		}
	})
}

// leastAllocated is what one Parse allocates, without what others happen to
// allocate meanwhile.
func leastAllocated(encoded string) uint64 {
	least := ^uint64(0)
	for i := 0; i < 5 && least > maxParseBytes; i++ {
		before := allocated()
		_, _ = passhash.Parse(encoded)
		least = min(least, allocated()-before)
	}
	return least
}

func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// BenchmarkMatches: a decoy takes the time of a real hash of its kind.
func BenchmarkMatches(b *testing.B) {
	seen := make(map[string]bool)
	for _, e := range entries(b, "django-5.2.json") {
		real := parse(b, e.Encoded)
		kind := real.Kind()
		if seen[kind] {
			continue
		}
		seen[kind] = true
		decoy, err := passhash.Decoy(kind)
		if err != nil {
			b.Fatal(err)
		}
		for name, h := range map[string]*passhash.Hash{"real": real, "decoy": decoy} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				for b.Loop() {
					h.Matches("correct horse battery staple")
				}
			})
		}
	}
}
