package throttle_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"signet/internal/throttle"
)

// model is a Limiter of maps: nothing is hashed, shared or evicted.
type model struct {
	rules    throttle.Rules
	counters map[string]tally
	proved   map[string]time.Duration
}

type tally struct {
	failures int
	last     time.Duration
}

// modelTry is what the model charged, by counter.
type modelTry struct {
	name, net     string
	rules         throttle.Rules
	exempts       bool
	before, after map[string]tally
	raised        map[string]bool
}

func (m *model) wait(free int, of tally) time.Duration {
	if of.failures < free {
		return 0
	}
	wait := time.Second
	for i := free; i < of.failures && wait < m.rules.MaxWait; i++ {
		wait *= 2
	}
	return min(wait, m.rules.MaxWait)
}

// charge forgets one failure for each MaxWait after the wait, and adds one, up to
// the first at which the wait is the longest; raised says whether that was not reached.
func (m *model) charge(free int, of tally, now time.Duration) (_ tally, raised bool) {
	for t := of.last + m.wait(free, of) + m.rules.MaxWait; t <= now && of.failures > 0; t += m.rules.MaxWait {
		of.failures--
	}
	forgot := of.failures
	of.failures++
	for m.wait(free, tally{failures: of.failures - 1}) == m.rules.MaxWait {
		of.failures--
	}
	return tally{of.failures, now}, of.failures > forgot
}

// frees are the rules that count a try, by counter.
func (m *model) frees(t *modelTry, known bool) map[string]int {
	frees := map[string]int{"address " + t.net: m.rules.Address}
	if site := siteOf(t.net); site != "" {
		frees[site] = 16 * m.rules.Address
	}
	if t.name != "" {
		frees["pair "+t.name+" "+t.net] = m.rules.Pair
		if !known {
			frees["account "+t.name] = m.rules.Account
		}
	}
	for key, free := range frees {
		if free == 0 {
			delete(frees, key)
		}
	}
	return frees
}

// siteOf is the counter of an IPv6 address's /48.
func siteOf(net string) string {
	a, err := netip.ParseAddr(net)
	if err != nil || a.Is4() {
		return ""
	}
	return "site " + netip.PrefixFrom(a, 48).Masked().String()
}

// ofAddress are the counters that one good account must not clear, and that do not
// hold who was proved there.
func ofAddress(key string) bool {
	return strings.HasPrefix(key, "address ") || strings.HasPrefix(key, "site ")
}

func (m *model) begin(name, net string, now time.Duration) (*modelTry, time.Duration) {
	t := &modelTry{name: name, net: net, rules: m.rules, before: map[string]tally{}, after: map[string]tally{}, raised: map[string]bool{}}
	t.exempts = name != "" && net != "" && m.rules.Pair > 0
	at, ok := m.proved[name+" "+net]
	known := t.exempts && ok && now-at <= 30*24*time.Hour
	frees := m.frees(t, known)
	var wait time.Duration
	for key, free := range frees {
		if c, ok := m.counters[key]; ok && !(known && ofAddress(key)) {
			wait = max(wait, c.last+m.wait(free, c)-now)
		}
	}
	if wait > 0 {
		return nil, wait
	}
	for key, free := range frees {
		t.before[key] = m.counters[key]
		t.after[key], t.raised[key] = m.charge(free, m.counters[key], now)
		m.counters[key] = t.after[key]
	}
	return t, 0
}

func (m *model) end(t *modelTry, o throttle.Outcome, now time.Duration) {
	for key := range t.after {
		switch {
		case o == throttle.Failed:
		case o == throttle.Proved && !ofAddress(key):
			delete(m.counters, key)
		case m.counters[key] == t.after[key]:
			m.counters[key] = t.before[key]
		case t.raised[key]:
			c := m.counters[key]
			c.failures = max(0, c.failures-1)
			m.counters[key] = c
		}
		if m.counters[key].failures == 0 {
			delete(m.counters, key)
		}
	}
	if o == throttle.Proved && t.exempts {
		m.proved[t.name+" "+t.net] = now
	}
}

func rulesGen(t *rapid.T) throttle.Rules {
	n := rapid.IntRange(0, 4)
	return throttle.Rules{Pair: n.Draw(t, "pair"), Address: n.Draw(t, "address"), Account: n.Draw(t, "account"),
		MaxWait: time.Duration(rapid.IntRange(1, 100).Draw(t, "max wait")) * time.Second}
}

// TestLimiterIsItsModel: on random histories, with tries that end late and rules
// that change, every answer is the model's.
func TestLimiterIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rulesGen(t)
		l, c := newLimiter(rules)
		m := &model{rules, map[string]tally{}, map[string]time.Duration{}}
		type open struct {
			done func(throttle.Outcome)
			try  *modelTry
		}
		var pending []open
		finish := func(i int, o throttle.Outcome) {
			p := pending[i]
			pending = append(pending[:i:i], pending[i+1:]...)
			p.done(o)
			m.end(p.try, o, time.Duration(c.Load()))
		}
		begin := func(t *rapid.T) {
			name := rapid.SampledFrom([]string{"kyoko", "pierre", "ada", ""}).Draw(t, "name")
			net := rapid.SampledFrom([]string{"192.0.2.1", "2001:db8::", "2001:db8:0:1::", "2001:db8:1::", "198.51.100.7", ""}).Draw(t, "address")
			from, _ := netip.ParseAddr(net)
			done, wait := l.Begin(name, from)
			try, want := m.begin(name, net, time.Duration(c.Load()))
			if wait != want {
				t.Fatalf("wait %s, want %s", wait, want)
			}
			if wait == 0 {
				pending = append(pending, open{done, try})
			}
		}
		outcome := rapid.SampledFrom([]throttle.Outcome{throttle.Failed, throttle.Failed, throttle.Failed, throttle.Proved, throttle.Void})
		t.Repeat(map[string]func(*rapid.T){
			"begin": begin,
			"try": func(t *rapid.T) {
				if begin(t); len(pending) > 0 {
					finish(len(pending)-1, outcome.Draw(t, "outcome"))
				}
			},
			"finish": func(t *rapid.T) {
				if len(pending) == 0 {
					t.Skip("nothing is open")
				}
				finish(rapid.IntRange(0, len(pending)-1).Draw(t, "which"), outcome.Draw(t, "outcome"))
			},
			"seconds": func(t *rapid.T) { c.advance(time.Duration(rapid.IntRange(1, 200).Draw(t, "s")) * time.Second) },
			"days":    func(t *rapid.T) { c.advance(time.Duration(rapid.IntRange(1, 20).Draw(t, "d")) * 24 * time.Hour) },
			"rules": func(t *rapid.T) {
				m.rules = rulesGen(t)
				l.SetRules(m.rules)
			},
		})
	})
}

// TestNoPatternOfTriesBeatsTheBound of the package comment: neither resting nor
// the choice of addresses helps a guesser.
func TestNoPatternOfTriesBeatsTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		free := rapid.IntRange(1, 10).Draw(t, "free")
		maxWait := time.Duration(rapid.IntRange(1, 2000).Draw(t, "max wait")) * time.Second
		counters := map[string]throttle.Rules{
			"pair":    {Pair: free, MaxWait: maxWait},
			"address": {Address: free, MaxWait: maxWait},
			"account": {Account: free, MaxWait: maxWait},
		}
		counter := rapid.SampledFrom([]string{"pair", "address", "account"}).Draw(t, "counter")
		l, c := newLimiter(counters[counter])
		doublings := 0
		for time.Second<<doublings < maxWait {
			doublings++
		}
		var passed []time.Duration
		rests := rapid.SliceOfN(rapid.IntRange(0, 3000), 1, 20).Draw(t, "rests, in seconds")
		bursts := rapid.SliceOfN(rapid.IntRange(1, 15), 1, 20).Draw(t, "bursts")
		for i := range 60 {
			c.advance(time.Duration(rests[i%len(rests)]) * time.Second)
			for j := range bursts[i%len(bursts)] {
				name, from := "kyoko", host(1)
				switch counter {
				case "address":
					name = fmt.Sprint(i, j)
				case "account":
					from = host(i*100 + j)
				}
				wait := fail(l, name, from)
				if wait == 0 {
					passed = append(passed, time.Duration(c.Load()))
				}
				c.advance(wait)
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				most := free + doublings + 1 + int((passed[j]-passed[i])/maxWait)
				if j-i+1 > most {
					t.Fatalf("%d tries passed within %s, more than %d", j-i+1, passed[j]-passed[i], most)
				}
			}
		}
	})
}
