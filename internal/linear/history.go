// Package linear checks that what clients saw of one issuer, of however many
// processes it is made, could have happened one request after another: it records
// histories of concurrent requests and looks for an order of each that the rules of
// sessions allow (linearizability; Herlihy and Wing, 1990).
//
// Start at [History.Check]. model.go has the rules, written anew and not by the code
// that they are the rules of; projection.go cuts a history into parts that are quick to
// check; [Load] makes histories with clients that choose by chance, against a [Target].
//
// It is for tests: nothing else imports it.
package linear

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Kind is what a request asks for.
type Kind int

// The requests. The last two are no requests of their own: they are what a request
// about another session tells about the account.
const (
	Login Kind = iota + 1
	Refresh
	Verify
	Logout
	EndSession
	EndUser
	Disable
	Enable
	Rotate
	sawEnabled
	sawDisabled
)

var kindNames = map[Kind]string{
	Login: "login", Refresh: "refresh", Verify: "verify", Logout: "logout", EndSession: "end session", EndUser: "end sessions of user",
	Disable: "disable", Enable: "enable", Rotate: "rotate keys", sawEnabled: "is enabled", sawDisabled: "is disabled",
}

func (k Kind) String() string { return kindNames[k] }

// Answer is what became of a request.
type Answer int

const (
	// NotMade: it reached no server, for certain. It is no part of a history.
	NotMade Answer = iota + 1
	// Done: it was answered with success.
	Done
	// Refused: the session has ended, or does not honour the token.
	Refused
	// Inactive: the account is disabled.
	Inactive
	// Lost: no answer came, or one that does not tell whether it was done.
	Lost
	// Strange: any other answer. No order of requests explains it.
	Strange
)

var answerNames = map[Answer]string{
	NotMade: "not made", Done: "done", Refused: "refused", Inactive: "account inactive", Lost: "answer lost", Strange: "strange answer",
}

func (a Answer) String() string { return answerNames[a] }

// Op is a request and its answer. Instants are nanoseconds since the history began.
type Op struct {
	Client       int
	Kind         Kind
	User         string
	Session      string // of a login: the one that it began
	Token        string // the jti that was presented
	Next         string // the jti of the refresh token in the answer
	Answer       Answer
	Detail       string // what else is known of the answer, for the reader
	Call, Return int64
}

// Forever is the Return of a request that may still take effect at any time.
const Forever = math.MaxInt64

// History is what clients saw: safe for concurrent use.
type History struct {
	// Window is the reuse window of refresh tokens that was in force.
	Window time.Duration

	start   time.Time
	mu      sync.Mutex
	ops     []Op
	outages []outage
}

// outage is a time in which no server process was there.
type outage struct{ from, to int64 }

// NewHistory begins a history.
func NewHistory(window time.Duration) *History {
	return &History{Window: window, start: time.Now()}
}

// Now is the instant on the clock of the history.
func (h *History) Now() int64 { return int64(time.Since(h.start)) }

// Add records a request that has been answered, or whose answer has been given up.
func (h *History) Add(op Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// Down says that from now on until Up no process of the issuer is there, and none of
// a database that may still be at work for one: what was lost before takes effect no more.
func (h *History) Down() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outages = append(h.outages, outage{from: h.Now(), to: Forever})
}

// Up says that a process is about to be started.
func (h *History) Up() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outages[len(h.outages)-1].to = h.Now()
}

// Ops returns the history so far, in the order of calls.
func (h *History) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	ops := slices.Clone(h.ops)
	for i := range ops {
		if ops[i].Answer == Lost {
			ops[i].Return = h.latest(ops[i])
		}
	}
	slices.SortStableFunc(ops, func(a, b Op) int { return int(a.Call - b.Call) })
	return ops
}

// latest is when a lost request has taken effect if it ever does. One that was given up
// before a process was started was with a process that had died by then.
func (h *History) latest(op Op) int64 {
	for _, o := range h.outages {
		if op.Return < o.to {
			return max(o.from, op.Call)
		}
	}
	return Forever
}
