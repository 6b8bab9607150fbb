// Package users is who someone is, proven by a password.
//
// Start at [Directory]. It creates, authenticates, changes, lists and removes
// accounts, in a [Store] that it declares. Passwords are kept as argon2id PHC
// strings; a hash that was brought along from another system is replaced by one at
// the first login. It refuses to say why a login failed: an unknown user, a wrong
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
	decoys *decoys
	hashed func(took time.Duration) // may be nil
	hasher Hasher                   // nil is this process
	params atomic.Pointer[Params]
}

// Options configure a Directory.
type Options struct {
	Store Store
	// Params are checked by Params.Check.
	Params Params
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// DecoyKey decides what an unknown name costs. It is secret, and the same from
	// start to start, so that a restart does not tell accounts from other names. Nil
	// is a random one.
	DecoyKey []byte
	// Hashed hears how long computing a hash took; nil tells nobody.
	Hashed func(took time.Duration)
	// Slots is how many hashes are computed at once; 0 is as many as there are cores.
	Slots int
	// Hasher computes the hashes; nil does that in this process.
	Hasher Hasher
}

// New returns a Directory.
func New(opts Options) (*Directory, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	d := &Directory{store: opts.Store, now: opts.Now, gate: newGate(opts.Slots, opts.Params.Queue), decoys: newDecoys(opts.DecoyKey),
		hashed: opts.Hashed, hasher: opts.Hasher}
	return d, d.SetParams(opts.Params)
}

// SetParams puts p in force: for new passwords now, for an account's password at
// its next login.
func (d *Directory) SetParams(p Params) error {
	if err := p.Check(); err != nil {
		return err
	}
	d.gate.setQueue(p.Queue)
	d.params.Store(&p)
	return nil
}

// Create adds an account. ErrName, ErrPassword or ErrProfile if one of the three
// cannot be used, ErrExists if the name is taken, ErrUserID if the UserID is.
func (d *Directory) Create(ctx context.Context, name, password string, p Profile) (User, error) {
	name, err := Canonical(name)
	if err != nil {
		return User{}, err
	}
	p.normalize()
	if err := p.Check(); err != nil {
		return User{}, err
	}
	if err := d.checkNew(password, name, p.Email); err != nil {
		return User{}, err
	}
	hash, err := d.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	now := d.second()
	u := User{ID: rand.Text(), Name: name, Hash: hash, Profile: p, Created: now, PasswordChanged: now, Version: 1}
	if err := d.store.CreateUser(ctx, u); err != nil {
		return User{}, fmt.Errorf("%q: %w", name, err)
	}
	return u, nil
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

// HashKinds counts the accounts by the kind of their hash (see HashKind).
func (d *Directory) HashKinds(ctx context.Context) (map[string]int, error) {
	return d.store.HashKinds(ctx)
}

// SetPassword gives the account another password; its sessions are over.
func (d *Directory) SetPassword(ctx context.Context, name, password string) (User, error) {
	u, err := d.ByName(ctx, name)
	if err != nil {
		return User{}, err
	}
	if err := d.checkNew(password, u.Name, u.Email); err != nil {
		return User{}, err
	}
	hash, err := d.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	return d.update(ctx, name, func(u *User) error {
		u.Hash, u.PasswordChanged = hash, d.second()
		u.Epoch++
		return nil
	})
}

// SetProfile alters what tokens say about the account, from the next one on.
// ErrProfile or ErrUserID if that cannot be.
func (d *Directory) SetProfile(ctx context.Context, name string, alter func(*Profile)) (User, error) {
	return d.update(ctx, name, func(u *User) error {
		alter(&u.Profile)
		u.Profile.normalize()
		return u.Profile.Check()
	})
}

// Enable lets the account log in again.
func (d *Directory) Enable(ctx context.Context, name string) (User, error) {
	return d.update(ctx, name, func(u *User) error {
		u.Disabled = false
		return nil
	})
}

// Disable refuses the account logins and refreshes from now on; its sessions are
// over, also if it is enabled again.
func (d *Directory) Disable(ctx context.Context, name string) (User, error) {
	return d.update(ctx, name, func(u *User) error {
		u.Disabled = true
		u.Epoch++
		return nil
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
func (d *Directory) update(ctx context.Context, name string, alter func(*User) error) (User, error) {
	for range 10 {
		u, err := d.ByName(ctx, name)
		if err != nil {
			return User{}, err
		}
		if err := alter(&u); err != nil {
			return User{}, err
		}
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
