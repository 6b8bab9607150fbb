package linear

import (
	"fmt"
	"strings"
	"time"
)

// names are short names for sessions and tokens, in the order of their appearance.
type names struct {
	sessions map[string]string // by sid
	tokens   map[string]string // by jti
	counts   map[string]int    // of tokens, by sid
}

func nameAll(ops []Op) *names {
	n := &names{sessions: map[string]string{}, tokens: map[string]string{}, counts: map[string]int{}}
	for _, op := range ops {
		if op.Session == "" {
			continue
		}
		if n.sessions[op.Session] == "" {
			n.sessions[op.Session] = fmt.Sprintf("S%d", len(n.sessions)+1)
		}
		if op.Next != "" && n.tokens[op.Next] == "" {
			n.tokens[op.Next] = fmt.Sprintf("%s#%d", n.sessions[op.Session], n.counts[op.Session])
			n.counts[op.Session]++
		}
	}
	return n
}

func (n *names) token(jti string) string {
	if jti == unknown {
		return "one whose answer was lost"
	}
	if name := n.tokens[jti]; name != "" {
		return name
	}
	return "a token nobody has seen"
}

// describe is op in a few words.
func (n *names) describe(op *Op) string {
	var b strings.Builder
	b.WriteString(op.Kind.String())
	switch {
	case op.Token != "":
		b.WriteString(" " + n.token(op.Token))
	case op.Kind == EndSession:
		b.WriteString(" " + n.sessions[op.Session])
	default:
		b.WriteString(" " + op.User)
	}
	b.WriteString(": " + op.Answer.String())
	if op.Next != "" {
		b.WriteString(", " + n.token(op.Next))
	}
	if op.Detail != "" {
		b.WriteString(" (" + op.Detail + ")")
	}
	return b.String()
}

// line is op with its client and its times.
func (n *names) line(op *Op) string {
	until := "ever"
	if op.Return != Forever {
		until = clock(op.Return)
	}
	return fmt.Sprintf("%9s to %9s  client %d  %s", clock(op.Call), until, op.Client, n.describe(op))
}

func clock(ns int64) string { return fmt.Sprintf("%.4fs", time.Duration(ns).Seconds()) }

// state is s in a few words, in brackets: several may be possible.
func (n *names) state(s state) string { return "[" + n.stateWords(s) + "]" }

func (n *names) stateWords(s state) string {
	account := "enabled"
	if s.disabled {
		account = "disabled"
	}
	switch s.life {
	case absent:
		return "not begun, account " + account
	case superseded:
		return "over since the account was disabled, account " + account
	case ended:
		return "ended, account " + account
	}
	text := "alive, current " + n.token(s.current)
	if s.previous != "" {
		text += ", before it " + n.token(s.previous)
	}
	return text
}
