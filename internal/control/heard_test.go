package control

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"signet/internal/consumers"
	"signet/internal/peers"
	"signet/keystore"
)

// otherServers are those that a test says are there.
type otherServers struct {
	own    peers.Server
	others peers.Others
	err    error
}

func (o *otherServers) Own() peers.Server { return o.own }

func (o *otherServers) Others(context.Context) (peers.Others, error) { return o.others, o.err }

// TestHeardOfOtherServers: what they signed and who fetched from them counts, also of a
// server that was started again; it is named once. Without the database the answer says
// that it is of one.
func TestHeardOfOtherServers(t *testing.T) {
	f := newFixture(t)
	kid := f.kid(t, "ES256", keystore.Active)
	f.fetches(t, "billing", "")
	f.move(time.Hour)
	now := f.now()
	use := func(n uint64, exp time.Duration) map[string]peers.Use {
		return map[string]peers.Use{kid: {Access: n, AccessExpires: now.Add(exp)}}
	}
	others := &otherServers{own: peers.Server{Name: "a", Since: start, Told: now, Uses: use(100, 0)}} // which the issuer counts itself
	others.others.Servers = []peers.Server{
		{Name: "b", Since: start.Add(-time.Hour), Told: start, Silent: true, Uses: use(2, time.Minute), Forgotten: 3},
		{Name: "b", Since: start.Add(time.Minute), Told: now, Uses: use(5, 2*time.Minute)},
		{Name: "c", Since: start.Add(-2 * time.Hour), Told: start, Silent: true},
	}
	others.others.Consumers = []consumers.Consumer{
		{Name: "billing", Address: netip.MustParseAddr("192.0.2.8"), First: start, Last: now, KIDs: []string{"newer"}},
		{Name: "orders", First: start, Last: now, KIDs: []string{kid}},
	}
	f.Live.Hears(others)
	list, err := ListConsumers.Do(t.Context(), Local(f.Operator), ConsumerQuery{KID: kid})
	must(t, err)
	var names []string
	for _, s := range list.Servers {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"a", "b", "c"}) || list.Servers[1].Silent || !list.Servers[2].Silent || list.Unheard != "" ||
		list.Forgotten != 3 || !list.Since.Equal(start.Add(-2*time.Hour)) {
		t.Errorf("heard %+v, forgotten %d, since %s", list.Heard, list.Forgotten, list.Since)
	}
	if k := list.Keys[0]; k.Have != 1 || k.Of != 2 || len(list.Consumers) != 2 {
		t.Errorf("%+v of %+v: billing fetched another set at another server since", k, list.Consumers)
	}
	detail, err := ShowKey.Do(t.Context(), Local(f.Operator), KeyID{KID: kid})
	must(t, err)
	if u := detail.Use; u.AccessTokens != 7 || !u.AccessExpires.Equal(now.Add(2*time.Minute)) || !u.Since.Equal(start.Add(time.Minute)) || len(u.Servers) != 3 {
		t.Errorf("%+v", u)
	}

	others.err, others.others = errors.New("the database is gone"), peers.Others{}
	list, err = ListConsumers.Do(t.Context(), Local(f.Operator), ConsumerQuery{})
	must(t, err)
	if list.Unheard != "the database is gone" || len(list.Servers) != 1 || len(list.Consumers) != 1 {
		t.Errorf("without the database: %+v", list)
	}
}
