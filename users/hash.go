package users

import (
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

// hash returns the PHC string of password under p, with a new salt.
func (p Params) hash(password string) string {
	return passhash.Argon2id(p.MemoryKiB, p.Time, p.Threads, password)
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

// hash computes the hash of a new password when its turn has come.
func (d *Directory) hash(ctx context.Context, password string) (hash string, err error) {
	err = d.inTurn(ctx, func() { hash = d.params.Load().hash(password) })
	return hash, err
}

// matches compares password with a hash when its turn has come.
func (d *Directory) matches(ctx context.Context, hash *passhash.Hash, password string) (match bool, err error) {
	err = d.inTurn(ctx, func() { match = hash.Matches(password) })
	return match, err
}

// inTurn computes a hash when its turn has come.
func (d *Directory) inTurn(ctx context.Context, compute func()) error {
	leave, err := d.gate.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	began := time.Now()
	if d.beside != nil {
		d.beside(compute)
	} else {
		compute()
	}
	if d.hashed != nil {
		d.hashed(time.Since(began))
	}
	return nil
}
