package users

import (
	"errors"
	"time"
)

// Errors a caller branches on.
var (
	// ErrExists: the name is taken.
	ErrExists = errors.New("a user with this name exists already")
	// ErrNotFound: no such account.
	ErrNotFound = errors.New("no such user")
	// ErrConflict: the record was changed by someone else in between.
	ErrConflict = errors.New("the user was changed in the meantime")
	// ErrCredentials: unknown user, wrong password or disabled user. Which of
	// the three is never said.
	ErrCredentials = errors.New("no active account with these credentials")
	// ErrName: the name is empty, too long or holds characters that names may not hold.
	ErrName = errors.New("this is not a valid user name")
	// ErrUserID: another account has this user_id.
	ErrUserID = errors.New("another user has this user_id already")
	// ErrProfile: what is to be said about the account is too long, or not what it
	// should be.
	ErrProfile = errors.New("this cannot be said about a user")
	// ErrHash: a password hash of another system that is not taken; the error says why.
	ErrHash = errors.New("this password hash cannot be used")
	// ErrHasher: the Hasher failed. Nothing is known of the password.
	ErrHasher = errors.New("password hashes cannot be computed now")
	// ErrPassword: the password breaks a rule; the error says which.
	ErrPassword = errors.New("this password cannot be used")
)

// RefusedError is ErrCredentials, with the account that was tried for those who keep
// records; whoever tried is not told.
type RefusedError struct {
	// ID is empty where there is no such account.
	ID string
}

func (e *RefusedError) Error() string { return ErrCredentials.Error() }

// Is makes it ErrCredentials.
func (e *RefusedError) Is(target error) bool { return target == ErrCredentials }

// BusyError says that all hashing slots are taken and the queue is full: the
// caller should come again later.
type BusyError struct {
	RetryAfter time.Duration
}

func (e *BusyError) Error() string {
	return "too many logins at once; try again in " + e.RetryAfter.String()
}
