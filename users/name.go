package users

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// Limits of what is taken as a name and as a password, in bytes of UTF-8. The
// second keeps a long text from becoming long work; nothing is ever cut.
const (
	MaxNameBytes     = 255
	MaxPasswordBytes = 1024
)

// Canonical returns the form of a name under which it is stored and looked up:
// lower case, width-mapped and NFC, by the UsernameCaseMapped profile of PRECIS
// (RFC 8265 §3.3). Two names that look alike to a person who types them thus are
// one. ErrName if the profile or the length refuses it.
func Canonical(name string) (string, error) {
	if len(name) > MaxNameBytes {
		return "", fmt.Errorf("%w: it is longer than %d bytes", ErrName, MaxNameBytes)
	}
	canonical, err := precis.UsernameCaseMapped.String(name)
	switch {
	case err != nil || canonical == "": // RFC 8265 §3.3.1; precis lets the empty string pass
		return "", fmt.Errorf("%w: %.100q is empty, or holds a space, a control character or a symbol that PRECIS (RFC 8265) refuses", ErrName, name)
	case len(canonical) > MaxNameBytes:
		return "", fmt.Errorf("%w: it is longer than %d bytes", ErrName, MaxNameBytes)
	}
	return canonical, nil
}

// CheckPassword refuses what cannot be a password, with ErrPassword.
func CheckPassword(password string) error {
	switch {
	case password == "":
		return fmt.Errorf("%w: it is empty", ErrPassword)
	case len(password) > MaxPasswordBytes:
		return fmt.Errorf("%w: it is longer than %d bytes", ErrPassword, MaxPasswordBytes)
	case !utf8.ValidString(password):
		return fmt.Errorf("%w: it is not UTF-8", ErrPassword)
	case strings.ContainsRune(password, 0):
		return fmt.Errorf("%w: it holds a NUL character", ErrPassword)
	}
	return nil
}

// normal is the form of a password that is hashed: NFC, since one machine sends é
// as one code point and another as two (RFC 8265 §4.2.2, NIST SP 800-63B-4). Nothing
// else about it changes.
func normal(password string) []byte { return norm.NFC.Bytes([]byte(password)) }
