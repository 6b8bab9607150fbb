package issuer

import "time"

// Step is what a presented refresh token asks of its session.
type Step struct {
	// Presented is the jti of the refresh token that was presented, Next the
	// jti of the one that shall replace it, signed by the key KID.
	Presented, Next, KID string
	// Now is the instant of the request; Expires the exp of the next token.
	Now, Expires time.Time
	// Window is how long the previous token still gets the same successor.
	Window time.Duration
	// Epoch is the user's epoch as it is now.
	Epoch uint64
}

// Outcome is what became of a Step.
type Outcome int

const (
	// Advanced: the presented token was the current one; the next one is now.
	Advanced Outcome = iota + 1
	// Repeated: the presented token is the one before the current one, and the
	// reuse window is open. Its successor is still Current: a retry after a
	// lost answer, or two tabs at once.
	Repeated
	// Reused: the presented token was replaced earlier. Either it or its
	// successor is in the wrong hands (RFC 9700 §4.14.2): the session ends.
	Reused
	// Expired: the session is over by its own times.
	Expired
	// Superseded: the user got another password or was disabled since the
	// session began: it ends (OAuth 2.1 §4.3.1).
	Superseded
)

// Expired reports whether the session is over at now: idle for too long, or
// older than a session may become.
func (s *Session) Expired(now time.Time) bool {
	return !now.Before(s.Expires) || !now.Before(s.Ends)
}

// Advance decides what step does to the session and, when the outcome is
// Advanced, moves it on. It is the one place where this is decided; stores call
// it inside the transaction that reads and writes the record.
func (s *Session) Advance(step Step) Outcome {
	switch {
	case s.Expired(step.Now):
		return Expired
	case s.Epoch != step.Epoch:
		return Superseded
	case step.Presented == s.Current:
		s.Previous, s.Current = s.Current, step.Next
		s.KID = step.KID
		s.Rotated, s.Expires = step.Now, step.Expires
		s.Generation++
		return Advanced
	case s.honours(step.Presented, step.Now, step.Window):
		return Repeated
	default:
		return Reused
	}
}

// honours reports whether the session answers a refresh token with this jti at
// now: the current one, or the one before while the reuse window is open.
func (s *Session) honours(jti string, now time.Time, window time.Duration) bool {
	if jti == s.Current {
		return true
	}
	since := now.Sub(s.Rotated).Abs() // a clock that was set back opens no window
	return s.Previous != "" && jti == s.Previous && since <= window
}
