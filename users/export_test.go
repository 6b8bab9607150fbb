package users

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

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

// DecoyKind is the kind of the hash that stands in for a name without an account.
func (d *Directory) DecoyKind(ctx context.Context, name string) (string, error) {
	h, err := d.decoy(ctx, name, d.params.Load().kind())
	if err != nil {
		return "", err
	}
	return h.Kind(), nil
}

// HashKindFor is the kind of the hash that a login under name costs.
func (d *Directory) HashKindFor(ctx context.Context, name string) (string, error) {
	u, err := d.lookUp(ctx, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	h, err := d.hashOf(ctx, u, name)
	if err != nil {
		return "", err
	}
	return h.Kind(), nil
}
