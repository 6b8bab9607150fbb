package userfile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"signet/users"
)

// Account is an account in JSON, as an export has it.
type Account struct {
	Sub    string `json:"sub,omitempty"`
	Name   string `json:"name"`
	UserID string `json:"user_id,omitempty"`
	// Hash is the stored password; empty, or with ! at its beginning, for none.
	Hash            string    `json:"hash,omitempty"`
	Disabled        bool      `json:"disabled,omitempty"`
	Created         time.Time `json:"created,omitzero"`
	PasswordChanged time.Time `json:"password_changed,omitzero"`
	Profile         Profile   `json:"profile,omitzero"`
}

// Profile is what tokens say about an account, in JSON.
type Profile struct {
	Email       string   `json:"email,omitempty"`
	GivenName   string   `json:"given_name,omitempty"`
	FamilyName  string   `json:"family_name,omitempty"`
	Staff       bool     `json:"staff,omitempty"`
	Superuser   bool     `json:"superuser,omitempty"`
	Groups      []string `json:"groups,omitempty"`
	Permissions []string `json:"permissions,omitempty"`
	// Claims is a JSON object.
	Claims json.RawMessage `json:"claims,omitempty"`
}

// Of is an account with its hash: for an export alone.
func Of(u users.User) Account {
	return Account{
		Sub: u.ID, Name: u.Name, UserID: u.UserID, Hash: u.Hash, Disabled: u.Disabled,
		Created: u.Created, PasswordChanged: u.PasswordChanged, Profile: ProfileOf(u.Profile),
	}
}

// ProfileOf is a profile without its UserID.
func ProfileOf(p users.Profile) Profile {
	return Profile{
		Email: p.Email, GivenName: p.GivenName, FamilyName: p.FamilyName, Staff: p.Staff, Superuser: p.Superuser,
		Groups: p.Groups, Permissions: p.Permissions, Claims: json.RawMessage(p.Claims),
	}
}

// Entry is what users.Directory imports. ErrProfile for a time that no clock shows.
func (a Account) Entry() (users.Entry, error) {
	p := a.Profile
	entry := users.Entry{
		ID: a.Sub, Name: a.Name, Hash: a.Hash, Disabled: a.Disabled, Created: a.Created, PasswordChanged: a.PasswordChanged,
		Profile: users.Profile{
			UserID: a.UserID, Email: p.Email, GivenName: p.GivenName, FamilyName: p.FamilyName, Staff: p.Staff, Superuser: p.Superuser,
			Groups: p.Groups, Permissions: p.Permissions, Claims: ClaimsText(p.Claims),
		},
	}
	return entry, cmp.Or(checkTime("created", a.Created), checkTime("password_changed", a.PasswordChanged))
}

// checkTime refuses instants that JSON could not write again (RFC 3339 §1).
func checkTime(what string, t time.Time) error {
	if year := t.UTC().Year(); !t.IsZero() && (year < 1970 || year > 9999) {
		return fmt.Errorf("%w: its %s is not between the years 1970 and 9999", users.ErrProfile, what)
	}
	return nil
}

// ClaimsText is claims as they are stored: without spaces, so that the same claims
// are the same text however a file writes them. What is no JSON is left for
// users.Profile.Check to refuse.
func ClaimsText(claims json.RawMessage) string {
	var text bytes.Buffer
	if json.Compact(&text, claims) != nil {
		return string(claims)
	}
	if none := text.String(); none == "null" || none == "{}" {
		return ""
	}
	return text.String()
}

// timeLayouts are RFC 3339, what databases make of it, and Django without time zones,
// which is taken for UTC. A fraction of a second is read with any of them.
var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05", time.DateOnly}

func parseTime(text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	if len(text) > len(time.DateOnly) && text[len(time.DateOnly)] == ' ' {
		text = strings.Replace(text, " ", "T", 1)
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
