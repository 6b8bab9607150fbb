package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
)

// fault is how a write goes wrong.
type fault int

const (
	noFault fault = iota
	// lost: reported as failed, and nothing was stored.
	lost
	// applied: reported as failed, and stored all the same.
	applied
	// late: reported as failed, and stored when land is called, if it still can be.
	late
	// blocking is late, and until land every write fails: it has the lock of the row.
	blocking
)

var (
	errDisk = errors.New("the disk is full")
	errRead = errors.New("the disk cannot be read")
)

// memStore keeps the ring in memory as JSON: it shares nothing with a Manager,
// and stores what a database would store.
type memStore struct {
	mu     sync.Mutex
	text   []byte
	faults []fault // of the coming writes
	noRead bool
	lost   *Ring // by a fault that is late
	locked bool
	// sealing, if there is one, makes an edit what another process could have stored.
	sealing *SealingKey
	// before runs just before the next write: another process may have its turn.
	before        func()
	loads, writes int
}

func (s *memStore) LoadRing(ctx context.Context) (Ring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	if s.noRead {
		return Ring{}, errRead
	}
	return s.decode(), ctx.Err()
}

func (s *memStore) ReplaceRing(ctx context.Context, r Ring) error {
	if before := s.before; before != nil {
		s.before = nil
		before()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.decode().Version != r.Version {
		return ErrConflict
	}
	if s.locked {
		return errDisk
	}
	fault := noFault
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	switch fault {
	case late, blocking:
		s.lost, s.locked = &r, fault == blocking
	case noFault, applied:
		s.encode(r)
	}
	if fault != noFault {
		return errDisk
	}
	return ctx.Err() // a context that ends during the write: stored, and nobody hears of it
}

// land lets the late write arrive, and reports whether it was made.
func (s *memStore) land() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.lost
	s.lost, s.locked = nil, false
	if s.decode().Version != r.Version {
		return false
	}
	s.encode(*r)
	return true
}

func (s *memStore) decode() Ring {
	var r Ring
	if s.text != nil && json.Unmarshal(s.text, &r) != nil {
		panic("what was stored is not a ring")
	}
	return r
}

func (s *memStore) encode(r Ring) {
	r.Version++
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	s.text = text
}

// loaded counts how often the ring was asked for.
func (s *memStore) loaded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads
}

// ring is what is stored.
func (s *memStore) ring() Ring {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.decode()
}

// bytes is the text of what is stored.
func (s *memStore) bytes() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// edit changes what is stored behind the Manager's back, as another process would.
func (s *memStore) edit(change func(*Ring)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ring := s.decode()
	change(&ring)
	if s.sealing != nil {
		var err error
		if ring, err = s.sealing.authenticate(ring); err != nil {
			panic(err)
		}
	}
	s.encode(ring)
}

// The properties below rest on memStore: it must be a store.
func TestMemStoreComparesAndSwaps(t *testing.T) {
	s, ctx := &memStore{}, t.Context()
	first, err := s.LoadRing(ctx)
	if err != nil || first.Version != 0 || len(first.Keys) != 0 {
		t.Fatalf("an empty store has %+v, %v", first, err)
	}
	if err := s.ReplaceRing(ctx, first); err != nil {
		t.Fatal(err)
	}
	if err := s.ReplaceRing(ctx, first); !errors.Is(err, ErrConflict) {
		t.Fatalf("the second of two writes: %v, want %v", err, ErrConflict)
	}
	s.faults = []fault{lost, applied}
	for _, want := range []uint64{1, 2} {
		if err := s.ReplaceRing(ctx, s.ring()); !errors.Is(err, errDisk) {
			t.Fatalf("a failing write: %v", err)
		}
		if got := s.ring().Version; got != want {
			t.Fatalf("version %d after a failing write, want %d", got, want)
		}
	}
}
