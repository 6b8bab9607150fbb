package peers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"signet/internal/consumers"
)

// TestForgedConsumersThatComeBack: they may change with every round, and each service is told
// of all the same.
func TestForgedConsumersThatComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		store := newMemory()
		_, at := start(ctx, store, "a")
		fetch := func(kind string, n int, etag string) {
			for i := range n {
				fetched(at, fmt.Sprint(kind, i), etag, etag)
			}
		}
		const services, forged = 50, 3 * most
		for range 2 {
			fetch("service-", services, "v1")
			fetch("forged-", forged, "v1")
			pass(time.Hour)
		}
		fetch("service-", services, "v2")
		for round := range 60 {
			fetch("forged-", forged, fmt.Sprint("forged-", round))
			pass(Interval)
		}
		here, told := 0, 0
		for _, c := range at.List() { // one or another may have found no place in it
			if c.ETag == "v2" {
				here++
			}
		}
		_, places, _ := store.Peers(ctx, 0)
		for _, p := range places {
			if c, ok := decode(p, time.Now()); ok && c.ETag == "v2" {
				told++
			}
		}
		if told != here || here < services/2 {
			t.Errorf("%d of %d services are told of", told, here)
		}
	})
}

// TestMoreThanIsRead: where consumers that come back are not read, that is said.
func TestMoreThanIsRead(t *testing.T) {
	store := newMemory()
	s := New(Options{Store: store})
	for i := range MaxPlaces {
		body := encode(consumers.Consumer{Name: fmt.Sprint(i)})
		store.places[[2]int64{1, int64(i)}] = stored[Place]{Place{Replica: 1, Number: i, Regular: i > 0, Body: body}, time.Now()}
	}
	for _, want := range []bool{false, true} {
		heard, err := s.Others(t.Context())
		if err != nil || heard.Cut != want {
			t.Errorf("cut %v, error %v, want %v", heard.Cut, err, want)
		}
		first := store.places[[2]int64{1, 0}]
		first.row.Regular = true
		store.places[[2]int64{1, 0}] = first
	}
}

// TestReplicaThatLies: whoever writes to the database gives the terminal of an operator no
// orders.
func TestReplicaThatLies(t *testing.T) {
	const orders = "\x1b[2J\u009b\u202e\n"
	for what, c := range map[string]consumers.Consumer{
		"name": {Name: orders}, "User-Agent": {UserAgent: orders}, "ETag": {ETag: orders}, "kid": {KIDs: []string{"k1", orders}},
	} {
		if c, ok := decode(Place{Body: encode(c)}, time.Now()); ok {
			t.Errorf("%s: taken as %+v", what, c)
		}
	}
	if _, ok := decode(Place{Body: encode(consumers.Consumer{Name: "billing", UserAgent: "Grüße/1 (é)", ETag: `"v1"`, KIDs: []string{"k1"}})}, time.Now()); !ok {
		t.Error("an honest one is passed over")
	}
	server, ok := State{Body: mustEncode(about{Name: "b" + orders})}.server(time.Now())
	if want := "b\ufffd[2J" + strings.Repeat("\ufffd", 3); !ok || server.Name != want {
		t.Errorf("a server is called %+q, want %+q", server.Name, want)
	}
}
