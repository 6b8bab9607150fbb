package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible is text with its characters that give a terminal orders or turn the direction of text
// written as escapes: an error may hold what a server, a file or a name says.
func visible(text string) string {
	if !strings.ContainsFunc(text, hidden) {
		return text
	}
	var shown strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		part := text[:size]
		if r == utf8.RuneError || hidden(r) {
			part = strings.Trim(strconv.Quote(part), `"`)
		}
		shown.WriteString(part)
		text = text[size:]
	}
	return shown.String()
}

// hidden is true for utf8.RuneError, which a byte that is no UTF-8 reads as.
func hidden(r rune) bool {
	return r == utf8.RuneError || r != '\n' && r != '\t' && !unicode.IsPrint(r)
}
