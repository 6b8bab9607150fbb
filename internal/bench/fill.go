package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"signet/internal/store/boltstore"
	"signet/internal/store/pgstore"
	"signet/internal/store/transfer"
	"signet/issuer"
	"signet/users"
)

// filled is what there is of many sessions: tokens for those from all over the table, and
// for those that began last.
type filled struct {
	sessions       int
	anyone, newest *pool
	took           time.Duration
}

// fillPage is how many records go into the database at a time.
const fillPage = 10_000

// manyAge is over how long the sessions have begun: all of their tokens are good still.
const manyAge = 20 * time.Hour

// fill puts many users with a session each into db, in the order in which they began, and
// the keys of dir: by the way of signet migrate.
func (l *lab) fill(ctx context.Context, db *database, dir string) (_ *filled, err error) {
	f, err := l.pools()
	if err != nil {
		return nil, err
	}
	m, err := openMaker(ctx, dir, l.issuerURL(), manyAge/time.Duration(l.scale.big))
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	target, err := pgstore.OpenTarget(ctx, db.url, "a measurement", false, pgstore.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if err := target.Put(ctx, m.rest, transfer.Place{}); err != nil {
		return nil, err
	}
	for i := 0; i < l.scale.big; i += fillPage {
		if err := m.page(ctx, target, f, i, min(fillPage, l.scale.big-i)); err != nil {
			return nil, err
		}
	}
	f.took = time.Since(begun)
	f.anyone.shuffle()
	f.newest.shuffle()
	return f, target.Finish(ctx)
}

// pools are empty, with a part for each slice that is larger than the requests that are
// expected in it: no page is written twice because the tokens were used up.
func (l *lab) pools() (*filled, error) {
	part := 2 * l.scale.pool
	need := part * l.scale.turns
	if l.scale.big < 2*need {
		return nil, fmt.Errorf("many sessions are %d at least: --many %d", 2*need, 2*need)
	}
	return &filled{sessions: l.scale.big, anyone: &pool{tokens: make([]string, 0, need), part: part}, newest: &pool{tokens: make([]string, 0, need), part: part}}, nil
}

// wants says which pool gets the token of session i; nil is none.
func (f *filled) wants(i int) *pool {
	need := cap(f.newest.tokens)
	older := f.sessions - need
	switch {
	case i >= older:
		return f.newest
	case i%(older/need) == 0 && len(f.anyone.tokens) < need:
		return f.anyone
	}
	return nil
}

// maker makes users, and their sessions as an issuer makes them.
type maker struct {
	rest             transfer.Page
	now              time.Time
	step             time.Duration // between two logins
	made             caught
	signed, unsigned *issuer.Issuer
}

// caught is a Store that keeps the session which was created last.
type caught struct {
	issuer.Store
	session issuer.Session
}

// CreateSession implements issuer.Sessions.
func (c *caught) CreateSession(_ context.Context, s issuer.Session) error {
	c.session = s
	return nil
}

// openMaker uses the keys of dir. The last login is now.
func openMaker(ctx context.Context, dir, url string, step time.Duration) (*maker, error) {
	store, err := boltstore.Open(filepath.Join(dir, "signet.db"), boltstore.Options{Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	m := &maker{now: time.Now().Add(-manyAge), step: step}
	if m.rest, err = store.Page(ctx, transfer.Rest, "", 1); err != nil {
		return nil, err
	}
	keys, err := openKeys(ctx, store, filepath.Join(dir, "seal.key"), nil)
	if err != nil {
		return nil, err
	}
	_, kid, err := keys.Sign("", issuer.TypRefresh, []byte("{}"))
	if err != nil {
		return nil, err
	}
	opts := issuer.Options{Store: &m.made, Users: proven{}, Signer: keys, Keys: keys, Policy: tokenPolicy(url),
		Now: func() time.Time { return m.now }, Log: slog.New(slog.DiscardHandler)}
	m.signed = issuer.New(opts)
	opts.Signer = unsigned(kid)
	m.unsigned = issuer.New(opts)
	return m, nil
}

// page puts n users and their sessions, of which first is the number of the first.
func (m *maker) page(ctx context.Context, to *pgstore.Target, f *filled, first, n int) error {
	var accounts, sessions transfer.Page
	for i := range n {
		u := users.User{ID: rand.Text(), Name: fmt.Sprintf("user%09d", first+i), Version: 1, Created: m.now, PasswordChanged: m.now,
			Hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"}
		session, err := m.login(ctx, u.ID, f.wants(first+i))
		if err != nil {
			return err
		}
		accounts.Users, sessions.Sessions = append(accounts.Users, u), append(sessions.Sessions, session)
	}
	return errors.Join(to.Put(ctx, accounts, transfer.Place{}), to.Put(ctx, sessions, transfer.Place{}))
}

// login begins a session; its refresh token goes into the pool, if there is one.
func (m *maker) login(ctx context.Context, user string, into *pool) (issuer.Session, error) {
	by := m.unsigned
	if into != nil {
		by = m.signed
	}
	m.now = m.now.Add(m.step)
	got, err := by.Login(ctx, issuer.Attempt{Client: issuer.FirstParty, Name: user})
	if into != nil {
		into.tokens = append(into.tokens, got.Refresh)
	}
	return m.made.session, err
}
