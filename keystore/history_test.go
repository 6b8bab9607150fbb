package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"pgregory.net/rapid"

	"signet/jwks"
)

// history is a life of the keys, with everyone who relies on them: it remembers
// every token that was made and every copy of the key set that a cache may hold.
type history struct {
	rapid.TB
	m     *Manager
	clock *clock
	store *memStore
	opts  Options

	// leapt is how far the clock is ahead of the time that has passed.
	leapt time.Duration
	// access and refresh are the living tokens, by the kid of the key that made them;
	// earlier are those from before a leap of the clock.
	access, refresh map[string]minted
	earlier         []minted
	copies          map[string]held // by ETag
	revoked         map[string]bool
	// abrupt: a key has signed that caches had not seen, as --now and revoke
	// announce, so cached copies are not held to anything.
	abrupt bool
	// faulty: writes fail, so a restart may have something to catch up on.
	faulty bool
}

// minted is the tokens of one key, of which only the last to expire matters.
type minted struct {
	text    string    // the longest living token
	made    time.Time // by the clock
	expires time.Time // for the client with the largest leeway
	passed  time.Time // when its life has passed, whatever the clock says
	public  string    // the key's entry in the key set when it was made

	kid     string
	refresh bool
}

// held is one key set in the caches of clients.
type held struct {
	keys   map[string]string // kid -> the key's entry
	until  time.Time
	passed time.Time // as in minted
}

func newHistory(t rapid.TB, sealing *SealingKey, policy Policy) *history {
	h := &history{
		TB: t, clock: newClock(), store: &memStore{},
		access: map[string]minted{}, refresh: map[string]minted{}, copies: map[string]held{}, revoked: map[string]bool{},
	}
	h.opts = Options{Store: h.store, Sealing: sealing, Policy: &policy, Now: h.clock.Now, Log: silent,
		Elapsed: func() time.Duration { return h.passed().Sub(start) }}
	h.restart()
	return h
}

// passed is what a clock would show that nobody has set.
func (h *history) passed() time.Time { return h.clock.Now().Add(-h.leapt) }

// restart ends the process in good order and starts it again.
func (h *history) restart() {
	if h.m != nil {
		h.leave()
	}
	h.start()
}

// leave is what Run does at its end, tried again where a write may fail.
func (h *history) leave() {
	h.m.leave(context.Background())
	h.m.leave(context.Background())
}

func (h *history) start() {
	m, err := Open(context.Background(), h.opts)
	if errors.Is(err, errDisk) { // as a supervisor would
		m, err = Open(context.Background(), h.opts)
	}
	if err != nil {
		h.Fatalf("restart: %v", err)
	}
	h.m = m
}

// expect fails on an error that is none of those that the situation allows.
func (h *history) expect(err error, allowed ...error) bool {
	if err == nil {
		return true
	}
	var pending *PendingError
	if errors.As(err, &pending) || h.faulty && errors.Is(err, errDisk) {
		return false
	}
	if !slices.ContainsFunc(allowed, func(target error) bool { return errors.Is(err, target) }) {
		h.Fatalf("at %v: %v", h.clock.Now(), err)
	}
	return false
}

func (h *history) rotate(req RotateRequest) {
	_, err := h.m.Rotate(context.Background(), req, false)
	if (req.Ripe || req.Hold) && errors.Is(err, ErrNoKey) { // none is held, or none can be
		return
	}
	h.expect(err, ErrTooSoon, ErrAlgorithm, ErrStopped)
}

func (h *history) revoke(kid string) {
	_, err := h.m.Revoke(context.Background(), kid, false)
	h.expect(err, ErrRevoked)
	if k := h.m.state.Load().ring.find(kid); k != nil && !k.Revoked.IsZero() {
		h.revoked[kid] = true
		delete(h.access, kid)
		delete(h.refresh, kid)
	}
}

func (h *history) setPolicy(p Policy) {
	if h.expect(h.m.SetPolicy(context.Background(), p)) {
		h.opts.Policy = &p
	}
}

// maintain does what is due: then no private half is left that signs no more.
func (h *history) maintain() {
	next, err := h.m.Maintain(context.Background())
	if !h.expect(err) {
		return
	}
	if !next.IsZero() && !next.After(h.clock.Now()) {
		h.Fatalf("at %v the next thing is due at %v", h.clock.Now(), next)
	}
	stored, now := h.store.ring(), h.clock.Now()
	for i := range stored.Keys {
		k := &stored.Keys[i]
		if k.open(now) && k.Revoked.IsZero() {
			continue
		}
		if k.Sealed != "" || h.m.state.Load().keys[k.KID].private != nil {
			h.Fatalf("at %v the private half of %s exists, which signed until %v", now, k.KID, k.SignsUntil)
		}
	}
}

// check makes tokens, lets caches fetch the key set, and holds everything to its promise.
func (h *history) check() {
	set := h.fetch()
	h.mint(set)
	h.checkTokens(set)
	h.checkChains()
	h.checkStored()
}

// fetch is what a client gets that asks for the key set now.
func (h *history) fetch() held {
	handler := jwks.Handler{Source: h.m, Now: h.clock.Now,
		MaxAge: func() time.Duration { return h.m.Policy().JWKSMaxAge }}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/jwks.json", nil))
	_, value, _ := strings.Cut(w.Header().Get("Cache-Control"), "max-age=")
	value, _, _ = strings.Cut(value, ",")
	seconds, err := strconv.Atoi(value)
	if err != nil || seconds < 0 {
		h.Fatalf("Cache-Control: %s", w.Header().Get("Cache-Control"))
	}
	var body struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Keys) == 0 {
		h.Fatalf("at %v the key set is %s", h.clock.Now(), w.Body)
	}
	fresh := time.Duration(seconds) * time.Second
	copy := held{keys: map[string]string{}, until: h.clock.Now().Add(fresh), passed: h.passed().Add(fresh)}
	for _, key := range body.Keys {
		var name struct{ KID string }
		if err := json.Unmarshal(key, &name); err != nil {
			h.Fatalf("key %s: %v", key, err)
		}
		copy.keys[name.KID] = string(key)
	}
	tag := w.Header().Get("ETag")
	copy.until = later(copy.until, h.copies[tag].until)
	copy.passed = later(copy.passed, h.copies[tag].passed)
	h.copies[tag] = copy
	return copy
}

// mint makes tokens with every algorithm, and with none named.
func (h *history) mint(set held) {
	for _, alg := range append([]string{""}, h.m.Policy().Algorithms...) {
		token, kid, err := h.m.Sign(alg, "JWT", []byte(`{"sub":"kyoko"}`))
		if alg != "" && errors.Is(err, ErrNoKey) && h.activeKey(alg) == "" {
			continue
		}
		if err != nil {
			h.Fatalf("at %v nothing signs for %q: %v", h.clock.Now(), alg, err)
		}
		if k := h.m.state.Load().ring.find(kid); k.State(h.m.time()) != Active || alg != "" && k.Alg != alg {
			h.Fatalf("at %v a %s %s key signs for %q", h.clock.Now(), k.State(h.m.time()), k.Alg, alg)
		}
		if h.access[kid].text == "" {
			h.verify(token, kid, set)
		}
		h.remember(h.access, kid, token, set, h.m.Policy().AccessLifetime+clientLeeway)
		h.remember(h.refresh, kid, token, set, h.m.Policy().RefreshLifetime)
	}
}

// remember counts whole seconds, as exp does (RFC 7519 §2, NumericDate).
func (h *history) remember(tokens map[string]minted, kid, token string, set held, life time.Duration) {
	if expires := h.clock.Now().Truncate(time.Second).Add(life); expires.After(tokens[kid].expires) {
		tokens[kid] = minted{text: token, expires: expires, public: set.keys[kid],
			made: h.clock.Now(), passed: h.passed().Add(life), kid: kid}
	}
}

// verify checks the signature with what a client has.
func (h *history) verify(token, kid string, set held) {
	key, err := jwk.ParseKey([]byte(set.keys[kid]))
	if err != nil {
		h.Fatalf("at %v key %s is not in the key set: %v", h.clock.Now(), kid, err)
	}
	if _, err := jws.Verify([]byte(token), jws.WithKey(key.Algorithm(), key)); err != nil {
		h.Fatalf("at %v a token of key %s: %v", h.clock.Now(), kid, err)
	}
}

func (h *history) activeKey(alg string) string {
	for _, k := range h.m.Keys() {
		if k.Alg == alg && k.State == Active && k.PrivateHalf {
			return k.KID
		}
	}
	return ""
}

// checkTokens is the invariant: every living token verifies with the key set of
// the instant and with every copy that a cache may hold, and every living
// refresh token verifies here. The key's entry stands for the signatures: the
// first that the key made was verified with it.
func (h *history) checkTokens(set held) {
	now := h.clock.Now()
	for kid, token := range h.access {
		if !now.Before(token.expires) {
			delete(h.access, kid)
		} else if set.keys[kid] != token.public {
			h.Fatalf("at %v a token of key %s, alive until %v, does not verify: the key set has %v", now, kid, token.expires, set.keys)
		}
	}
	for tag, copy := range h.copies {
		if !now.Before(copy.until) || !h.passed().Before(copy.passed) {
			delete(h.copies, tag)
			continue
		}
		for kid, token := range h.access {
			if !h.abrupt && copy.keys[kid] != token.public {
				h.Fatalf("at %v a token of key %s does not verify with a copy that is held until %v", now, kid, copy.until)
			}
		}
	}
	for kid, token := range h.refresh {
		if !now.Before(token.expires) {
			delete(h.refresh, kid)
		} else if _, _, ok := h.m.PublicKey(kid); !ok {
			h.Fatalf("at %v a refresh token of key %s, alive until %v, does not verify", now, kid, token.expires)
		}
	}
	h.checkEarlier(set)
	for kid := range h.revoked {
		if _, _, ok := h.m.PublicKey(kid); ok || set.keys[kid] != "" {
			h.Fatalf("at %v the revoked key %s verifies here: %v, is published: %v", now, kid, ok, set.keys[kid] != "")
		}
	}
}

// checkEarlier is checkTokens for tokens from before a leap of the clock.
func (h *history) checkEarlier(set held) {
	now := h.clock.Now()
	h.earlier = slices.DeleteFunc(h.earlier, func(t minted) bool {
		return !now.Before(t.expires) || !h.passed().Before(t.passed) || h.revoked[t.kid]
	})
	for _, t := range h.earlier {
		if t.made.After(now.Add(clientLeeway)) {
			continue // not valid yet: the clock was set back behind it
		}
		if _, _, ok := h.m.PublicKey(t.kid); !ok {
			h.Fatalf("at %v a token of key %s, made at %v, alive until %v, does not verify here", now, t.kid, t.made, t.expires)
		}
		if t.refresh {
			continue
		}
		if set.keys[t.kid] != t.public {
			h.Fatalf("at %v a token of key %s, made at %v, alive until %v, does not verify: the key set has %v", now, t.kid, t.made, t.expires, set.keys)
		}
		for _, copy := range h.copies {
			if !h.abrupt && copy.keys[t.kid] != t.public {
				h.Fatalf("at %v a token of key %s, made at %v, does not verify with a copy that is held until %v", now, t.kid, t.made, copy.until)
			}
		}
	}
}

// checkChains: of one algorithm at most one key signs and at most one waits.
func (h *history) checkChains() {
	type place struct {
		alg   string
		state State
	}
	count := map[place]int{}
	for _, k := range h.m.Keys() {
		count[place{k.Alg, k.State}]++
		if count[place{k.Alg, k.State}] > 1 && (k.State == Active || k.State == Pending) {
			h.Fatalf("at %v two %s keys are %s", h.clock.Now(), k.Alg, k.State)
		}
	}
}

// checkRestart restarts with nothing changed: what is stored and the clock are
// all that there is to know, for now and for later.
func (h *history) checkRestart() {
	h.maintain() // what is due is done by a start as well
	h.leave()
	before, stored := h.m, h.store.bytes()
	h.restart()
	if h.faulty {
		return
	}
	if h.store.bytes() != stored {
		h.Fatalf("a restart at %v changes %s\nto %s", h.clock.Now(), stored, h.store.bytes())
	}
	for _, at := range []time.Time{h.clock.Now(), h.clock.Now().Add(time.Hour), h.clock.Now().Add(30 * day)} {
		if was, is := h.seen(before, at), h.seen(h.m, at); was != is {
			h.Fatalf("at %v the keys are %s, and after a restart %s", at, was, is)
		}
	}
}

// checkStored: what signs and is published is what a restart would find.
func (h *history) checkStored() {
	if memory, stored := h.json(h.m.state.Load().ring), h.json(h.store.ring()); memory != stored {
		h.Fatalf("in memory %s\nstored    %s", memory, stored)
	}
}

// seen is all that the keys are for at an instant.
func (h *history) seen(m *Manager, at time.Time) string {
	doc, err := m.Document(at)
	if err != nil {
		h.Fatalf("key set of %v: %v", at, err)
	}
	states := []State{}
	for i := range m.state.Load().ring.Keys {
		states = append(states, m.state.Load().ring.Keys[i].State(at))
	}
	k, err := m.state.Load().signer("", at)
	if err != nil {
		h.Fatalf("nothing would sign at %v: %v", at, err)
	}
	return h.json(states) + " " + k.kid + " signs, published " + string(doc.Body())
}

func (h *history) json(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		h.Fatalf("%v", err)
	}
	return string(text)
}

// waitForEvent moves the clock to just before, at, or just behind the next
// instant at which something changes.
func (h *history) waitForEvent(offset time.Duration) {
	var next time.Time
	consider := func(t time.Time) { next = sooner(next, after(h.clock.Now(), t.Add(offset))) }
	behind := h.clock.Now().Sub(h.m.time())
	for _, k := range h.m.Keys() {
		for _, t := range []time.Time{k.SignsFrom, k.SignsUntil, k.PublishedUntil, k.KeptUntil} {
			consider(t.Add(behind))
		}
	}
	for _, copy := range h.copies {
		consider(copy.until)
	}
	for _, token := range h.access {
		consider(token.expires)
	}
	if !next.IsZero() {
		h.clock.advance(next.Sub(h.clock.Now()))
	}
}

// drawPolicy draws settings that the configuration accepts.
func drawPolicy(t *rapid.T) Policy {
	between := func(name string, low, high time.Duration) time.Duration {
		unit := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, name+" unit")
		low, high = (low+unit-1)/unit, max(high/unit, (low+unit-1)/unit)
		return unit * time.Duration(rapid.Int64Range(int64(low), int64(high)).Draw(t, name))
	}
	algs := rapid.Permutation([]string{"ES256", "EdDSA", "ES384"}).Draw(t, "algorithms")
	p := Policy{
		Algorithms:      algs[:rapid.IntRange(1, len(algs)).Draw(t, "how many")],
		RSABits:         2048,
		AccessLifetime:  between("access", time.Minute, 48*time.Hour),
		RefreshLifetime: between("refresh", time.Hour, 60*day),
		JWKSMaxAge:      between("jwks_max_age", 0, 2*time.Hour),
	}
	p.PublishAhead = between("publish_ahead", p.JWKSMaxAge, 3*day)
	if rapid.Bool().Draw(t, "scheduled") {
		p.RotateEvery = p.PublishAhead + between("rotate_every", time.Minute, 100*day)
	}
	return p
}

// life draws what can happen without a token ever being refused.
func (h *history) life() map[string]func(*rapid.T) {
	anyAlg := rapid.SampledFrom([]string{"", "", "ES256", "EdDSA", "ES384"})
	return map[string]func(*rapid.T){
		"": func(*rapid.T) { h.check() },
		"wait": func(t *rapid.T) {
			unit := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour, day}).Draw(t, "unit")
			h.clock.advance(unit * time.Duration(rapid.IntRange(1, 90).Draw(t, "wait")))
		},
		"wait for an event": func(t *rapid.T) {
			h.waitForEvent(rapid.SampledFrom([]time.Duration{0, -1, 1, -time.Second}).Draw(t, "offset"))
		},
		"maintain": func(*rapid.T) { h.maintain() },
		"rotate":   func(t *rapid.T) { h.rotate(RotateRequest{Alg: anyAlg.Draw(t, "alg")}) },
		"rotate in": func(t *rapid.T) {
			minutes := rapid.IntRange(1, 3*24*60).Draw(t, "minutes")
			h.rotate(RotateRequest{Alg: anyAlg.Draw(t, "alg"), In: time.Duration(minutes) * time.Minute})
		},
		"hold":       func(t *rapid.T) { h.rotate(RotateRequest{Alg: anyAlg.Draw(t, "alg"), Hold: true}) },
		"ripen":      func(t *rapid.T) { h.rotate(RotateRequest{Alg: anyAlg.Draw(t, "alg"), Ripe: true}) },
		"set policy": func(t *rapid.T) { h.setPolicy(drawPolicy(t)) },
		"restart":    func(*rapid.T) { h.checkRestart() },
		"restart with a new policy": func(t *rapid.T) {
			p := drawPolicy(t)
			h.opts.Policy = &p
			h.restart()
		},
	}
}

// drama adds what makes clients refuse tokens until they fetch the key set again.
func (h *history) drama(life map[string]func(*rapid.T)) map[string]func(*rapid.T) {
	h.abrupt = true
	life["rotate now"] = func(t *rapid.T) {
		h.rotate(RotateRequest{Alg: rapid.SampledFrom([]string{"", "ES256", "EdDSA", "ES384"}).Draw(t, "alg"), Now: true})
	}
	life["revoke"] = func(t *rapid.T) {
		keys := h.m.Keys()
		h.revoke(keys[rapid.IntRange(0, len(keys)-1).Draw(t, "key")].KID)
	}
	return life
}

// faults lets writes fail, whether or not they are made.
func (h *history) faults(life map[string]func(*rapid.T)) map[string]func(*rapid.T) {
	h.faulty = true
	life["a write fails"] = func(t *rapid.T) {
		h.store.faults = []fault{rapid.SampledFrom([]fault{lost, applied}).Draw(t, "fault")}
	}
	return life
}

// leap sets the clock. What Run would notice within half a minute, it notices now.
func (h *history) leap(by time.Duration) {
	h.keepEarlier()
	h.clock.advance(by)
	h.leapt += by
	_, err := h.m.Maintain(context.Background())
	h.expect(err)
}

// keepEarlier sets the living tokens aside: those that are made from now on may live
// longer by the clock and not as long in truth.
func (h *history) keepEarlier() {
	for _, t := range h.access {
		h.earlier = append(h.earlier, t)
	}
	for _, t := range h.refresh {
		t.refresh = true
		h.earlier = append(h.earlier, t)
	}
	clear(h.access)
	clear(h.refresh)
	copies := map[string]held{}
	for tag, copy := range h.copies {
		copies["earlier "+tag] = copy // a prefix for each leap: no two become one
	}
	h.copies = copies
}

// leaps adds a clock that is set, forward and back, and operators who confirm it.
func (h *history) leaps(life map[string]func(*rapid.T)) map[string]func(*rapid.T) {
	crash := func(*rapid.T) { // a process that is killed has maintained its keys until then
		_, err := h.m.Maintain(context.Background())
		h.expect(err)
		h.start()
	}
	life["restart"] = func(*rapid.T) { h.restart() }
	life["crash"] = crash
	life["down for long"] = func(t *rapid.T) {
		h.leave()
		h.clock.advance(time.Hour * time.Duration(rapid.IntRange(1, 2000).Draw(t, "hours")))
		h.start()
	}
	life["maintain"] = func(*rapid.T) {
		_, err := h.m.Maintain(context.Background())
		h.expect(err)
	}
	life["leap"] = func(t *rapid.T) {
		unit := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, day}).Draw(t, "unit")
		h.leap(2 * unit * time.Duration(rapid.IntRange(-200, 200).Draw(t, "leap")))
	}
	life["set right"] = func(*rapid.T) { h.leap(-h.leapt) }
	life["resume"] = func(*rapid.T) {
		h.keepEarlier()
		_, err := h.m.Resume(context.Background(), false)
		h.expect(err, ErrNotStopped)
	}
	return life
}

// Few enough for every run of the tests; -rapid.checks=5000 looks further.
var _ = flag.Set("rapid.checks", "40")

func TestNobodyIsLoggedOut(t *testing.T) {
	sealing := newSealingKey(t)
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t, sealing, drawPolicy(t))
		t.Repeat(h.life())
	})
}

func TestNobodyIsLoggedOutWhileWritesFail(t *testing.T) {
	sealing := newSealingKey(t)
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t, sealing, drawPolicy(t))
		t.Repeat(h.faults(h.life()))
	})
}

func TestRevocationAndHasteKeepTheKeySetRight(t *testing.T) {
	sealing := newSealingKey(t)
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t, sealing, drawPolicy(t))
		t.Repeat(h.drama(h.life()))
	})
}

func TestNobodyIsLoggedOutWhateverTheClockSays(t *testing.T) {
	sealing := newSealingKey(t)
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t, sealing, drawPolicy(t))
		t.Repeat(h.leaps(h.life()))
	})
}

// RSA keys take long to make: one history is written down.
func TestNobodyIsLoggedOutWithRSA(t *testing.T) {
	h := newHistory(t, newSealingKey(t), testPolicy("RS256"))
	for _, step := range []func(){
		func() { h.rotate(RotateRequest{}) },
		func() { p := testPolicy("PS256", "RS256"); h.setPolicy(p) },
		func() { h.clock.advance(30 * time.Hour); h.maintain() },
		func() { p := testPolicy("PS256"); p.AccessLifetime = time.Hour; h.setPolicy(p) },
		h.restart,
	} {
		step()
		for range 8 {
			h.check()
			h.waitForEvent(0)
		}
	}
	h.clock.advance(2 * day)
	h.maintain()
	if got := len(h.m.Keys()); got != 1 {
		t.Errorf("%d keys at the end, want 1: %s", got, asJSON(t, h.m.Keys()))
	}
}
