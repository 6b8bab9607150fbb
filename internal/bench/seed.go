package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"signet/internal/store/boltstore"
	"signet/issuer"
	"signet/keystore"
	"signet/users"
)

// writers is how many write at a time: as many as share a commit of the store.
const writers = 1024

// seeder fills a database that no server holds, by the packages that a server is made
// of: what it stores is what a server would have stored.
type seeder struct {
	store *boltstore.Store
	// issuer makes real tokens, unsigned makes sessions alone.
	issuer, unsigned *issuer.Issuer
}

func openSeeder(ctx context.Context, dir, url string, now func() time.Time) (*seeder, error) {
	store, err := boltstore.Open(filepath.Join(dir, "signet.db"), boltstore.Options{Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	keys, err := openKeys(ctx, store, filepath.Join(dir, "seal.key"), nil)
	if err != nil {
		store.Close()
		return nil, err
	}
	_, kid, err := keys.Sign("", issuer.TypRefresh, []byte("{}"))
	if err != nil {
		store.Close()
		return nil, err
	}
	opts := issuer.Options{Store: store, Users: proven{}, Signer: keys, Keys: keys, Policy: tokenPolicy(url), Now: now, Log: quiet}
	s := &seeder{store: store, issuer: issuer.New(opts)}
	opts.Signer = unsigned(kid)
	s.unsigned = issuer.New(opts)
	return s, nil
}

var _ io.Closer = (*seeder)(nil)

// Close lets go of the database.
func (s *seeder) Close() error { return s.store.Close() }

// openKeys opens the keys of a store; without a policy those that are there.
func openKeys(ctx context.Context, store keystore.Store, sealFile string, policy *keystore.Policy) (*keystore.Manager, error) {
	sealing, err := keystore.OpenSealingKey(sealFile, policy != nil)
	if err != nil {
		return nil, err
	}
	return keystore.Open(ctx, keystore.Options{Store: store, Sealing: sealing, Policy: policy, Log: slog.New(slog.DiscardHandler)})
}

// tokenPolicy is that of the default configuration.
func tokenPolicy(url string) issuer.Policy {
	return issuer.Policy{URL: url, AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour, SessionLifetime: 30 * 24 * time.Hour,
		Leeway: 30 * time.Second, MaxTokenBytes: 4096, Rotate: true, ReuseWindow: 10 * time.Second}
}

// proven takes each name for the ID of a user who has just shown the right password.
type proven struct{}

func (proven) Authenticate(_ context.Context, name, _ string) (users.User, error) {
	return users.User{ID: name}, nil
}

func (proven) ByID(_ context.Context, id string) (users.User, error) { return users.User{ID: id}, nil }

// unsigned is a Signer for sessions whose tokens nobody will present: it says the kid.
type unsigned string

func (u unsigned) Sign(string, string, []byte) (token, kid string, err error) {
	return "", string(u), nil
}

// users adds n accounts and returns their IDs. They all have one hash, of the default
// cost: nobody will log in.
func (s *seeder) users(ctx context.Context, n int) ([]string, error) {
	salt, key := make([]byte, 16), make([]byte, 32)
	rand.Read(salt)
	rand.Read(key)
	hash := fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$%s$%s", base64Text(salt), base64Text(key))
	now := time.Now().UTC().Truncate(time.Second)
	ids := make([]string, n)
	return ids, many(ctx, n, func(ctx context.Context, i int) error {
		ids[i] = rand.Text()
		return s.store.CreateUser(ctx, users.User{ID: ids[i], Name: fmt.Sprintf("user%09d", i), Hash: hash, Created: now, PasswordChanged: now})
	})
}

// sessions begins one for each user. Those of pool users, from all over the list, have
// refresh tokens, which it returns.
func (s *seeder) sessions(ctx context.Context, ids []string, pool int) ([]string, error) {
	every := len(ids) / max(1, pool)
	tokens := make([]string, pool)
	err := many(ctx, len(ids), func(ctx context.Context, i int) error {
		by, place := s.unsigned, -1
		if pool > 0 && i%every == 0 && i/every < pool {
			by, place = s.issuer, i/every
		}
		got, err := by.Login(ctx, issuer.Attempt{Client: issuer.FirstParty, Name: ids[i]})
		if err == nil && place >= 0 {
			tokens[place] = got.Refresh
		}
		return err
	})
	return tokens, err
}

// refresh refreshes every session once, in no order: as clients do in a few minutes.
// The tokens become their successors.
func (s *seeder) refresh(ctx context.Context, tokens []string) error {
	mine := map[string]int{}
	for i, token := range tokens {
		claims, err := s.issuer.Parse(token)
		if err != nil {
			return err
		}
		mine[claims.Session] = i
	}
	ids, err := s.sessionIDs(ctx)
	if err != nil {
		return err
	}
	mathrand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return many(ctx, len(ids), func(ctx context.Context, i int) error {
		if place, ok := mine[ids[i]]; ok {
			got, err := s.issuer.Refresh(ctx, tokens[place])
			tokens[place] = got.Refresh
			return err
		}
		return s.advance(ctx, ids[i])
	})
}

func (s *seeder) sessionIDs(ctx context.Context) (ids []string, err error) {
	const page = 10_000
	for after := ""; ; {
		list, err := s.store.ListSessions(ctx, "", after, page)
		if err != nil {
			return nil, err
		}
		for _, session := range list {
			ids = append(ids, session.ID)
		}
		if len(list) < page {
			return ids, nil
		}
		after = list[page-1].ID
	}
}

// advance is what a refresh stores.
func (s *seeder) advance(ctx context.Context, id string) error {
	session, err := s.store.Session(ctx, id)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	var next [16]byte
	rand.Read(next[:])
	_, outcome, err := s.store.AdvanceSession(ctx, id, issuer.Step{Presented: session.Current, Next: hex.EncodeToString(next[:]), KID: session.KID,
		Now: now, Expires: now.Add(24 * time.Hour), Window: 10 * time.Second, Epoch: session.Epoch})
	if err == nil && outcome != issuer.Advanced {
		err = fmt.Errorf("a refresh came to outcome %d", outcome)
	}
	return err
}

// many calls do for 0 to n-1, many at a time.
func many(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	return each(ctx, writers, n, do)
}

// each calls do for 0 to n-1, so many at a time.
func each(ctx context.Context, atOnce, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(n, atOnce) {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}
