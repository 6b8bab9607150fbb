package oauth_test

import (
	"errors"
	"slices"
	"testing"

	"signet/internal/event"
	"signet/internal/event/eventtest"
	"signet/issuer"
	"signet/issuer/oauth"
)

// TestClientsThatDoNotProveThemselvesAreTold: by their id only if they are registered,
// since anything may be sent in its place.
func TestClientsThatDoNotProveThemselvesAreTold(t *testing.T) {
	f, r := newFixture(t), new(eventtest.Recorder)
	f.Clients.Tell(r)
	f.add(t, batch())
	if got := r.Take(); len(got) != 0 {
		t.Errorf("a client that proves itself: told %+v", got)
	}
	for what, c := range map[string]struct {
		given oauth.Credentials
		id    string
	}{
		"wrong secret":   {oauth.Credentials{ID: "batch", Secret: "guess"}, "batch"},
		"unknown client": {oauth.Credentials{ID: "hunter2", Secret: "guess"}, ""},
		"no assertion":   {oauth.Credentials{ID: "batch", Assertion: "x"}, ""},
	} {
		_, err := f.Clients.Authenticate(t.Context(), c.given)
		if refused, ok := errors.AsType[*oauth.Error](err); !ok || refused.Code != oauth.InvalidClient {
			t.Errorf("%s: %v, want invalid_client", what, err)
		}
		want := event.Event{Kind: event.ClientAuthentication, Outcome: event.Refused, Client: c.id}
		if got := r.Take(); !slices.Equal(got, []event.Event{want}) {
			t.Errorf("%s: told %+v, want %+v", what, got, want)
		}
	}
	unwritten := errors.New("the disk is full")
	r.Fail(unwritten, nil)
	if _, err := f.Clients.Authenticate(t.Context(), oauth.Credentials{ID: "batch", Secret: "guess"}); !errors.Is(err, unwritten) {
		t.Errorf("%v, want %v", err, unwritten)
	}
}

// TestRevocationIsTold as the logout that it is.
func TestRevocationIsTold(t *testing.T) {
	f, r := newFixture(t), new(eventtest.Recorder)
	f.Clients.Tell(r)
	tokens, err := f.issuer.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password})
	must(t, err)
	own := oauth.Client{ID: issuer.FirstParty, Public: true}
	must(t, f.Revoke(t.Context(), own, tokens.Refresh))
	got := r.Take()
	if len(got) != 1 || got[0].Kind != event.Logout || got[0].Subject != f.kyoko.ID || got[0].Session == "" || got[0].Client != issuer.FirstParty {
		t.Errorf("told %+v", got)
	}
	must(t, f.Revoke(t.Context(), own, tokens.Refresh))
	if got := r.Take(); len(got) != 0 {
		t.Errorf("a token whose session has ended: told %+v", got)
	}
	must(t, f.Revoke(t.Context(), own, "x"))
	if got := r.Take(); len(got) != 0 {
		t.Errorf("a token that is none: told %+v", got)
	}
}
