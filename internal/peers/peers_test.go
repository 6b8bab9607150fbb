package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"signet/internal/consumers"
)

// memory is a Store, with the clock of the bubble as the database's.
type memory struct {
	sync.Mutex
	states map[int64]stored[State]
	places map[[2]int64]stored[Place]
	calls  int // of TellPeers
	rows   int // that they wrote
	fail   error
	made   bool // although fail is reported
}

type stored[T any] struct {
	row T
	at  time.Time
}

func newMemory() *memory {
	return &memory{states: map[int64]stored[State]{}, places: map[[2]int64]stored[Place]{}}
}

func (m *memory) TellPeers(_ context.Context, s State, places []Place) error {
	m.Lock()
	defer m.Unlock()
	m.calls++
	if m.fail != nil && !m.made {
		return m.fail
	}
	m.rows += len(places)
	for _, p := range places {
		m.places[[2]int64{p.Replica, int64(p.Number)}] = stored[Place]{p, time.Now().Add(-p.Age)}
	}
	m.states[s.Replica] = stored[State]{s, time.Now()}
	return m.fail
}

func (m *memory) Peers(_ context.Context, replica int64) (states []State, places []Place, err error) {
	m.Lock()
	defer m.Unlock()
	for id, s := range m.states {
		if s.row.Age = time.Since(s.at); id != replica && s.row.Age < Kept {
			states = append(states, s.row)
		}
	}
	for id, p := range m.places {
		if p.row.Age = time.Since(p.at); id[0] != replica && p.row.Age < Kept {
			places = append(places, p.row)
		}
	}
	return states, places, m.fail
}

func (m *memory) SweepPeers(context.Context) error {
	m.Lock()
	defer m.Unlock()
	return m.fail
}

// failing makes every call report err, made or not.
func (m *memory) failing(err error, made bool) {
	m.Lock()
	defer m.Unlock()
	m.fail, m.made = err, made
}

// written returns what was written since the last call.
func (m *memory) written() (calls, rows int) {
	m.Lock()
	defer m.Unlock()
	calls, rows = m.calls, m.rows
	m.calls, m.rows = 0, 0
	return calls, rows
}

func start(ctx context.Context, store Store, name string) (*Sharer, *consumers.Table) {
	table := consumers.New()
	s := New(Options{Store: store, Name: name, Table: table, Log: slog.New(slog.DiscardHandler),
		Uses: func() map[string]Use { return map[string]Use{"k1": {Access: 3}} }})
	go s.Run(ctx)
	return s, table
}

func fetched(table *consumers.Table, name, etag string, kids ...string) {
	table.Note(consumers.Fetch{Name: name, Address: netip.MustParseAddr("192.0.2.7"), UserAgent: "go", ETag: etag, KIDs: kids, At: time.Now()})
}

// pass lets time pass, and what was due then be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestWhatIsTold: a new consumer and another version within an interval, the same version
// not again, and a state that says so when nothing else happens.
func TestWhatIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		store := newMemory()
		_, at := start(ctx, store, "a")
		b, _ := start(ctx, store, "b")
		synctest.Wait()
		heard := func() Others {
			t.Helper()
			o, err := b.Others(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		holds := func(want ...string) {
			t.Helper()
			all := heard().Consumers
			if len(all) != 1 || all[0].Name != "billing" || fmt.Sprint(all[0].KIDs) != fmt.Sprint(want) {
				t.Errorf("b hears of %+v, want billing with %v", all, want)
			}
		}
		fetched(at, "billing", "v1", "k1")
		pass(Interval + time.Millisecond)
		holds("k1")
		fetched(at, "billing", "v2", "k1", "k2")
		pass(Interval)
		holds("k1", "k2")

		store.written()
		for range int(again/time.Second) - 10 {
			fetched(at, "billing", "v2", "k1", "k2")
			pass(time.Second)
		}
		if calls, rows := store.written(); rows != 0 || calls > 2*(int(again/Beat)+1) {
			t.Errorf("%d rows in %d calls for a consumer that asks each second, want none in %d", rows, calls, 2*(int(again/Beat)+1))
		}
		fetched(at, "billing", "v2", "k1", "k2")
		pass(10*time.Second + Interval)
		fetched(at, "billing", "v2", "k1", "k2")
		pass(Interval)
		if _, rows := store.written(); rows != 1 {
			t.Errorf("%d rows for a consumer that is still there, want 1", rows)
		}

		servers := heard().Servers
		if len(servers) != 1 || servers[0].Name != "a" || servers[0].Silent || servers[0].Ended || servers[0].Uses["k1"].Access != 3 || time.Since(servers[0].Since) < again {
			t.Errorf("b hears of %+v", servers)
		}
		stop()
		synctest.Wait()
		if s := heard().Servers[0]; !s.Ended {
			t.Errorf("a does not say that it ends: %+v", s)
		}
		pass(silence + time.Second)
		if s := heard().Servers[0]; s.Silent {
			t.Errorf("a ended, and is missed: %+v", s)
		}
		holds("k1", "k2")
		pass(Kept)
		if o := heard(); len(o.Servers)+len(o.Consumers) != 0 {
			t.Errorf("after a day b hears of %+v", o)
		}
	})
}

// TestLostAnswers: what was not told, or perhaps not, is told later; meanwhile the server is
// missed.
func TestLostAnswers(t *testing.T) {
	for _, made := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			store, broken := newMemory(), errors.New("the database is gone")
			_, at := start(ctx, store, "a")
			synctest.Wait()
			reader := New(Options{Store: store, Table: consumers.New(), Uses: func() map[string]Use { return nil }})
			store.failing(broken, made)
			fetched(at, "billing", "v1", "k1")
			pass(silence + Interval)
			if _, err := reader.Others(t.Context()); !errors.Is(err, broken) {
				t.Errorf("Others: %v, want %v", err, broken)
			}
			store.failing(nil, false)
			if o, err := reader.Others(t.Context()); err != nil || !made && (!o.Servers[0].Silent || len(o.Consumers) != 0) {
				t.Errorf("%+v, %v", o, err)
			}
			pass(Interval)
			if o, err := reader.Others(t.Context()); err != nil || o.Servers[0].Silent || len(o.Consumers) != 1 {
				t.Errorf("after the database came back: %+v, %v", o, err)
			}
		})
	}
}

// TestFloodIsBounded: forged consumers cost a bounded number of writes, and those that come
// back are told of first.
func TestFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		store := newMemory()
		_, at := start(ctx, store, "a")
		services := func(etag string) {
			for i := range 100 {
				fetched(at, fmt.Sprint("service-", i), etag, etag)
			}
		}
		pass(Interval / 2) // between two rounds
		services("v1")
		pass(time.Hour)
		services("v1")
		pass(Interval)
		store.written()
		for i := range 20_000 {
			fetched(at, fmt.Sprint("forged-", i), "v2", "v2")
		}
		services("v2")
		pass(Interval)
		if calls, rows := store.written(); calls != 1 || rows != most {
			t.Errorf("%d rows in %d calls, want %d in one", rows, calls, most)
		}
		current := 0
		_, places, _ := store.Peers(ctx, 0)
		for _, p := range places {
			if c, ok := decode(p, time.Now()); ok && c.Regular && c.ETag == "v2" {
				current++
			}
		}
		if current != 100 {
			t.Errorf("%d of 100 services are told of first", current)
		}
	})
}

// TestWhatCannotBeRead is passed over: a newer Signet may write another form.
func TestWhatCannotBeRead(t *testing.T) {
	for _, body := range []string{"", "{", `{"kids":1}`, `"x"`} {
		if _, ok := decode(Place{Body: []byte(body)}, time.Now()); ok {
			t.Errorf("%q is a consumer", body)
		}
		if _, ok := (State{Body: []byte(body)}).server(time.Now()); ok && body != `{"kids":1}` {
			t.Errorf("%q is a server", body)
		}
	}
	if _, ok := decode(Place{Body: make([]byte, maxBody+1)}, time.Now()); ok {
		t.Error("a body without a bound is read")
	}
}
