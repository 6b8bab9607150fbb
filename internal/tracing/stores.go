package tracing

import (
	"context"
	"time"

	"signet/issuer"
	"signet/issuer/oauth"
	"signet/users"
)

// Sessions returns the store with a span for each step that requests wait for.
func (p *Provider) Sessions(store issuer.Store) issuer.Store {
	if p == nil {
		return store
	}
	if r, ok := store.(issuer.Refresher); ok {
		return refresher{sessions{store, p}, r}
	}
	return sessions{store, p}
}

// refresher is sessions over a store that is an issuer.Refresher, as what it wraps.
type refresher struct {
	sessions
	r issuer.Refresher
}

func (s refresher) SessionWithUser(ctx context.Context, id, subject string) (_ users.User, _ issuer.Session, err error) {
	ctx, end := s.p.span(ctx, "store SessionWithUser")
	defer end(&err)
	return s.r.SessionWithUser(ctx, id, subject)
}

func (s refresher) AdvanceWithUser(ctx context.Context, id, subject string, step issuer.Step, room int) (_ users.User, _ issuer.Session, _ issuer.Outcome, err error) {
	ctx, end := s.p.span(ctx, "store AdvanceWithUser")
	defer end(&err)
	return s.r.AdvanceWithUser(ctx, id, subject, step, room)
}

type sessions struct {
	issuer.Store
	p *Provider
}

func (s sessions) CreateSession(ctx context.Context, new issuer.Session) (err error) {
	ctx, end := s.p.span(ctx, "store CreateSession")
	defer end(&err)
	return s.Store.CreateSession(ctx, new)
}

func (s sessions) Session(ctx context.Context, id string) (_ issuer.Session, err error) {
	ctx, end := s.p.span(ctx, "store Session")
	defer end(&err)
	return s.Store.Session(ctx, id)
}

func (s sessions) AdvanceSession(ctx context.Context, id string, step issuer.Step) (_ issuer.Session, _ issuer.Outcome, err error) {
	ctx, end := s.p.span(ctx, "store AdvanceSession")
	defer end(&err)
	return s.Store.AdvanceSession(ctx, id, step)
}

func (s sessions) EndSession(ctx context.Context, id string) (err error) {
	ctx, end := s.p.span(ctx, "store EndSession")
	defer end(&err)
	return s.Store.EndSession(ctx, id)
}

// Accounts is Sessions for the accounts.
func (p *Provider) Accounts(store users.Store) users.Store {
	if p == nil {
		return store
	}
	return accounts{store, p}
}

type accounts struct {
	users.Store
	p *Provider
}

func (s accounts) UserByName(ctx context.Context, name string) (_ users.User, err error) {
	ctx, end := s.p.span(ctx, "store UserByName")
	defer end(&err)
	return s.Store.UserByName(ctx, name)
}

func (s accounts) UserByID(ctx context.Context, id string) (_ users.User, err error) {
	ctx, end := s.p.span(ctx, "store UserByID")
	defer end(&err)
	return s.Store.UserByID(ctx, id)
}

func (s accounts) UpdateUser(ctx context.Context, u users.User) (err error) {
	ctx, end := s.p.span(ctx, "store UpdateUser")
	defer end(&err)
	return s.Store.UpdateUser(ctx, u)
}

// Clients is Sessions for the OAuth clients.
func (p *Provider) Clients(store oauth.Store) oauth.Store {
	if p == nil {
		return store
	}
	return clients{store, p}
}

type clients struct {
	oauth.Store
	p *Provider
}

func (s clients) Client(ctx context.Context, id string) (_ oauth.Client, err error) {
	ctx, end := s.p.span(ctx, "store Client")
	defer end(&err)
	return s.Store.Client(ctx, id)
}

func (s clients) UseAssertion(ctx context.Context, client, jti string, expires time.Time) (err error) {
	ctx, end := s.p.span(ctx, "store UseAssertion")
	defer end(&err)
	return s.Store.UseAssertion(ctx, client, jti, expires)
}

// Passwords returns the users with a span for each check of a password: the wait for a
// core and the hash, with the steps of the store within.
func (p *Provider) Passwords(u issuer.Users) issuer.Users {
	if p == nil {
		return u
	}
	return passwords{u, p}
}

type passwords struct {
	issuer.Users
	p *Provider
}

func (s passwords) Authenticate(ctx context.Context, name, password string) (_ users.User, err error) {
	ctx, end := s.p.span(ctx, "check password")
	defer end(&err)
	return s.Users.Authenticate(ctx, name, password)
}
