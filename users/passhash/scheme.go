package passhash

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// scheme is a way to hash passwords, within limits.
type scheme struct {
	name    string
	params  []param                   // what a hash costs, in the order in which it is written
	check   func(cost []uint64) error // limits across params; nil if there are none
	salt    size
	key     size
	matches func(h *Hash, password string) bool
}

// param is a number that a scheme costs, with its limits.
type param struct {
	name        string
	least, most uint64
}

// size is the length of a salt or a key in bytes: its limits, and that of a decoy.
type size struct{ least, most, usual int }

// Limits of the work that several parameters make together: seconds on one core,
// like the limit of bcrypt.
const (
	maxArgon2KiBPasses = 4 << 20   // 4 GiB in one pass
	maxScryptBytes     = 256 << 20 // 128*n*r
	maxScryptWork      = 1 << 30   // 128*n*r*p
)

// A salt may be a text, and long. A key shorter than 16 bytes can be met by chance.
var (
	anySalt    = size{least: 1, most: 128, usual: 16}
	argon2Salt = size{least: 8, most: 64, usual: 16} // RFC 9106 §3.1
	anyKey     = size{least: 16, most: 64, usual: 32}
)

var (
	argon2id = &scheme{name: "argon2id", params: argon2Params, check: checkArgon2,
		salt: argon2Salt, key: anyKey, matches: derived(argon2Key(argon2.IDKey))}
	argon2i = &scheme{name: "argon2i", params: argon2Params, check: checkArgon2,
		salt: argon2Salt, key: anyKey, matches: derived(argon2Key(argon2.Key))}
	pbkdf2SHA256 = &scheme{name: "pbkdf2_sha256", params: pbkdf2Params,
		salt: anySalt, key: oneBlock(sha256.Size), matches: derived(pbkdf2Key(sha256.New))}
	pbkdf2SHA1 = &scheme{name: "pbkdf2_sha1", params: pbkdf2Params,
		salt: anySalt, key: oneBlock(sha1.Size), matches: derived(pbkdf2Key(sha1.New))}
	scryptPlain = &scheme{name: "scrypt", params: scryptParams, check: checkScrypt,
		salt: anySalt, key: anyKey, matches: derived(scryptKey)}
	bcryptPlain = &scheme{name: "bcrypt", params: bcryptParams,
		salt: exactly(16), key: exactly(23), matches: bcryptMatches}
	bcryptSHA256 = &scheme{name: "bcrypt_sha256", params: bcryptParams,
		salt: exactly(16), key: exactly(23), matches: bcryptSHA256Matches}
)

// schemes by the name in a kind.
var schemes = byName(argon2id, argon2i, pbkdf2SHA256, pbkdf2SHA1, scryptPlain, bcryptPlain, bcryptSHA256)

var (
	argon2Params = []param{{"m", 8, 1 << 20}, {"t", 1, 16}, {"p", 1, 16}} // m in KiB: 1 GiB
	pbkdf2Params = []param{{"i", 1, 5_000_000}}
	scryptParams = []param{{"n", 2, 1 << 21}, {"r", 1, 64}, {"p", 1, 64}}
	bcryptParams = []param{{"c", 4, 15}}
)

func byName(all ...*scheme) map[string]*scheme {
	m := make(map[string]*scheme, len(all))
	for _, s := range all {
		m[s.name] = s
	}
	return m
}

// oneBlock is the size of a PBKDF2 key: a longer one than its digest costs the
// server more and an attacker nothing (RFC 8018 §5.2), and one kind would take two
// times.
func oneBlock(digest int) size { return size{least: 16, most: digest, usual: digest} }

func exactly(n int) size { return size{n, n, n} }

// hash returns a Hash of s if its cost and its sizes are within the limits.
func (s *scheme) hash(cost []uint64, salt, key []byte) (*Hash, error) {
	if err := s.checkCost(cost); err != nil {
		return nil, err
	}
	if err := s.salt.check(len(salt)); err != nil {
		return nil, s.malformed("the salt has " + err.Error())
	}
	if err := s.key.check(len(key)); err != nil {
		return nil, s.malformed("the key has " + err.Error())
	}
	return &Hash{scheme: s, cost: cost, salt: salt, key: key}, nil
}

func (s *scheme) checkCost(cost []uint64) error {
	for i, p := range s.params {
		if cost[i] < p.least || cost[i] > p.most {
			return s.expensive(fmt.Sprintf("%s=%d is not %d to %d", p.name, cost[i], p.least, p.most))
		}
	}
	if s.check == nil {
		return nil
	}
	if err := s.check(cost); err != nil {
		return s.expensive(err.Error())
	}
	return nil
}

func (s *scheme) malformed(what string) error {
	return fmt.Errorf("%w: %s: %s", ErrShape, s.name, what)
}

func (s *scheme) expensive(what string) error {
	return fmt.Errorf("%w: %s: %s", ErrCost, s.name, what)
}

func (z size) check(n int) error {
	if n < z.least || n > z.most {
		return fmt.Errorf("%d bytes, not %d to %d", n, z.least, z.most)
	}
	return nil
}

// readCost reads "m=19456,t=2,p=1": all parameters of s, in their order.
func (s *scheme) readCost(text string) ([]uint64, error) {
	fields := strings.Split(text, ",")
	if len(fields) != len(s.params) {
		return nil, s.malformed(fmt.Sprintf("%d parameters, not %d", len(fields), len(s.params)))
	}
	cost := make([]uint64, len(fields))
	for i, p := range s.params {
		digits, ok := strings.CutPrefix(fields[i], p.name+"=")
		if !ok {
			return nil, s.malformed(fmt.Sprintf("parameter %d is not %s=", i+1, p.name))
		}
		var err error
		if cost[i], err = s.number(digits); err != nil {
			return nil, err
		}
	}
	return cost, nil
}

// number reads a number as a scheme writes it. One that is too large for 64 bits
// becomes the largest, which is above every limit.
func (s *scheme) number(digits string) (uint64, error) {
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || len(digits) > 1 && digits[0] == '0' {
		return 0, s.malformed("a parameter is not a decimal number")
	}
	return n, nil
}

func checkArgon2(cost []uint64) error {
	m, t, p := cost[0], cost[1], cost[2]
	switch {
	case m < 8*p: // RFC 9106 §3.1
		return fmt.Errorf("m=%d is below the least for p=%d, %d", m, p, 8*p)
	case m*t > maxArgon2KiBPasses:
		return fmt.Errorf("m*t=%d is above %d", m*t, maxArgon2KiBPasses)
	}
	return nil
}

func checkScrypt(cost []uint64) error {
	n, r, p := cost[0], cost[1], cost[2]
	switch {
	case bits.OnesCount64(n) != 1: // RFC 7914 §2
		return fmt.Errorf("n=%d is not a power of 2", n)
	case 128*n*r > maxScryptBytes:
		return fmt.Errorf("128*n*r=%d is above %d", 128*n*r, maxScryptBytes)
	case 128*n*r*p > maxScryptWork:
		return fmt.Errorf("128*n*r*p=%d is above %d", 128*n*r*p, maxScryptWork)
	}
	return nil
}

// derived compares with the key that derive returns; nil matches nothing.
func derived(derive func(h *Hash, password string) []byte) func(*Hash, string) bool {
	return func(h *Hash, password string) bool {
		return subtle.ConstantTimeCompare(derive(h, password), h.key) == 1
	}
}

func argon2Key(key func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte) func(*Hash, string) []byte {
	return func(h *Hash, password string) []byte {
		return key([]byte(password), h.salt, uint32(h.cost[1]), uint32(h.cost[0]), uint8(h.cost[2]), uint32(len(h.key)))
	}
}

func pbkdf2Key[H hash.Hash](digest func() H) func(*Hash, string) []byte {
	return func(h *Hash, password string) []byte {
		key, _ := pbkdf2.Key(digest, password, h.salt, int(h.cost[0]), len(h.key)) // fails in FIPS mode alone
		return key
	}
}

func scryptKey(h *Hash, password string) []byte {
	key, _ := scrypt.Key([]byte(password), h.salt, int(h.cost[0]), int(h.cost[1]), int(h.cost[2]), len(h.key)) // fails for a cost that checkScrypt refuses
	return key
}

// bcryptBytes is how much of a password bcrypt takes.
const bcryptBytes = 72

// bcryptMatches ignores what comes after byte 72 of the password, as the bcrypt
// that made the hash did: without that, a long password no longer opens its
// account. 2a, 2b and 2y differ in faults of their writers, not in the result.
func bcryptMatches(h *Hash, password string) bool {
	text := fmt.Sprintf("$2b$%02d$%s%s", h.cost[0], bcrypt64.EncodeToString(h.salt), bcrypt64.EncodeToString(h.key))
	return bcrypt.CompareHashAndPassword([]byte(text), []byte(password)) == nil
}

// bcryptSHA256Matches is Django's way around the limit of 72 bytes: bcrypt of the
// SHA-256 of the password, in hexadecimal.
func bcryptSHA256Matches(h *Hash, password string) bool {
	digest := sha256.Sum256([]byte(password))
	return bcryptMatches(h, hex.EncodeToString(digest[:]))
}
