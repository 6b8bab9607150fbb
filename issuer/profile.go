package issuer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"signet/users"
)

// UserID is the user_id claim, which services of simplejwt know a user by.
type UserID struct {
	Text string
	// Number writes it as a JSON number; Text is then one.
	Number bool
}

// MarshalJSON writes the number or the text.
func (id UserID) MarshalJSON() ([]byte, error) {
	if id.Number {
		return []byte(id.Text), nil
	}
	return json.Marshal(id.Text)
}

// UnmarshalJSON takes a text or a whole number.
func (id *UserID) UnmarshalJSON(text []byte) error {
	*id = UserID{Number: isNumber(string(text))}
	if id.Number {
		id.Text = string(text)
		return nil
	}
	if err := json.Unmarshal(text, &id.Text); err != nil {
		return fmt.Errorf("user_id: %w", ErrClaim)
	}
	return nil
}

// isNumber reports whether text is a whole number that every reader of JSON keeps
// (RFC 8259 §6).
func isNumber(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n >= 0 && n < 1<<53 && strconv.FormatInt(n, 10) == text
}

// userID is the number or text by which the user was known elsewhere, or the subject.
func (p *Policy) userID(u users.User) UserID {
	text := cmp.Or(u.UserID, u.ID)
	return UserID{Text: text, Number: p.NumericUserID && isNumber(text)}
}

// FreeClaims, in Policy.Include, stands for every free claim of the user.
const FreeClaims = "claims"

// everyAudience, in Policy.Include, is each service without an entry of its own.
const everyAudience = "*"

// Known are the parts of a profile that Policy.Include may name, with the claims that
// they become (OpenID Connect Core §5.1, RFC 9068 §2.2.3.1, and those of simplejwt's
// TokenUser). What the user does not have is left out.
var Known = map[string]func(users.User) any{
	"username":           func(u users.User) any { return u.Name },
	"preferred_username": func(u users.User) any { return u.Name },
	"email":              func(u users.User) any { return u.Email },
	"given_name":         func(u users.User) any { return u.GivenName },
	"family_name":        func(u users.User) any { return u.FamilyName },
	"groups":             func(u users.User) any { return u.Groups },
	"permissions":        func(u users.User) any { return u.Permissions },
	"is_staff":           func(u users.User) any { return u.Staff },
	"is_superuser":       func(u users.User) any { return u.Superuser },
}

// CheckLength is a *TooLongError if a login of the user would fail for the length of
// its access token.
func (i *Issuer) CheckLength(u users.User) error {
	p, now := i.policy.Load(), i.instant()
	s := Session{ID: newSessionID(now), Subject: u.ID, Client: FirstParty, Ends: now.Add(p.SessionLifetime)}
	claims := p.accessClaims(&s, u, newID(), now)
	typ, err := p.typ(claims.Audience, TypJWT)
	if err == nil {
		_, _, err = i.sign("", typ, claims, p.MaxTokenBytes) // and nobody gets it
	}
	return err
}

// MayInclude reports whether Policy.Include may name a claim: a part of the profile, or
// one that a user can have.
func MayInclude(name string) bool {
	_, known := Known[name]
	return known || name == FreeClaims || users.MayClaim(name)
}

// include is what a token for these services may say: no more than any of them sees
// alone (RFC 9068 §6).
func (p *Policy) include(audience []string) []string {
	var names []string
	for i, service := range audience {
		own, ok := p.Include[service]
		if !ok {
			own = p.Include[everyAudience]
		}
		if i == 0 {
			names = slices.Clone(own)
			continue
		}
		names = slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(own, name) })
	}
	return names
}

// profile is what a token for these services says about a user: members of a JSON
// object with commas between them.
func (p *Policy) profile(u users.User, audience []string) []byte {
	names := p.include(audience)
	if len(names) == 0 {
		return nil
	}
	var free map[string]json.RawMessage
	if u.Claims != "" {
		// What was stored had been checked; a record that was not says nothing.
		_ = json.Unmarshal([]byte(u.Claims), &free)
	}
	members := map[string]any{}
	for _, name := range names {
		switch part, known := Known[name]; {
		case known:
			members[name] = part(u)
		case name == FreeClaims:
			for claim, value := range free {
				members[claim] = value
			}
		default:
			if value, ok := free[name]; ok {
				members[name] = value
			}
		}
	}
	return encodeMembers(members)
}

// encodeMembers drops what is empty: no text, no entries, and what is not so.
func encodeMembers(members map[string]any) []byte {
	for name, value := range members {
		switch v := value.(type) {
		case string:
			if v == "" {
				delete(members, name)
			}
		case []string:
			if len(v) == 0 {
				delete(members, name)
			}
		case bool:
			if !v {
				delete(members, name)
			}
		}
	}
	if len(members) == 0 {
		return nil
	}
	object, err := json.Marshal(members)
	if err != nil {
		return nil // texts, lists and JSON that was read before
	}
	return bytes.TrimSuffix(bytes.TrimPrefix(object, []byte("{")), []byte("}"))
}
