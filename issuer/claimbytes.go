package issuer

import (
	"cmp"

	"signet/users"
)

// ClaimBytes is how long, at most, the members of a token can get that say something of
// the user, whatever the policy lets it say: the profile, and user_id.
func ClaimBytes(u users.User) int {
	everything := &Policy{Include: map[string][]string{everyAudience: {FreeClaims}}}
	for name := range Known {
		everything.Include[everyAudience] = append(everything.Include[everyAudience], name)
	}
	id := appendText(nil, cmp.Or(u.UserID, u.ID))
	return len(everything.profile(u, Audience{everyAudience})) + len(id)
}
