// Package shell writes commands for people to paste into a POSIX shell, as hints are.
//
// Start at [Command]. The package runs nothing, and refuses to guess: what is not plain is
// quoted.
package shell

import "strings"

// plain are the characters that mean themselves to a shell wherever they stand, besides
// letters and digits.
const plain = "@%+=:,./_-"

// Word is one word as a shell reads it: in single quotes unless all of it is plain.
func Word(text string) string {
	if text != "" && !strings.ContainsFunc(text, special) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func special(c rune) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return false
	}
	return !strings.ContainsRune(plain, c)
}

// Command is words with spaces between them.
func Command(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Word(w)
	}
	return strings.Join(quoted, " ")
}
