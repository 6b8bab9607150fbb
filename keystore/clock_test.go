package keystore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// leapt is a fixture whose clock can be set: leap moves it alone, pass lets time pass.
type leapt struct {
	*fixture
	by time.Duration
}

func newLeapt(t *testing.T) *leapt {
	l := &leapt{fixture: newFixture(t, testPolicy("ES256"))}
	l.opts.Elapsed = func() time.Duration { return l.clock.Now().Add(-l.by).Sub(start) }
	l.reopen()
	return l
}

func (l *leapt) leap(by time.Duration) {
	l.by += by
	l.clock.advance(by)
	l.maintain()
}

func (l *leapt) pass(d time.Duration) {
	l.clock.advance(d)
	l.maintain()
}

func (l *leapt) expectStopped(want bool) {
	l.t.Helper()
	if got := !l.Schedule().Stopped.IsZero(); got != want {
		l.t.Errorf("at %v stopped %v, want %v: %+v", l.clock.Now(), got, want, l.Schedule())
	}
}

// The clock leaps a year ahead while a rotation is under way, and is set right.
func TestYearAheadAndBack(t *testing.T) {
	l := newLeapt(t)
	old := l.signer("")
	next := l.rotate(RotateRequest{})[0].New.KID
	before := asJSON(t, l.Keys())
	l.leap(365 * day)
	l.expectStopped(true)
	if l.signer("") != old || !l.published(old) || !l.published(next) || asJSON(t, l.Keys()) != before {
		t.Errorf("the leap changed the keys: %s", asJSON(t, l.Keys()))
	}
	at := l.Schedule()
	if at.Leap != 365*day || !at.Now.Equal(start) || !at.Clock.Equal(start.Add(365*day)) || !at.Stopped.Equal(start) {
		t.Errorf("%+v", at)
	}
	for _, req := range []RotateRequest{{}, {In: time.Hour}} {
		if _, err := l.Rotate(t.Context(), req, false); !errors.Is(err, ErrStopped) || !strings.Contains(err.Error(), "2027-03-01T12:00:00Z") {
			t.Errorf("a rotation: %v, want %v", err, ErrStopped)
		}
	}
	l.pass(25 * time.Hour) // the turn of the new key comes, and nothing is destroyed
	if l.signer("") != next || !l.info(old).PrivateHalf {
		t.Errorf("a day later %s signs: %s", l.signer(""), asJSON(t, l.Keys()))
	}
	l.reopen()
	l.expectStopped(true)
	l.leap(-365 * day)
	l.expectStopped(false)
	if l.signer("") != next || l.info(old).PrivateHalf || l.info(old).State != Removed {
		t.Errorf("set right: %s", asJSON(t, l.Keys()))
	}
	if _, err := l.Resume(t.Context(), false); !errors.Is(err, ErrNotStopped) {
		t.Errorf("resumed: %v, want %v", err, ErrNotStopped)
	}
}

// An operator confirms the leap: what was planned lies as far ahead as before it.
func TestResume(t *testing.T) {
	l := newLeapt(t)
	old := l.signer("")
	next := l.rotate(RotateRequest{})[0].New.KID
	l.pass(time.Hour)
	l.leap(365 * day)
	now := l.clock.Now()
	plan, err := l.Resume(t.Context(), true)
	if err != nil || len(plan) != 2 {
		t.Fatalf("%v, %v", plan, err)
	}
	l.expectStopped(true)
	done, err := l.Resume(t.Context(), false)
	if err != nil || asJSON(t, plan) != asJSON(t, done) {
		t.Errorf("planned %s, done %s, %v", asJSON(t, plan), asJSON(t, done), err)
	}
	l.expectStopped(false)
	l.maintain()
	if got := l.info(next).SignsFrom; !got.Equal(now.Add(23*time.Hour)) || !l.info(old).SignsUntil.Equal(got) || l.signer("") != old {
		t.Errorf("the new key signs from %v: %s", got, asJSON(t, l.Keys()))
	}
	l.pass(23 * time.Hour)
	if l.signer("") != next || !l.published(old) {
		t.Errorf("then: %s", asJSON(t, l.Keys()))
	}
	l.pass(13 * time.Minute)
	if l.published(old) {
		t.Error("the old key stays published")
	}
}

// A key that has retired is published as long after the leap as it would have been.
func TestResumeWhileAKeyIsRetired(t *testing.T) {
	l := newLeapt(t)
	token, old, err := l.Sign("", "JWT", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	l.rotate(RotateRequest{Now: true})
	l.pass(time.Minute)
	l.leap(365 * day)
	if _, err := l.Resume(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	l.maintain()
	l.expectState(old, Retired)
	l.expectVerifies(token)
	l.pass(11 * time.Minute)
	l.expectVerifies(token)
	l.pass(time.Minute)
	l.expectState(old, Removed)
}

// A revocation cannot wait for the clock.
func TestRevokeWhileStopped(t *testing.T) {
	l := newLeapt(t)
	old := l.signer("")
	l.leap(365 * day)
	before := l.Keys()
	got := l.revoke(old)
	l.expectRevoked(old)
	l.expectFresh(got.New.KID, before)
	l.expectStopped(true)
	l.reopen()
	l.expectRevoked(old)
	if l.signer("") != got.New.KID {
		t.Error("after a restart another key signs")
	}
}

// A restart cannot tell a downtime from a leap: up to a rotation step it is one.
func TestRestartAfterADowntime(t *testing.T) {
	for down, stops := range map[time.Duration]bool{time.Hour: false, day: false, day + time.Second: true, 400 * day: true} {
		l := newLeapt(t)
		old := l.signer("")
		l.leave(t.Context())
		l.clock.advance(down)
		l.reopen()
		l.expectStopped(stops)
		l.maintain()
		if l.signer("") != old || !l.info(old).PrivateHalf || !l.published(old) {
			t.Errorf("after %v: %s", down, asJSON(t, l.Keys()))
		}
	}
}

func TestClockThatIsBehind(t *testing.T) {
	l := newLeapt(t)
	l.pass(100 * day)
	l.pass(2 * day)
	signs := l.signer("")
	l.leap(-50 * day)
	l.expectStopped(true)
	if l.signer("") != signs || !l.published(signs) {
		t.Errorf("%s signs", l.signer(""))
	}
	l.reopen()
	l.expectStopped(true)
	l.leap(50 * day)
	l.expectStopped(false)
	l.leap(-50 * day)
	if _, err := l.Resume(t.Context(), false); err != nil || l.signer("") != signs {
		t.Errorf("%v, %s signs", err, l.signer(""))
	}
	l.maintain()
	l.expectStopped(false)
	l.reopen()
	l.expectStopped(false)
}

// What is less than a rotation step the schedule goes along with, and loses nothing.
func TestSmallLeap(t *testing.T) {
	l := newLeapt(t)
	next := l.rotate(RotateRequest{In: time.Hour})[0].New.KID
	for _, by := range []time.Duration{20 * time.Hour, -20 * time.Hour, -3 * time.Minute} {
		l.leap(by)
		l.expectStopped(false)
		if got := l.info(next).SignsFrom.Sub(l.clock.Now()); got != time.Hour {
			t.Errorf("after a leap of %v the new key signs in %v, want an hour", by, got)
		}
	}
}

func TestWarningsOfAStoppedSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRunning(t, hourly())
		r.stop()
		var log bytes.Buffer
		r.opts.Log = slog.New(slog.NewTextHandler(&log, nil))
		r.start()
		r.live(2*time.Hour, time.Hour)
		r.offset.Add(int64(365 * day))
		time.Sleep(3*time.Hour - time.Minute)
		synctest.Wait()
		if got := strings.Count(log.String(), "level=WARN"); got != 3 || !strings.Contains(log.String(), "signet keys resume") {
			t.Errorf("%d warnings in three hours: %s", got, &log)
		}
		if _, err := r.Resume(context.Background(), false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !strings.Contains(log.String(), "the schedule of the keys goes on") {
			t.Errorf("it does not say that it goes on: %s", &log)
		}
		r.stop()
	})
}

func TestStep(t *testing.T) {
	for want, p := range map[time.Duration]Policy{
		time.Hour: {PublishAhead: time.Minute}, day: {PublishAhead: day}, 2 * time.Hour: {PublishAhead: day, RotateEvery: 2 * time.Hour},
	} {
		if got := p.step(); got != want {
			t.Errorf("%+v: %v, want %v", p, got, want)
		}
	}
}
