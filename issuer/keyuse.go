package issuer

import (
	"sync"
	"sync/atomic"
	"time"
)

// KeyUse is what one key has signed since the Issuer was made.
type KeyUse struct {
	AccessTokens, RefreshTokens uint64
	// AccessExpires and RefreshExpires are the latest exp among them; zero if there is none.
	AccessExpires, RefreshExpires time.Time
}

// keyUses counts by kid. It is as small as the ring: no stranger names a kid here.
type keyUses struct{ kids sync.Map } // kid -> *keyUse

type keyUse struct{ access, refresh signed }

// signed are the tokens of one kind.
type signed struct {
	tokens atomic.Uint64
	latest atomic.Int64 // the largest exp
}

// note counts a token before anybody else has it: what is read after a token is out
// knows of its exp.
func (u *keyUses) note(kid string, c *Claims) {
	found, ok := u.kids.Load(kid)
	if !ok {
		found, _ = u.kids.LoadOrStore(kid, new(keyUse))
	}
	s := &found.(*keyUse).access
	if c.Kind == KindRefresh {
		s = &found.(*keyUse).refresh
	}
	for latest := s.latest.Load(); c.Expires > latest; latest = s.latest.Load() {
		if s.latest.CompareAndSwap(latest, c.Expires) {
			break
		}
	}
	s.tokens.Add(1)
}

func (s *signed) read() (tokens uint64, latest time.Time) {
	if exp := s.latest.Load(); exp != 0 {
		latest = time.Unix(exp, 0).UTC()
	}
	return s.tokens.Load(), latest
}

// KeyUse returns what the key has signed since the Issuer was made.
func (i *Issuer) KeyUse(kid string) (use KeyUse) {
	if found, ok := i.uses.kids.Load(kid); ok {
		use.AccessTokens, use.AccessExpires = found.(*keyUse).access.read()
		use.RefreshTokens, use.RefreshExpires = found.(*keyUse).refresh.read()
	}
	return use
}
