package linear

import (
	"context"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"

	"signet/issuer"
	"signet/users"
)

// memory keeps sessions in memory, by the contract of issuer.Sessions.
type memory struct {
	issuer.Store // for what is not used here
	mu           sync.Mutex
	sessions     map[string]issuer.Session
}

func newMemory() *memory { return &memory{sessions: map[string]issuer.Session{}} }

func (m *memory) CreateSession(_ context.Context, s issuer.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[s.ID] = s
	return nil
}

func (m *memory) Session(_ context.Context, id string) (issuer.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[id]
	if !ok {
		return s, issuer.ErrNoSession
	}
	return s, nil
}

func (m *memory) AdvanceSession(_ context.Context, id string, step issuer.Step) (issuer.Session, issuer.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[id]
	if !ok {
		return s, 0, issuer.ErrNoSession
	}
	outcome := s.Advance(step)
	m.put(s, outcome)
	return s, outcome, nil
}

func (m *memory) put(s issuer.Session, outcome issuer.Outcome) {
	switch outcome {
	case issuer.Advanced:
		m.sessions[s.ID] = s
	case issuer.Reused, issuer.Superseded:
		delete(m.sessions, s.ID)
	}
}

func (m *memory) EndSession(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.sessions[id]; !ok {
		return issuer.ErrNoSession
	}
	delete(m.sessions, id)
	return nil
}

func (m *memory) EndSubjectSessions(_ context.Context, subject string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.sessions, func(_ string, s issuer.Session) bool { return s.Subject == subject })
	return 0, nil
}

// lostUpdate lets two refreshes read before either has written.
type lostUpdate struct{ *memory }

func (b lostUpdate) AdvanceSession(ctx context.Context, id string, step issuer.Step) (issuer.Session, issuer.Outcome, error) {
	s, err := b.Session(ctx, id)
	if err != nil {
		return s, 0, err
	}
	outcome := s.Advance(step)
	for range 100 {
		runtime.Gosched()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(s, outcome)
	return s, outcome, nil
}

// mildReuse refuses an old token, and leaves the session to whoever has the new one.
type mildReuse struct{ *memory }

func (b mildReuse) AdvanceSession(ctx context.Context, id string, step issuer.Step) (issuer.Session, issuer.Outcome, error) {
	before, err := b.Session(ctx, id)
	if err == nil && before.Advance(step) == issuer.Reused {
		return before, issuer.Reused, nil
	}
	return b.memory.AdvanceSession(ctx, id, step)
}

// letsOut answers, now and then, that a session is not there because another was faster.
type letsOut struct {
	*memory
	calls atomic.Int64
}

func (b *letsOut) AdvanceSession(ctx context.Context, id string, step issuer.Step) (issuer.Session, issuer.Outcome, error) {
	if b.calls.Add(1)%20 == 0 {
		return issuer.Session{}, 0, issuer.ErrNoSession
	}
	return b.memory.AdvanceSession(ctx, id, step)
}

// late answers a logout before it is stored, and forgets every second one.
type late struct {
	*memory
	calls atomic.Int64
}

func (b *late) EndSession(ctx context.Context, id string) error {
	if b.calls.Add(1)%2 == 0 {
		_, err := b.Session(ctx, id)
		return err
	}
	return b.memory.EndSession(ctx, id)
}

// staleReads answers reads from a copy that is one change behind, as one that follows does.
type staleReads struct {
	*memory
	copies sync.Map
}

func (b *staleReads) AdvanceSession(ctx context.Context, id string, step issuer.Step) (issuer.Session, issuer.Outcome, error) {
	before, err := b.memory.Session(ctx, id)
	if err == nil {
		b.copies.Store(id, before)
	}
	return b.memory.AdvanceSession(ctx, id, step)
}

func (b *staleReads) Session(ctx context.Context, id string) (issuer.Session, error) {
	if s, ok := b.copies.Load(id); ok {
		return s.(issuer.Session), nil
	}
	return b.memory.Session(ctx, id)
}

// anyEpoch honours sessions from before the account was disabled.
type anyEpoch struct{ *memory }

func (b anyEpoch) AdvanceSession(ctx context.Context, id string, step issuer.Step) (issuer.Session, issuer.Outcome, error) {
	s, err := b.Session(ctx, id)
	if err != nil {
		return s, 0, err
	}
	step.Epoch = s.Epoch
	return b.memory.AdvanceSession(ctx, id, step)
}

func (anyEpoch) EndSubjectSessions(context.Context, string) (int, error) { return 0, nil }

// remembered asks for an account once, and is not told of changes.
type remembered struct {
	issuer.Users
	accounts sync.Map
}

func (b *remembered) ByID(ctx context.Context, id string) (users.User, error) {
	if u, ok := b.accounts.Load(id); ok {
		return u.(users.User), nil
	}
	u, err := b.Users.ByID(ctx, id)
	b.accounts.Store(id, u)
	return u, err
}

// crash is a fault that undoes what was stored since the last half of the run began.
func (m *memory) crash() []Fault {
	var saved map[string]issuer.Session
	return []Fault{
		{After: 100, Do: func() error {
			m.mu.Lock()
			defer m.mu.Unlock()
			saved = maps.Clone(m.sessions)
			return nil
		}},
		{After: 130, Do: func() error {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.sessions = saved
			return nil
		}},
	}
}
