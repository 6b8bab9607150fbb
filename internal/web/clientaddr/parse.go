package clientaddr

import (
	"net/netip"
	"strings"
)

// parseNode reads an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1,
// [2001:db8::1], [2001:db8::1]:80. In RFC 7239 §6 a port may also be obfuscated,
// which takes nothing from the address; "unknown" and obfuscated names are no address.
func parseNode(s string) (netip.Addr, bool) {
	host, port, bracketed := s, "", false
	if strings.HasPrefix(s, "[") {
		host, port, bracketed = strings.Cut(s[1:], "]")
		if !bracketed || port != "" && !isPort(port) {
			return netip.Addr{}, false
		}
	} else if strings.Count(s, ":") == 1 {
		colon := strings.IndexByte(s, ':')
		if host, port = s[:colon], s[colon:]; !isPort(port) {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(host)
	if err != nil || bracketed && a.Is4() {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}

// isPort reports whether s is a colon and a node-port (RFC 7239 §6).
func isPort(s string) bool {
	s, ok := strings.CutPrefix(s, ":")
	if !ok {
		return false
	}
	if name, ok := strings.CutPrefix(s, "_"); ok {
		return name != "" && only(name, obfuscated)
	}
	return len(s) >= 1 && len(s) <= 5 && only(s, digit)
}

// parseElement reads the for parameter of a forwarded-element (RFC 7239 §4). What
// breaks the grammar has no address, nor what has the parameter twice.
func parseElement(s string) (from netip.Addr, ok bool) {
	for more := true; more; {
		var name, value string
		var wellFormed bool
		if name, value, s, more, wellFormed = nextPair(s); !wellFormed {
			return netip.Addr{}, false
		}
		if !strings.EqualFold(name, "for") {
			continue
		}
		if from.IsValid() {
			return netip.Addr{}, false
		}
		if from, ok = parseNode(value); !ok {
			return netip.Addr{}, false
		}
	}
	return from, from.IsValid()
}

// nextPair cuts a forwarded-pair off s. It may be empty.
func nextPair(s string) (name, value, rest string, more, ok bool) {
	s = strings.TrimLeft(s, " \t")
	if rest, more = strings.CutPrefix(s, ";"); more || s == "" {
		return "", "", rest, more, true
	}
	name, s, ok = strings.Cut(s, "=")
	if !ok || name == "" || !only(name, token) {
		return "", "", "", false, false
	}
	if value, s, ok = nextValue(s); !ok {
		return "", "", "", false, false
	}
	s = strings.TrimLeft(s, " \t")
	rest, more = strings.CutPrefix(s, ";")
	return name, value, rest, more, more || s == ""
}

// nextValue cuts a token or quoted-string off s. Colons and brackets are taken
// without quotes too: proxies write them.
func nextValue(s string) (value, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		return nextQuoted(s[1:])
	}
	end := strings.IndexFunc(s, func(r rune) bool { return !token(r) && !strings.ContainsRune(":[]", r) })
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:], end > 0
}

// nextQuoted reads a quoted-string after its first quote (RFC 9110 §5.6.4).
func nextQuoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

func only(s string, is func(rune) bool) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !is(r) }) < 0
}

func digit(r rune) bool { return '0' <= r && r <= '9' }

func alphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || digit(r)
}

func obfuscated(r rune) bool { return alphanumeric(r) || strings.ContainsRune("._-", r) }

// token reports whether r may be in a token (RFC 9110 §5.6.2).
func token(r rune) bool { return alphanumeric(r) || strings.ContainsRune("!#$%&'*+-.^_`|~", r) }
