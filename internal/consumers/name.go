package consumers

import "strings"

// maxName bounds a name, in bytes.
const maxName = 64

// NameIn returns the name that a URL's query gives as rs=NAME: 1 to 64 of the letters,
// digits, "-", "_" and ".", which need no escape in a URL (RFC 3986 §2.3). It is empty
// if there is none, another text, or more than one: then the request counts by
// its address and User-Agent, and is answered as any other.
func NameIn(query string) string {
	name, found := "", false
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		value, ok := strings.CutPrefix(pair, "rs=")
		if !ok {
			continue
		}
		if found || !validName(value) {
			return ""
		}
		name, found = value, true
	}
	return name
}

func validName(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return 0 < len(text) && len(text) <= maxName
}

// Doctor is the User-Agent of signet doctor. It keeps no key set, so it is no consumer,
// and a rotation does not wait for it.
const Doctor = "signet-doctor"
