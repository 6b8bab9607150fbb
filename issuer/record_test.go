package issuer_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"signet/internal/event"
	"signet/internal/event/eventtest"
	"signet/internal/store/storetest"
	"signet/internal/throttle"
	"signet/issuer"
	"signet/users"
)

func recorded(t *testing.T) (*fixture, *eventtest.Recorder) {
	f, r := newFixture(t), new(eventtest.Recorder)
	limits := throttle.New(throttle.Rules{Pair: 1, MaxWait: time.Minute}, f.now)
	f.Issuer = f.issuerWith(func(o *issuer.Options) { o.Events, o.Throttle = r, limits })
	return f, r
}

func attempt(name, password string) issuer.Attempt {
	return issuer.Attempt{Client: issuer.FirstParty, Name: name, Password: password}
}

func wantEvents(t *testing.T, what string, r *eventtest.Recorder, want ...event.Event) {
	t.Helper()
	if got := r.Take(); !slices.Equal(got, want) {
		t.Errorf("%s: told %+v, want %+v", what, got, want)
	}
}

// TestLoginsAreTold: who it was, where that is known, and how it ended.
func TestLoginsAreTold(t *testing.T) {
	f, r := recorded(t)
	login := func(what string, a issuer.Attempt, want event.Event, err error) {
		t.Helper()
		_, got := f.Login(t.Context(), a)
		wantErr(t, what, got, err)
		want.Kind, want.Client = event.Login, issuer.FirstParty
		wantEvents(t, what, r, want)
	}
	login("unknown name", attempt("nobody", password), event.Event{Outcome: event.Refused}, users.ErrCredentials)
	login("wrong password", attempt("kyoko", "wrong"), event.Event{Outcome: event.Refused, Subject: f.kyoko.ID}, users.ErrCredentials)
	if _, err := f.Login(t.Context(), attempt("kyoko", "wrong")); err == nil {
		t.Fatal("a wrong password was taken")
	}
	r.Take()
	_, err := f.Login(t.Context(), attempt("kyoko", password))
	if throttled, ok := errors.AsType[*issuer.ThrottledError](err); !ok {
		t.Errorf("after two failures: %v, want %T", err, throttled)
	}
	wantEvents(t, "throttled", r, event.Event{Kind: event.Login, Outcome: event.Throttled, Client: issuer.FirstParty})
	f.move(time.Hour)
	f.store.FailNext("CreateSession", storetest.NotApplied)
	if _, err := f.Login(t.Context(), attempt("kyoko", password)); !errors.Is(err, storetest.ErrFault) {
		t.Errorf("%v, want the fault of the store", err)
	}
	failed := r.Take()
	if len(failed) != 1 || failed[0].Outcome != event.Failed || failed[0].Subject != f.kyoko.ID {
		t.Errorf("told %+v", failed)
	}
	f.login(t)
	sessions := f.sessions(t, f.kyoko.ID)
	wantEvents(t, "login", r, event.Event{Kind: event.Login, Outcome: event.Done, Client: issuer.FirstParty,
		Subject: f.kyoko.ID, Session: sessions[0].ID})
}

// TestRefreshesAreTold with each outcome, and a logout.
func TestRefreshesAreTold(t *testing.T) {
	f, r := recorded(t)
	first := f.login(t)
	sid := f.sessions(t, f.kyoko.ID)[0].ID
	r.Take()
	of := func(outcome event.Outcome) event.Event {
		return event.Event{Kind: event.Refresh, Outcome: outcome, Client: issuer.FirstParty, Subject: f.kyoko.ID, Session: sid}
	}
	second := f.refresh(t, first.Refresh)
	wantEvents(t, "refresh", r, of(event.Done))
	f.wantRefresh(t, "nonsense", issuer.ErrInvalid)
	wantEvents(t, "nonsense", r, event.Event{Kind: event.Refresh, Outcome: event.Invalid})
	f.wantRefresh(t, second.Access, issuer.ErrWrongType)
	if got := r.Take(); len(got) != 1 || got[0].Outcome != event.Invalid {
		t.Errorf("an access token: told %+v", got)
	}
	_, err := f.users.Disable(t.Context(), "kyoko")
	must(t, err)
	f.wantRefresh(t, second.Refresh, issuer.ErrInactive)
	wantEvents(t, "disabled", r, of(event.Inactive))
	_, err = f.users.Enable(t.Context(), "kyoko")
	must(t, err)
	third := f.login(t)
	sid = claim(t, third.Refresh, "sid").(string)
	fourth := f.refresh(t, third.Refresh)
	f.refresh(t, fourth.Refresh)
	r.Take()
	f.wantRefresh(t, third.Refresh, issuer.ErrReused)
	wantEvents(t, "reuse", r, of(event.Reused))
	f.wantRefresh(t, fourth.Refresh, issuer.ErrNoSession)
	wantEvents(t, "ended", r, of(event.Ended))

	last := f.login(t)
	sid = claim(t, last.Refresh, "sid").(string)
	r.Take()
	must(t, f.Logout(t.Context(), last.Refresh))
	wantEvents(t, "logout", r, event.Event{Kind: event.Logout, Outcome: event.Done, Client: issuer.FirstParty, Subject: f.kyoko.ID, Session: sid})
	f.move(48 * time.Hour)
	f.wantRefresh(t, last.Refresh, issuer.ErrExpired)
	if got := r.Take(); len(got) != 1 || got[0].Outcome != event.Expired {
		t.Errorf("an expired token: told %+v", got)
	}
}

// TestTokensOfClientsAreTold by their grant.
func TestTokensOfClientsAreTold(t *testing.T) {
	f, r := recorded(t)
	a := issuer.Authorization{Client: "billing", Subject: "billing", Audience: []string{"orders"}, Grant: "client_credentials"}
	_, _, err := f.Issue(t.Context(), a)
	must(t, err)
	told := event.Event{Kind: event.Token, Outcome: event.Done, Grant: "client_credentials", Client: "billing", Subject: "billing"}
	wantEvents(t, "token", r, told)
	a.Audience = nil
	_, _, err = f.Issue(t.Context(), a)
	wantErr(t, "no audience", err, issuer.ErrAudience)
	told.Outcome = event.Refused
	wantEvents(t, "no audience", r, told)
}

// TestWhatIsNotOnRecordIsNotAnswered: each answer is replaced by the recorder's error.
func TestWhatIsNotOnRecordIsNotAnswered(t *testing.T) {
	f, r := recorded(t)
	tokens := f.login(t)
	unwritten := errors.New("the disk is full")
	r.Fail(unwritten, nil)
	for what, call := range map[string]func() (any, error){
		"login":   func() (any, error) { return f.Login(t.Context(), attempt("kyoko", password)) },
		"refused": func() (any, error) { return f.Login(t.Context(), attempt("nobody", password)) },
		"refresh": func() (any, error) { return f.Refresh(t.Context(), tokens.Refresh) },
		"invalid": func() (any, error) { return f.Refresh(t.Context(), "x") },
		"renew":   func() (any, error) { return f.Renew(t.Context(), tokens.Access) },
	} {
		got, err := call()
		if !errors.Is(err, unwritten) || got != (issuer.Tokens{}) {
			t.Errorf("%s: %v, %v; want %v and no tokens", what, got, err, unwritten)
		}
	}
	token, _, err := f.Issue(t.Context(), issuer.Authorization{Client: "billing", Subject: "billing", Audience: []string{"orders"}})
	if !errors.Is(err, unwritten) || token != "" {
		t.Errorf("issue: %v, %q; want %v and no token", err, token, unwritten)
	}
	token = f.logoutToken(t, r, unwritten)
	wantErr(t, "logout", f.Logout(t.Context(), token), unwritten)
}

// logoutToken is the refresh token of a login; r fails only after it.
func (f *fixture) logoutToken(t *testing.T, r *eventtest.Recorder, after error) string {
	r.Fail(nil, nil)
	defer r.Fail(after, nil)
	return f.login(t).Refresh
}

// TestNoLoginBeginsUnrecorded: while nothing can be recorded no hash is computed and no
// session stored, and refreshes go on.
func TestNoLoginBeginsUnrecorded(t *testing.T) {
	f, r := recorded(t)
	tokens := f.login(t)
	r.Take()
	unwritten := errors.New("the disk is full")
	r.Fail(nil, unwritten)
	for _, login := range []func() (issuer.Tokens, error){
		func() (issuer.Tokens, error) { return f.Login(t.Context(), attempt("kyoko", password)) },
		func() (issuer.Tokens, error) { return f.LoginRenewable(t.Context(), attempt("kyoko", password)) },
	} {
		if got, err := login(); !errors.Is(err, unwritten) || got != (issuer.Tokens{}) {
			t.Errorf("%v, %v; want %v", got, err, unwritten)
		}
	}
	failed := event.Event{Kind: event.Login, Outcome: event.Failed, Client: issuer.FirstParty}
	wantEvents(t, "before anything is done", r, failed, failed)
	f.wantSessions(t, 1)
	f.refresh(t, tokens.Refresh)
}
