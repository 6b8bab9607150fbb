package users

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"signet/internal/compactjws"
)

// Profile is what tokens may say about an account beside who it is. The policy of
// the issuer picks from it.
type Profile struct {
	// UserID is how services know the account that was brought along from another
	// system: its primary key there. Unique among all accounts; empty means the ID.
	UserID                       string
	Email, GivenName, FamilyName string
	Staff, Superuser             bool
	// Groups and Permissions are in the order of their names, none twice.
	Groups, Permissions []string
	// Claims is a JSON object of further claims, empty if there are none.
	Claims string
}

// Limits of a profile, in bytes and in entries. A token has its own (tokens.max_bytes).
const (
	MaxUserIDBytes  = 64
	MaxTextBytes    = 320
	MaxEntries      = 1000
	MaxEntryBytes   = 255
	MaxClaimsBytes  = 4096
	maxProfileBytes = 64 << 10
)

// ReservedClaims are names that a free claim cannot have: those that Signet sets
// itself or gives from the rest of the profile, and those by which services decide
// who someone is, how they logged in and what the client may do (RFC 7519 §4.1, RFC 7800,
// RFC 8693, RFC 9068, RFC 9396 §9.1, OpenID Connect Core §2; Spring Security reads scp
// where there is no scope).
var ReservedClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "sid", "typ", "token_type", "user_id", "session_exp", "orig_iat",
	"scope", "scp", "authorization_details",
	"act", "may_act", "cnf", "azp", "nonce", "at_hash", "c_hash", "s_hash", "auth_time", "acr", "amr", "active", "events", "sub_id",
	"username", "preferred_username", "email", "email_verified", "given_name", "family_name",
	"groups", "permissions", "is_active", "is_staff", "is_superuser", "claims",
}

// normalize puts lists in order and drops what stands in them twice.
func (p *Profile) normalize() {
	for _, list := range []*[]string{&p.Groups, &p.Permissions} {
		sorted := slices.Clone(*list)
		slices.Sort(sorted)
		*list = slices.Compact(sorted)
		if len(*list) == 0 {
			*list = nil
		}
	}
	if strings.TrimSpace(p.Claims) == "{}" {
		p.Claims = ""
	}
}

// Equal reports whether two profiles say the same.
func (p Profile) Equal(o Profile) bool {
	return p.UserID == o.UserID && p.Email == o.Email && p.GivenName == o.GivenName && p.FamilyName == o.FamilyName &&
		p.Staff == o.Staff && p.Superuser == o.Superuser && p.Claims == o.Claims &&
		slices.Equal(p.Groups, o.Groups) && slices.Equal(p.Permissions, o.Permissions)
}

// Check refuses what no token could carry, with an ErrProfile that names the part.
func (p *Profile) Check() error {
	return cmp.Or(
		checkUserID(p.UserID),
		checkText("email", p.Email, MaxTextBytes),
		checkText("given name", p.GivenName, MaxTextBytes),
		checkText("family name", p.FamilyName, MaxTextBytes),
		checkList("group", p.Groups), checkList("permission", p.Permissions),
		checkClaims(p.Claims), p.checkSize())
}

func (p *Profile) checkSize() error {
	size := len(p.Claims)
	for _, entry := range slices.Concat(p.Groups, p.Permissions) {
		size += len(entry)
	}
	if size > maxProfileBytes {
		return fmt.Errorf("%w: groups, permissions and claims have %d bytes together, more than %d", ErrProfile, size, maxProfileBytes)
	}
	return nil
}

// checkUserID refuses what a service could take for another account's: the form of an ID,
// which is the user_id of accounts without one, and spaces that a service strips.
func checkUserID(id string) error {
	switch {
	case isID(id):
		return fmt.Errorf("%w: its user_id has the form of a sub of this issuer", ErrProfile)
	case strings.TrimSpace(id) != id:
		return fmt.Errorf("%w: its user_id begins or ends with a space", ErrProfile)
	}
	return checkText("user_id", id, MaxUserIDBytes)
}

func checkText(what, text string, limit int) error {
	switch {
	case len(text) > limit:
		return fmt.Errorf("%w: its %s is longer than %d bytes", ErrProfile, what, limit)
	case !utf8.ValidString(text):
		return fmt.Errorf("%w: its %s is not UTF-8", ErrProfile, what)
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%w: its %s holds a control character", ErrProfile, what)
	}
	return nil
}

func checkList(what string, entries []string) error {
	if len(entries) > MaxEntries {
		return fmt.Errorf("%w: it has more than %d %ss", ErrProfile, MaxEntries, what)
	}
	for _, entry := range entries {
		if entry == "" {
			return fmt.Errorf("%w: a %s of it is empty", ErrProfile, what)
		}
		if err := checkText(what, entry, MaxEntryBytes); err != nil {
			return err
		}
	}
	return nil
}

// checkClaims takes a JSON object, as strictly as tokens are read: what one service
// reads in it the next must read too.
func checkClaims(text string) error {
	if text == "" {
		return nil
	}
	if len(text) > MaxClaimsBytes {
		return fmt.Errorf("%w: its claims have %d bytes, more than %d", ErrProfile, len(text), MaxClaimsBytes)
	}
	members, err := compactjws.Object([]byte(text))
	if err != nil {
		if errors.Is(err, compactjws.ErrDuplicate) {
			return fmt.Errorf("%w: a claim of it stands there twice", ErrProfile)
		}
		return fmt.Errorf("%w: its claims are not a JSON object", ErrProfile)
	}
	if json.Unmarshal([]byte(text), new(map[string]any)) != nil { // RFC 8259 §6
		return fmt.Errorf("%w: its claims hold a number that is too large for most readers", ErrProfile)
	}
	for name := range members {
		if strings.ContainsFunc(name, unicode.IsControl) { // a reader in C ends "sub\x00" early
			return fmt.Errorf("%w: the name of its claim %.40q holds a control character", ErrProfile, name)
		}
		if !MayClaim(name) {
			return fmt.Errorf("%w: the claim %.40q is reserved", ErrProfile, name)
		}
	}
	return nil
}

// MayClaim reports whether a free claim can have this name.
func MayClaim(name string) bool {
	return name != "" && !slices.ContainsFunc(ReservedClaims, func(r string) bool { return readsAs(name, r) })
}

// readsAs reports whether a service may read a claim as the reserved one: some readers
// of JSON fold case, and encoding/json takes ſub for sub.
func readsAs(name, reserved string) bool { return strings.EqualFold(name, reserved) }
