package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"signet/internal/store/boltstore"
	"signet/issuer"
)

// chain is one client's view of its session.
type chain struct {
	tokens []string // every refresh token that was answered, oldest first
}

func (c *chain) last() string { return c.tokens[len(c.tokens)-1] }

// TestKillUnderRefreshLoad kills the real binary in the middle of refreshes, again
// and again: what was answered is honoured, and no session has two live chains.
func TestKillUnderRefreshLoad(t *testing.T) {
	const rounds, clients, refreshesBeforeKill = 20, 8, 60
	dir := filepath.Join(t.TempDir(), "data")
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	// The reuse window spans a restart on a slow machine.
	start := func() *process { return serveBinary(t, dir, addr, "SIGNET_REFRESH_REUSE_WINDOW=5m") }

	p := start()
	mustSignet(t, "correct horse battery\n", "users", "add", "kyoko", "--password-stdin", "--data", dir)
	chains := make([]*chain, clients)
	for i := range chains {
		answer, err := login(t.Context(), client, p.base, "kyoko", "correct horse battery")
		if err != nil {
			t.Fatal(err)
		}
		chains[i] = &chain{tokens: []string{answer["refresh"]}}
	}
	for round := range rounds {
		refreshUntilKilled(t, p, chains, refreshesBeforeKill)
		checkDatabase(t, dir, chains)
		p = start()
		for i, c := range chains {
			answer, err := refresh(t.Context(), client, p.base, c.last())
			if err != nil {
				t.Fatalf("round %d: client %d: the last answered refresh token is not honoured: %v", round, i, err)
			}
			c.tokens = append(c.tokens, answer["refresh"])
		}
	}
	for i, c := range chains {
		oldTokensEndTheSession(t, p, i, c)
	}
}

// refreshUntilKilled refreshes every chain in a loop, and kills the server once
// enough refreshes were answered.
func refreshUntilKilled(t *testing.T, p *process, chains []*chain, enough int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var answered atomic.Int64
	reached := make(chan struct{})
	var group errgroup.Group
	for _, c := range chains {
		group.Go(func() error {
			own := &http.Client{Transport: &http.Transport{}}
			defer own.CloseIdleConnections()
			for {
				answer, err := refresh(ctx, own, p.base, c.last())
				var refused *statusError
				switch {
				case errors.As(err, &refused):
					return err
				case err != nil:
					return nil // the server is gone
				}
				c.tokens = append(c.tokens, answer["refresh"])
				if answered.Add(1) == enough {
					close(reached)
				}
			}
		})
	}
	select {
	case <-reached:
	case <-ctx.Done():
		t.Error("too few refreshes were answered")
	}
	p.kill()
	if err := group.Wait(); err != nil {
		t.Fatalf("a refresh was refused under load: %v", err)
	}
}

// checkDatabase opens the file that the killed server left. Each session honours
// the last answered token: as the current one, or as the one before a successor
// whose answer was lost.
func checkDatabase(t *testing.T, dir string, chains []*chain) {
	t.Helper()
	db, err := boltstore.Open(filepath.Join(dir, "signet.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Check(); err != nil {
		t.Fatalf("the database does not check clean: %v", err)
	}
	sessions, err := db.ListSessions(t.Context(), "", "", 1000)
	if err != nil || len(sessions) != len(chains) {
		t.Fatalf("%d sessions for %d logins: %v", len(sessions), len(chains), err)
	}
	byID := make(map[string]issuer.Session)
	for _, s := range sessions {
		byID[s.ID] = s
	}
	for i, c := range chains {
		claims := claimsOf(t, c.last())
		s := byID[claims.Session]
		if claims.ID != s.Current && claims.ID != s.Previous {
			t.Fatalf("client %d: the session honours %s and %s, not the answered %s", i, s.Current, s.Previous, claims.ID)
		}
	}
}

// oldTokensEndTheSession presents the first token of a chain: theft, after which
// the last one gets nothing either.
func oldTokensEndTheSession(t *testing.T, p *process, i int, c *chain) {
	t.Helper()
	for _, token := range []string{c.tokens[0], c.last()} {
		_, err := refresh(t.Context(), client, p.base, token)
		var refused *statusError
		if !errors.As(err, &refused) || refused.status != http.StatusUnauthorized ||
			!strings.Contains(refused.body, "Token is blacklisted") {
			t.Fatalf("client %d: an old chain is alive: %v", i, err)
		}
	}
}

func claimsOf(t *testing.T, token string) issuer.Claims {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims issuer.Claims
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
