package control

import (
	"context"
	"maps"
	"slices"
	"time"

	"signet/keystore"
)

// KeyDetail is a key with who uses it.
type KeyDetail struct {
	keystore.Info
	// SafeToRemove is when no token that the key signed is believed anywhere any more;
	// zero while it may still sign, and for a revoked key. Observed says that it follows
	// from the tokens that were made, and otherwise from the longest that could have been.
	SafeToRemove time.Time `json:"safe_to_remove,omitzero"`
	Observed     bool      `json:"safe_to_remove_observed,omitempty"`
	// Use is nil where no server runs.
	Use *KeyUse   `json:"use,omitempty"`
	Now time.Time `json:"now"`
}

// KeyUse is what a running server has seen of a key since it started or, where several share
// a database, what all of them have.
type KeyUse struct {
	Heard
	// Since is when the server started, the last one of several.
	Since         time.Time `json:"since"`
	AccessTokens  uint64    `json:"access_tokens"`
	RefreshTokens uint64    `json:"refresh_tokens"`
	// The latest exp of each kind; absent if there was none.
	AccessExpires  time.Time `json:"access_expires,omitzero"`
	RefreshExpires time.Time `json:"refresh_expires,omitzero"`
	// Complete says that the key signed nothing before, and nothing elsewhere: of replicas
	// nobody knows that each has told all that it signed.
	Complete bool `json:"complete"`
	// Have and Lack are the consumers of the last day.
	Have []string `json:"have"`
	Lack []string `json:"lack"`
}

func (o *Operator) showKey(ctx context.Context, in KeyID) (KeyDetail, error) {
	keys := o.Keys.Keys()
	i := slices.IndexFunc(keys, func(k keystore.Info) bool { return k.KID == in.KID })
	if i < 0 {
		return KeyDetail{}, noKey(in.KID)
	}
	d := KeyDetail{Info: keys[i], Now: o.Keys.Schedule().Now}
	if o.Live != nil {
		heard := o.hear(ctx)
		list, err := o.consumersOf(heard, ConsumerQuery(in))
		if err != nil {
			return KeyDetail{}, err
		}
		d.Use = o.keyUse(in.KID, list)
		d.Use.add(in.KID, heard)
	}
	d.SafeToRemove, d.Observed = safeToRemove(d.Info, d.Use, d.Now)
	return d, nil
}

func (o *Operator) keyUse(kid string, list ConsumerList) *KeyUse {
	signed := o.Issuer.KeyUse(kid)
	use := &KeyUse{
		Since: o.Live.since, AccessTokens: signed.AccessTokens, RefreshTokens: signed.RefreshTokens,
		AccessExpires: signed.AccessExpires, RefreshExpires: signed.RefreshExpires,
		Complete: o.Live.sawAll(kid) && !o.Keys.Policy().Shared, Have: []string{}, Lack: []string{},
	}
	for _, c := range list.Consumers {
		switch {
		case !c.lately(list.Now):
		case c.Holds(kid):
			use.Have = append(use.Have, c.Label())
		default:
			use.Lack = append(use.Lack, c.Label())
		}
	}
	return use
}

// add counts what the other servers signed. The first of those that were heard is this one.
func (u *KeyUse) add(kid string, heard hearing) {
	u.Heard = heard.Heard
	for i, s := range heard.servers {
		if i == 0 {
			continue
		}
		use := s.Uses[kid]
		u.AccessTokens, u.RefreshTokens = u.AccessTokens+use.Access, u.RefreshTokens+use.Refresh
		u.AccessExpires, u.RefreshExpires = later(u.AccessExpires, use.AccessExpires), later(u.RefreshExpires, use.RefreshExpires)
		u.Since = later(u.Since, s.Since)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// settled is how long after the end of signing every token is counted: a signature
// that was under way at that instant is long done.
const settled = time.Minute

// safeToRemove never comes before the last token ends. The ring's own time holds for
// any token that the key could have signed. What was counted may end sooner.
func safeToRemove(k keystore.Info, use *KeyUse, now time.Time) (at time.Time, observed bool) {
	switch {
	case k.State == keystore.Revoked, k.State == keystore.Pending:
		return time.Time{}, false
	case !countedAll(k, use, now):
		return k.PublishedUntil, false // zero while no end is planned
	}
	last := k.SignsUntil
	if use.AccessExpires.After(last) {
		last = use.AccessExpires
	}
	if last = last.Add(keystore.ClientLeeway); last.Before(k.PublishedUntil) {
		return last, true
	}
	return k.PublishedUntil, false
}

// countedAll reports whether the key signs nothing more and every token of it was
// counted. Times alone do not say so: while the private half is there, a clock that
// is set back lets the key sign again.
func countedAll(k keystore.Info, use *KeyUse, now time.Time) bool {
	return use != nil && use.Complete && k.State == keystore.Retired && !k.PrivateHalf && !now.Before(k.SignsUntil.Add(settled))
}

// SessionCount is how many live sessions rest on refresh tokens of each key, among those
// of a page; Next is the place of the next page, empty at the end.
type SessionCount struct {
	ByKID map[string]int `json:"by_kid"`
	Next  string         `json:"next,omitempty"`
}

func (o *Operator) countSessions(ctx context.Context, in Page) (SessionCount, error) {
	found, err := o.Issuer.Sessions(ctx, "", in.After, in.limit())
	count, now := SessionCount{ByKID: map[string]int{}}, o.now()
	for _, s := range found {
		if !s.Expired(now) {
			count.ByKID[s.KID]++
		}
	}
	if len(found) == in.limit() {
		count.Next = found[len(found)-1].ID
	}
	return count, err
}

// Reach is whom a change of the keys concerns.
type Reach struct {
	// Audiences are those of the tokens, sorted.
	Audiences []Audience `json:"audiences"`
	// JWKSMaxAge is how long services may keep the key set.
	JWKSMaxAge time.Duration `json:"jwks_max_age"`
}

// Audience is one service that gets tokens: of the login, or of clients.
type Audience struct {
	Name    string   `json:"audience"`
	Login   bool     `json:"login"`
	Clients []string `json:"clients,omitempty"`
}

func (o *Operator) reach(ctx context.Context, _ struct{}) (Reach, error) {
	found := map[string]*Audience{}
	at := func(name string) *Audience {
		if found[name] == nil {
			found[name] = &Audience{Name: name}
		}
		return found[name]
	}
	for _, name := range o.Issuer.Audience() {
		at(name).Login = true
	}
	for after := ""; ; {
		page, err := o.listClients(ctx, Page{After: after})
		if err != nil {
			return Reach{}, err
		}
		for _, c := range page.Clients {
			for _, name := range c.Audiences {
				at(name).Clients = append(at(name).Clients, c.ID)
			}
		}
		if after = page.Next; after == "" {
			return Reach{Audiences: sorted(found), JWKSMaxAge: o.Keys.Policy().JWKSMaxAge}, nil
		}
	}
}

func sorted(found map[string]*Audience) []Audience {
	list := make([]Audience, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, *found[name])
	}
	return list
}
