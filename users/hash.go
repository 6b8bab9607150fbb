package users

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"signet/users/passhash"
)

// Params are the cost of an argon2id hash (RFC 9106), how many logins may wait for a
// core, and what a new password must be.
type Params struct {
	// MemoryKiB per hash in KiB, Time in passes, Threads in lanes.
	MemoryKiB, Time uint32
	Threads         uint8
	// Queue is how many hashes may wait while one per core is computed; past it
	// a login gets a *BusyError.
	Queue int
	// MinLength is the least length of a new password in characters.
	MinLength int
}

// Upper limits of what a hash may cost.
const (
	maxMemoryKiB = 1 << 20 // 1 GiB
	maxTime      = 16
	maxThreads   = 16
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
	_, err := passhash.Decoy(p.kind()) // it has a limit for all three together
	return err
}

// kind is that of the hashes made with p.
func (p Params) kind() string {
	return fmt.Sprintf("argon2id m=%d,t=%d,p=%d", p.MemoryKiB, p.Time, p.Threads)
}

// HashKind names scheme and cost of a stored hash; hashes of one kind take the same
// time. Empty for an account without a password, and for a hash that is none.
func HashKind(hash string) string {
	h, err := passhash.Parse(hash)
	if err != nil {
		return ""
	}
	return h.Kind()
}

// Hasher computes password hashes elsewhere, such as in another process. Its errors say
// nothing of the password.
type Hasher interface {
	// Matches is hash.Matches(password).
	Matches(hash *passhash.Hash, password string) (bool, error)
	// Argon2id is passhash.Argon2id.
	Argon2id(memoryKiB, time uint32, threads uint8, password string) (string, error)
}

// here is the Hasher of this process.
type here struct{}

func (here) Matches(hash *passhash.Hash, password string) (bool, error) {
	return hash.Matches(password), nil
}

func (here) Argon2id(memoryKiB, time uint32, threads uint8, password string) (string, error) {
	return passhash.Argon2id(memoryKiB, time, threads, password), nil
}

// hash computes the hash of a new password when its turn has come.
func (d *Directory) hash(ctx context.Context, password string) (hash string, err error) {
	err = d.inTurn(ctx, func(by Hasher) (err error) {
		p := d.params.Load()
		hash, err = by.Argon2id(p.MemoryKiB, p.Time, p.Threads, password)
		return err
	})
	return hash, err
}

// matches compares password with a hash when its turn has come.
func (d *Directory) matches(ctx context.Context, hash *passhash.Hash, password string) (match bool, err error) {
	err = d.inTurn(ctx, func(by Hasher) (err error) {
		match, err = by.Matches(hash, password)
		return err
	})
	return match, err
}

// inTurn computes a hash when its turn has come. The turn ends with the computing, also if
// ctx ends before: until then a core is busy.
func (d *Directory) inTurn(ctx context.Context, compute func(by Hasher) error) error {
	leave, err := d.gate.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	began := time.Now()
	if err := compute(cmp.Or(d.hasher, Hasher(here{}))); err != nil {
		return fmt.Errorf("%w: %w", ErrHasher, err)
	}
	if d.hashed != nil {
		d.hashed(time.Since(began))
	}
	return nil
}
