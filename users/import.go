package users

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"signet/users/passhash"
)

// Entry is an account as another system has it, or an export of this one.
type Entry struct {
	// ID is the sub of an exported account; empty makes a new one.
	ID   string
	Name string
	// Hash is the stored password in a form that package passhash reads. Empty, or
	// with ! at its beginning as Django writes it, is an account without a password.
	Hash     string
	Disabled bool
	// Created and PasswordChanged may be zero: now.
	Created, PasswordChanged time.Time
	Profile
	// Absent are the parts that the other system does not tell. An account that is there
	// keeps its own; a new one gets the empty value, whatever stands above.
	Absent Parts
}

// Parts is a set of parts of an account.
type Parts uint16

const (
	PartHash Parts = 1 << iota
	PartDisabled
	PartUserID
	PartEmail
	PartGivenName
	PartFamilyName
	PartStaff
	PartSuperuser
	PartGroups
	PartPermissions
	PartClaims
	// AllParts is all that an import may change in an account.
	AllParts Parts = 1<<iota - 1
)

// Has reports whether one of the parts is in p.
func (p Parts) Has(parts Parts) bool { return p&parts != 0 }

// filled is the entry with its absent parts as u has them.
func (e Entry) filled(u User) Entry {
	keep(e.Absent.Has(PartHash), &e.Hash, u.Hash)
	keep(e.Absent.Has(PartDisabled), &e.Disabled, u.Disabled)
	keep(e.Absent.Has(PartUserID), &e.UserID, u.UserID)
	keep(e.Absent.Has(PartEmail), &e.Email, u.Email)
	keep(e.Absent.Has(PartGivenName), &e.GivenName, u.GivenName)
	keep(e.Absent.Has(PartFamilyName), &e.FamilyName, u.FamilyName)
	keep(e.Absent.Has(PartStaff), &e.Staff, u.Staff)
	keep(e.Absent.Has(PartSuperuser), &e.Superuser, u.Superuser)
	keep(e.Absent.Has(PartGroups), &e.Groups, u.Groups)
	keep(e.Absent.Has(PartPermissions), &e.Permissions, u.Permissions)
	keep(e.Absent.Has(PartClaims), &e.Claims, u.Claims)
	return e
}

func keep[T any](absent bool, field *T, value T) {
	if absent {
		*field = value
	}
}

// ImportRules say what an import may do to accounts that are there already.
type ImportRules struct {
	// Update takes over what differs but for the password, which may have been changed
	// here since. Passwords takes over the hash, and ends the sessions of accounts that
	// had another: also of those whose hash was only made anew at a login. Neither gives an
	// account another UserID than it has: the name may be somebody else's there by now, and
	// whoever had it before has the password and the sub here.
	Update, Passwords bool
	// DryRun changes nothing and says what would be.
	DryRun bool
}

// Outcome is what an import did with one entry.
type Outcome string

const (
	Created   Outcome = "created"
	Updated   Outcome = "updated"
	Unchanged Outcome = "unchanged"
	// Differs: the account is there, and is not as the entry says; it was left alone.
	Differs Outcome = "differs"
)

// Imported is what became of an entry.
type Imported struct {
	Outcome Outcome
	// Enabled, Disabled and PasswordRemoved are what was done to an account that was there.
	Enabled, Disabled, PasswordRemoved bool
	// Profile is that of the account, and of a dry run what it would be.
	Profile Profile
}

func (i *Imported) compare(before, after User) {
	i.Enabled = before.Disabled && !after.Disabled
	i.Disabled = after.Disabled && !before.Disabled
	i.PasswordRemoved = before.Hash != "" && after.Hash == ""
	i.Profile = after.Profile
}

// Import adds one account as it is elsewhere, with its password hash. No rule for new
// passwords holds for it: the hash does not tell the password. The errors are those of
// Create, and ErrHash.
func (d *Directory) Import(ctx context.Context, e Entry, rules ImportRules) (Imported, error) {
	if err := e.check(); err != nil {
		return Imported{}, err
	}
	var done Imported
	_, err := d.update(ctx, e.Name, func(u *User) (err error) {
		before := *u
		if done.Outcome, err = e.over(u, rules, d.second()); err != nil {
			return err
		}
		done.compare(before, *u)
		if done.Outcome == Updated && !rules.DryRun {
			return nil
		}
		return cmp.Or(d.userIDClash(ctx, *u), errNothing)
	})
	if errors.Is(err, ErrNotFound) {
		done, err = Imported{Outcome: Created, Profile: e.Profile}, d.importNew(ctx, e, rules.DryRun)
	}
	if err != nil && !errors.Is(err, errNothing) {
		return Imported{}, err
	}
	return done, nil
}

// errNothing ends an update that has nothing to write.
var errNothing = errors.New("nothing to write")

// over alters u by the entry, and refuses to make somebody else of it.
func (e Entry) over(u *User, rules ImportRules, now time.Time) (Outcome, error) {
	if e.ID != "" && e.ID != u.ID {
		return "", fmt.Errorf("%q is there with another sub: %w", e.Name, ErrExists)
	}
	e, before := e.filled(*u), u.UserID
	outcome := e.merge(u, rules, now)
	switch {
	case outcome != Updated:
		return outcome, nil
	case before != "" && e.UserID != "" && e.UserID != before:
		return "", fmt.Errorf("%q is there with another user_id, and may be somebody else: %w", e.Name, ErrExists)
	}
	return outcome, u.Profile.Check() // what is kept and what is new may be too large together
}

// merge alters u as the rules say. Being disabled and a new password end the sessions.
func (e *Entry) merge(u *User, rules ImportRules, now time.Time) Outcome {
	password := rules.Passwords && e.Hash != u.Hash
	switch {
	case e.Profile.Equal(u.Profile) && e.Disabled == u.Disabled && !password:
		return Unchanged
	case !rules.Update && !password:
		return Differs
	}
	if password {
		u.Hash, u.PasswordChanged = e.Hash, orNow(e.PasswordChanged, now)
	}
	if password || e.Disabled && !u.Disabled {
		u.Epoch++
	}
	if rules.Update {
		u.Profile, u.Disabled = e.Profile, e.Disabled
	}
	return Updated
}

func (d *Directory) importNew(ctx context.Context, e Entry, dryRun bool) error {
	now := d.second()
	u := User{
		ID: cmp.Or(e.ID, rand.Text()), Name: e.Name, Hash: e.Hash, Disabled: e.Disabled, Profile: e.Profile,
		Created: orNow(e.Created, now), PasswordChanged: orNow(e.PasswordChanged, now),
	}
	if e.ID != "" {
		u.Epoch = uint64(max(now.Unix(), 0)) // a session left from the account that had the ID stays over
	}
	if dryRun {
		return d.wouldClash(ctx, u)
	}
	if err := d.store.CreateUser(ctx, u); err != nil {
		return fmt.Errorf("%q: %w", e.Name, err)
	}
	return nil
}

// wouldClash is the error that CreateUser would have.
func (d *Directory) wouldClash(ctx context.Context, u User) error {
	_, err := d.store.UserByID(ctx, u.ID)
	switch {
	case err == nil:
		return fmt.Errorf("%q: %w", u.Name, ErrExists)
	case !errors.Is(err, ErrNotFound):
		return err
	}
	return d.userIDClash(ctx, u)
}

// userIDClash is an ErrUserID if the UserID is another account's.
func (d *Directory) userIDClash(ctx context.Context, u User) error {
	if u.UserID == "" {
		return nil
	}
	switch other, err := d.store.UserByUserID(ctx, u.UserID); {
	case errors.Is(err, ErrNotFound), err == nil && other.ID == u.ID:
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%q: %w", u.Name, ErrUserID)
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t.UTC().Truncate(time.Second)
}

// isID reports whether text has the form of the ID of an account.
func isID(text string) bool {
	return len(text) == len(rand.Text()) && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// check brings the entry into the form that is stored.
func (e *Entry) check() (err error) {
	if e.Name, err = Canonical(e.Name); err != nil {
		return err
	}
	if e.Absent&^AllParts != 0 {
		return fmt.Errorf("%w: unknown parts of it are absent", ErrProfile)
	}
	*e = e.filled(User{})
	if e.ID != "" && !isID(e.ID) {
		return fmt.Errorf("%w: its sub is not one of this issuer", ErrProfile)
	}
	if strings.HasPrefix(e.Hash, "!") {
		e.Hash = ""
	}
	if e.Hash != "" {
		if _, err := passhash.Parse(e.Hash); err != nil {
			return fmt.Errorf("%w: %w", ErrHash, err)
		}
	}
	e.Profile.normalize()
	return e.Profile.Check()
}
