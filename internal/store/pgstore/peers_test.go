package pgstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"signet/internal/peers"
)

// TestPeers: what a replica told last is what others read, as old as it is; its own it does
// not read; what is no news goes.
func TestPeers(t *testing.T) {
	eachMode(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		tell := func(replica int64, body string, places ...peers.Place) {
			t.Helper()
			for range 2 { // its answer may be lost
				must(t, s.TellPeers(t.Context(), peers.State{Replica: replica, Body: []byte(body)}, places))
			}
		}
		place := func(number int, age time.Duration, body string) peers.Place {
			return peers.Place{Number: number, Age: age, Body: []byte(body)}
		}
		heard := func(replica int64) string {
			t.Helper()
			states, places, err := s.Peers(t.Context(), replica)
			must(t, err)
			var all []string
			for _, state := range states {
				all = append(all, fmt.Sprintf("%d:%s", state.Replica, state.Body))
				if state.Age > time.Minute {
					t.Errorf("the state of %d is %s old", state.Replica, state.Age)
				}
			}
			for _, p := range places {
				all = append(all, fmt.Sprintf("%d/%d:%s %s", p.Replica, p.Number, p.Body, p.Age.Truncate(time.Hour)))
			}
			slices.Sort(all)
			return strings.Join(all, ", ")
		}
		tell(1, "one", place(0, 0, "a"), place(4095, 5*time.Hour, "b"))
		tell(2, "two", place(0, 0, "c"), place(1, peers.Kept+time.Second, "too old"))
		if got, want := heard(3), "1/0:a 0s, 1/4095:b 5h0m0s, 1:one, 2/0:c 0s, 2:two"; got != want {
			t.Errorf("replica 3 hears %s, want %s", got, want)
		}
		tell(1, "one again", place(0, time.Hour, "another"))
		tell(1, "and again")
		if got, want := heard(2), "1/0:another 1h0m0s, 1/4095:b 5h0m0s, 1:and again"; got != want {
			t.Errorf("replica 2 hears %s, want %s", got, want)
		}
		must(t, s.SweepPeers(t.Context()))
		var left int
		must(t, s.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM signet_fetches) + (SELECT count(*) FROM signet_peers)`).Scan(&left))
		if left != 5 {
			t.Errorf("%d rows are left after a sweep, want 5", left)
		}
	})
}

// TestFloodOfPlaces: however many consumers are forged at other replicas, those that come back
// are read.
func TestFloodOfPlaces(t *testing.T) {
	s := openTest(t, newDatabase(t))
	must(t, s.TellPeers(t.Context(), peers.State{Replica: 1, Body: []byte("{}")}, []peers.Place{{Age: time.Hour, Regular: true, Body: []byte("service")}}))
	for replica := int64(2); replica < 7; replica++ {
		forged := make([]peers.Place, 4096)
		for i := range forged {
			forged[i] = peers.Place{Number: i, Body: []byte("forged")}
		}
		must(t, s.TellPeers(t.Context(), peers.State{Replica: replica, Body: []byte("{}")}, forged))
	}
	_, places, err := s.Peers(t.Context(), 7)
	must(t, err)
	if len(places) != peers.MaxPlaces || !places[0].Regular || string(places[0].Body) != "service" {
		t.Errorf("%d places are read, first %q", len(places), places[0].Body)
	}
}
