package oauth_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"signet/issuer"
	"signet/issuer/oauth"
)

// A clock that is ahead forgets no assertion that another process still takes.
func TestSweepOfAssertionsGoesByMoreThanItsOwnClock(t *testing.T) {
	for name, tt := range map[string]struct {
		passed func(context.Context) (time.Time, error)
		want   error
	}{
		"its own clock":   {nil, nil},
		"both clocks":     {func(context.Context) (time.Time, error) { return start, nil }, oauth.ErrReplayed},
		"a clock is away": {func(context.Context) (time.Time, error) { return time.Time{}, errors.New("no answer") }, oauth.ErrReplayed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				expires := start.Add(time.Minute).Truncate(time.Second)
				must(t, f.store.UseAssertion(t.Context(), "billing", "one", expires))
				clients := oauth.NewClients(f.store, issuer.FirstParty, func() time.Time { return start.Add(time.Hour) })
				if tt.passed != nil {
					clients.SweepBy(tt.passed)
				}
				ctx, stop := context.WithCancel(t.Context())
				stopped := make(chan struct{})
				go func() { clients.Run(ctx); close(stopped) }()
				synctest.Wait()
				if err := f.store.UseAssertion(t.Context(), "billing", "one", expires); !errors.Is(err, tt.want) {
					t.Errorf("used again: %v, want %v", err, tt.want)
				}
				stop()
				<-stopped
			})
		})
	}
}
