package clientaddr

import (
	"net/netip"
	"strings"
)

// list is the entries of a header that may have several lines, from its end.
// It looks at no more than was asked for: a client can neither spoil what
// stands right of its own text, say with an open quote, nor make it costly.
type list struct {
	lines  []string // those not begun
	line   string   // what is left of the one that is
	begun  bool
	parse  func(entry string) (netip.Addr, bool)
	quotes bool // a comma in a quoted-string separates nothing
}

// previous returns the address in the next entry to the left; !ok if there is none.
func (l *list) previous() (from netip.Addr, ok bool) {
	if !l.begun {
		if len(l.lines) == 0 {
			return netip.Addr{}, false
		}
		end := len(l.lines) - 1
		l.lines, l.line, l.begun = l.lines[:end], l.lines[end], true
	}
	comma := l.comma(l.line)
	entry := strings.Trim(l.line[comma+1:], " \t")
	l.line, l.begun = l.line[:max(comma, 0)], comma >= 0
	if len(entry) > maxEntry {
		return netip.Addr{}, false
	}
	return l.parse(entry)
}

// comma returns where the last comma is that separates entries, or -1.
func (l *list) comma(line string) int {
	if !l.quotes {
		return strings.LastIndexByte(line, ',')
	}
	inside := false
	for i := len(line) - 1; i >= 0; i-- {
		switch {
		case line[i] == '"' && !escaped(line, i):
			inside = !inside
		case line[i] == ',' && !inside:
			return i
		}
	}
	return -1
}

// escaped reports whether the character is the second of a quoted-pair
// (RFC 9110 §5.6.4).
func escaped(line string, i int) bool {
	before := line[:i]
	return (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1
}
