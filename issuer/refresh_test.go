package issuer_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/keystore"
)

func TestRefreshRotates(t *testing.T) {
	f := newFixture(t)
	first := f.login(t)
	before := f.sessions(t, "")[0]
	f.move(time.Hour)
	now := start.Add(time.Hour)
	second := f.refresh(t, first.Refresh)

	want := before
	want.Rotated, want.Expires = now, now.Add(24*time.Hour).Truncate(time.Second)
	want.Generation, want.Previous = 1, before.Current
	want.Current = claim(t, second.Refresh, "jti").(string)
	if diff := cmp.Diff([]issuer.Session{want}, f.sessions(t, "")); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
	_, old := decode(t, first.Refresh)
	_, claims := decode(t, second.Refresh)
	if old["jti"] == claims["jti"] {
		t.Error("the successor has the jti of the token before")
	}
	old["jti"], old["iat"], old["nbf"], old["exp"] = claims["jti"], seconds(now), seconds(now), seconds(want.Expires)
	if diff := cmp.Diff(old, claims); diff != "" {
		t.Errorf("claims of the successor (-want +got):\n%s", diff)
	}
	for what, token := range map[string]string{"access": second.Access, "refresh": second.Refresh} {
		f.wantVerify(t, token, nil)
		if claim(t, token, "sid") != before.ID {
			t.Errorf("the %s token is of another session", what)
		}
	}
}

func TestReuseInsideTheWindowGetsTheSameSuccessor(t *testing.T) {
	f := newFixture(t)
	first := f.login(t)
	f.move(time.Hour)
	successor := f.refresh(t, first.Refresh)
	_, want := decode(t, successor.Refresh)
	for range 3 {
		f.move(3333 * time.Millisecond) // the last one 1 ms before the window closes
		again := f.refresh(t, first.Refresh)
		_, got := decode(t, again.Refresh)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("claims of the repeated successor (-first +again):\n%s", diff)
		}
		if claim(t, again.Access, "jti") == claim(t, successor.Access, "jti") {
			t.Error("the access token of a repeated answer has the jti of the first")
		}
		f.wantVerify(t, again.Access, nil)
	}
	f.move(time.Millisecond)
	f.refresh(t, first.Refresh) // exactly at its end
	f.refresh(t, successor.Refresh)
}

func TestReuseOutsideTheWindowEndsTheSession(t *testing.T) {
	f := newFixture(t)
	first := f.login(t)
	other := f.login(t)
	successor := f.refresh(t, first.Refresh)
	f.move(10*time.Second + time.Millisecond)
	f.wantRefresh(t, first.Refresh, issuer.ErrReused)
	f.wantGone(t, first, successor)
	f.wantVerify(t, other.Access, nil) // the user's other session goes on
	f.refresh(t, other.Refresh)
}

// wantGone asserts that no token of a session works anywhere.
func (f *fixture) wantGone(t *testing.T, family ...issuer.Tokens) {
	t.Helper()
	for _, tokens := range family {
		f.wantVerify(t, tokens.Access, issuer.ErrNoSession)
		f.wantVerify(t, tokens.Refresh, issuer.ErrNoSession)
		f.wantRefresh(t, tokens.Refresh, issuer.ErrNoSession)
		wantErr(t, "Logout", f.Logout(t.Context(), tokens.Refresh), issuer.ErrNoSession)
	}
}

func TestPreviousTokenIsTheftOnceItsSuccessorWasUsed(t *testing.T) {
	f := newFixture(t)
	first := f.login(t)
	second := f.refresh(t, first.Refresh)
	third := f.refresh(t, second.Refresh) // within the window of the first
	f.wantRefresh(t, first.Refresh, issuer.ErrReused)
	f.wantGone(t, first, second, third)
}

func TestTokenOfAnOlderGenerationIsTheft(t *testing.T) {
	for generation := range 4 {
		f := newFixture(t)
		chain := []issuer.Tokens{f.login(t)}
		for range 5 {
			f.move(time.Minute)
			chain = append(chain, f.refresh(t, chain[len(chain)-1].Refresh))
		}
		f.wantRefresh(t, chain[generation].Refresh, issuer.ErrReused)
		f.wantGone(t, chain...)
	}
}

// Two rotations within one second leave different tokens behind: nothing is
// compared by the second.
func TestTwoRotationsWithinOneSecond(t *testing.T) {
	for replayed, want := range map[int]error{0: issuer.ErrReused, 1: nil, 2: nil} {
		f := newFixture(t)
		chain := []issuer.Tokens{f.login(t)}
		for range 2 {
			f.move(time.Millisecond)
			chain = append(chain, f.refresh(t, chain[len(chain)-1].Refresh))
		}
		f.wantRefresh(t, chain[replayed].Refresh, want)
	}
}

func TestWithoutAWindowEveryReuseIsTheft(t *testing.T) {
	f := newFixture(t)
	f.set(func(p *issuer.Policy) { p.ReuseWindow = 0 })
	first := f.login(t)
	f.refresh(t, first.Refresh)
	f.move(time.Millisecond)
	f.wantRefresh(t, first.Refresh, issuer.ErrReused)
}

func TestParallelRefreshesOfOneTokenLeaveOneChain(t *testing.T) {
	const rounds, callers = 100, 16
	f := newFixture(t)
	current := f.login(t).Refresh
	for round := range rounds {
		answers := make([]issuer.Tokens, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				var err error
				if answers[i], err = f.Refresh(t.Context(), current); err != nil {
					t.Errorf("round %d, caller %d: %v", round, i, err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		jti := claim(t, answers[0].Refresh, "jti")
		for i, answer := range answers {
			if got := claim(t, answer.Refresh, "jti"); got != jti {
				t.Fatalf("round %d: caller %d got %v, caller 0 %v", round, i, got, jti)
			}
		}
		current = answers[round%callers].Refresh
		f.move(time.Millisecond)
	}
	sessions := f.sessions(t, "")
	if len(sessions) != 1 || sessions[0].Generation != rounds || sessions[0].Current != claim(t, current, "jti") {
		t.Errorf("sessions %+v, want one of generation %d", sessions, rounds)
	}
}

func TestNothingOfAUserWorksAfterItsSessionsEndedDuringRefreshes(t *testing.T) {
	for what, end := range map[string]func(*fixture, string) error{
		"EndSubject": func(f *fixture, _ string) error {
			_, err := f.EndSubject(t.Context(), f.kyoko.ID)
			return err
		},
		"EndAll": func(f *fixture, _ string) error {
			_, err := f.EndAll(t.Context())
			return err
		},
		"Logout": func(f *fixture, token string) error { return f.Logout(t.Context(), token) },
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			first := f.login(t)
			family := []issuer.Tokens{first}
			warm, done := make(chan struct{}), make(chan error)
			go func() {
				for n := 0; ; n++ {
					next, err := f.Refresh(t.Context(), family[len(family)-1].Refresh)
					if err != nil {
						done <- err
						return
					}
					if family = append(family, next); n == 5 {
						close(warm)
					}
				}
			}()
			<-warm
			must(t, end(f, first.Refresh))
			wantErr(t, "the refresh that met the end", <-done, issuer.ErrNoSession)
			f.wantGone(t, family...)
			f.wantSessions(t, 0)
		})
	}
}

func TestLogoutEndsTheSession(t *testing.T) {
	f := newFixture(t)
	first, other := f.login(t), f.login(t)
	second := f.refresh(t, first.Refresh)
	must(t, f.Logout(t.Context(), second.Refresh))
	f.wantGone(t, first, second)
	f.refresh(t, other.Refresh)
}

func TestLogoutWithAnEarlierTokenEndsTheSessionToo(t *testing.T) {
	f := newFixture(t)
	first := f.login(t)
	second := f.refresh(t, first.Refresh)
	f.move(time.Minute)
	must(t, f.Logout(t.Context(), first.Refresh))
	f.wantGone(t, first, second)
}

func TestLogoutWorksForADisabledUser(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	_, err := f.users.Disable(t.Context(), "kyoko")
	must(t, err)
	must(t, f.Logout(t.Context(), tokens.Refresh))
	f.wantSessions(t, 0)
}

func TestIdleSessionExpires(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	exp := int64(claim(t, tokens.Refresh, "exp").(float64))
	until := time.Unix(exp, 0).Sub(start)

	f.move(until - time.Millisecond)
	f.wantVerify(t, tokens.Refresh, nil)
	f.move(time.Millisecond)
	f.wantRefresh(t, tokens.Refresh, issuer.ErrExpired)
	f.wantVerify(t, tokens.Refresh, issuer.ErrNoSession) // within the leeway of the token, not of the session
	f.move(30 * time.Second)
	f.wantRefresh(t, tokens.Refresh, issuer.ErrExpired)
	f.wantVerify(t, tokens.Refresh, issuer.ErrExpired)
}

func TestSessionEndsForGoodHoweverOftenItIsRefreshed(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	ends := start.Add(30 * 24 * time.Hour).Truncate(time.Second)
	for f.now().Add(23 * time.Hour).Before(ends) {
		f.move(23 * time.Hour)
		tokens = f.refresh(t, tokens.Refresh)
		want := f.now().Add(24 * time.Hour).Truncate(time.Second)
		if ends.Before(want) {
			want = ends
		}
		if got := claim(t, tokens.Refresh, "exp"); got != seconds(want) {
			t.Fatalf("exp = %v, want %v", got, seconds(want))
		}
		if got := claim(t, tokens.Refresh, "session_exp"); got != seconds(ends) {
			t.Fatalf("session_exp = %v, want %v", got, seconds(ends))
		}
	}
	f.move(ends.Sub(f.now()) - time.Millisecond)
	tokens = f.refresh(t, tokens.Refresh)
	f.move(time.Millisecond)
	f.wantRefresh(t, tokens.Refresh, issuer.ErrExpired)
	f.wantVerify(t, tokens.Access, issuer.ErrNoSession)
}

func TestWithoutRotationTheTokenStaysInForce(t *testing.T) {
	f := newFixture(t)
	f.set(func(p *issuer.Policy) { p.Rotate = false })
	tokens := f.login(t)
	before := f.sessions(t, "")
	for range 3 {
		f.move(time.Hour)
		answer := f.refresh(t, tokens.Refresh)
		if answer.Refresh != "" {
			t.Error("a refresh token was made")
		}
		if got := claim(t, answer.Access, "exp"); got != seconds(f.now().Add(5*time.Minute)) {
			t.Errorf("exp of the access token = %v", got)
		}
		f.wantVerify(t, answer.Access, nil)
	}
	if diff := cmp.Diff(before, f.sessions(t, "")); diff != "" {
		t.Errorf("the session changed (-before +after):\n%s", diff)
	}
	f.set(func(*issuer.Policy) {})
	if f.refresh(t, tokens.Refresh).Refresh == "" {
		t.Error("no rotation after it was switched on")
	}
	f.set(func(p *issuer.Policy) { p.Rotate = false })
	f.refresh(t, tokens.Refresh) // the window is open
	f.move(time.Minute)
	f.wantRefresh(t, tokens.Refresh, issuer.ErrNoSession)
}

func TestWithoutRotationAnEndedSessionIsNotRefreshed(t *testing.T) {
	f := newFixture(t)
	f.set(func(p *issuer.Policy) { p.Rotate = false })
	tokens := f.login(t)
	must(t, f.Logout(t.Context(), tokens.Refresh))
	f.wantRefresh(t, tokens.Refresh, issuer.ErrNoSession)
}

func TestInactiveUserGetsNothing(t *testing.T) {
	for _, rotate := range []bool{true, false} {
		f := newFixture(t)
		f.set(func(p *issuer.Policy) { p.Rotate = rotate })
		tokens := f.login(t)
		_, err := f.users.Disable(t.Context(), "kyoko")
		must(t, err)
		f.wantRefresh(t, tokens.Refresh, issuer.ErrInactive)
		_, err = f.users.Enable(t.Context(), "kyoko")
		must(t, err)
		f.wantRefresh(t, tokens.Refresh, issuer.ErrNoSession) // another epoch
		tokens = f.login(t)
		_, err = f.users.Remove(t.Context(), "kyoko")
		must(t, err)
		f.wantRefresh(t, tokens.Refresh, issuer.ErrInactive)
		f.create(t, "kyoko") // another account
		f.wantRefresh(t, tokens.Refresh, issuer.ErrInactive)
	}
}

func TestChangedLifetimesHoldFromTheNextToken(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	f.set(func(p *issuer.Policy) {
		p.AccessLifetime, p.RefreshLifetime, p.SessionLifetime = time.Minute, time.Hour, 2*time.Hour
	})
	f.move(12 * time.Hour) // longer than both new lifetimes
	tokens = f.refresh(t, tokens.Refresh)
	for _, tt := range []struct {
		token, claim string
		want         time.Time
	}{
		{tokens.Access, "exp", f.now().Add(time.Minute)},
		{tokens.Refresh, "exp", f.now().Add(time.Hour)},
		{tokens.Refresh, "session_exp", start.Add(30 * 24 * time.Hour)},
	} {
		if got := claim(t, tt.token, tt.claim); got != seconds(tt.want) {
			t.Errorf("%s = %v, want %v", tt.claim, got, seconds(tt.want))
		}
	}
	f.move(61 * time.Minute)
	f.wantRefresh(t, tokens.Refresh, issuer.ErrExpired)
}

func TestRefreshAcrossAKeyRotation(t *testing.T) {
	f := newFixture(t)
	first := f.login(t)
	_, err := f.keys.Rotate(t.Context(), keystore.RotateRequest{Now: true}, false)
	must(t, err)
	f.move(time.Second)
	second := f.refresh(t, first.Refresh)
	oldHeader, _ := decode(t, first.Refresh)
	newHeader, _ := decode(t, second.Refresh)
	if oldHeader["kid"] == newHeader["kid"] {
		t.Fatal("the key was not rotated")
	}
	if got := f.sessions(t, "")[0].KID; got != newHeader["kid"] {
		t.Errorf("the session rests on %s, want %s", got, newHeader["kid"])
	}
	f.refresh(t, first.Refresh) // the window does not depend on the key
	f.wantVerify(t, first.Access, nil)
}

func TestTokensOfARevokedKeyAreRefused(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	_, err := f.keys.Revoke(t.Context(), f.keys.Keys()[0].KID, false)
	must(t, err)
	f.wantRefresh(t, tokens.Refresh, issuer.ErrUnknownKey)
	f.wantVerify(t, tokens.Refresh, issuer.ErrUnknownKey)
	f.wantVerify(t, tokens.Access, issuer.ErrUnknownKey)
	wantErr(t, "Logout", f.Logout(t.Context(), tokens.Refresh), issuer.ErrUnknownKey)
	f.refresh(t, f.login(t).Refresh)
}

func TestFailingStoreFailsTheCall(t *testing.T) {
	rotate := func(r bool) func(*issuer.Policy) { return func(p *issuer.Policy) { p.Rotate = r } }
	refresh := func(f *fixture, tokens issuer.Tokens) error {
		_, err := f.Refresh(t.Context(), tokens.Refresh)
		return err
	}
	for _, tt := range []struct {
		name, method string
		policy       func(*issuer.Policy)
		call         func(*fixture, issuer.Tokens) error
	}{
		{"Refresh", "AdvanceSession", rotate(true), refresh},
		{"Refresh, users", "UserByID", rotate(true), refresh},
		{"Refresh in place", "Session", rotate(false), refresh},
		{"Verify", "Session", rotate(true), func(f *fixture, tokens issuer.Tokens) error {
			_, err := f.Verify(t.Context(), tokens.Access)
			return err
		}},
		{"Logout", "EndSession", rotate(true), func(f *fixture, tokens issuer.Tokens) error {
			return f.Logout(t.Context(), tokens.Refresh)
		}},
		{"EndSession", "EndSession", rotate(true), func(f *fixture, tokens issuer.Tokens) error {
			return f.EndSession(t.Context(), f.sessions(t, "")[0].ID)
		}},
		{"EndSubject", "EndSubjectSessions", rotate(true), func(f *fixture, _ issuer.Tokens) error {
			_, err := f.EndSubject(t.Context(), f.kyoko.ID)
			return err
		}},
		{"EndAll", "SweepSessions", rotate(true), func(f *fixture, _ issuer.Tokens) error {
			_, err := f.EndAll(t.Context())
			return err
		}},
		{"Sessions", "ListSessions", rotate(true), func(f *fixture, _ issuer.Tokens) error {
			_, err := f.Sessions(t.Context(), "", "", 1)
			return err
		}},
	} {
		for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedButFailed} {
			f := newFixture(t)
			f.set(tt.policy)
			tokens := f.login(t)
			f.store.FailNext(tt.method, fault)
			err := tt.call(f, tokens)
			wantErr(t, tt.name, err, storetest.ErrFault)
			for _, wrong := range []error{issuer.ErrInvalid, issuer.ErrExpired, issuer.ErrNoSession, issuer.ErrInactive, issuer.ErrReused} {
				if errors.Is(err, wrong) {
					t.Errorf("%s: a failing store is reported as %v", tt.name, wrong)
				}
			}
			if fault == storetest.NotApplied {
				f.refresh(t, tokens.Refresh)
			}
		}
	}
}

func TestAdvanceThatWasMadeButReportedAsFailedCanBeRetried(t *testing.T) {
	for after, want := range map[time.Duration]error{
		0: nil, 10 * time.Second: nil, 11 * time.Second: issuer.ErrReused,
	} {
		f := newFixture(t)
		tokens := f.login(t)
		f.store.FailNext("AdvanceSession", storetest.AppliedButFailed)
		f.wantRefresh(t, tokens.Refresh, storetest.ErrFault)
		f.move(after)
		answer, err := f.Refresh(t.Context(), tokens.Refresh)
		wantErr(t, "retry after "+after.String(), err, want)
		if want == nil {
			f.refresh(t, answer.Refresh)
		}
	}
}

func TestLogoutThatWasMadeButReportedAsFailedHasEndedTheSession(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	f.store.FailNext("EndSession", storetest.AppliedButFailed)
	wantErr(t, "Logout", f.Logout(t.Context(), tokens.Refresh), storetest.ErrFault)
	f.wantGone(t, tokens)
}
