package web

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A disk that hangs holds one check, and no request longer than its time-out.
func TestReadinessDoesNotWaitForACheckThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readiness
		var checks atomic.Int32
		release := make(chan struct{})
		hang := func(context.Context) error {
			checks.Add(1)
			<-release
			return nil
		}
		var asked sync.WaitGroup
		for range 100 {
			asked.Go(func() {
				if err := r.check(t.Context(), hang); !errors.Is(err, errNotAnswering) {
					t.Errorf("error = %v, want %v", err, errNotAnswering)
				}
			})
		}
		asked.Wait()
		if checks.Load() != 1 {
			t.Errorf("%d checks for 100 requests at once", checks.Load())
		}
		close(release)
		synctest.Wait()
		if err := r.check(t.Context(), hang); err != nil {
			t.Errorf("once the disk answers: %v", err)
		}
	})
}

func TestReadinessIsCheckedAgainOnceItIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readiness
		full := errors.New("disk full")
		results := []error{full, nil}
		check := func(context.Context) error {
			err := results[0]
			results = results[1:]
			return err
		}
		for range 3 {
			if err := r.check(t.Context(), check); !errors.Is(err, full) {
				t.Errorf("error = %v, want %v", err, full)
			}
		}
		time.Sleep(readyFor) // of the bubble
		if err := r.check(t.Context(), check); err != nil {
			t.Errorf("after %s: %v", readyFor, err)
		}
	})
}

func TestReadinessLeavesWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readiness
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		release := make(chan struct{})
		err := r.check(ctx, func(context.Context) error { <-release; return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want %v", err, context.Canceled)
		}
		close(release)
	})
}
