package users

import (
	"context"
	"errors"
	"fmt"

	"signet/users/passhash"
)

// Authenticate returns the account that name and password prove, or
// ErrCredentials, as a *RefusedError where a hash was compared. It takes the same time whichever part is wrong. *BusyError if
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
	hash, err := d.hashOf(ctx, u, name)
	if err != nil {
		return User{}, err
	}
	match, err := d.matches(ctx, hash, password)
	switch {
	case err != nil:
		return User{}, err
	case !known || u.Hash == "" || !match || u.Disabled:
		return User{}, &RefusedError{ID: u.ID}
	}
	return d.upgrade(ctx, u, hash, password), nil
}

// hashOf is the hash to compare with: that of the account, or a decoy.
func (d *Directory) hashOf(ctx context.Context, u User, name string) (*passhash.Hash, error) {
	if canonical, err := Canonical(name); err == nil {
		name = canonical
	}
	decoy, err := d.decoy(ctx, name, d.params.Load().kind())
	if err != nil || u.Hash == "" {
		return decoy, err
	}
	hash, err := passhash.Parse(u.Hash)
	if err != nil {
		return nil, fmt.Errorf("stored password hash: %w", err)
	}
	return hash, nil
}

func (d *Directory) lookUp(ctx context.Context, name string) (User, error) {
	name, err := Canonical(name)
	if err != nil {
		return User{}, ErrNotFound
	}
	return d.store.UserByName(ctx, name)
}

// upgrade hashes a just proven password anew if its hash is of another kind than
// those that are made now. It is no reason to fail a login. What the old hash ignores is
// not proven: a typing error there would become the password.
func (d *Directory) upgrade(ctx context.Context, u User, old *passhash.Hash, password string) User {
	if old.Kind() == d.params.Load().kind() || !old.Tells(password) {
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
