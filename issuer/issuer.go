// Package issuer makes tokens for a proven subject, and keeps the sessions that
// refresh them.
//
// Start at [Issuer]: Login, Refresh, Verify and Logout are what users do, the
// End methods what operators do. A session is one record, updated in place; which
// refresh token it honours is decided in one function, [Session.Advance].
//
// The package knows neither HTTP nor how keys are kept: it declares the [Signer],
// [Keys], [Users] and [Store] that it calls. It never honours a token that is not
// its own, and it takes one kind of token for another nowhere.
package issuer

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"signet/internal/event"
	"signet/internal/throttle"
	"signet/users"
)

// Signer makes a compact JWS (RFC 7515 §7.1) of payload with the given typ, and
// says which key signed it. An empty alg leaves the choice to the signer.
type Signer interface {
	Sign(alg, typ string, payload []byte) (token, kid string, err error)
}

// Keys knows the public keys of this issuer's own tokens, and the one algorithm
// that each is used with.
type Keys interface {
	PublicKey(kid string) (alg string, public any, ok bool)
}

// Users proves who someone is. The errors are those of package users.
type Users interface {
	Authenticate(ctx context.Context, name, password string) (users.User, error)
	ByID(ctx context.Context, id string) (users.User, error)
}

// Policy is what the configuration says about tokens.
type Policy struct {
	// URL is the iss claim, and the aud of refresh tokens.
	URL string
	// Audience is the aud of access tokens; empty means URL + "/api".
	Audience []string
	// Types is the typ of access tokens by audience, TypJWT or TypAccess, where it is
	// not that of their route: some clients demand the one, some refuse it.
	Types map[string]string
	// Include names what access tokens say about a user, by audience, and under "*"
	// for every other: parts of the profile (see [Known]) and free claims. A token for
	// several services says what all of them may see.
	Include map[string][]string
	// NumericUserID writes a user_id of digits as a number.
	NumericUserID bool
	// The lifetimes: of an access token; of a refresh token that is not used; of
	// a session however often it is refreshed.
	AccessLifetime, RefreshLifetime, SessionLifetime time.Duration
	// RenewLifetime is how long after LoginRenewable its tokens can be renewed; no
	// longer than SessionLifetime in any case.
	RenewLifetime time.Duration
	// Leeway is what clocks may differ by when times of tokens are checked.
	Leeway time.Duration
	// MaxTokenBytes is the length past which no token is made.
	MaxTokenBytes int
	// Rotate gives a new refresh token at each refresh; ReuseWindow is how long
	// the one before still gets the same successor.
	Rotate      bool
	ReuseWindow time.Duration
}

func (p *Policy) audience() Audience {
	if len(p.Audience) == 0 {
		return Audience{p.URL + "/api"}
	}
	return p.Audience
}

// typ is the type of an access token for these services. ErrTypes if they want
// different ones.
func (p *Policy) typ(audience []string, otherwise string) (string, error) {
	one := ""
	for _, service := range audience {
		typ := p.Types[service]
		if one != "" && typ != "" && typ != one {
			return "", ErrTypes
		}
		one = cmp.Or(one, typ)
	}
	return cmp.Or(one, otherwise), nil
}

// FirstParty is the client_id of sessions that began with a login at the issuer
// itself rather than through an OAuth client.
const FirstParty = "first-party"

// Options configure an Issuer.
type Options struct {
	Store  Store
	Users  Users
	Signer Signer
	Keys   Keys
	Policy Policy
	// Throttle slows guesses; nil lets every one be tried.
	Throttle *throttle.Limiter
	// Events hears of logins, refreshes, logouts and tokens for clients; nil tells nobody.
	Events event.Recorder
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Passed returns an instant that has come, also by other clocks than that of this
	// machine: sweeps go by it. Nil means Now.
	Passed func(ctx context.Context) (time.Time, error)
	// Log receives what matters for security; nil means slog.Default(). No token
	// and no password is written to it.
	Log *slog.Logger
}

// Issuer makes and checks tokens: safe for concurrent use.
type Issuer struct {
	store  Store
	users  Users
	signer Signer
	keys   Keys
	policy atomic.Pointer[Policy]
	limits *throttle.Limiter
	events event.Recorder
	uses   keyUses
	// seldom keeps lines that strangers can cause without end from filling the log.
	seldom rate.Sometimes
	own    ownTokens
	now    func() time.Time
	passed func(ctx context.Context) (time.Time, error)
	log    *slog.Logger
}

// New returns an Issuer.
func New(opts Options) *Issuer {
	i := &Issuer{store: opts.Store, users: opts.Users, signer: opts.Signer, keys: opts.Keys, limits: opts.Throttle, now: opts.Now, passed: opts.Passed, log: opts.Log,
		events: event.All(opts.Events), seldom: rate.Sometimes{First: 10, Interval: time.Second}}
	if i.now == nil {
		i.now = time.Now
	}
	if i.passed == nil {
		i.passed = func(context.Context) (time.Time, error) { return i.now(), nil }
	}
	if i.log == nil {
		i.log = slog.Default()
	}
	i.SetPolicy(opts.Policy)
	return i
}

// SetPolicy puts p in force for tokens made from now on. The signing keys must
// know of longer lifetimes first.
func (i *Issuer) SetPolicy(p Policy) { i.policy.Store(&p) }

// URL is the iss claim of the tokens made from now on.
func (i *Issuer) URL() string { return i.policy.Load().URL }

// Audience is the aud of the login's access tokens made from now on.
func (i *Issuer) Audience() []string { return slices.Clone(i.policy.Load().audience()) }

// Tokens is the answer to a login or a refresh.
type Tokens struct {
	Access string
	// Refresh is empty where the presented refresh token stays in force.
	Refresh string
	// Expires is when the access token does, RefreshExpires when Refresh does.
	Expires, RefreshExpires time.Time
}

// Login begins a session for the user whom the attempt proves. The errors are those
// of [Users], of which users.ErrCredentials never says what was wrong, and
// *ThrottledError.
func (i *Issuer) Login(ctx context.Context, a Attempt) (Tokens, error) {
	return i.login(ctx, a, func(p *Policy, u users.User, now time.Time) (s Session, tokens Tokens, err error) {
		s = newSession(u, a.Client, now, p.SessionLifetime)
		s.Expires = p.expiry(now, s.Ends)
		tokens, s.KID, err = i.mintPair(p, &s, u, now)
		return s, tokens, err
	})
}

// opening makes the session of a user who has been proven, and its first tokens.
type opening func(p *Policy, u users.User, now time.Time) (Session, Tokens, error)

// login proves the user, opens a session, and puts on record how that went.
func (i *Issuer) login(ctx context.Context, a Attempt, open opening) (Tokens, error) {
	e := event.Event{Kind: event.Login, Client: a.Client}
	if err := i.events.Ready(); err != nil {
		return Tokens{}, i.recorded(ctx, e, err)
	}
	tokens, err := i.open(ctx, a, open, &e)
	if err := i.recorded(ctx, e, err); err != nil {
		return Tokens{}, err
	}
	return tokens, nil
}

func (i *Issuer) open(ctx context.Context, a Attempt, open opening, e *event.Event) (Tokens, error) {
	u, err := i.prove(ctx, a)
	e.Subject = u.ID
	if refused, ok := errors.AsType[*users.RefusedError](err); ok {
		e.Subject = refused.ID
	}
	if err != nil {
		return Tokens{}, err
	}
	s, tokens, err := open(i.policy.Load(), u, i.instant())
	if err != nil {
		return Tokens{}, err
	}
	e.Session = s.ID
	return tokens, i.begin(ctx, s)
}

func newSession(u users.User, client string, now time.Time, life time.Duration) Session {
	return Session{
		ID: newSessionID(now), Subject: u.ID, Client: client, Current: newID(), Epoch: u.Epoch,
		Created: now, Rotated: now, Ends: wholeSecond(now.Add(life)),
	}
}

// begin stores a session; its tokens are given away only then.
func (i *Issuer) begin(ctx context.Context, s Session) error {
	if err := i.store.CreateSession(ctx, s); err != nil {
		return fmt.Errorf("store the session: %w", err)
	}
	i.log.InfoContext(ctx, "login", "sub", s.Subject, "sid", s.ID)
	return nil
}

// Refresh trades a refresh token for a new access token and, if the policy says
// so, for its successor. The user is asked for again: ErrInactive if the account
// is gone or disabled. ErrNoSession if the session has ended, ErrReused if this
// call ended it because the token had been replaced before.
func (i *Issuer) Refresh(ctx context.Context, token string) (Tokens, error) {
	return i.RefreshFor(ctx, FirstParty, token)
}

// RefreshFor is Refresh for the client that presents the token: ErrOtherClient if it
// was issued to another (RFC 6749 §6).
func (i *Issuer) RefreshFor(ctx context.Context, client, token string) (Tokens, error) {
	now := i.instant()
	claims, err := i.parseRefresh(token, now)
	tokens := Tokens{}
	if err == nil {
		tokens, err = i.refresh(ctx, client, claims, now)
	}
	if err := i.recorded(ctx, refreshOf(claims), err); err != nil {
		return Tokens{}, err
	}
	return tokens, nil
}

// refreshOf is the event of a refresh by a token with the claims, or by none of ours.
func refreshOf(c *Claims) event.Event {
	e := event.Event{Kind: event.Refresh}
	if c != nil {
		e.Subject, e.Session, e.Client = c.Subject, c.Session, c.Client
	}
	return e
}

func (i *Issuer) refresh(ctx context.Context, client string, claims *Claims, now time.Time) (Tokens, error) {
	if claims.Client != client {
		return Tokens{}, ErrOtherClient
	}
	p := i.policy.Load()
	if !p.Rotate {
		return i.refreshInPlace(ctx, p, claims, now)
	}
	if r, ok := i.store.(Refresher); ok {
		return i.refreshAtOnce(ctx, r, p, claims, now)
	}
	u, err := i.activeUser(ctx, claims.Subject)
	if err != nil {
		return Tokens{}, err
	}
	return i.advance(ctx, p, claims, u, now)
}

func (i *Issuer) activeUser(ctx context.Context, subject string) (users.User, error) {
	u, err := i.users.ByID(ctx, subject)
	if err := active(u, err); err != nil {
		return users.User{}, err
	}
	return u, nil
}

// advance signs first and stores then: a token that cannot be made changes
// nothing, and the answer is ready when the session has moved on.
func (i *Issuer) advance(ctx context.Context, p *Policy, c *Claims, u users.User, now time.Time) (Tokens, error) {
	next := p.successor(c, now)
	tokens, kid, err := i.mintPair(p, &next, u, now)
	if err != nil {
		return Tokens{}, err
	}
	step := p.step(c, &next, kid, now)
	step.Epoch = u.Epoch
	stored, outcome, err := i.store.AdvanceSession(ctx, c.Session, step)
	if err != nil {
		return Tokens{}, err
	}
	return i.settled(ctx, p, c, u, &stored, outcome, tokens)
}

// settled is the answer to a refresh with this outcome: tokens, if the session has
// advanced.
func (i *Issuer) settled(ctx context.Context, p *Policy, c *Claims, u users.User, stored *Session, outcome Outcome, tokens Tokens) (_ Tokens, err error) {
	if stored.Subject != c.Subject {
		return Tokens{}, ErrNoSession
	}
	switch outcome {
	case Advanced:
		return tokens, nil
	case Repeated:
		tokens.RefreshExpires = stored.Expires
		tokens.Refresh, _, err = i.mint("", TypRefresh, p.refreshClaims(stored, u), p.MaxTokenBytes)
		return tokens, err
	case Expired:
		return Tokens{}, ErrExpired
	case Superseded:
		return Tokens{}, ErrNoSession
	default:
		i.log.WarnContext(ctx, "refresh token reused; the session has been ended",
			"sub", c.Subject, "sid", c.Session, "jti", c.ID, "generation", stored.Generation)
		return Tokens{}, ErrReused
	}
}

// refreshInPlace leaves the session as it is.
func (i *Issuer) refreshInPlace(ctx context.Context, p *Policy, c *Claims, now time.Time) (Tokens, error) {
	u, s, err := i.alive(ctx, p, c, now)
	if err != nil {
		return Tokens{}, err
	}
	return i.mintAccess(p, &s, u, now)
}

// live refuses the session of a token, found with err, that does not honour it.
func live(p *Policy, c *Claims, u users.User, s *Session, err error, now time.Time) error {
	switch {
	case err != nil:
		return err
	case s.Expired(now), s.Subject != u.ID, s.Epoch != u.Epoch:
		return ErrNoSession
	case c.Kind == KindRefresh && !s.honours(c.ID, now, p.ReuseWindow):
		return ErrReplaced
	}
	return nil
}

// Parse returns the claims of a token of either kind that this issuer made and that
// has not expired, whether or not its session is still there.
func (i *Issuer) Parse(token string) (*Claims, error) { return i.parse(token, i.instant()) }

// Verify returns the claims of a token of either kind that this issuer made, that
// is valid now, and whose session and account, where it has them, are alive. An access
// token must be for one of the policy's audiences.
func (i *Issuer) Verify(ctx context.Context, token string) (*Claims, error) {
	c, err := i.Inspect(ctx, token)
	if err != nil {
		return nil, err
	}
	ours := i.policy.Load().audience()
	if c.Kind == KindAccess && !slices.ContainsFunc(c.Audience, func(a string) bool { return slices.Contains(ours, a) }) {
		return nil, invalid(fmt.Errorf("%w: %.200q", ErrAudience, c.Audience))
	}
	return c, nil
}

// Inspect is Verify for a token of any audience: the caller decides to whom the
// claims may be told.
func (i *Issuer) Inspect(ctx context.Context, token string) (*Claims, error) {
	found, err := i.Examine(ctx, token)
	if err != nil {
		return nil, err
	}
	return found.Claims, nil
}

// Logout ends the session of a refresh token. ErrNoSession if it has ended already.
func (i *Issuer) Logout(ctx context.Context, token string) error {
	c, err := i.parseRefresh(token, i.instant())
	if err != nil {
		return err
	}
	if err := i.store.EndSession(ctx, c.Session); err != nil {
		return err
	}
	i.log.InfoContext(ctx, "logout", "sub", c.Subject, "sid", c.Session)
	return i.recorded(ctx, event.Event{Kind: event.Logout, Subject: c.Subject, Session: c.Session, Client: c.Client}, nil)
}

// mintPair makes an access token for s and the refresh token it holds as current.
func (i *Issuer) mintPair(p *Policy, s *Session, u users.User, now time.Time) (tokens Tokens, kid string, err error) {
	if tokens, err = i.mintAccess(p, s, u, now); err != nil {
		return Tokens{}, "", err
	}
	if tokens.Refresh, kid, err = i.mint("", TypRefresh, p.refreshClaims(s, u), p.MaxTokenBytes); err != nil {
		return Tokens{}, "", err
	}
	tokens.RefreshExpires = s.Expires
	return tokens, kid, nil
}

func (i *Issuer) mintAccess(p *Policy, s *Session, u users.User, now time.Time) (Tokens, error) {
	tokens, _, err := i.signAccess(p, p.accessClaims(s, u, newID(), now))
	return tokens, err
}

func (i *Issuer) signAccess(p *Policy, claims *Claims) (tokens Tokens, kid string, err error) {
	typ, err := p.typ(claims.Audience, TypJWT)
	if err != nil {
		return Tokens{}, "", err
	}
	token, kid, err := i.mint("", typ, claims, p.MaxTokenBytes)
	if err != nil {
		return Tokens{}, "", err
	}
	return Tokens{Access: token, Expires: time.Unix(claims.Expires, 0).UTC()}, kid, nil
}

// expiry is when a refresh token made now ends.
func (p *Policy) expiry(now, ends time.Time) time.Time {
	expires := wholeSecond(now.Add(p.RefreshLifetime))
	if ends.Before(expires) {
		return ends
	}
	return expires
}

// instant is now, in the resolution that is stored.
func (i *Issuer) instant() time.Time { return i.now().UTC().Truncate(time.Millisecond) }

// wholeSecond is what a NumericDate can hold.
func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// newID returns 128 random bits as 32 hexadecimal characters.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
