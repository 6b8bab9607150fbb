package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escapeJSON writes what a terminal or a reader could take for more than text as \u
// escapes: C1 controls begin escape sequences as ESC does, line separators begin lines,
// and bidi controls reorder what is read. JSON needs only the controls below a space to
// be escaped (RFC 8259 §7), and strings alone can hold the others.
func escapeJSON(text []byte) []byte {
	if bytes.IndexFunc(text, takesOver) < 0 {
		return text
	}
	var escaped bytes.Buffer
	for _, r := range string(text) {
		if takesOver(r) {
			fmt.Fprintf(&escaped, `\u%04x`, r)
		} else {
			escaped.WriteRune(r)
		}
	}
	return escaped.Bytes()
}

// takesOver goes by properties whose runes are all below U+10000: one escape is enough.
func takesOver(r rune) bool {
	return r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

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
