package pgstore

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"signet/internal/pgtest"
	"signet/internal/throttle"
)

// eachMode runs a test on a new database in the ways in which one may be reached.
func eachMode(t *testing.T, run func(t *testing.T, url string)) {
	for _, options := range []string{"", "&default_transaction_isolation=serializable", "&default_query_exec_mode=exec"} {
		t.Run(strings.TrimPrefix(options, "&"), func(t *testing.T) { run(t, pgtest.Start(t).Database(t)+options) })
	}
}

func exchange(t *testing.T, s *Store, out throttle.Batch, seen map[int64]int64) []throttle.Batch {
	t.Helper()
	theirs, err := s.Exchange(t.Context(), out, seen)
	if err != nil {
		t.Fatal(err)
	}
	return theirs
}

// numbers are those of a replica's batches, in order.
func numbers(theirs []throttle.Batch, replica int64) (n []int64) {
	for _, b := range theirs {
		if b.Replica == replica {
			n = append(n, b.Number)
		}
	}
	return n
}

func TestExchangeOfBatches(t *testing.T) {
	eachMode(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		batch := func(replica, number int64, age time.Duration, body string) throttle.Batch {
			return throttle.Batch{Replica: replica, Number: number, Age: age, Body: []byte(body)}
		}
		exchange(t, s, batch(1, 1, time.Minute, "first"), nil)
		exchange(t, s, batch(1, 1, 0, "the same again"), nil)
		exchange(t, s, batch(1, 2, throttle.Kept+time.Second, "too old"), nil)
		exchange(t, s, batch(1, 3, 0, "third"), nil)
		exchange(t, s, batch(2, 1, 0, "another's"), nil)
		if theirs := exchange(t, s, throttle.Batch{Replica: 2}, nil); !slices.Equal(numbers(theirs, 1), []int64{1, 3}) || len(theirs) != 2 {
			t.Fatalf("replica 2 hears %v", theirs)
		} else if first := theirs[0]; string(first.Body) != "first" || first.Age < time.Minute || first.Age > 2*time.Minute {
			t.Errorf("a batch made a minute ago is %s old, with %q", first.Age, first.Body)
		}
		theirs := exchange(t, s, throttle.Batch{Replica: 3}, map[int64]int64{1: 1, 7: 9})
		if !slices.Equal(numbers(theirs, 1), []int64{3}) || !slices.Equal(numbers(theirs, 2), []int64{1}) {
			t.Errorf("replica 3, which has seen the first, hears %v", theirs)
		}
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		var left int
		if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM signet_throttle`).Scan(&left); err != nil || left != 3 {
			t.Errorf("%d batches are left after a sweep, want 3: %v", left, err)
		}
	})
}

// TestExchangeIsHeardInOrder: replicas that write and read all at once hear each batch of
// the others once, in the order of its numbers.
func TestExchangeIsHeardInOrder(t *testing.T) {
	const replicas, batches = 4, 40
	eachMode(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for replica := range int64(replicas) {
			s := openTest(t, url)
			wg.Go(func() {
				seen, heard := map[int64]int64{}, 0
				for n := int64(1); (n <= batches || heard < (replicas-1)*batches) && !t.Failed(); n++ {
					out := throttle.Batch{Replica: replica + 1}
					if n <= batches {
						out.Number, out.Body = n, []byte{1}
					}
					theirs, err := s.Exchange(t.Context(), out, seen)
					if err != nil || len(theirs) > throttle.MaxBatches {
						t.Errorf("%d batches, %v", len(theirs), err)
						return
					}
					for _, b := range theirs {
						if b.Number != seen[b.Replica]+1 {
							t.Errorf("after batch %d of replica %d comes %d", seen[b.Replica], b.Replica, b.Number)
						}
						seen[b.Replica] = b.Number
						heard++
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestThrottleKeyIsOneForAll(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	keys := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		s := openTest(t, url)
		wg.Go(func() {
			var err error
			if keys[i], err = s.ThrottleKey(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, key := range keys {
		if len(key) != 32 || !bytes.Equal(key, keys[0]) {
			t.Fatalf("keys %x", keys)
		}
	}
	decoys, err := openTest(t, url).DecoyKey(t.Context())
	if err != nil || bytes.Equal(decoys, keys[0]) {
		t.Errorf("the key of decoys is that of the throttle: %v", err)
	}
}

// sharing are replicas that share what they count over one database, with a clock that
// can be put forward.
type sharing struct {
	replicas []*throttle.Limiter
	forward  atomic.Int64
	log      syncBuffer
}

type syncBuffer struct {
	sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.Lock()
	defer b.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) has(text string) bool {
	b.Lock()
	defer b.Unlock()
	return strings.Contains(b.Buffer.String(), text)
}

func share(t *testing.T, url string, n int) *sharing {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	stores := make([]*Store, n)
	for i := range stores {
		stores[i] = openTest(t, url)
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	sh := new(sharing)
	now := func() time.Time { return time.Now().Add(time.Duration(sh.forward.Load())) }
	for _, s := range stores {
		key, err := s.ThrottleKey(ctx)
		if err != nil {
			t.Fatal(err)
		}
		l := throttle.NewShared(throttle.Rules{Pair: 5, MaxWait: time.Hour}, now, key)
		wg.Go(func() { l.Share(ctx, s, slog.New(slog.NewTextHandler(&sh.log, nil))) })
		sh.replicas = append(sh.replicas, l)
	}
	return sh
}

// exhaust fails at a replica until the wait is two minutes.
func (sh *sharing) exhaust(t *testing.T, l *throttle.Limiter, name string, from netip.Addr) {
	t.Helper()
	waitFor(t, "a long wait", func() bool {
		done, wait := l.Begin(name, from)
		if wait == 0 {
			done(throttle.Failed)
		} else if wait < 2*time.Minute {
			sh.forward.Add(int64(wait))
		}
		return wait >= 2*time.Minute
	})
}

// TestReplicasThrottleTogether over a real database, also one that ends and comes back,
// and nothing in it names an account or an address.
func TestReplicasThrottleTogether(t *testing.T) {
	cluster := pgtest.New(t, pgtest.Options{})
	url := cluster.Database(t)
	sh := share(t, url, 3)
	from := netip.MustParseAddr("192.0.2.77")
	refused := func(replica int, name string) func() bool {
		return func() bool {
			done, wait := sh.replicas[replica].Begin(name, from)
			if wait == 0 {
				done(throttle.Void)
			}
			return wait > time.Minute
		}
	}
	sh.exhaust(t, sh.replicas[0], "kyoko", from)
	began := time.Now()
	waitFor(t, "replica 1 to refuse", refused(1, "kyoko"))
	waitFor(t, "replica 2 to refuse", refused(2, "kyoko"))
	t.Logf("the others refuse after %s", time.Since(began).Round(time.Millisecond))

	cluster.Stop(t)
	sh.exhaust(t, sh.replicas[1], "pierre", from)
	waitFor(t, "the replicas to say that they are cut off", func() bool { return sh.log.has("level=WARN") })
	cluster.Resume(t)
	waitFor(t, "replica 0 to hear what failed meanwhile", refused(0, "pierre"))
	waitFor(t, "the replicas to say that they hear again", func() bool { return sh.log.has("level=INFO") })

	s := openTest(t, url)
	rows, err := s.pool.Query(t.Context(), `SELECT body FROM signet_throttle`)
	if err != nil {
		t.Fatal(err)
	}
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil || len(bodies) < 5 {
		t.Fatalf("%d batches, %v", len(bodies), err)
	}
	address := from.As4()
	for _, body := range bodies {
		if bytes.Contains(body, []byte("kyoko")) || bytes.Contains(body, address[:]) || bytes.Contains(body, []byte(from.String())) {
			t.Errorf("a batch names an account or an address: %q", body)
		}
	}
}

// waitFor waits for what replicas do on their own.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}
