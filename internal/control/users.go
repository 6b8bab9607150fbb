package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"signet/internal/userfile"
	"signet/issuer"
	"signet/users"
)

// User is what may be told of an account.
type User struct {
	ID              string           `json:"id"`
	Name            string           `json:"name"`
	UserID          string           `json:"user_id,omitempty"`
	Disabled        bool             `json:"disabled"`
	Created         time.Time        `json:"created"`
	PasswordChanged time.Time        `json:"password_changed"`
	Profile         userfile.Profile `json:"profile,omitzero"`
	// HashKind is the scheme and the cost of the password's hash, or NoHash; empty
	// where it was not asked for.
	HashKind string `json:"hash_kind,omitempty"`
	// Warning says why the account cannot log in as it is.
	Warning string `json:"warning,omitempty"`
}

// NoHash stands for the kind of hash of an account without a password.
const NoHash = "none"

func viewUser(u users.User) User {
	return User{
		ID: u.ID, Name: u.Name, UserID: u.UserID, Disabled: u.Disabled, Created: u.Created, PasswordChanged: u.PasswordChanged,
		Profile: userfile.ProfileOf(u.Profile),
	}
}

// ForeignHash reports whether a kind of hash is of a scheme that only other systems
// use. The account's next login puts an own one in its place.
func ForeignHash(kind string) bool {
	return kind != "" && kind != NoHash && !strings.HasPrefix(kind, "argon2id ")
}

// Credentials are a new account: its name and password, and what of its profile is
// not empty.
type Credentials struct {
	Name     string        `json:"name"`
	Password string        `json:"password"`
	Profile  ProfileChange `json:"profile,omitzero"`
}

// NewPassword gives an account another password.
type NewPassword struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// UserName names an account.
type UserName struct {
	Name string `json:"name"`
}

// ProfileChange says what of a profile is to be another; nil leaves it as it is.
type ProfileChange struct {
	UserID      *string         `json:"user_id,omitempty"`
	Email       *string         `json:"email,omitempty"`
	GivenName   *string         `json:"given_name,omitempty"`
	FamilyName  *string         `json:"family_name,omitempty"`
	Staff       *bool           `json:"staff,omitempty"`
	Superuser   *bool           `json:"superuser,omitempty"`
	Groups      *[]string       `json:"groups,omitempty"`
	Permissions *[]string       `json:"permissions,omitempty"`
	Claims      json.RawMessage `json:"claims,omitempty"` // {} for none
}

func (c ProfileChange) apply(p *users.Profile) {
	set(&p.UserID, c.UserID)
	set(&p.Email, c.Email)
	set(&p.GivenName, c.GivenName)
	set(&p.FamilyName, c.FamilyName)
	set(&p.Staff, c.Staff)
	set(&p.Superuser, c.Superuser)
	set(&p.Groups, c.Groups)
	set(&p.Permissions, c.Permissions)
	if c.Claims != nil {
		p.Claims = userfile.ClaimsText(c.Claims)
	}
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// ProfileRequest changes the profile of an account.
type ProfileRequest struct {
	Name   string        `json:"name"`
	Change ProfileChange `json:"change"`
}

func (c Credentials) target() string    { return c.Name }
func (p NewPassword) target() string    { return p.Name }
func (n UserName) target() string       { return n.Name }
func (r ProfileRequest) target() string { return r.Name }

// ChangedUser is an account after a change that ended its sessions.
type ChangedUser struct {
	User          User `json:"user"`
	SessionsEnded int  `json:"sessions_ended"`
}

// UserQuery asks for a page of accounts, with the kinds of their hashes or without.
type UserQuery struct {
	Hashes bool `json:"hashes,omitempty"`
	Page
}

// UserList is a page of accounts; Next is the place of the next page, empty at
// the end.
type UserList struct {
	Users []User `json:"users"`
	Next  string `json:"next,omitempty"`
	// HashKinds counts all accounts by kind, in the first page, if that was asked for.
	HashKinds map[string]int `json:"hash_kinds,omitempty"`
}

// pageBytes bounds the profiles of a page: its answer stays below answerLimit however
// they are written.
const pageBytes = 4 << 20

// page returns as many accounts as an answer holds, and the place of the next one.
func (o *Operator) page(ctx context.Context, in Page) (found []users.User, next string, err error) {
	found, err = o.Users.List(ctx, in.After, in.limit())
	if len(found) == in.limit() {
		next = found[len(found)-1].Name
	}
	size := 0
	for i, u := range found {
		if size += profileBytes(u.Profile); size > pageBytes && i > 0 {
			return found[:i], found[i-1].Name, err
		}
	}
	return found, next, err
}

func profileBytes(p users.Profile) (size int) {
	for _, text := range slices.Concat([]string{p.Email, p.GivenName, p.FamilyName, p.Claims}, p.Groups, p.Permissions) {
		size += len(text)
	}
	return size
}

func (o *Operator) addUser(ctx context.Context, in Credentials) (User, error) {
	var p users.Profile
	in.Profile.apply(&p)
	u, err := o.Users.Create(ctx, in.Name, in.Password, p)
	return o.viewWarned(u), err
}

func (o *Operator) setProfile(ctx context.Context, in ProfileRequest) (User, error) {
	u, err := o.Users.SetProfile(ctx, in.Name, in.Change.apply)
	return o.viewWarned(u), err
}

// viewWarned is viewUser with a warning if the account has more to say than a token
// takes: otherwise its next login would be the first to tell.
func (o *Operator) viewWarned(u users.User) User {
	view := viewUser(u)
	view.Warning = o.tooLong(u)
	return view
}

// worthALook is how much of a profile, in bytes, may come near tokens.max_bytes.
const worthALook = 1 << 10

func (o *Operator) tooLong(u users.User) string {
	if len(strings.Join(u.Groups, ""))+len(strings.Join(u.Permissions, ""))+len(u.Claims) < worthALook {
		return ""
	}
	if long, ok := errors.AsType[*issuer.TooLongError](o.Issuer.CheckLength(u)); ok {
		return "it cannot log in: " + long.Error() + "; shorten its profile, or leave parts out with claims.include"
	}
	return ""
}

func (o *Operator) listUsers(ctx context.Context, in UserQuery) (UserList, error) {
	found, next, err := o.page(ctx, in.Page)
	if err != nil {
		return UserList{}, err
	}
	list := UserList{Users: make([]User, 0, len(found)), Next: next}
	for _, u := range found {
		view := viewUser(u)
		if in.Hashes {
			view.HashKind = cmp.Or(users.HashKind(u.Hash), NoHash)
		}
		list.Users = append(list.Users, view)
	}
	if in.Hashes && in.After == "" {
		list.HashKinds, err = o.hashKinds(ctx)
	}
	return list, err
}

func (o *Operator) hashKinds(ctx context.Context) (map[string]int, error) {
	kinds, err := o.Users.HashKinds(ctx)
	if n, ok := kinds[""]; ok {
		kinds[NoHash] = n
		delete(kinds, "")
	}
	return kinds, err
}

func (o *Operator) showUser(ctx context.Context, in UserName) (User, error) {
	u, err := o.Users.ByName(ctx, in.Name)
	return viewUser(u), err
}

func (o *Operator) setPassword(ctx context.Context, in NewPassword) (ChangedUser, error) {
	return o.endSessionsOf(ctx)(o.Users.SetPassword(ctx, in.Name, in.Password))
}

func (o *Operator) enableUser(ctx context.Context, in UserName) (User, error) {
	u, err := o.Users.Enable(ctx, in.Name)
	return viewUser(u), err
}

func (o *Operator) disableUser(ctx context.Context, in UserName) (ChangedUser, error) {
	return o.endSessionsOf(ctx)(o.Users.Disable(ctx, in.Name))
}

func (o *Operator) removeUser(ctx context.Context, in UserName) (ChangedUser, error) {
	return o.endSessionsOf(ctx)(o.Users.Remove(ctx, in.Name))
}

// endSessionsOf ends what rests on an account's former state, once that has
// changed: a session that begins in between meets the new one. Whoever asked may
// have gone by then; it is done all the same.
func (o *Operator) endSessionsOf(ctx context.Context) func(users.User, error) (ChangedUser, error) {
	return func(u users.User, err error) (ChangedUser, error) {
		if err != nil {
			return ChangedUser{}, err
		}
		n, err := o.Issuer.EndSubject(context.WithoutCancel(ctx), u.ID)
		if err != nil {
			err = fmt.Errorf("%q was changed, but its sessions could not be ended: %w", u.Name, err)
		}
		return ChangedUser{User: viewUser(u), SessionsEnded: n}, err
	}
}

// ImportRow is an account of a file; see users.Entry.
type ImportRow struct {
	userfile.Account
	Absent users.Parts `json:"absent,omitempty"`
}

// ImportRequest is a part of a file of accounts; see users.ImportRules.
type ImportRequest struct {
	Rows      []ImportRow `json:"rows"`
	Update    bool        `json:"update,omitempty"`
	Passwords bool        `json:"update_passwords,omitempty"`
	DryRun    bool        `json:"dry_run,omitempty"`
}

func (r ImportRequest) dryRun() bool { return r.DryRun }

// Limits of an ImportRequest: so many rows, and so many bytes of them in JSON.
const (
	MaxImportRows  = 200
	MaxImportBytes = requestLimit - 4<<10
)

// ImportResult says what became of a row: Refusal is a sentence if it was refused.
type ImportResult struct {
	Outcome users.Outcome `json:"outcome,omitempty"`
	Refusal string        `json:"refusal,omitempty"`
	// Enabled, Disabled and PasswordRemoved are what was done to an account that was there.
	Enabled         bool `json:"enabled,omitempty"`
	Disabled        bool `json:"disabled,omitempty"`
	PasswordRemoved bool `json:"password_removed,omitempty"`
	// Warning says why the account cannot log in as it is.
	Warning string `json:"warning,omitempty"`
}

// Imported has a result for each row, in their order.
type Imported struct {
	Results []ImportResult `json:"results"`
	// Foreign counts the accounts that got a ForeignHash.
	Foreign int `json:"foreign"`
	// DryRun: nothing was changed.
	DryRun bool `json:"dry_run"`
}

// facts are what is counted.
func (r ImportResult) facts() map[string]bool {
	return map[string]bool{
		cmp.Or(string(r.Outcome), "refused"): true,

		"enabled": r.Enabled, "disabled": r.Disabled, "left without a password": r.PasswordRemoved,
	}
}

// target counts the outcomes, for the log.
func (i Imported) target() string {
	counts := map[string]int{}
	for _, r := range i.Results {
		for what, is := range r.facts() {
			if is {
				counts[what]++
			}
		}
	}
	var text []string
	for _, what := range []string{"created", "updated", "enabled", "disabled", "left without a password", "unchanged", "differs", "refused"} {
		if counts[what] > 0 {
			text = append(text, fmt.Sprintf("%d %s", counts[what], what))
		}
	}
	if i.DryRun {
		text = append(text, "dry run")
	}
	return strings.Join(text, ", ")
}

var errImportRows = fmt.Errorf("an import has 1 to %d rows at a time", MaxImportRows)

// importParallel is how many rows are under way at a time: the store lets those that
// meet share a commit.
const importParallel = 64

func (o *Operator) importUsers(ctx context.Context, in ImportRequest) (Imported, error) {
	if len(in.Rows) == 0 || len(in.Rows) > MaxImportRows {
		return Imported{}, errImportRows
	}
	out := Imported{Results: make([]ImportResult, len(in.Rows)), DryRun: in.DryRun}
	rules := users.ImportRules{Update: in.Update, Passwords: in.Passwords, DryRun: in.DryRun}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(importParallel)
	for i, row := range in.Rows {
		group.Go(func() (err error) {
			out.Results[i], err = o.importUser(ctx, row, rules)
			return err
		})
	}
	err := group.Wait()
	for i, r := range out.Results {
		taken := r.Outcome == users.Created || r.Outcome == users.Updated && in.Passwords
		if taken && ForeignHash(users.HashKind(in.Rows[i].Hash)) {
			out.Foreign++
		}
	}
	return out, err
}

// importUser fails only for what is no fault of the row.
func (o *Operator) importUser(ctx context.Context, row ImportRow, rules users.ImportRules) (ImportResult, error) {
	var done users.Imported
	entry, err := row.Entry()
	if entry.Absent = row.Absent; err == nil {
		done, err = o.Users.Import(ctx, entry, rules)
	}
	for _, fault := range []error{users.ErrName, users.ErrProfile, users.ErrHash, users.ErrExists, users.ErrUserID, users.ErrConflict} {
		if errors.Is(err, fault) {
			return ImportResult{Refusal: withoutName(err.Error(), row.Name)}, nil
		}
	}
	result := ImportResult{Outcome: done.Outcome, Enabled: done.Enabled, Disabled: done.Disabled, PasswordRemoved: done.PasswordRemoved}
	if done.Outcome == users.Created || done.Outcome == users.Updated {
		result.Warning = o.tooLong(users.User{ID: rand.Text(), Profile: done.Profile})
	}
	return result, err
}

// withoutName takes the name from the beginning of a sentence that is told beside it.
func withoutName(text, name string) string {
	if canonical, err := users.Canonical(name); err == nil {
		name = canonical
	}
	return strings.TrimPrefix(text, fmt.Sprintf("%q: ", name))
}

// Exported is a page of accounts with their hashes; Next is the place of the next
// page, empty at the end.
type Exported struct {
	Accounts []userfile.Account `json:"accounts"`
	Next     string             `json:"next,omitempty"`
}

// target counts the accounts, for the log.
func (e Exported) target() string { return fmt.Sprintf("%d accounts", len(e.Accounts)) }

func (o *Operator) exportUsers(ctx context.Context, in Page) (Exported, error) {
	found, next, err := o.page(ctx, in)
	out := Exported{Accounts: make([]userfile.Account, 0, len(found)), Next: next}
	for _, u := range found {
		out.Accounts = append(out.Accounts, userfile.Of(u))
	}
	return out, err
}
