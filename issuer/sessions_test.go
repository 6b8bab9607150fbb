package issuer_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/keystore"
)

func TestEndSessionEndsThatOneAlone(t *testing.T) {
	f := newFixture(t)
	first, second := f.login(t), f.login(t)
	sid := claim(t, first.Access, "sid").(string)
	must(t, f.EndSession(t.Context(), sid))
	f.wantGone(t, first)
	f.refresh(t, second.Refresh)
	wantErr(t, "EndSession again", f.EndSession(t.Context(), sid), issuer.ErrNoSession)
}

func TestEndSubjectCountsAndEndsTheSessionsOfOneUser(t *testing.T) {
	f := newFixture(t)
	f.create(t, "noriko")
	mine := []issuer.Tokens{f.login(t), f.login(t), f.login(t)}
	other := f.loginAs(t, "noriko")
	for _, want := range []int{3, 0} {
		if n, err := f.EndSubject(t.Context(), f.kyoko.ID); err != nil || n != want {
			t.Errorf("EndSubject = %d, %v, want %d", n, err, want)
		}
	}
	f.wantGone(t, mine...)
	f.refresh(t, other.Refresh)
}

func TestEndSignedByEndsWhatRestsOnTheKey(t *testing.T) {
	f := newFixture(t)
	old := f.keys.Keys()[0].KID
	left, moved := f.login(t), f.login(t)
	_, err := f.keys.Rotate(t.Context(), keystore.RotateRequest{Now: true}, false)
	must(t, err)
	moved = f.refresh(t, moved.Refresh)
	newer := f.login(t)
	for _, want := range []int{1, 0} {
		if n, err := f.EndSignedBy(t.Context(), old); err != nil || n != want {
			t.Errorf("EndSignedBy = %d, %v, want %d", n, err, want)
		}
	}
	f.wantGone(t, left)
	f.refresh(t, moved.Refresh)
	f.refresh(t, newer.Refresh)
}

// fill stores so many more sessions, expired or not.
func (f *fixture) fill(t *testing.T, n int, expires time.Time) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			id := make([]byte, 16)
			rand.Read(id)
			err := f.store.CreateSession(t.Context(), issuer.Session{
				ID: hex.EncodeToString(id), Subject: "other", Current: hex.EncodeToString(id), KID: "other",
				Created: start, Rotated: start, Expires: expires, Ends: expires.Add(time.Hour),
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestEndAllGoesThroughEveryStep(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	f.fill(t, 1200, start.Add(time.Hour))
	if n, err := f.EndSignedBy(t.Context(), "other"); err != nil || n != 1200 {
		t.Errorf("EndSignedBy = %d, %v, want 1200", n, err)
	}
	f.fill(t, 1200, start.Add(-time.Hour))
	for _, want := range []int{1201, 0} {
		if n, err := f.EndAll(t.Context()); err != nil || n != want {
			t.Errorf("EndAll = %d, %v, want %d", n, err, want)
		}
	}
	f.wantGone(t, tokens)
	f.wantSessions(t, 0)
}

func TestEndAllReportsWhatItEndedBeforeAFailure(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 10, start.Add(time.Hour))
	f.store.FailNext("SweepSessions", storetest.NotApplied)
	n, err := f.EndAll(t.Context())
	wantErr(t, "EndAll", err, storetest.ErrFault)
	if n != 0 {
		t.Errorf("EndAll = %d beside the error, want 0", n)
	}
	f.wantSessions(t, 10)
}

func TestSessionsComeInPages(t *testing.T) {
	f := newFixture(t)
	f.create(t, "noriko")
	for range 3 {
		f.login(t)
		f.loginAs(t, "noriko")
	}
	var got []issuer.Session
	for after := ""; ; {
		page, err := f.Sessions(t.Context(), f.kyoko.ID, after, 2)
		must(t, err)
		if got = append(got, page...); len(page) < 2 {
			break
		}
		after = page[len(page)-1].ID
	}
	if len(got) != 3 {
		t.Fatalf("%d sessions, want 3", len(got))
	}
	if diff := cmp.Diff(f.sessions(t, f.kyoko.ID), got); diff != "" {
		t.Errorf("sessions (-at once +in pages):\n%s", diff)
	}
}

// The bubble's clock moves only when everything waits for it.
func TestRunSweepsExpiredSessionsAndOnlyThose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureAt(t, nil, time.Now, "ES256")
		f.set(func(p *issuer.Policy) { p.RefreshLifetime = 15 * time.Minute })
		f.login(t) // expires at 0:15
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() {
			f.Run(ctx)
			close(stopped)
		}()
		time.Sleep(24*time.Hour + 9*time.Minute) // what has expired stays for a day
		late := f.login(t)                       // expires at 24:24
		time.Sleep(2 * time.Minute)
		f.wantSessions(t, 2) // swept at 24:10
		f.store.FailNext("SweepSessions", storetest.NotApplied)
		time.Sleep(10 * time.Minute)
		f.wantSessions(t, 2) // the sweep of 24:20 failed
		late = f.refresh(t, late.Refresh)
		time.Sleep(10 * time.Minute)
		f.wantSessions(t, 1) // swept at 24:30, and what was refreshed stays
		f.refresh(t, late.Refresh)
		stop()
		<-stopped
	})
}

func TestRunStopsAtOnceWhenItsContextHasEnded(t *testing.T) {
	f := newFixture(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	f.Run(ctx) // returns
}
