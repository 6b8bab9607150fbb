package main

import (
	"bytes"
	"fmt"
	"unicode"
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
