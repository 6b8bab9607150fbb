package users

import (
	"context"
	"time"
)

// User is one account as it is stored.
type User struct {
	// ID is the subject of the user's tokens: 128 random bits as text. It never
	// changes and is never given to another account, not even when the name is.
	ID string
	// Name is the canonical name (see Canonical); unique among all users.
	Name string
	// Hash is the stored form of the password, which package passhash reads; empty if
	// the account has none. It leaves this package for the store and for an export
	// alone.
	Hash string
	Profile
	// Disabled accounts cannot log in or refresh.
	Disabled bool
	// Created and PasswordChanged are instants with a resolution of a second.
	Created         time.Time
	PasswordChanged time.Time
	// Epoch counts what ends the account's sessions: a new password, or being
	// disabled. A session that began in an earlier epoch is over. It begins at 0, or with
	// the time for an account that was imported with its ID.
	Epoch uint64
	// Version counts the updates of this record; see Store.UpdateUser.
	Version uint64
}

// Store keeps the accounts. Every method is one atomic step, durable when it
// returns nil. A method that returns an error has changed nothing, except where
// the storage itself failed: then the change may or may not have been made.
type Store interface {
	// CreateUser adds u with Version 1, whatever u.Version is. ErrExists if the name or
	// the ID is taken, ErrUserID if its UserID is; of two calls with one name or one
	// UserID at the same moment exactly one succeeds.
	CreateUser(ctx context.Context, u User) error
	// UserByName returns the account with this canonical name, or ErrNotFound.
	UserByName(ctx context.Context, name string) (User, error)
	// UserByID returns the account with this ID, or ErrNotFound.
	UserByID(ctx context.Context, id string) (User, error)
	// UserByUserID returns the account whose UserID this is, or ErrNotFound; an
	// account without one is never found.
	UserByUserID(ctx context.Context, userID string) (User, error)
	// UpdateUser replaces the record with u's ID if the stored Version still
	// equals u.Version, and stores it with Version+1. ErrNotFound if there is
	// none, ErrConflict if its Version is another, ErrUserID if its UserID is another
	// account's. ID and Name do not change: a u with another Name than the stored one
	// is ErrConflict.
	UpdateUser(ctx context.Context, u User) error
	// RemoveUser deletes the account with this ID and frees its name and its UserID,
	// or returns ErrNotFound.
	RemoveUser(ctx context.Context, id string) error
	// Users returns up to limit accounts whose Name is greater than after, in
	// the byte order of names. Fewer than limit, which is 1 or more, means that
	// there are no more.
	Users(ctx context.Context, after string, limit int) ([]User, error)
	// HashKinds counts the accounts by HashKind of their Hash. It costs the same
	// however many there are.
	HashKinds(ctx context.Context) (map[string]int, error)
}
