// Package users is who someone is, proven by a password.
//
// Start at [Directory]. It creates, authenticates, changes, lists and removes
// accounts, in a [Store] that it declares. Passwords are kept as argon2id PHC
// strings. It refuses to say why a login failed: an unknown user, a wrong
// password and a disabled account get the same error after the same work.
package users

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Directory is the accounts of one issuer: safe for concurrent use.
type Directory struct {
	store  Store
	now    func() time.Time
	gate   *gate
	params atomic.Pointer[params]
}

// params are the hash parameters in force, with a hash of no known password that
// stands in where there is no account.
type params struct {
	Params
	decoy string
}

// New returns a Directory that hashes with p; now is the clock, nil means
// time.Now. p is checked by Params.Check.
func New(store Store, p Params, now func() time.Time) (*Directory, error) {
	if now == nil {
		now = time.Now
	}
	d := &Directory{store: store, now: now, gate: newGate(p.Queue)}
	return d, d.SetParams(p)
}

// SetParams puts p in force: for new passwords now, for an account's password at
// its next login.
func (d *Directory) SetParams(p Params) error {
	if err := p.Check(); err != nil {
		return err
	}
	d.gate.setQueue(p.Queue)
	d.params.Store(&params{Params: p, decoy: p.hash(rand.Text())})
	return nil
}

// Create adds an account. ErrName or ErrPassword if either cannot be used,
// ErrExists if the name is taken.
func (d *Directory) Create(ctx context.Context, name, password string) (User, error) {
	name, err := Canonical(name)
	if err != nil {
		return User{}, err
	}
	hash, err := d.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	now := d.second()
	u := User{ID: rand.Text(), Name: name, Hash: hash, Created: now, PasswordChanged: now, Version: 1}
	if err := d.store.CreateUser(ctx, u); err != nil {
		return User{}, fmt.Errorf("%q: %w", name, err)
	}
	return u, nil
}

// Authenticate returns the account that name and password prove, or
// ErrCredentials. It takes the same time whichever part is wrong. *BusyError if
// too many wait already.
func (d *Directory) Authenticate(ctx context.Context, name, password string) (User, error) {
	if CheckPassword(password) != nil {
		return User{}, ErrCredentials // says nothing of any account
	}
	u, err := d.lookUp(ctx, name)
	known := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return User{}, err
	}
	p := d.params.Load()
	hash := u.Hash
	if hash == "" {
		hash = p.decoy
	}
	match, err := d.verify(ctx, hash, password)
	switch {
	case err != nil:
		return User{}, err
	case !known || u.Hash == "" || !match || u.Disabled:
		return User{}, ErrCredentials
	}
	return d.upgrade(ctx, u, p, password), nil
}

func (d *Directory) lookUp(ctx context.Context, name string) (User, error) {
	name, err := Canonical(name)
	if err != nil {
		return User{}, ErrNotFound
	}
	return d.store.UserByName(ctx, name)
}

// upgrade hashes a just proven password anew if its hash has other parameters
// than those in force. It is no reason to fail a login.
func (d *Directory) upgrade(ctx context.Context, u User, p *params, password string) User {
	if p.made(u.Hash) {
		return u
	}
	hash, err := d.hash(ctx, password)
	if err != nil {
		return u
	}
	better := u
	better.Hash = hash
	if d.store.UpdateUser(ctx, better) != nil {
		return u
	}
	better.Version++
	return better
}

// ByID returns the account with this ID, or ErrNotFound.
func (d *Directory) ByID(ctx context.Context, id string) (User, error) {
	return d.store.UserByID(ctx, id)
}

// ByName returns the account with this name in any case, or ErrNotFound.
func (d *Directory) ByName(ctx context.Context, name string) (User, error) {
	u, err := d.lookUp(ctx, name)
	if err != nil {
		return User{}, fmt.Errorf("%.100q: %w", name, err)
	}
	return u, nil
}

// List returns up to limit accounts whose names come after the given one. Fewer
// than limit means that there are no more.
func (d *Directory) List(ctx context.Context, after string, limit int) ([]User, error) {
	return d.store.Users(ctx, after, limit)
}

// SetPassword gives the account another password; its sessions are over.
func (d *Directory) SetPassword(ctx context.Context, name, password string) (User, error) {
	hash, err := d.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	return d.update(ctx, name, func(u *User) {
		u.Hash, u.PasswordChanged = hash, d.second()
		u.Epoch++
	})
}

// Enable lets the account log in again.
func (d *Directory) Enable(ctx context.Context, name string) (User, error) {
	return d.update(ctx, name, func(u *User) { u.Disabled = false })
}

// Disable refuses the account logins and refreshes from now on; its sessions are
// over, also if it is enabled again.
func (d *Directory) Disable(ctx context.Context, name string) (User, error) {
	return d.update(ctx, name, func(u *User) {
		u.Disabled = true
		u.Epoch++
	})
}

// Remove deletes the account. Its ID is never used again; its name may be.
func (d *Directory) Remove(ctx context.Context, name string) (User, error) {
	u, err := d.ByName(ctx, name)
	if err != nil {
		return User{}, err
	}
	return u, d.store.RemoveUser(ctx, u.ID)
}

// update alters the account as it is stored, again if it changes in between.
func (d *Directory) update(ctx context.Context, name string, alter func(*User)) (User, error) {
	for range 10 {
		u, err := d.ByName(ctx, name)
		if err != nil {
			return User{}, err
		}
		alter(&u)
		err = d.store.UpdateUser(ctx, u)
		if err == nil {
			u.Version++
			return u, nil
		}
		if !errors.Is(err, ErrConflict) {
			return User{}, err
		}
	}
	return User{}, ErrConflict
}

// second is now, in the resolution that is stored.
func (d *Directory) second() time.Time { return d.now().UTC().Truncate(time.Second) }
