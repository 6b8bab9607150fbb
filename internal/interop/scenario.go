package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// The cases, in the order of the columns.
const (
	caseNone     = "no token"
	caseGood     = "good"
	caseTyp      = "at+jwt"
	caseMachine  = "machine"
	caseExpired  = "expired"
	caseAudience = "audience"
	caseRefresh  = "refresh"
	caseForged   = "forged kid"
	caseRotation = "rotation"
	caseNewKey   = "new key"
	caseRevoked  = "revoked"
	caseAlone    = "revoked, alone"
)

var columns = []string{
	caseNone, caseGood, caseTyp, caseMachine, caseExpired, caseAudience, caseRefresh, caseForged, caseRotation, caseNewKey, caseRevoked, caseAlone,
}

// clockSkew is the longest leeway of the clients here, and some more.
const clockSkew = 65 * time.Second

// drive puts every server through every case.
func drive(ctx context.Context, i *issuer, servers []*server) error {
	expired, err := i.expiring(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context, *issuer, []*server) error{kinds, forgeries, rotation} {
		if err := step(ctx, i, servers); err != nil {
			return err
		}
	}
	_, exp := expired.times()
	if err := wait(ctx, time.Until(exp.Add(clockSkew))); err != nil {
		return err
	}
	if err := status(ctx, servers, caseExpired, expired); err != nil {
		return err
	}
	if err := revocation(ctx, i, servers); err != nil {
		return err
	}
	return alone(ctx, i, servers)
}

// expiring is a token that lives for a second.
func (i *issuer) expiring(ctx context.Context) (t token, err error) {
	brief := normal
	brief.access = time.Second
	lasts := func(t token) bool { iat, exp := t.times(); return exp.Sub(iat) == brief.access }
	err = i.with(ctx, brief, lasts, func() error {
		got, err := i.login(ctx)
		t = got.access
		return err
	})
	return t, err
}

// kinds presents tokens of every kind.
func kinds(ctx context.Context, i *issuer, servers []*server) error {
	good, err := i.login(ctx)
	if err != nil {
		return err
	}
	batch, err := i.machineToken(ctx)
	if err != nil {
		return err
	}
	plain, foreign := batch, good
	jwt := normal
	jwt.typ = audience + ": JWT"
	isJWT := func(t token) bool { return t.claim("client_id") == machine && t.header("typ") == "JWT" }
	if err := i.with(ctx, jwt, isJWT, func() (err error) { plain, err = i.machineToken(ctx); return err }); err != nil {
		return err
	}
	other := normal
	other.audience = "billing"
	isOther := func(t token) bool { return t.claim("aud") == "billing" }
	if err := i.with(ctx, other, isOther, func() (err error) { foreign, err = i.login(ctx); return err }); err != nil {
		return err
	}
	for _, tt := range []struct {
		column string
		token  token
	}{
		{caseNone, ""}, {caseGood, good.access}, {caseTyp, batch.access}, {caseMachine, plain.access},
		{caseAudience, foreign.access}, {caseRefresh, good.refresh},
	} {
		if err := status(ctx, servers, tt.column, tt.token); err != nil {
			return err
		}
	}
	return nil
}

// forgeries must be refused, and must not shut out the keys that are good.
func forgeries(ctx context.Context, i *issuer, servers []*server) error {
	good, err := i.login(ctx)
	if err != nil {
		return err
	}
	return each(servers, func(s *server) error {
		var seen []string
		for n := range 5 {
			forged, err := forge(good.access, fmt.Sprintf("forged-%d", n))
			if err != nil {
				return err
			}
			code, _, err := s.ask(ctx, forged)
			if err != nil {
				return err
			}
			seen = append(seen, fmt.Sprint(code))
		}
		code, _, err := s.ask(ctx, good.access)
		s.cells[caseForged] = strings.Join(slices.Compact(seen), "+") + ", then " + fmt.Sprint(code)
		return err
	})
}

// rotation goes through a planned rotation with a token of the newest and one of the
// key before, and counts what was not accepted.
func rotation(ctx context.Context, i *issuer, servers []*server) error {
	before, err := i.login(ctx)
	if err != nil {
		return err
	}
	if _, err := i.command(ctx, "", "keys", "rotate"); err != nil {
		return err
	}
	if err := each(servers, func(s *server) error { return s.keysChanged(ctx) }); err != nil {
		return err
	}
	failed := map[string]int{}
	var mu sync.Mutex
	until := time.Now().Add(publishAhead + 10*time.Second)
	newKey := false
	for time.Now().Before(until) {
		got, err := i.login(ctx)
		if err != nil {
			return err
		}
		newKey = newKey || got.access.header("kid") != before.access.header("kid")
		err = each(servers, func(s *server) error {
			for _, t := range []token{got.access, before.access} {
				code, _, err := s.ask(ctx, t)
				if err != nil {
					return err
				}
				mu.Lock()
				if code != http.StatusOK {
					failed[s.name]++
				}
				mu.Unlock()
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := wait(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	if !newKey {
		return fmt.Errorf("the new key does not sign after %v", publishAhead)
	}
	for _, s := range servers {
		s.cells[caseRotation] = fmt.Sprintf("%d failed", failed[s.name])
	}
	return nil
}

// revocation takes the key out that signs, and presents a token of it before and after
// one of the new key, which was never published: that one is accepted when the client
// looks for it, and then the revoked key is refused, where the client forgets what is
// no longer published.
func revocation(ctx context.Context, i *issuer, servers []*server) error {
	old, err := i.revoke(ctx)
	if err != nil {
		return err
	}
	before := map[string]int{}
	var mu sync.Mutex
	err = each(servers, func(s *server) error {
		code, _, err := s.ask(ctx, old)
		mu.Lock()
		before[s.name] = code
		mu.Unlock()
		return err
	})
	if err != nil {
		return err
	}
	if err := each(servers, func(s *server) error { return s.keysChanged(ctx) }); err != nil {
		return err
	}
	fresh, err := i.login(ctx)
	if err != nil {
		return err
	}
	return each(servers, func(s *server) error {
		cell, err := s.becomes(ctx, fresh.access, http.StatusOK, s.newKeyWithin, 2*time.Second)
		if err != nil {
			return err
		}
		s.cells[caseNewKey] = cell
		after, _, err := s.ask(ctx, old)
		s.cells[caseRevoked] = fmt.Sprintf("%d, then %d", before[s.name], after)
		return err
	})
}

// alone revokes once more, and no server sees a token of the new key: it refuses the
// old one when it fetches the key set by itself, within 35 s or not.
func alone(ctx context.Context, i *issuer, servers []*server) error {
	begun := time.Now()
	old, err := i.revoke(ctx)
	if err != nil {
		return err
	}
	return each(servers, func(s *server) error {
		if s.forgetsWithin > 0 {
			cell, err := s.becomes(ctx, old, http.StatusUnauthorized, s.forgetsWithin, time.Second)
			s.cells[caseAlone] = cell
			return err
		}
		if err := wait(ctx, time.Until(begun.Add(aloneFor))); err != nil {
			return err
		}
		code, _, err := s.ask(ctx, old)
		s.cells[caseAlone] = fmt.Sprint(code)
		return err
	})
}

// aloneFor is how long a server is left without a token of the new key.
const aloneFor = 35 * time.Second

// revoke takes out the key that signs, and returns a token of it.
func (i *issuer) revoke(ctx context.Context) (token, error) {
	old, err := i.login(ctx)
	if err != nil {
		return "", err
	}
	_, err = i.command(ctx, "", "keys", "revoke", old.access.header("kid"))
	return old.access, err
}

// becomes asks until the answer is want, and says so if that was within limit, and how
// the answer was otherwise.
func (s *server) becomes(ctx context.Context, t token, want int, limit, slack time.Duration) (string, error) {
	begun := time.Now()
	for {
		code, _, err := s.ask(ctx, t)
		if err != nil {
			return "", err
		}
		late := time.Since(begun) > limit+slack
		switch {
		case late:
			return fmt.Sprintf("%d after %v", code, limit), nil
		case code == want && want == http.StatusOK:
			return within(limit), nil
		case code == want:
			return fmt.Sprintf("%d %s", code, within(limit)), nil
		}
		if err := wait(ctx, 500*time.Millisecond); err != nil {
			return "", err
		}
	}
}

func within(d time.Duration) string {
	if d == 0 {
		return "at once"
	}
	return fmt.Sprintf("in %v", d)
}

// status asks every server once.
func status(ctx context.Context, servers []*server, column string, t token) error {
	return each(servers, func(s *server) error {
		code, _, err := s.ask(ctx, t)
		s.cells[column] = fmt.Sprint(code)
		return err
	})
}

// each runs do for all servers at once.
func each(servers []*server, do func(*server) error) error {
	var group errgroup.Group
	for _, s := range servers {
		group.Go(func() error {
			if err := do(s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
