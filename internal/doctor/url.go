package doctor

import (
	"errors"
	"net/url"
	"strings"
)

// ParseURL reads the URL of an issuer that was typed; its errors repeat
// nothing of it, which may be a password. A slash at its end is dropped: an
// issuer has none.
func ParseURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return "", errors.New("is not an absolute URL; write https://login.example.com")
	case u.User != nil:
		return "", errors.New("holds a user name or password; remove it")
	case strings.ContainsAny(text, "?#"):
		return "", errors.New("has a query or a fragment; remove what begins with ? or #")
	}
	return strings.TrimRight(text, "/"), nil
}
