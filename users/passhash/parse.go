package passhash

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Base64 as the schemes write it. Strict: no key has two texts.
var (
	padded = base64.StdEncoding.Strict()
	phc64  = base64.RawStdEncoding.Strict()
	// ab64 is passlib's: '.' in place of '+'.
	ab64     = base64.NewEncoding(alphanumeric + "./").WithPadding(base64.NoPadding).Strict()
	bcrypt64 = base64.NewEncoding("./" + alphanumeric).WithPadding(base64.NoPadding)
)

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// reader reads the part of a hash that follows its identifier and a '$'.
type reader func(rest string) (*Hash, error)

// djangoReaders are for "identifier$...", by identifier.
var djangoReaders = map[string]reader{
	"pbkdf2_sha256": djangoPBKDF2(pbkdf2SHA256),
	"pbkdf2_sha1":   djangoPBKDF2(pbkdf2SHA1),
	"bcrypt":        djangoBcrypt(bcryptPlain),
	"bcrypt_sha256": djangoBcrypt(bcryptSHA256),
	"argon2":        djangoArgon2,
	"scrypt":        djangoScrypt,
}

// cryptReaders are for "$identifier$...": PHC strings and modular crypt.
var cryptReaders = map[string]reader{
	"argon2id":      phcArgon2(argon2id),
	"argon2i":       phcArgon2(argon2i),
	"pbkdf2-sha256": phcPBKDF2(pbkdf2SHA256),
	"pbkdf2-sha1":   phcPBKDF2(pbkdf2SHA1),
	"pbkdf2":        phcPBKDF2(pbkdf2SHA1), // what passlib calls it
	"scrypt":        phcScrypt,
	"2a":            cryptBcrypt(bcryptPlain),
	"2b":            cryptBcrypt(bcryptPlain),
	"2y":            cryptBcrypt(bcryptPlain),
}

// Parse reads the text of a stored hash. ErrScheme if it is no hash or of another
// scheme, ErrShape if it is not what its scheme writes, ErrCost if computing it
// costs more than the limits. No error tells the salt or the key.
func Parse(encoded string) (*Hash, error) {
	switch {
	case encoded == "":
		return nil, fmt.Errorf("%w: it is empty: an account without a password", ErrScheme)
	case encoded[0] == '!':
		return nil, fmt.Errorf("%w: it begins with '!': an account without a usable password", ErrScheme)
	case len(encoded) > MaxEncodedBytes:
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrShape, len(encoded), MaxEncodedBytes)
	}
	if rest, ok := strings.CutPrefix(encoded, "$"); ok {
		return parseAs(cryptReaders, rest)
	}
	return parseAs(djangoReaders, encoded)
}

// identifier is what the name of a scheme looks like: anything else may be a
// password, and is not repeated.
var identifier = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func parseAs(readers map[string]reader, text string) (*Hash, error) {
	name, rest, found := strings.Cut(text, "$")
	read, known := readers[name]
	switch {
	case !found || !identifier.MatchString(name):
		return nil, fmt.Errorf("%w: it does not begin with the name of a scheme", ErrScheme)
	case !known:
		return nil, fmt.Errorf("%w: unknown scheme %q", ErrScheme, name)
	}
	for _, c := range []byte(rest) {
		if c < ' ' || c > '~' { // encoding/base64 skips line ends
			return nil, fmt.Errorf("%w: %s: it holds a character that is not printable ASCII", ErrShape, name)
		}
	}
	return read(rest)
}

// fields splits text at each '$' into n parts.
func (s *scheme) fields(text string, n int) ([]string, error) {
	fields := strings.SplitN(text, "$", n+1)
	if len(fields) != n {
		return nil, s.malformed(fmt.Sprintf("it does not have %d parts after the name of the scheme", n))
	}
	return fields, nil
}

// decoded is a Hash whose salt and key are in the same encoding.
func (s *scheme) decoded(enc *base64.Encoding, cost []uint64, salt, key string) (*Hash, error) {
	raw, err := enc.DecodeString(salt)
	if err != nil {
		return nil, s.malformed("the salt is not in base64")
	}
	return s.salted(enc, cost, raw, key)
}

// salted is a Hash whose key is encoded.
func (s *scheme) salted(enc *base64.Encoding, cost []uint64, salt []byte, key string) (*Hash, error) {
	raw, err := enc.DecodeString(key)
	if err != nil {
		return nil, s.malformed("the key is not in base64")
	}
	return s.hash(cost, salt, raw)
}

// djangoPBKDF2 reads iterations$salt$key. The salt is text.
func djangoPBKDF2(s *scheme) reader {
	return func(rest string) (*Hash, error) {
		f, err := s.fields(rest, 3)
		if err != nil {
			return nil, err
		}
		iterations, err := s.number(f[0])
		if err != nil {
			return nil, err
		}
		return s.salted(padded, []uint64{iterations}, []byte(f[1]), f[2])
	}
}

// djangoScrypt reads n$salt$r$p$key. The salt is text.
func djangoScrypt(rest string) (*Hash, error) {
	s := scryptPlain
	f, err := s.fields(rest, 5)
	if err != nil {
		return nil, err
	}
	var cost []uint64
	for _, digits := range []string{f[0], f[2], f[3]} {
		n, err := s.number(digits)
		if err != nil {
			return nil, err
		}
		cost = append(cost, n)
	}
	return s.salted(padded, cost, []byte(f[1]), f[4])
}

// djangoArgon2 reads a PHC string without its first '$'.
func djangoArgon2(rest string) (*Hash, error) {
	name, rest, _ := strings.Cut(rest, "$")
	if name != argon2id.name && name != argon2i.name {
		return nil, fmt.Errorf("%w: argon2 other than argon2id and argon2i", ErrScheme)
	}
	return cryptReaders[name](rest)
}

// djangoBcrypt reads a modular crypt string.
func djangoBcrypt(s *scheme) reader {
	return func(rest string) (*Hash, error) {
		f, err := s.fields(rest, 4)
		if err != nil {
			return nil, err
		}
		if f[0] != "" || f[1] != "2a" && f[1] != "2b" && f[1] != "2y" {
			return nil, fmt.Errorf("%w: %s: not of version 2a, 2b or 2y", ErrScheme, s.name)
		}
		return cryptBcrypt(s)(f[2] + "$" + f[3])
	}
}

// cryptBcrypt reads cost$salt and key, in 2, 22 and 31 characters.
func cryptBcrypt(s *scheme) reader {
	return func(rest string) (*Hash, error) {
		if len(rest) != 2+1+22+31 || rest[2] != '$' {
			return nil, s.malformed("it is not a cost of 2 digits, a '$' and 53 characters")
		}
		cost, err := s.number(strings.TrimPrefix(rest[:2], "0"))
		if err != nil {
			return nil, err
		}
		salt, err := bcrypt64.DecodeString(rest[3:25]) // some writers set the bits past the end
		if err != nil {
			return nil, s.malformed("the salt is not in the base64 of bcrypt")
		}
		return s.salted(bcrypt64.Strict(), []uint64{cost}, salt, rest[25:])
	}
}

// phcArgon2 reads v=19$m=..,t=..,p=..$salt$key. A hash of another version, and one
// without, which means 16, cannot be computed here.
func phcArgon2(s *scheme) reader {
	version := "v=" + strconv.Itoa(argon2.Version)
	return func(rest string) (*Hash, error) {
		if v, _, _ := strings.Cut(rest, "$"); v != version && (strings.HasPrefix(v, "v=") || strings.HasPrefix(v, "m=")) {
			return nil, fmt.Errorf("%w: %s: not of version %d", ErrScheme, s.name, argon2.Version)
		}
		f, err := s.fields(rest, 4)
		if err != nil {
			return nil, err
		}
		if f[0] != version {
			return nil, s.malformed("the version is missing")
		}
		cost, err := s.readCost(f[1])
		if err != nil {
			return nil, err
		}
		return s.decoded(phc64, cost, f[2], f[3])
	}
}

// phcPBKDF2 reads i=..[,l=..]$salt$key, or as passlib writes it, iterations$salt$key
// in its own base64.
func phcPBKDF2(s *scheme) reader {
	return func(rest string) (*Hash, error) {
		f, err := s.fields(rest, 3)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(f[0], "i=") {
			iterations, err := s.number(f[0])
			if err != nil {
				return nil, err
			}
			return s.decoded(ab64, []uint64{iterations}, f[1], f[2])
		}
		params, length, long := strings.Cut(f[0], ",l=")
		cost, err := s.readCost(params)
		if err != nil {
			return nil, err
		}
		h, err := s.decoded(phc64, cost, f[1], f[2])
		if err == nil && long && length != strconv.Itoa(len(h.key)) {
			return nil, s.malformed("l= is not the length of the key")
		}
		return h, err
	}
}

// phcScrypt reads ln=..,r=..,p=..$salt$key; ln is the logarithm of n, and read in
// its place.
func phcScrypt(rest string) (*Hash, error) {
	s := scryptPlain
	f, err := s.fields(rest, 3)
	if err != nil {
		return nil, err
	}
	params, ok := strings.CutPrefix(f[0], "l")
	if !ok {
		return nil, s.malformed("parameter 1 is not ln=")
	}
	cost, err := s.readCost(params)
	if err != nil {
		return nil, err
	}
	if cost[0] > 63 {
		return nil, s.expensive(fmt.Sprintf("n=2^%d is not %d to %d", cost[0], s.params[0].least, s.params[0].most))
	}
	cost[0] = 1 << cost[0]
	return s.decoded(phc64, cost, f[1], f[2])
}
