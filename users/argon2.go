package users

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Params are the cost of an argon2id hash (RFC 9106) and how many logins may
// wait for a core.
type Params struct {
	// MemoryKiB per hash in KiB, Time in passes, Threads in lanes.
	MemoryKiB, Time uint32
	Threads         uint8
	// Queue is how many hashes may wait while one per core is computed; past it
	// a login gets a *BusyError.
	Queue int
}

// Upper limits of what a stored hash may cost: a hash from elsewhere must not be
// able to stall the server.
const (
	maxMemoryKiB = 1 << 20 // 1 GiB
	maxTime      = 16
	maxThreads   = 16
)

const (
	saltBytes = 16
	keyBytes  = 32
)

// Check refuses parameters that argon2 does not take or that cost too much.
func (p Params) Check() error {
	switch {
	case p.Threads < 1 || p.Threads > maxThreads:
		return fmt.Errorf("argon2id threads must be 1 to %d", maxThreads)
	case p.Time < 1 || p.Time > maxTime:
		return fmt.Errorf("argon2id time must be 1 to %d", maxTime)
	case p.MemoryKiB < 8*uint32(p.Threads) || p.MemoryKiB > maxMemoryKiB:
		return fmt.Errorf("argon2id memory must be %d to %d KiB", 8*p.Threads, maxMemoryKiB)
	case p.Queue < 0:
		return errors.New("the queue of logins cannot be negative")
	}
	return nil
}

// prefix is the PHC string of p up to the salt.
func (p Params) prefix() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, p.MemoryKiB, p.Time, p.Threads)
}

// made reports whether hash was made with p.
func (p Params) made(hash string) bool { return strings.HasPrefix(hash, p.prefix()) }

// hash returns the PHC string of password under p, with a new salt.
func (p Params) hash(password string) string {
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	key := argon2.IDKey(normal(password), salt, p.Time, p.MemoryKiB, p.Threads, keyBytes)
	return p.prefix() + base64.RawStdEncoding.EncodeToString(salt) + "$" + base64.RawStdEncoding.EncodeToString(key)
}

// phc is a parsed argon2id PHC string.
type phc struct {
	Params
	salt, key []byte
}

var errHash = errors.New("not an argon2id PHC string within the limits")

// parsePHC reads $argon2id$v=19$m=..,t=..,p=..$salt$key and checks its cost.
func parsePHC(text string) (phc, error) {
	if strings.ContainsAny(text, "\r\n") { // encoding/base64 skips them
		return phc{}, errHash
	}
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errHash
	}
	var h phc
	if err := h.parseCost(parts[3]); err != nil {
		return phc{}, err
	}
	var err, err2 error
	h.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.key, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err != nil || err2 != nil || len(h.salt) < 8 || len(h.salt) > 64 || len(h.key) < 16 || len(h.key) > 64 {
		return phc{}, errHash
	}
	return h, nil
}

func (h *phc) parseCost(text string) error {
	fields := strings.Split(text, ",")
	if len(fields) != 3 {
		return errHash
	}
	var values [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(fields[i], name)
		value, err := strconv.ParseUint(digits, 10, 31)
		if !ok || err != nil {
			return errHash
		}
		values[i] = value
	}
	if values[2] > maxThreads {
		return errHash
	}
	h.Params = Params{MemoryKiB: uint32(values[0]), Time: uint32(values[1]), Threads: uint8(values[2])}
	if err := h.Check(); err != nil {
		return fmt.Errorf("%w: %v", errHash, err)
	}
	return nil
}

func (h phc) matches(password string) bool {
	key := argon2.IDKey(normal(password), h.salt, h.Time, h.MemoryKiB, h.Threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// hash checks and hashes a new password, when its turn has come.
func (d *Directory) hash(ctx context.Context, password string) (string, error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	leave, err := d.gate.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	return d.params.Load().hash(password), nil
}

// verify compares password with a stored hash, when its turn has come.
func (d *Directory) verify(ctx context.Context, hash, password string) (bool, error) {
	stored, err := parsePHC(hash)
	if err != nil {
		return false, fmt.Errorf("stored password hash: %w", err)
	}
	leave, err := d.gate.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	return stored.matches(password), nil
}
