package throttle_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"signet/internal/throttle"
)

// hanging is an Exchange that does not answer while it is told not to.
type hanging struct {
	down  atomic.Bool
	calls atomic.Int64
}

func (h *hanging) Exchange(ctx context.Context, _ throttle.Batch, _ map[int64]int64) ([]throttle.Batch, error) {
	h.calls.Add(1)
	if !h.down.Load() {
		return nil, nil
	}
	<-ctx.Done()
	return nil, errors.New("no answer")
}

func (h *hanging) Sweep(context.Context) error { return nil }

// TestShareFailsAndRecovers: no try waits for the exchange, a failure is logged once, so
// is its end, and Share ends with its context.
func TestShareFailsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		x := new(hanging)
		l := throttle.NewShared(defaults, nil, []byte("shared"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			l.Share(ctx, x, slog.New(slog.NewTextHandler(&logged, nil)))
		}()
		lines := func(after time.Duration) []string {
			time.Sleep(after)
			synctest.Wait()
			return strings.Split(strings.TrimSpace(logged.String()), "\n")
		}
		if got := lines(time.Minute); got[0] != "" {
			t.Errorf("logged while all is well: %q", got)
		}
		if n := x.calls.Load(); n < 58 || n > 62 {
			t.Errorf("%d exchanges in a minute", n)
		}
		x.down.Store(true)
		if got := lines(time.Minute); len(got) != 1 || !strings.Contains(got[0], "level=WARN") || !strings.Contains(got[0], "no answer") {
			t.Errorf("logged while the exchange fails: %q", got)
		}
		began := time.Now()
		for range 5 {
			fail(l, "kyoko", host(1))
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("tries waited %s for the exchange", took)
		}
		x.down.Store(false)
		if got := lines(time.Minute); len(got) != 2 || !strings.Contains(got[1], "level=INFO") {
			t.Errorf("logged after the exchange works again: %q", got)
		}
		x.down.Store(true)
		time.Sleep(3 * time.Second)
		cancel()
		<-ended
		if got := lines(0); len(got) != 2 {
			t.Errorf("the end was logged: %q", got)
		}
	})
}
