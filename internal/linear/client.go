package linear

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// client makes one request after another.
type client struct {
	*run
	id     int
	chance *rand.Rand
	// disabled are the accounts that it has still to enable.
	disabled []string
}

func (c *client) loop(ctx context.Context) error {
	for c.made.Load() < int64(c.load.Requests) {
		if err := c.make(ctx, c.choose()); err != nil {
			return err
		}
	}
	return nil
}

// make makes one request of any target, and records it. After one that failed it waits
// until the target is there again: of each fault a client loses one answer.
func (c *client) make(ctx context.Context, r Request) error {
	target := c.load.Targets[c.chance.IntN(len(c.load.Targets))]
	op := Op{Client: c.id, Kind: r.Kind, User: r.User, Session: r.Session, Token: namesOf(r.Token).ID, Call: c.history.Now()}
	reply := target.Do(ctx, r)
	op.Return, op.Answer, op.Detail = c.history.Now(), reply.Answer, reply.Detail
	if reply.Answer == NotMade {
		return target.Await(ctx)
	}
	op.take(namesOf(reply.Token))
	c.history.Add(op)
	c.count()
	c.book.note(op, reply.Token)
	if reply.Answer == Lost {
		return target.Await(ctx)
	}
	return nil
}

// take notes which refresh token came with the answer.
func (op *Op) take(got tokenNames) {
	if op.Answer != Done || op.Kind != Login && op.Kind != Refresh {
		return
	}
	op.Next = got.ID
	if op.Kind == Login {
		op.Session = got.Session
	}
	if got.ID == "" || got.Session == "" || op.Session != got.Session {
		op.Answer, op.Detail = Strange, fmt.Sprintf("with the refresh token %q of the session %q", got.ID, got.Session)
	}
}

// weights are how often a client does what, of sessions that are there.
var weights = []struct {
	kind   Kind
	weight int
}{{Refresh, 60}, {Verify, 18}, {Login, 6}, {Logout, 4}, {EndSession, 3}, {EndUser, 2}, {Disable, 4}, {Rotate, 1}}

func (c *client) kind() Kind {
	sum := 0
	for _, w := range weights {
		sum += w.weight
	}
	n := c.chance.IntN(sum)
	for _, w := range weights {
		if n -= w.weight; n < 0 {
			return w.kind
		}
	}
	panic("linear: the weights do not sum up")
}

func (c *client) choose() Request {
	if len(c.disabled) > 0 && c.chance.IntN(3) == 0 {
		user := c.disabled[0]
		c.disabled = c.disabled[1:]
		return Request{Kind: Enable, User: user}
	}
	user := c.load.Users[c.chance.IntN(len(c.load.Users))]
	kind := c.kind()
	session, ok := c.book.pick(c.chance, user)
	if !ok {
		kind = Login
	}
	switch kind {
	case Refresh, Verify, Logout:
		return Request{Kind: kind, User: user, Session: session.id, Token: c.token(session)}
	case EndSession:
		return Request{Kind: kind, User: user, Session: session.id}
	case Disable:
		c.disabled = append(c.disabled, user)
	}
	return Request{Kind: kind, User: user}
}

// token is most often the last that is known, sometimes the one before it, seldom any.
func (c *client) token(s held) string {
	back := 0
	switch n := c.chance.IntN(100); {
	case n < 4:
		back = c.chance.IntN(len(s.tokens))
	case n < 16:
		back = 1
	}
	return s.tokens[max(0, len(s.tokens)-1-back)]
}

// settle asks each session what it honours, with the reuse window closed where that is
// worth waiting for, presents the first token or that before the current one, and asks again.
func (c *client) settle(ctx context.Context) error {
	if c.history.Window <= 2*time.Second {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(c.history.Window + 2*tolerance):
		}
	}
	for _, user := range c.load.Users {
		if err := c.make(ctx, Request{Kind: Enable, User: user}); err != nil {
			return err
		}
	}
	for _, s := range c.book.all() {
		last := s.tokens[len(s.tokens)-1]
		old := s.tokens[c.chance.IntN(2)*max(0, len(s.tokens)-2)]
		for _, r := range []Request{{Kind: Verify, Token: last}, {Kind: Refresh, Token: old}, {Kind: Verify, Token: last}} {
			r.User, r.Session = s.user, s.id
			if err := c.make(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// tokenNames is what a client reads of a refresh token; it has no key to verify it.
type tokenNames struct {
	ID      string `json:"jti"`
	Session string `json:"sid"`
}

// namesOf returns nothing for what is no token.
func namesOf(token string) (names tokenNames) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return tokenNames{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &names) != nil {
		return tokenNames{}
	}
	return names
}
