package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/issuer/oauth"
)

func TestRevoke(t *testing.T) {
	f := newFixture(t)
	login, machine := f.firstParty(t), f.add(t, batch())
	tokens, foreign := f.login(t, issuer.FirstParty), f.login(t, "batch").Refresh
	own := f.machine(t, machine, "ledger")
	expired := f.reclaim(t, tokens.Refresh, issuer.TypRefresh, map[string]any{"exp": start.Unix() - 31})
	for _, tt := range []struct {
		name   string
		client oauth.Client
		token  string
		want   oauth.Code
	}{
		{"nothing", login, "", oauth.InvalidRequest},
		{"garbage", login, "garbage", ""},
		{"a token in part", login, tokens.Refresh[:len(tokens.Refresh)-4], ""},
		{"an expired token", login, expired, ""},
		{"of a session that never was", login, f.reclaim(t, tokens.Refresh, issuer.TypRefresh, map[string]any{"sid": "none"}), ""},
		{"a refresh token called an access token", login, f.reclaim(t, tokens.Refresh, issuer.TypAccess, nil), ""},
		{"without a claim", login, f.reclaim(t, tokens.Refresh, issuer.TypRefresh, map[string]any{"sub": nil}), ""},
		{"of another issuer", login, f.reclaim(t, tokens.Refresh, issuer.TypRefresh, map[string]any{"iss": "https://evil.example"}), ""},
		{"another client's refresh token", login, foreign, oauth.InvalidGrant},
		{"the login's refresh token at a machine", machine, tokens.Refresh, oauth.InvalidGrant},
		{"another client's access token", login, own, oauth.InvalidGrant},
		{"the login's access token at a machine", machine, tokens.Access, oauth.InvalidGrant},
		{"its own access token", login, tokens.Access, oauth.UnsupportedTokenType},
		{"a machine's own access token", machine, own, oauth.UnsupportedTokenType},
	} {
		wantCode(t, tt.name, f.Revoke(t.Context(), tt.client, tt.token), tt.want)
	}
	f.wantSessions(t, "after revocations of other things", 2)
	for _, token := range []string{tokens.Access, tokens.Refresh, foreign, own} {
		if _, err := f.issuer.Inspect(t.Context(), token); err != nil {
			t.Errorf("a token is not honoured any more: %v", err)
		}
	}

	wantCode(t, "its own refresh token", f.Revoke(t.Context(), login, tokens.Refresh), "")
	_, err := f.issuer.Refresh(t.Context(), tokens.Refresh)
	wantErr(t, "refresh after the revocation", err, issuer.ErrNoSession)
	_, err = f.issuer.Verify(t.Context(), tokens.Access)
	wantErr(t, "the access token after the revocation", err, issuer.ErrNoSession)
	wantCode(t, "again", f.Revoke(t.Context(), login, tokens.Refresh), "")
	wantCode(t, "a machine's own refresh token", f.Revoke(t.Context(), machine, foreign), "")
	f.wantSessions(t, "after all revocations", 0)
}

// CVE-2020-15223: no success if nothing was written.
func TestRevokeWhenTheStorageFails(t *testing.T) {
	for _, method := range []string{"EndSession"} {
		f := newFixture(t)
		tokens, login := f.login(t, issuer.FirstParty), f.firstParty(t)
		f.store.FailNext(method, storetest.NotApplied)
		wantFault(t, method, f.Revoke(t.Context(), login, tokens.Refresh))
		f.wantSessions(t, method, 1)
		f.store.FailNext(method, storetest.AppliedButFailed)
		wantFault(t, method+", applied", f.Revoke(t.Context(), login, tokens.Refresh))
		wantCode(t, method+", again", f.Revoke(t.Context(), login, tokens.Refresh), "")
		f.wantSessions(t, method+", again", 0)
	}
}

// Between the look and the end of the session another may have ended it.
func TestRevokeAtTheSameMoment(t *testing.T) {
	f := newFixture(t)
	tokens, login := f.login(t, issuer.FirstParty), f.firstParty(t)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() { wantCode(t, "Revoke", f.Revoke(t.Context(), login, tokens.Refresh), "") })
	}
	wg.Wait()
	f.wantSessions(t, "after it", 0)
}

func TestIntrospect(t *testing.T) {
	f := newFixture(t)
	owner, ledger, stranger := f.add(t, batch()), f.add(t, service("ledger")), f.add(t, service("stranger"))
	public := oauth.Client{ID: "ledger", Public: true}
	machine, tokens := f.machine(t, owner, "ledger"), f.login(t, issuer.FirstParty)
	both := f.machine(t, owner, "ledger", "https://billing.example")
	elsewhere := f.machine(t, owner, "https://billing.example")
	own := f.login(t, "batch") // a session that belongs to a client with a secret
	jti := func(token string) string { _, claims := decode(t, token); return fmt.Sprint(claims["jti"]) }
	now := start.Unix()
	ofMachine := func(token string, aud ...string) oauth.Introspection {
		return oauth.Introspection{Active: true, Scope: "invoices:read invoices:write", Client: "batch", TokenType: "Bearer",
			Expires: now + 300, IssuedAt: now, NotBefore: now, Subject: "batch", Audience: aud, Issuer: issuerURL, ID: jti(token)}
	}
	ofKyoko := func(token, client string) oauth.Introspection {
		return oauth.Introspection{Active: true, Client: client, TokenType: "Bearer", Expires: now + 300, IssuedAt: now, NotBefore: now,
			Subject: f.kyoko.ID, Audience: issuer.Audience{"ledger"}, Issuer: issuerURL, ID: jti(token)}
	}
	refresh := ofKyoko(own.Refresh, "batch")
	refresh.TokenType, refresh.Audience, refresh.Expires = "", issuer.Audience{issuerURL}, now+24*3600
	for _, tt := range []struct {
		name   string
		client oauth.Client
		token  string
		want   oauth.Introspection
		code   oauth.Code
	}{
		{"by its service", ledger, machine, ofMachine(machine, "ledger"), ""},
		{"by its owner", owner, machine, ofMachine(machine, "ledger"), ""},
		{"by its owner, for another service", owner, elsewhere, ofMachine(elsewhere, "https://billing.example"), ""},
		{"by one of two services", ledger, both, ofMachine(both, "ledger", "https://billing.example"), ""},
		{"a user's, by its service", ledger, tokens.Access, ofKyoko(tokens.Access, issuer.FirstParty), ""},
		{"a refresh token, by its owner", owner, own.Refresh, refresh, ""},
		{"the access token beside it, by its owner", owner, own.Access, ofKyoko(own.Access, "batch"), ""},

		{"by a stranger", stranger, machine, oauth.Introspection{}, ""},
		{"for another service", ledger, elsewhere, oauth.Introspection{}, ""},
		{"a user's, by a stranger", stranger, tokens.Access, oauth.Introspection{}, ""},
		{"the login's refresh token, by a service", ledger, tokens.Refresh, oauth.Introspection{}, ""},
		{"another client's refresh token", ledger, own.Refresh, oauth.Introspection{}, ""},
		{"garbage", ledger, "garbage", oauth.Introspection{}, ""},
		{"in part", ledger, machine[:len(machine)-4], oauth.Introspection{}, ""},
		{"expired", ledger, f.reclaim(t, machine, issuer.TypAccess, map[string]any{"exp": now - 31}), oauth.Introspection{}, ""},
		{"not valid yet", ledger, f.reclaim(t, machine, issuer.TypAccess, map[string]any{"nbf": now + 31}), oauth.Introspection{}, ""},
		{"of another issuer", ledger, f.reclaim(t, machine, issuer.TypAccess, map[string]any{"iss": "https://evil.example"}), oauth.Introspection{}, ""},
		{"without a claim", ledger, f.reclaim(t, machine, issuer.TypAccess, map[string]any{"client_id": nil}), oauth.Introspection{}, ""},
		{"called a refresh token", ledger, f.reclaim(t, machine, issuer.TypRefresh, nil), oauth.Introspection{}, ""},
		{"a refresh token for a service", ledger, f.reclaim(t, own.Refresh, issuer.TypRefresh, map[string]any{"aud": "ledger"}), oauth.Introspection{}, ""},
		{"of a client that never was", ledger, f.reclaim(t, machine, issuer.TypAccess, map[string]any{"client_id": "nobody"}), oauth.Introspection{}, ""},
		{"of a session that never was", ledger, f.reclaim(t, tokens.Access, issuer.TypJWT, map[string]any{"sid": "none"}), oauth.Introspection{}, ""},

		{"nothing", ledger, "", oauth.Introspection{}, oauth.InvalidRequest},
		{"by a public client", public, machine, oauth.Introspection{}, oauth.InvalidClient},
		{"by the issuer's own login", f.firstParty(t), tokens.Access, oauth.Introspection{}, oauth.InvalidClient},
		{"nothing, by a public client", public, "", oauth.Introspection{}, oauth.InvalidClient},
	} {
		got, err := f.Introspect(t.Context(), tt.client, tt.token)
		wantCode(t, tt.name, err, tt.code)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, diff)
		}
	}
	f.wantSessions(t, "after introspections", 2)
}

// knows is an issuer that takes every token for one with these claims.
type knows struct {
	oauth.Issuer
	claims issuer.Claims
}

func (k knows) Inspect(context.Context, string) (*issuer.Claims, error) { return &k.claims, nil }

// A refresh token is its owner's alone, whatever its audience comes to be.
func TestIntrospectTellsOfARefreshTokenByItsKindAndNotItsAudience(t *testing.T) {
	f := newFixture(t)
	owner, ledger := f.add(t, batch()), f.add(t, service("ledger"))
	claims := issuer.Claims{Client: "batch", Audience: issuer.Audience{"ledger"}, Kind: issuer.KindRefresh, Session: "one", IssuedAt: start.Unix()}
	s := &oauth.Server{Issuer: knows{f.issuer, claims}, Clients: f.Clients, Now: f.now}
	for _, c := range []oauth.Client{owner, ledger} {
		got, err := s.Introspect(t.Context(), c, "x")
		must(t, err)
		if got.Active != (c.ID == "batch") {
			t.Errorf("%s is told %+v", c.ID, got)
		}
	}
}

// wantActive holds what each client is told of a token.
func (f *fixture) wantActive(t *testing.T, what, token string, want map[*oauth.Client]bool) {
	t.Helper()
	for client, active := range want {
		got, err := f.Introspect(t.Context(), *client, token)
		must(t, err)
		if got.Active != active {
			t.Errorf("%s: %s is told active: %v", what, client.ID, got.Active)
		}
		if diff := cmp.Diff(oauth.Introspection{}, got); !active && diff != "" {
			t.Errorf("%s: %s is told more than that it is inactive:\n%s", what, client.ID, diff)
		}
	}
}

func TestIntrospectFollowsWhatHappens(t *testing.T) {
	f := newFixture(t)
	owner, ledger := f.add(t, batch()), f.add(t, service("ledger"))
	told := map[*oauth.Client]bool{&owner: true, &ledger: true}
	inactive := map[*oauth.Client]bool{&owner: false, &ledger: false}
	services := map[*oauth.Client]bool{&ledger: true}
	nobody := map[*oauth.Client]bool{&ledger: false}

	machine := f.machine(t, owner, "ledger")
	f.wantActive(t, "a machine's", machine, told)
	f.move(6 * time.Minute)
	f.wantActive(t, "expired", machine, inactive)
	machine = f.machine(t, owner, "ledger")
	f.wantActive(t, "a new one", machine, told)
	must(t, f.Clients.Remove(t.Context(), "batch"))
	f.wantActive(t, "of a removed client", machine, nobody)

	tokens := f.login(t, issuer.FirstParty)
	f.wantActive(t, "a user's", tokens.Access, services)
	must(t, f.Revoke(t.Context(), f.firstParty(t), tokens.Refresh))
	f.wantActive(t, "of an ended session", tokens.Access, nobody)
	tokens = f.login(t, issuer.FirstParty)
	_, err := f.users.Disable(t.Context(), "kyoko")
	must(t, err)
	f.wantActive(t, "of a disabled user", tokens.Access, nobody)
	_, err = f.users.Enable(t.Context(), "kyoko")
	must(t, err)
	f.wantActive(t, "of a session before the user was disabled", tokens.Access, nobody)
	tokens = f.login(t, issuer.FirstParty)
	f.wantActive(t, "of a new session", tokens.Access, services)
	_, err = f.users.Remove(t.Context(), "kyoko")
	must(t, err)
	f.wantActive(t, "of a removed user", tokens.Access, nobody)
}

func TestIntrospectWhenTheStorageFails(t *testing.T) {
	f := newFixture(t)
	owner, ledger := f.add(t, batch()), f.add(t, service("ledger"))
	machine, user := f.machine(t, owner, "ledger"), f.login(t, issuer.FirstParty).Access
	for method, token := range map[string]string{"UserByID": user, "Session": user, "Client": machine} {
		for _, fault := range []storetest.Fault{storetest.NotApplied, storetest.AppliedButFailed} {
			f.store.FailNext(method, fault)
			got, err := f.Introspect(t.Context(), ledger, token)
			wantFault(t, method, err)
			if diff := cmp.Diff(oauth.Introspection{}, got); diff != "" {
				t.Errorf("%s: an answer beside the error:\n%s", method, diff)
			}
		}
		f.wantActive(t, "after "+method, token, map[*oauth.Client]bool{&ledger: true})
	}
}

// Thirty clients at once, each with all that it can do; one is removed meanwhile.
func TestManyClientsAtTheSameMoment(t *testing.T) {
	f := newFixture(t)
	ledger, doomed := f.add(t, service("ledger")), batch()
	doomed.ID = "doomed"
	f.register(t, doomed)
	tokens := make([]issuer.Tokens, 30)
	for i := range tokens {
		tokens[i] = f.login(t, issuer.FirstParty)
	}
	seen, login := make(chan any, len(tokens)), f.firstParty(t)
	var wg sync.WaitGroup
	for i := range tokens {
		wg.Go(func() {
			c := batch()
			c.ID = fmt.Sprint("batch-", i)
			_, secret, err := f.Clients.Add(t.Context(), c, issuerURL)
			if err == nil {
				keepSecret(secret)
				c, err = f.Clients.Authenticate(t.Context(), oauth.Credentials{ID: c.ID, Secret: secret})
			}
			got, err2 := f.Token(t.Context(), oauth.TokenRequest{Client: c, Grant: oauth.ClientCredentials, Audience: []string{"ledger"}})
			told, err3 := f.Introspect(t.Context(), ledger, got.AccessToken)
			_, err4 := f.Token(t.Context(), oauth.TokenRequest{Client: login, Grant: oauth.RefreshToken, RefreshToken: tokens[i].Refresh})
			err5 := f.Revoke(t.Context(), login, tokens[i].Refresh)
			if err := errors.Join(err, err2, err3, err4, err5); err != nil || !told.Active || told.Subject != c.ID {
				t.Errorf("client %d: %v, told %+v", i, err, told)
			}
			seen <- told.ID
			if i == 15 {
				if err := f.Clients.Remove(t.Context(), "doomed"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(seen)
	ids := map[any]bool{}
	for id := range seen {
		ids[id] = true
	}
	if len(ids) != len(tokens) {
		t.Errorf("%d different tokens, want %d", len(ids), len(tokens))
	}
	f.wantSessions(t, "after all were revoked", 0)
}

// Whoever has a refresh token that was replaced had the session (RFC 7009 §2.1).
func TestRevokingAReplacedRefreshTokenEndsTheSession(t *testing.T) {
	f := newFixture(t)
	tokens, login := f.login(t, issuer.FirstParty), f.firstParty(t)
	for range 2 {
		if _, err := f.issuer.Refresh(t.Context(), tokens.Refresh); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, "the first token", f.Revoke(t.Context(), login, tokens.Refresh), "")
	f.wantSessions(t, "after that", 0)
}
