package issuer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"signet/issuer"
	"signet/users"
)

// slow is a Refresher whose first step takes some time and finds too little room, and
// whose second one does not end by itself.
type slow struct {
	issuer.Store
	kyoko users.User
	first time.Duration
}

var errStuck = errors.New("the store was given up")

func (s *slow) SessionWithUser(context.Context, string, string) (users.User, issuer.Session, error) {
	return users.User{}, issuer.Session{}, errStuck
}

func (s *slow) AdvanceWithUser(ctx context.Context, _, _ string, _ issuer.Step, _ int) (users.User, issuer.Session, issuer.Outcome, error) {
	select {
	case <-time.After(s.first):
		return s.kyoko, issuer.Session{}, 0, nil
	case <-ctx.Done():
		return users.User{}, issuer.Session{}, 0, errStuck
	}
}

func (s *slow) AdvanceSession(ctx context.Context, _ string, _ issuer.Step) (issuer.Session, issuer.Outcome, error) {
	<-ctx.Done()
	return issuer.Session{}, 0, errStuck
}

// TestRefreshIsBounded: a refresh is given up while its retry is still within the reuse
// window, whichever of its steps hangs.
func TestRefreshIsBounded(t *testing.T) {
	for _, first := range []time.Duration{3 * time.Second, time.Hour} {
		f := newFixture(t)
		token := f.login(t).Refresh
		stuck := f.issuerWith(func(o *issuer.Options) { o.Store = &slow{o.Store, f.kyoko, first} })
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			_, err := stuck.Refresh(t.Context(), token)
			if took := time.Since(began); !errors.Is(err, errStuck) || took != issuer.RefreshLimit {
				t.Errorf("a first step of %v: %v after %v, want %v after %v", first, err, took, errStuck, issuer.RefreshLimit)
			}
		})
	}
}
