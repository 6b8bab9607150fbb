package users_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"signet/users"
)

func TestCanonicalNames(t *testing.T) {
	tests := []struct{ what, name, want string }{
		{"as it is", "kyoko", "kyoko"},
		{"case", "KyOkO", "kyoko"},
		{"width", "ｋｙｏｋｏ", "kyoko"},
		{"width and case", "ＫＹＯＫＯ", "kyoko"},
		{"half-width katakana", "ﾊﾝｶｸ", "ハンカク"},
		{"NFC", "e\u0301mile", "émile"},
		{"NFC and case", "E\u0301MILE", "émile"},
		{"e-mail address", "Kyoko@Example.ORG", "kyoko@example.org"},
		{"ASCII punctuation", "o'brien+x_y-z.1", "o'brien+x_y-z.1"},
		{"Latin I has a dot, in every locale", "ISTANBUL", "istanbul"},
		{"Turkish dotted I keeps its dot apart", "\u0130stanbul", "i\u0307stanbul"},
		{"Turkish dotless i is another letter", "\u0131stanbul", "\u0131stanbul"},
		{"sharp s stays", "stra\u00dfe", "stra\u00dfe"},
		{"capital sharp s", "STRA\u1e9eE", "stra\u00dfe"},
		{"final sigma is not made", "ΣΊΣΥΦΟΣ", "σίσυφοσ"},
		{"Cherokee", "\u13a0\u13a1", "\uab70\uab71"},
		{"right to left", "שלום", "שלום"},
		{"middle dot between two l", "co\u00b7l\u00b7l", ""},
		{"middle dot in Catalan", "pa\u0072al\u00b7lel", "paral\u00b7lel"},
		// PRECIS maps case and width, not look-alikes: another script is another name.
		{"Cyrillic a is another letter", "\u0430dmin", "\u0430dmin"},

		{"empty", "", ""},
		{"space", " ", ""},
		{"space inside", "ky oko", ""},
		{"space before", " kyoko", ""},
		{"space behind", "kyoko ", ""},
		{"no-break space", "ky\u00a0oko", ""},
		{"ideographic space", "ky\u3000oko", ""},
		{"tab", "kyoko\t", ""},
		{"line break", "kyoko\n", ""},
		{"NUL", "kyoko\x00", ""},
		{"escape", "\x1b[31mkyoko", ""},
		{"delete", "kyoko\x7f", ""},
		{"C1 control", "kyoko\u0085", ""},
		{"not UTF-8", "kyoko\xff", ""},
		{"surrogate in UTF-8", "kyoko\xed\xa0\x80", ""},
		{"zero-width space", "ky\u200boko", ""},
		{"zero-width joiner", "ky\u200doko", ""},
		{"zero-width non-joiner", "ky\u200coko", ""},
		{"soft hyphen", "ky\u00adoko", ""},
		{"byte order mark", "\ufeffkyoko", ""},
		{"word joiner", "ky\u2060oko", ""},
		{"grapheme joiner", "ky\u034foko", ""},
		{"right-to-left override", "ky\u202eoko", ""},
		{"tag character", "kyoko\U000e0041", ""},
		{"variation selector", "kyoko\ufe0f", ""},
		{"ligature", "o\ufb03ce", ""},
		{"superscript", "kyoko\u00b2", ""},
		{"Roman numeral", "louis\u2163", ""},
		{"circled digit", "kyoko\u2460", ""},
		{"mathematical letter", "\U0001d4f4yoko", ""},
		{"long s", "\u017ftefan", ""},
		{"title-case digraph", "\u01c5ivo", ""},
		{"letter-like symbol", "\u210bans", ""},
		{"symbol", "kyoko\u2603", ""},
		{"emoji", "kyoko\U0001f600", ""},
		{"combining mark first", "\u0301kyoko", ""},
		{"two directions", "kyokoשלום", ""},
		{"two kinds of Arabic digits", "\u0661\u06f1", ""},
		{"unassigned", "kyoko\u0378", ""},
		{"private use", "kyoko\ue000", ""},
		{"256 bytes", strings.Repeat("n", 256), ""},
		{"255 bytes", strings.Repeat("n", 255), strings.Repeat("n", 255)},
		{"a megabyte", strings.Repeat("n", 1<<20), ""},
		{"256 bytes once canonical", strings.Repeat("\u023a", 86), ""}, // Ⱥ has two bytes, ⱥ three
	}
	for _, tt := range tests {
		got, err := users.Canonical(tt.name)
		switch {
		case tt.want != "" && (err != nil || got != tt.want):
			t.Errorf("%s: Canonical(%.40q) = %.40q, %v, want %.40q", tt.what, tt.name, got, err, tt.want)
		case tt.want == "" && (!errors.Is(err, users.ErrName) || got != ""):
			t.Errorf("%s: Canonical(%.40q) = %.40q, %v, want %v", tt.what, tt.name, got, err, users.ErrName)
		}
	}
}

func TestNoAccountIsMadeWithARefusedName(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"", " ", "ky oko", "kyoko\x00", "\xff", strings.Repeat("n", 256)} {
		_, err := f.Create(t.Context(), name, password, users.Profile{})
		wantErr(t, "Create", err, users.ErrName)
	}
	if all, err := f.List(t.Context(), "", 10); err != nil || len(all) != 0 {
		t.Errorf("%d accounts, error %v, want none", len(all), err)
	}
}

// A name read from the store and typed again finds its account.
func TestCanonicalFormIsItsOwnCanonicalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		canonical, err := users.Canonical(name)
		if err != nil {
			if !errors.Is(err, users.ErrName) {
				t.Fatalf("Canonical(%+q) = %v, want %v", name, err, users.ErrName)
			}
			return
		}
		if canonical == "" || len(canonical) > users.MaxNameBytes {
			t.Fatalf("Canonical(%+q) = %+q", name, canonical)
		}
		if again, err := users.Canonical(canonical); err != nil || again != canonical {
			t.Fatalf("Canonical(%+q) = %+q, and of that %+q, %v", name, canonical, again, err)
		}
	})
}

func TestCanonicalIsSafeForConcurrentUse(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if got, err := users.Canonical("ＥE\u0301ΣΣ"); err != nil || got != "eéσσ" {
					t.Errorf("Canonical = %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}
