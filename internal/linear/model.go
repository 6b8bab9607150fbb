package linear

import (
	"hash/maphash"
	"time"

	"github.com/anishathalye/porcupine"
)

// life is how far a session has come.
type life int

const (
	absent life = iota
	alive
	// superseded: the account was disabled since it began. It is over, and its record
	// may be there or not.
	superseded
	ended
)

// state is one session and what is known of its account.
type state struct {
	disabled          bool
	life              life
	current, previous string // jti
	from, to          int64  // between these the current token was made
}

// unknown is the current token of a session whose last refresh was not answered.
const unknown = "?"

// tolerance is what the clock of the server, which counts milliseconds, may differ from
// that of the history over the length of a reuse window.
const tolerance = 50 * time.Millisecond

// rules are what a session does; step is the whole of them.
type rules struct{ window time.Duration }

// step returns the states that op may leave behind: none if it cannot be answered so in
// state s, two where it is not known whether it was done.
func (r rules) step(s state, op *Op) []state {
	switch {
	case op.Answer == Strange:
		return nil
	case op.Answer == Inactive:
		return only(s.disabled, s)
	case op.Answer == Lost:
		return append(r.done(s, op), s)
	case op.Answer == Refused:
		return r.refused(s, op)
	}
	return r.done(s, op)
}

// done is step for an op that is carried out; its answer may be known or not.
func (r rules) done(s state, op *Op) []state {
	switch op.Kind {
	case Login:
		ok := !s.disabled && s.life == absent
		s.life, s.current = alive, op.Next
		return only(ok, s)
	case Refresh:
		return r.refresh(s, op)
	case Verify:
		return only(r.live(s) && r.mayHonour(s, op), s)
	case Logout, EndSession:
		ok := s.life == alive || s.life == superseded
		return only(ok, end(s))
	case EndUser:
		if s.life == alive {
			s = end(s)
		}
		return []state{s}
	case Disable:
		s.disabled = true
		if s.life == alive {
			s.life = superseded
		}
		return []state{s}
	case Enable:
		s.disabled = false
		return []state{s}
	case sawEnabled:
		return only(!s.disabled, s)
	default:
		return nil
	}
}

// refresh trades the current token for a new one, and answers the one before it with
// the same successor while the window is open. Lost, it may also be what ends the session.
func (r rules) refresh(s state, op *Op) []state {
	lost := op.Answer == Lost
	switch {
	case !r.live(s):
		return nil
	case op.Token == s.current && lost:
		return []state{advanced(s, op, unknown)}
	case op.Token == s.current:
		return only(op.Next != op.Token, advanced(s, op, op.Next))
	case lost:
		return only(r.mayRefuse(s, op), end(s))
	case op.Token == s.previous && r.mayBeOpen(s, op):
		ok := s.current == op.Next || s.current == unknown
		s.current = op.Next
		return only(ok, s)
	default:
		return nil
	}
}

// refused is step for an answer that the session does not honour the token: it has
// ended, or a refresh with an older token ends it.
func (r rules) refused(s state, op *Op) []state {
	switch {
	case s.life == superseded, s.life == ended:
		return []state{s}
	case op.Kind == Refresh:
		return only(r.live(s) && r.mayRefuse(s, op), end(s))
	case op.Kind == Verify:
		return only(r.live(s) && r.mayRefuse(s, op), s)
	default:
		return nil
	}
}

func (r rules) live(s state) bool { return s.life == alive && !s.disabled }

func (r rules) mayHonour(s state, op *Op) bool {
	return op.Token == s.current || op.Token == s.previous && r.mayBeOpen(s, op)
}

func (r rules) mayRefuse(s state, op *Op) bool {
	return op.Token != s.current && (op.Token != s.previous || r.mayBeClosed(s, op))
}

// mayBeOpen tells whether the reuse window can have been open for op: the server read its
// clock once between call and return, for the request that made the current token as for
// this one.
func (r rules) mayBeOpen(s state, op *Op) bool {
	least := max(0, op.Call-s.to, s.from-op.Return)
	return time.Duration(least) <= r.window+tolerance
}

func (r rules) mayBeClosed(s state, op *Op) bool {
	most := max(op.Return-s.from, s.to-op.Call)
	return time.Duration(most) > r.window-tolerance
}

func advanced(s state, op *Op, next string) state {
	s.previous, s.current = s.current, next
	s.from, s.to = op.Call, op.Return
	return s
}

func end(s state) state { return state{disabled: s.disabled, life: ended} }

func only(ok bool, s state) []state {
	if !ok {
		return nil
	}
	return []state{s}
}

var hashSeed = maphash.MakeSeed()

// model is the rules in the form that porcupine takes.
func (r rules) model(describe func(*Op) string, describeState func(state) string) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{state{}} },
		Step: func(s, op, _ any) (next []any) {
			for _, n := range r.step(s.(state), op.(*Op)) {
				next = append(next, n)
			}
			return next
		},
		Hash:              func(s any) uint64 { return maphash.Comparable(hashSeed, s.(state)) },
		DescribeOperation: func(op, _ any) string { return describe(op.(*Op)) },
		DescribeState:     func(s any) string { return describeState(s.(state)) },
	}
	return m.ToModel()
}
