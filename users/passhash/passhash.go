// Package passhash is password hashes as other systems store them.
//
// Start at [Parse]. It reads what Django's hashers, passlib, argon2-cffi and
// other writers of PHC strings and of modular crypt bcrypt have stored; [Hash]
// compares a password with it. It refuses schemes that are not worth keeping
// (plain digests), and costs with which a stored hash would stall the server.
package passhash

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Errors a caller branches on.
var (
	// ErrScheme: no password hash, or of a scheme that is not taken.
	ErrScheme = errors.New("this kind of password hash is not taken")
	// ErrShape: the scheme is known, the text is not what it writes.
	ErrShape = errors.New("this password hash is malformed")
	// ErrCost: computing the hash costs too much, or the scheme has no such cost.
	ErrCost = errors.New("the cost of this password hash is out of limits")
)

// MaxEncodedBytes limits the text of a hash.
const MaxEncodedBytes = 1024

// Hash is a parsed password hash: immutable, safe for concurrent use.
type Hash struct {
	scheme    *scheme
	cost      []uint64 // in the order of scheme.params
	salt, key []byte
}

// Kind is the scheme and its cost, such as "argon2id m=19456,t=2,p=1". Two
// hashes of a kind take the same time.
func (h *Hash) Kind() string {
	var kind strings.Builder
	for i, p := range h.scheme.params {
		fmt.Fprintf(&kind, ",%s=%d", p.name, h.cost[i])
	}
	return h.scheme.name + " " + kind.String()[1:]
}

// Matches reports whether the hash is that of password as it was typed, which is
// what most systems hash, or of its NFC form (RFC 8265 §4.2.2). Both are computed
// if they differ, whatever the first one gave: the time depends on the password
// that was typed and on the kind, not on the account.
func (h *Hash) Matches(password string) bool {
	match := h.scheme.matches(h, password)
	if normal := norm.NFC.String(password); normal != password {
		normalMatch := h.scheme.matches(h, normal)
		match = match || normalMatch
	}
	return match
}

// Tells reports whether the hash depends on all of password, in both forms that Matches
// tries. Plain bcrypt takes 72 bytes: a match says nothing of the rest.
func (h *Hash) Tells(password string) bool {
	return h.scheme != bcryptPlain || max(len(password), len(norm.NFC.String(password))) <= bcryptBytes
}

// Decoy returns a hash of that kind which matches no password: the work of a real
// one where there is no account. ErrScheme, ErrShape or ErrCost if no hash that
// Parse takes is of that kind.
func Decoy(kind string) (*Hash, error) {
	s, cost, err := ofKind(kind)
	if err != nil {
		return nil, err
	}
	return s.hash(cost, random(s.salt.usual), random(s.key.usual))
}

// Argon2id returns the PHC string of the NFC form of password, with a new salt.
// A kind of this cost that Decoy takes is a cost with which Parse reads it again;
// time and threads must not be 0.
func Argon2id(memoryKiB, time uint32, threads uint8, password string) string {
	salt := random(argon2id.salt.usual)
	normal := norm.NFC.Bytes([]byte(password))
	key := argon2.IDKey(normal, salt, time, memoryKiB, threads, uint32(argon2id.key.usual))
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memoryKiB, time, threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
