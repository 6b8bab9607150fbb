package users

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"signet/users/blocklist"
)

// leastRest is how much of a password must be left, in characters, when the account's
// own words are taken out of it.
const leastRest = 8

// checkNew holds a new password against the rules of NIST SP 800-63B-4 §3.1.1.2: a
// least length, a blocklist of common passwords and of words around the account, and
// no rule about what characters it is made of. The errors are ErrPassword with the
// reason.
func (d *Directory) checkNew(password, name, email string) error {
	if err := CheckPassword(password); err != nil {
		return err
	}
	least := d.params.Load().MinLength
	if n := utf8.RuneCount(normal(password)); n < least {
		return fmt.Errorf("%w: it has %d characters and must have %d or more; several words are easy to remember", ErrPassword, n, least)
	}
	folded := fold(password)
	if blocklist.Contains(folded) {
		return fmt.Errorf("%w: it is among the passwords that are tried first", ErrPassword)
	}
	if unit := repeatedUnit(folded); unit != folded && (utf8.RuneCountInString(unit) < leastRest || blocklist.Contains(unit)) {
		return fmt.Errorf("%w: it is a short text, repeated", ErrPassword)
	}
	if isSequence(folded) {
		return fmt.Errorf("%w: its characters follow each other as in the alphabet or in counting", ErrPassword)
	}
	for _, word := range ownWords(name, email) {
		rest := strings.ReplaceAll(folded, word, "")
		if rest != folded && utf8.RuneCountInString(rest) < leastRest {
			return fmt.Errorf("%w: it is little more than the user's own name or e-mail address", ErrPassword)
		}
	}
	return nil
}

// fold is the form in which passwords are compared with lists.
func fold(s string) string { return cases.Fold().String(norm.NFKC.String(s)) }

// ownWords are those that are known of the account; a name may be an e-mail address.
func ownWords(name, email string) (words []string) {
	local, _, _ := strings.Cut(email, "@")
	ofName, _, _ := strings.Cut(name, "@")
	for _, word := range []string{email, name, local, ofName} {
		if word = fold(word); utf8.RuneCountInString(word) >= 3 {
			words = append(words, word)
		}
	}
	return words
}

// repeatedUnit is the shortest text that, repeated, is s.
func repeatedUnit(s string) string {
	// s occurs in ss at the length of its unit first.
	if at := strings.Index(s[min(1, len(s)):]+s, s); at >= 0 && (at+1) < len(s) {
		return s[:at+1]
	}
	return s
}

// isSequence reports characters that go up or down by one.
func isSequence(s string) bool {
	up := []rune(s)
	down := slices.Clone(up)
	slices.Reverse(down)
	return len(up) > 1 && (rises(up) || rises(down))
}

// rises reports characters that go up by one, also in counting past 9.
func rises(runes []rune) bool {
	for i, r := range runes[1:] {
		if last := runes[i]; r != last+1 && (last != '9' || r != '0') {
			return false
		}
	}
	return true
}
