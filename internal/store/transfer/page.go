package transfer

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"signet/issuer"
	"signet/issuer/oauth"
	"signet/users"
)

// Place is where an assertion is among the others.
func (a Assertion) Place() string {
	const digits = "0000000000000000"
	expires := strconv.FormatUint(uint64(max(0, a.Expires.UnixMilli())), 16)
	return digits[len(expires):] + expires + hex.EncodeToString(a.Hash[:])
}

// ParsePlace returns the assertion at a place; the one before all others for an empty one.
func ParsePlace(place string) (Assertion, error) {
	if place == "" {
		return Assertion{Expires: time.UnixMilli(-1)}, nil
	}
	b, err := hex.DecodeString(place)
	if err != nil || len(b) != 24 {
		return Assertion{}, errors.New("that is no place of an assertion")
	}
	return Assertion{Expires: time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC(), Hash: [16]byte(b[8:])}, nil
}

func userPlace(u users.User) string        { return u.Name }
func sessionPlace(s issuer.Session) string { return s.ID }
func clientPlace(c oauth.Client) string    { return c.ID }
func assertionPlace(a Assertion) string    { return a.Place() }
func singlePlace(*Single) string           { return "once" }
func (p Page) singles() (one []*Single)    { return oneOrNone(p.Rest) }
func oneOrNone(s *Single) (one []*Single) {
	if s != nil {
		one = append(one, s)
	}
	return one
}

// len is how many records are in the page.
func (p Page) len() int {
	return len(p.Users) + len(p.Sessions) + len(p.Clients) + len(p.Assertions) + len(p.singles())
}

// last is the place of the last record.
func (p Page) last() string {
	switch {
	case len(p.Users) > 0:
		return userPlace(p.Users[len(p.Users)-1])
	case len(p.Sessions) > 0:
		return sessionPlace(p.Sessions[len(p.Sessions)-1])
	case len(p.Clients) > 0:
		return clientPlace(p.Clients[len(p.Clients)-1])
	case len(p.Assertions) > 0:
		return assertionPlace(p.Assertions[len(p.Assertions)-1])
	}
	return singlePlace(p.Rest)
}

// without leaves out the records at some places.
func (p Page) without(skip func(place string) bool) Page {
	out := Page{
		Users: rest(p.Users, userPlace, skip), Sessions: rest(p.Sessions, sessionPlace, skip),
		Clients: rest(p.Clients, clientPlace, skip), Assertions: rest(p.Assertions, assertionPlace, skip),
	}
	if one := rest(p.singles(), singlePlace, skip); len(one) > 0 {
		out.Rest = one[0]
	}
	return out
}

func rest[T any](records []T, place func(T) string, skip func(string) bool) (left []T) {
	for _, r := range records {
		if !skip(place(r)) {
			left = append(left, r)
		}
	}
	return left
}
