package users_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"signet/users"
)

// strict is cheap, with the least length of NIST SP 800-63B-4 §3.1.1.2 for a password
// that is the only factor.
var strict = users.Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64, MinLength: 15}

// withLength is a fixture with a least length.
func withLength(t *testing.T, least int) *fixture {
	t.Helper()
	f, p := newFixture(t), strict
	p.MinLength = least
	if err := f.SetParams(p); err != nil {
		t.Fatal(err)
	}
	return f
}

const (
	short    = "; several words are easy to remember"
	common   = "it is among the passwords that are tried first"
	repeated = "it is a short text, repeated"
	sequence = "its characters follow each other as in the alphabet or in counting"
	own      = "it is little more than the user's own name or e-mail address"
)

// passwordRules are for an account kyoko@example.org (e-mail k.tanaka@example.com).
var passwordRules = []struct {
	what     string
	least    int
	password string
	text     string // of the refusal; empty if it is taken
}{
	// Length: code points of the NFC form.
	{"15 lower-case letters and spaces", 15, "a boat of sugar", ""},
	{"14 characters", 15, "a boat of suga", "it has 14 characters and must have 15 or more" + short},
	{"one character", 15, "p", "it has 1 characters and must have 15 or more" + short},
	{"15 characters of 2 bytes", 15, "лодка из сахара", ""},
	{"14 characters of 28 bytes", 15, "лодказизсахара", "it has 14 characters and must have 15 or more" + short},
	{"14 letters, one of two code points", 15, "un cafe\u0301 au lai", "it has 14 characters and must have 15 or more" + short},
	{"15 letters, one of two code points", 15, "un cafe\u0301 au lait", ""},
	{"15 emoji", 15, "🦊🐚🌵🍋🚲🎻🧦🪁🐙🥨🛶🔭🧊🎩🐝", ""},
	{"15 wide letters", 15, "ａ　ｂｏａｔ　ｏｆ　ｓｕｇａｒ", ""},
	{"spaces at the ends count", 15, " boats of sugar", ""},
	{"64 characters and more", 15, strings.Repeat("boats of sugar, ", 4) + "and then a river", ""},

	// No rule of composition (§3.1.1.2 "SHALL NOT").
	{"no upper case, digit or symbol", 15, "correcthorsebattery", ""},
	{"digits alone", 15, "314159265358979", ""},
	{"symbols alone", 15, "!)(*&^%$#@~?><;", ""},
	{"the same letter several times", 15, "mississippi aaaaa", ""},

	// Blocklist.
	{"common", 8, "password", common},
	{"common, upper case", 8, "PASSWORD", common},
	{"common, mixed case", 8, "iLoveYou", common},
	{"common, wide", 8, "ｐａｓｓｗｏｒｄ", common},
	{"common, wide and upper case", 8, "ＰＡＳＳＷＯＲＤ", common},
	{"common, long", 15, "ManchesterUnited", common},
	{"common, mathematical letters", 8, "𝐩𝐚𝐬𝐬𝐰𝐨𝐫𝐝", common},
	{"common, long s", 8, "pa\u017f\u017fword", common},
	{"a common one within a long one", 15, "my password is a boat", ""},

	// Repetition.
	{"one letter", 15, "aaaaaaaaaaaaaaa", repeated},
	{"one letter in both cases", 15, "aAaAaAaAaAaAaAa", repeated},
	{"spaces", 15, "               ", repeated},
	{"a short unit", 15, "boatboatboatboat", repeated},
	{"a unit of 7", 14, "sugar! sugar! ", repeated},
	{"a unit of 2 bytes", 15, strings.Repeat("é", 15), repeated},
	{"a common unit", 15, "passwordPassword", repeated},
	{"a unit of 8 that is not common", 16, "sugarboasugarboa", ""},

	// Sequences.
	{"the alphabet", 15, "abcdefghijklmno", sequence},
	{"the alphabet in both cases", 15, "aBcDeFgHiJkLmNo", sequence},
	{"the alphabet backwards", 15, "zyxwvutsrqponml", sequence},
	{"counting past 9", 13, "3456789012345", sequence},
	{"counting from 9", 13, "9012345678901", sequence},
	{"counting back past 0", 15, "543210987654321", sequence},
	{"wide digits", 9, "５６７８９０１２３４", sequence},
	{"another alphabet", 15, "абвгдежзийклмно", sequence},
	{"a sequence within", 15, "abcdefghijklmnx", ""},
	{"going up by two", 10, "acegikmoqs", ""},

	// The user's own words.
	{"the name", 15, "kyoko@example.org", own},
	{"the name, upper case", 15, "KYOKO@EXAMPLE.ORG", own},
	{"the name and a little", 15, "kyoko@example.org2024!", own},
	{"a little around the name", 15, "my-kyoko@example.org-pw", own},
	{"the name twice", 15, "kyoko@example.org kyoko@example.org", own},
	{"the name before the @", 8, "kyoko2024", own},
	{"the name before the @, wide", 8, "ＫＹＯＫＯ２０２４", own},
	{"the name before the @, and 7 characters", 8, "kyoko a boat", own},
	{"the name before the @, and 8 characters", 8, "kyoko a boats", ""},
	{"the e-mail address", 15, "k.tanaka@example.com", own},
	{"the e-mail address before the @", 8, "K.Tanaka1", own},
	{"the e-mail address before the @, and more", 15, "k.tanaka has a boat", ""},

	// What cannot be a password at all.
	{"empty", 0, "", "it is empty"},
	{"1025 bytes", 15, strings.Repeat("x", users.MaxPasswordBytes+1), "it is longer than 1024 bytes"},
	{"not UTF-8", 15, "a boat of sugar\xff", "it is not UTF-8"},
	{"NUL", 15, "a boat of sugar\x00", "it holds a NUL character"},
}

func TestPasswordRules(t *testing.T) {
	profile := users.Profile{Email: "K.Tanaka@Example.com"}
	for _, tt := range passwordRules {
		t.Run(tt.what, func(t *testing.T) {
			f := withLength(t, tt.least)
			_, err := f.Create(t.Context(), "Kyoko@example.org", tt.password, profile)
			wantRefusal(t, "Create", err, users.ErrPassword, tt.text)
			if err != nil && err.Error() != users.ErrPassword.Error()+": "+tt.text { // nothing of the password
				t.Errorf("%q says more than %q", err, tt.text)
			}
			if err == nil { // it is the password, whole
				if _, err := f.Authenticate(t.Context(), "kyoko@example.org", tt.password); err != nil {
					t.Errorf("login: %v", err)
				}
			} else if _, err := f.ByName(t.Context(), "kyoko@example.org"); err == nil {
				t.Error("the account was made")
			}
		})
	}
}

// The rules are those of Create, with the words of the stored account.
func TestPasswordRulesHoldForSetPassword(t *testing.T) {
	f := withLength(t, 8)
	u, err := f.Create(t.Context(), "Kyoko@example.org", "a boat of sugar", users.Profile{Email: "K.Tanaka@Example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range passwordRules {
		if tt.text == "" {
			continue
		}
		if err := f.SetParams(users.Params{MemoryKiB: 64, Time: 1, Threads: 1, Queue: 64, MinLength: tt.least}); err != nil {
			t.Fatal(err)
		}
		_, err := f.SetPassword(t.Context(), "kyoko@example.org", tt.password)
		wantRefusal(t, tt.what, err, users.ErrPassword, tt.text)
	}
	wantStored(t, f, u)
}

// A word of two letters is in too many passwords to say anything.
func TestShortNamesAreNoWords(t *testing.T) {
	f := withLength(t, 8)
	if _, err := f.Create(t.Context(), "bo", "bob bobs", users.Profile{Email: "b@example.org"}); err != nil {
		t.Error(err)
	}
}

// Each password of 15 characters or more that is no list's, no repetition and no
// sequence is taken, whatever it is made of.
func TestNoRuleOfComposition(t *testing.T) {
	f := withLength(t, 15)
	words := []string{"boat", "sugar", "river", "fox", "lamp", "cloud", "needle", "seven", "9", "!", "É", "雨"}
	rapid.Check(t, func(t *rapid.T) {
		picked := rapid.SliceOfNDistinct(rapid.SampledFrom(words), 6, 12, rapid.ID).Draw(t, "words")
		sentence := strings.Join(picked, " ")
		if _, err := f.Create(t.Context(), "kyoko", sentence, users.Profile{}); err != nil {
			t.Fatalf("%q: %v", sentence, err)
		}
		if _, err := f.Remove(t.Context(), "kyoko"); err != nil {
			t.Fatal(err)
		}
	})
}

// An account keeps the password that it has: rules are for new ones.
func TestPasswordRulesDoNotHoldForLogins(t *testing.T) {
	f := withLength(t, 0)
	for name, old := range map[string]string{"kyoko": "password1!!", "noriko": "pw", "yoko": "abcabd"} {
		if _, err := f.Create(t.Context(), name, old, users.Profile{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.SetParams(strict); err != nil {
		t.Fatal(err)
	}
	for name, old := range map[string]string{"kyoko": "password1!!", "noriko": "pw", "yoko": "abcabd"} {
		if _, err := f.Authenticate(t.Context(), name, old); err != nil {
			t.Errorf("login with %q: %v", old, err)
		}
		_, err := f.SetPassword(t.Context(), name, old)
		wantErr(t, "SetPassword with "+old, err, users.ErrPassword)
	}
}

// What was imported is not known, so it breaks no rule; its upgrade is no new password.
func TestPasswordRulesDoNotHoldForImports(t *testing.T) {
	f := withLength(t, 15)
	outcome, err := f.Import(t.Context(), users.Entry{Name: "kyoko", Hash: pbkdf2Hash("kyoko", 10)}, users.ImportRules{})
	if err != nil || outcome.Outcome != users.Created {
		t.Fatal(outcome, err)
	}
	for range 2 {
		u, err := f.Authenticate(t.Context(), "kyoko", "kyoko")
		if err != nil || !strings.HasPrefix(u.Hash, "$argon2id$") {
			t.Errorf("login: %v; hash %.10s", err, u.Hash)
		}
	}
}
