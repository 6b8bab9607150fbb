package linear

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// book is what the clients of a run know together. They know a token once its answer
// has been recorded.
type book struct {
	mu       sync.Mutex
	sessions []*held
}

// held is a session with its refresh tokens in the order in which they became known.
type held struct {
	user, id string
	tokens   []string
	over     bool // as far as is known
}

// note takes what an answer tells.
func (b *book) note(op Op, token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if op.Kind == Login && op.Answer == Done {
		b.sessions = append(b.sessions, &held{user: op.User, id: op.Session, tokens: []string{token}})
		return
	}
	for _, s := range b.sessions {
		if s.id == op.Session && s.id != "" || s.user == op.User && op.Kind == EndUser {
			s.note(op, token)
		}
	}
}

func (s *held) note(op Op, token string) {
	switch {
	case token != "" && !slices.Contains(s.tokens, token):
		s.tokens = append(s.tokens, token)
	case op.Kind == Refresh && op.Answer == Refused:
		s.over = true
	case op.Answer == Done && slices.Contains([]Kind{Logout, EndSession, EndUser}, op.Kind):
		s.over = true
	}
}

// pick returns one of the user's last two sessions that are there, so that clients meet, and
// now and then one that is over. False says that there is none.
func (b *book) pick(chance *rand.Rand, user string) (held, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var alive, over []*held
	for _, s := range b.sessions {
		switch {
		case s.user == user && s.over:
			over = append(over, s)
		case s.user == user:
			alive = append(alive, s)
		}
	}
	choice := alive
	if len(over) > 0 && chance.IntN(10) == 0 {
		choice = over
	}
	if len(choice) == 0 {
		return held{}, false
	}
	return choice[len(choice)-1-chance.IntN(min(2, len(choice)))].clone(), true
}

// all returns the sessions.
func (b *book) all() (all []held) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sessions {
		all = append(all, s.clone())
	}
	return all
}

func (s *held) clone() held {
	c := *s
	c.tokens = slices.Clone(s.tokens)
	return c
}
