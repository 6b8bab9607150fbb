package control

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"signet/internal/consumers"
	"signet/internal/store/storetest"
	"signet/issuer/oauth"
	"signet/keystore"
)

// fetches records that a consumer got the present set.
func (f *fixture) fetches(t testing.TB, name, agent string) {
	t.Helper()
	set, err := f.Keys.Document(f.now())
	must(t, err)
	f.Live.consumers.Note(consumers.Fetch{Name: name, UserAgent: agent, Address: netip.MustParseAddr("192.0.2.7"),
		ETag: set.ETag(), KIDs: set.KIDs(), At: f.now()})
}

// seen prepares a rotation that one of two consumers has seen, and that a third has not
// asked about for more than a day.
func seen(in any) func(testing.TB, *fixture) any {
	return func(t testing.TB, f *fixture) any {
		f.fetches(t, "gone", "")
		f.move(25 * time.Hour)
		f.fetches(t, "billing", "")
		f.fetches(t, "", "curl/8")
		_, err := f.Keys.Rotate(t.Context(), keystore.RotateRequest{Alg: "ES256"}, false)
		must(t, err)
		f.move(time.Hour)
		f.fetches(t, "billing", "")
		return in
	}
}

const (
	seenByBilling = `{"name":"billing","address":"192.0.2.7","last_fetch":"2026-03-02T14:00:00Z","etag":...,"regular":true,"has":["KID1","KID2","KID3"],"lacks":[],"gone":[]}`
	seenByGone    = `{"name":"gone","address":"192.0.2.7","last_fetch":"2026-03-01T12:00:00Z","etag":...,"regular":false,"has":["KID1","KID2"],"lacks":["KID3"],"gone":[]}`
	seenByCurl    = `{"address":"192.0.2.7","user_agent":"curl/8","last_fetch":"2026-03-02T13:00:00Z","etag":...,"regular":false,"has":["KID1","KID2"],"lacks":["KID3"],"gone":[]}`
)

var keyUseCases = []doorCase{
	{name: "of nobody", ask: ask(ListConsumers), in: ConsumerQuery{}, want: `{"consumers":[],"keys":[` +
		`{"kid":"KID1","alg":"ES256","state":"active","have":0,"of":0},{"kid":"KID2","alg":"ES384","state":"active","have":0,"of":0}],` +
		`"forgotten":0,"since":"2026-03-01T12:00:00Z","now":"2026-03-01T12:00:00Z"}`},
	{name: "of all keys", ask: ask(ListConsumers), prepare: seen(ConsumerQuery{}), want: `{"consumers":[` + seenByBilling + `,` + seenByGone + `,` + seenByCurl + `],"keys":[` +
		`{"kid":"KID1","alg":"ES256","state":"active","have":2,"of":2},{"kid":"KID2","alg":"ES384","state":"active","have":2,"of":2},` +
		`{"kid":"KID3","alg":"ES256","state":"pending","have":1,"of":2}],"forgotten":0,"since":"2026-03-01T12:00:00Z","now":"2026-03-02T14:00:00Z"}`},
	{name: "of an unknown key", ask: ask(ListConsumers), in: ConsumerQuery{KID: "none"}, wantErr: Error{`no such key: "none"`, hintKeys}},
	{name: "without a server", ask: ask(ListConsumers), prepare: func(_ testing.TB, f *fixture) any {
		f.Live = nil
		return ConsumerQuery{}
	}, wantErr: Error{`only a running server knows who has fetched the key set, and none is running`, "signet serve"}},
	{name: "without a server", ask: ask(ShowKey), prepare: func(t testing.TB, f *fixture) any {
		f.Live = nil
		return KeyID{f.kid(t, "ES256", keystore.Active)}
	}, want: activeES256[:len(activeES256)-1] + `,"now":"2026-03-01T12:00:00Z"}`},

	{name: "live ones", ask: ask(CountSessions), prepare: loggedIn(Page{}), want: `{"by_kid":{"KID1":2}}`},
	{name: "while the storage fails", ask: ask(CountSessions), prepare: func(t testing.TB, f *fixture) any {
		f.store.FailNext("ListSessions", storetest.NotApplied)
		return Page{}
	}, wantErr: Error{`ListSessions: storetest: the storage failed`, ""}},

	{name: "of logins and clients", ask: ask(ShowReach), prepare: func(t testing.TB, f *fixture) any {
		for id, audiences := range map[string][]string{"billing": {"orders", "ledger"}, "web": {"orders"}} {
			_, _, err := f.Clients.Add(t.Context(), oauth.Client{ID: id, Grants: grants, Audiences: audiences}, "https://login.example.test")
			must(t, err)
		}
		return struct{}{}
	}, want: `{"audiences":[{"audience":"https://login.example.test/api","login":true},{"audience":"ledger","login":false,"clients":["billing"]},` +
		`{"audience":"orders","login":false,"clients":["billing","web"]}],"jwks_max_age":300000000000}`},
	{name: "while the storage fails", ask: ask(ShowReach), prepare: func(t testing.TB, f *fixture) any {
		f.store.FailNext("Clients", storetest.NotApplied)
		return struct{}{}
	}, wantErr: Error{`Clients: storetest: the storage failed`, ""}},
}

// TestShowKeySaysWhoHasIt names the consumers of the last day alone.
func TestShowKeySaysWhoHasIt(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		seen(nil)(t, f)
		shown, err := ShowKey.Do(t.Context(), door, KeyID{f.kid(t, "ES256", keystore.Pending)})
		must(t, err)
		if u := shown.Use; !slices.Equal(u.Have, []string{"billing"}) || !slices.Equal(u.Lack, []string{"192.0.2.7 curl/8"}) || !u.Complete {
			t.Errorf("use %+v", u)
		}
	})
}

// TestRevokedKeyIsStillHeld by those that have not asked since.
func TestRevokedKeyIsStillHeld(t *testing.T) {
	f := newFixture(t)
	f.fetches(t, "orders", "")
	f.fetches(t, "billing", "")
	leaked := f.kid(t, "ES256", keystore.Active)
	_, err := f.Keys.Revoke(t.Context(), leaked, false)
	must(t, err)
	f.fetches(t, "billing", "")
	list, err := f.listConsumers(t.Context(), ConsumerQuery{KID: leaked})
	must(t, err)
	if h := list.Keys; len(h) != 1 || h[0].Have != 1 || h[0].Of != 2 || h[0].State != keystore.Revoked {
		t.Errorf("holders of the revoked key: %+v", h)
	}
	if c := list.Consumers; len(c[0].Gone) != 0 || !slices.Equal(c[1].Gone, []string{leaked}) || len(c[1].Lacks) != 1 {
		t.Errorf("consumers %+v", c)
	}
}

// TestSafeToRemove follows one key that was made while the server ran, and one from before.
func TestSafeToRemove(t *testing.T) {
	f := newFixture(t)
	f.create(t, "kyoko")
	rotate := func() {
		t.Helper()
		_, err := f.Keys.Rotate(t.Context(), keystore.RotateRequest{Alg: "ES256", Now: true}, false)
		must(t, err)
	}
	show := func(kid string) KeyDetail {
		t.Helper()
		d, err := f.showKey(t.Context(), KeyID{kid})
		must(t, err)
		return d
	}
	want := func(kid string, at time.Time, observed bool) {
		t.Helper()
		if d := show(kid); !d.SafeToRemove.Equal(at) || d.Observed != observed {
			t.Errorf("safe to remove at %s (observed: %t), want %s (%t)", d.SafeToRemove, d.Observed, at, observed)
		}
	}
	inherited := f.kid(t, "ES256", keystore.Active)
	want(inherited, time.Time{}, false) // no end is planned
	rotate()
	made := f.kid(t, "ES256", keystore.Active)
	f.login(t, "kyoko")
	exp := show(made).Use.AccessExpires
	f.move(4 * time.Minute)
	rotate()
	end := f.now()
	ring := end.Add(5*time.Minute + keystore.ClientLeeway + 5*time.Minute)
	want(made, ring, false) // a signature may be under way
	f.move(settled)
	if show(made).PrivateHalf {
		t.Error("the private half of a retired key is there")
	}
	want(made, exp.Add(keystore.ClientLeeway), true)
	d := show(inherited)
	want(inherited, d.PublishedUntil, false)
	f.Live.Inherit(made)
	want(made, ring, false)
	leaked := f.kid(t, "ES256", keystore.Active)
	_, err := f.Keys.Revoke(t.Context(), leaked, false)
	must(t, err)
	want(leaked, time.Time{}, false)
}

// TestObservedEndIsNeverTooEarly: a token that is out is believed by nobody at the
// time that is told, and a key that signed nothing waits for the leeway all the same.
func TestObservedEndIsNeverTooEarly(t *testing.T) {
	signed := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	k := keystore.Info{State: keystore.Retired, SignsUntil: signed, PublishedUntil: signed.Add(time.Hour)}
	now := signed.Add(2 * time.Minute)
	all := &KeyUse{Complete: true}
	tests := []struct {
		what     string
		key      func(*keystore.Info)
		use      *KeyUse
		now      time.Time
		want     time.Time
		observed bool
	}{
		{"no token", nil, all, now, signed.Add(keystore.ClientLeeway), true},
		{"a token that ended before", nil, &KeyUse{Complete: true, AccessExpires: signed.Add(-time.Hour)}, now, signed.Add(keystore.ClientLeeway), true},
		{"a token that ends later", nil, &KeyUse{Complete: true, AccessExpires: signed.Add(5 * time.Minute)}, now, signed.Add(5*time.Minute + keystore.ClientLeeway), true},
		{"a token that ends after the ring thinks", nil, &KeyUse{Complete: true, AccessExpires: signed.Add(2 * time.Hour)}, now, k.PublishedUntil, false},
		{"not all was counted", nil, &KeyUse{}, now, k.PublishedUntil, false},
		{"nothing was counted", nil, nil, now, k.PublishedUntil, false},
		{"just ended", nil, all, signed.Add(settled - 1), k.PublishedUntil, false},
		{"the private half is there", func(k *keystore.Info) { k.PrivateHalf = true }, all, now, k.PublishedUntil, false},
		{"it still signs", func(k *keystore.Info) { k.State = keystore.Active }, all, now, k.PublishedUntil, false},
		{"it is removed", func(k *keystore.Info) { k.State = keystore.Removed }, all, now, k.PublishedUntil, false},
		{"it is revoked", func(k *keystore.Info) { k.State = keystore.Revoked }, all, now, time.Time{}, false},
		{"it is pending", func(k *keystore.Info) { k.State = keystore.Pending }, all, now, time.Time{}, false},
	}
	for _, c := range tests {
		key := k
		if c.key != nil {
			c.key(&key)
		}
		if at, observed := safeToRemove(key, c.use, c.now); !at.Equal(c.want) || observed != c.observed {
			t.Errorf("%s: %s (observed: %t), want %s (%t)", c.what, at, observed, c.want, c.observed)
		}
	}
}

// TestSessionsAreCountedInPages, expired ones not at all.
func TestSessionsAreCountedInPages(t *testing.T) {
	throughBothDoors(t, func(t *testing.T, f *fixture, door Door) {
		f.create(t, "kyoko")
		f.login(t, "kyoko") // expires
		f.move(24 * time.Hour)
		old := f.kid(t, "ES256", keystore.Active)
		f.login(t, "kyoko")
		f.login(t, "kyoko")
		_, err := f.Keys.Rotate(t.Context(), keystore.RotateRequest{Alg: "ES256", Now: true}, false)
		must(t, err)
		f.login(t, "kyoko")
		for _, limit := range []int{1, 2, 4, 0} {
			got := map[string]int{}
			for page := (Page{Limit: limit}); ; {
				count, err := CountSessions.Do(t.Context(), door, page)
				must(t, err)
				for kid, n := range count.ByKID {
					got[kid] += n
				}
				if page.After = count.Next; count.Next == "" {
					break
				}
			}
			if len(got) != 2 || got[old] != 2 || got[f.kid(t, "ES256", keystore.Active)] != 1 {
				t.Errorf("limit %d: %v", limit, got)
			}
		}
	})
}
