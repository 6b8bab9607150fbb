package issuer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"signet/issuer"
)

// A clock that is days ahead ends no session that lives by the clock of the database, and
// without that clock nothing is swept.
func TestSweepGoesByMoreThanItsOwnClock(t *testing.T) {
	ahead := func() time.Time { return time.Now().Add(50 * 24 * time.Hour) }
	for name, tt := range map[string]struct {
		passed func(context.Context) (time.Time, error)
		want   int
	}{
		"its own clock":    {nil, 0},
		"both clocks":      {func(context.Context) (time.Time, error) { return time.Now(), nil }, 1},
		"a clock is away":  {func(context.Context) (time.Time, error) { return ahead(), errors.New("no answer") }, 1},
		"both are as late": {func(context.Context) (time.Time, error) { return ahead(), nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixtureAt(t, nil, time.Now, "ES256")
				f.login(t)
				i := f.issuerWith(func(o *issuer.Options) { o.Now, o.Passed = ahead, tt.passed })
				ctx, stop := context.WithCancel(t.Context())
				stopped := make(chan struct{})
				go func() { i.Run(ctx); close(stopped) }()
				synctest.Wait()
				f.wantSessions(t, tt.want)
				stop()
				<-stopped
			})
		})
	}
}
