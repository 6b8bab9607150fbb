package keystore

import (
	"errors"
	"fmt"
	"time"
)

// Errors a caller branches on.
var (
	// ErrConflict: the ring was replaced by someone else in between.
	ErrConflict = errors.New("the keys were changed in the meantime")
	// ErrAlgorithm: an algorithm or a key size that is not offered.
	ErrAlgorithm = errors.New("no such signing algorithm")
	// ErrNoKey: no key with this kid, or none that signs for this algorithm.
	ErrNoKey = errors.New("no such key")
	// ErrRevoked: the key is revoked already.
	ErrRevoked = errors.New("the key is revoked already")
	// ErrTooSoon: the new key would sign before every cache has seen it.
	ErrTooSoon = errors.New("too soon for the caches that hold the key set")
	// ErrSealingKey: the sealing key is missing, unreadable or not the one that
	// sealed the keys.
	ErrSealingKey = errors.New("sealing key")
	// ErrSealingKeyOpen: the mode of its file lets others in, which chmod mends. It comes
	// with ErrSealingKey.
	ErrSealingKeyOpen = errors.New("others may read or change")
	// ErrVault: a private half that lives outside of the process cannot be reached.
	ErrVault = errors.New("private keys outside of the database")
	// ErrKeyFile: what was given is no private key that can be imported.
	ErrKeyFile = errors.New("not a key that can be imported")
	// ErrKnown: the key to import is or was in the ring.
	ErrKnown = errors.New("the key is known here already")
	// ErrRing: the stored ring is not as it was stored.
	ErrRing = errors.New("the keys in the database were changed by something other than signet")
	// ErrNewer: the ring was written by a newer version of this package.
	ErrNewer = errors.New("the keys in the database were written by a newer signet")
	// ErrStopped: the clock has leapt, and the schedule waits for an operator.
	ErrStopped = errors.New("the schedule of the keys is stopped")
	// ErrStale: a replica has not read the ring for too long to sign with it.
	ErrStale = errors.New("the keys in the database may have changed")
	// ErrClock: the clock of a replica cannot be right.
	ErrClock = errors.New("the clock of this machine has leapt")
	// ErrNotStopped: there is no leap of the clock to confirm.
	ErrNotStopped = errors.New("the schedule of the keys is not stopped")
)

// PendingError refuses a rotation while one is under way.
type PendingError struct {
	Alg, KID string
	// SignsFrom is when the pending key takes over, Left how long that is from now.
	SignsFrom time.Time
	Left      time.Duration
	// Held: it waits for an operator instead.
	Held bool
}

func (e *PendingError) Error() string {
	if e.Held {
		return fmt.Sprintf("%s: a rotation is under way: key %s is held", e.Alg, e.KID)
	}
	return fmt.Sprintf("%s: a rotation is under way: key %s signs from %s, in %s",
		e.Alg, e.KID, e.SignsFrom.UTC().Format(time.RFC3339), e.Left.Round(time.Second))
}
