package audit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"signet/internal/event"
)

// What strangers can cause without a password is written down at these rates, and counted
// beyond: they shall not fill the disk. A record has some 300 bytes.
const (
	kindRate  = 10 // a second, of one kind and outcome
	kindBurst = 200

	// An account that is tried has records of its own, so that no flood hides who is meant.
	accountEvery = time.Minute
	accountBurst = 3
	maxAccounts  = 1024
)

// strangers decides which of many events are written.
type strangers struct {
	mu       sync.Mutex
	kinds    map[kind]*rate.Limiter // as many as there are kinds and outcomes
	accounts map[string]*rate.Limiter
}

type kind struct {
	event.Kind
	event.Outcome
}

func newStrangers() *strangers {
	return &strangers{kinds: map[kind]*rate.Limiter{}, accounts: map[string]*rate.Limiter{}}
}

func (s *strangers) admit(e event.Event, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := kind{e.Kind, e.Outcome}
	if s.kinds[of] == nil {
		s.kinds[of] = rate.NewLimiter(kindRate, kindBurst)
	}
	return s.kinds[of].AllowN(now, 1) || s.tried(e.Subject, now)
}

// tried admits the first tries of an account, and then one a minute.
func (s *strangers) tried(account string, now time.Time) bool {
	if account == "" {
		return false
	}
	limit := s.accounts[account]
	if limit == nil {
		if len(s.accounts) == maxAccounts {
			clear(s.accounts)
		}
		limit = rate.NewLimiter(rate.Every(accountEvery), accountBurst)
		s.accounts[account] = limit
	}
	return limit.AllowN(now, 1)
}
