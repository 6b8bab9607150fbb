package users

import (
	"sync/atomic"
	"testing"
)

// ErrHash is the error of a stored hash that cannot be used.
var ErrHash = errHash

// CountHashes returns how many hashes d has computed since the call. It stands in
// the gate that every hash passes, so d computes one at a time from now on.
func CountHashes(t *testing.T, d *Directory) func() int {
	slots, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(done) })
	var entered atomic.Int64
	go func() {
		for {
			select {
			case <-slots: // someone enters
				entered.Add(1)
			case <-done:
				return
			}
			select {
			case slots <- struct{}{}: // and leaves
			case <-done:
				return
			}
		}
	}()
	d.gate.slots = slots
	return func() int { return int(entered.Load()) }
}

// Occupy takes every slot for hashing until the end of the test.
func Occupy(d *Directory) {
	for range cap(d.gate.slots) {
		d.gate.slots <- struct{}{}
	}
}

// DecoyCostsWhat reports whether an unknown user costs the same as an account
// with this hash.
func (d *Directory) DecoyCostsWhat(hash string) bool {
	decoy, err := parsePHC(d.params.Load().decoy)
	if err != nil {
		return false
	}
	stored, err := parsePHC(hash)
	return err == nil && stored.Params == decoy.Params &&
		len(stored.salt) == len(decoy.salt) && len(stored.key) == len(decoy.key)
}
