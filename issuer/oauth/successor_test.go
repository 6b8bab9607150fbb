package oauth_test

import (
	"testing"
	"time"

	"signet/issuer"
	"signet/issuer/oauth"
)

// exchanging may call ledger for itself and for others, and be called.
func exchanging(id string) oauth.Client {
	return oauth.Client{ID: id, Grants: []string{oauth.ClientCredentials, oauth.TokenExchange},
		Scopes: []string{"read"}, Audiences: []string{"ledger", "orders", "shop"}}
}

func (f *fixture) exchange(t testing.TB, c oauth.Client, subject string, audience string) (string, error) {
	t.Helper()
	got, err := f.Token(t.Context(), oauth.TokenRequest{Client: c, Grant: oauth.TokenExchange, Audience: []string{audience},
		Exchange: oauth.Exchange{SubjectToken: subject, SubjectTokenType: "urn:ietf:params:oauth:token-type:access_token"}})
	return got.AccessToken, err
}

// replace removes the client and registers another with its id, after a while.
func (f *fixture) replace(t testing.TB, c oauth.Client, after time.Duration) oauth.Client {
	t.Helper()
	must(t, f.Clients.Remove(t.Context(), c.ID))
	f.move(after)
	return f.add(t, c)
}

// A removed id that is registered again is another client: what the one before it got,
// and what was meant for it, is not the new one's.
func TestSuccessorInheritsNoTokens(t *testing.T) {
	f := newFixture(t)
	ledger, orders, shop := f.add(t, exchanging("ledger")), f.add(t, exchanging("orders")), f.add(t, exchanging("shop"))
	user := f.login(t, issuer.FirstParty).Access // for ledger
	own := f.machine(t, orders, "ledger")
	toOrders := f.machine(t, shop, "orders")
	ofOrders := f.machine(t, orders, "shop")
	bySelf, err := f.exchange(t, orders, toOrders, "ledger") // orders for shop
	must(t, err)
	byShop, err := f.exchange(t, shop, ofOrders, "ledger") // shop for orders
	must(t, err)
	session := f.login(t, "orders")
	for _, token := range []string{user, own, bySelf, byShop} {
		f.wantActive(t, "before", token, map[*oauth.Client]bool{&ledger: true})
	}

	orders = f.replace(t, exchanging("orders"), time.Second)
	for name, token := range map[string]string{
		"its predecessor's token": own, "its predecessor's token for somebody else": bySelf, "its predecessor's, for exchange": ofOrders,
		"a token for its predecessor": toOrders, "its predecessor's refresh token": session.Refresh, "an access token of that session": session.Access,
	} {
		f.wantActive(t, name, token, map[*oauth.Client]bool{&orders: false})
		_, err := f.exchange(t, orders, token, "ledger")
		wantCode(t, "exchange of "+name, err, oauth.InvalidRequest)
	}
	for name, token := range map[string]string{"its client_id is another": own, "so is its actor": bySelf, "so is its subject": byShop} {
		f.wantActive(t, name, token, map[*oauth.Client]bool{&ledger: false})
		_, err := f.exchange(t, ledger, token, "shop")
		wantCode(t, "exchange when "+name, err, oauth.InvalidRequest)
	}
	_, err = f.exchange(t, shop, ofOrders, "ledger")
	wantCode(t, "exchange of a token whose subject is another now", err, oauth.InvalidRequest)
	for _, token := range []string{own, session.Access, session.Refresh} {
		wantCode(t, "revocation of a predecessor's token", f.Revoke(t.Context(), orders, token), oauth.InvalidGrant)
	}
	f.wantSessions(t, "after the refusals", 2)
	f.wantActive(t, "of nobody who was replaced", user, map[*oauth.Client]bool{&ledger: true})

	ledger = f.replace(t, exchanging("ledger"), time.Second)
	f.wantActive(t, "for the predecessor of a service", user, map[*oauth.Client]bool{&ledger: false})
	_, err = f.exchange(t, ledger, user, "shop")
	wantCode(t, "exchange of a user's token for the predecessor", err, oauth.InvalidRequest)
}

// iat and Created are whole seconds: what a client gets at once is its own, at every
// fraction of a second, also after a change of its registration.
func TestSuccessorsOwnTokensAreGoodAtOnce(t *testing.T) {
	f := newFixture(t)
	ledger, orders := f.add(t, exchanging("ledger")), f.add(t, exchanging("orders"))
	for range 10 {
		orders = f.replace(t, exchanging("orders"), 321*time.Millisecond)
		own := f.machine(t, orders, "ledger")
		f.wantActive(t, "its first token", own, map[*oauth.Client]bool{&ledger: true, &orders: true})
		if _, err := f.exchange(t, ledger, own, "shop"); err != nil {
			t.Errorf("exchange of its first token: %v", err)
		}
		f.move(time.Second)
		_, secret, err := f.Clients.NewSecret(t.Context(), "orders", true)
		must(t, err)
		keepSecret(secret)
		orders = f.authenticated(t, "orders", secret)
		f.wantActive(t, "after a new secret", own, map[*oauth.Client]bool{&ledger: true, &orders: true})
	}
}

// Within one second the two cannot be told apart; from the next on they can.
func TestPredecessorsTokenOfTheSameSecondIsHonoured(t *testing.T) {
	f := newFixture(t)
	ledger, orders := f.add(t, exchanging("ledger")), f.add(t, exchanging("orders"))
	f.move(322 * time.Millisecond) // a second begins
	early := f.machine(t, orders, "ledger")
	f.move(999 * time.Millisecond)
	late := f.machine(t, orders, "ledger")
	f.replace(t, exchanging("orders"), 0)
	f.wantActive(t, "of the second of the registration", late, map[*oauth.Client]bool{&ledger: true})
	f.wantActive(t, "of the same second, at its beginning", early, map[*oauth.Client]bool{&ledger: true})
	f.replace(t, exchanging("orders"), time.Millisecond)
	f.wantActive(t, "of the second before", late, map[*oauth.Client]bool{&ledger: false})
}

// A token for a client that is gone, or of one, rests on nobody.
func TestTokenWhoseSubjectWasRemovedIsInactive(t *testing.T) {
	f := newFixture(t)
	ledger, orders, shop := f.add(t, exchanging("ledger")), f.add(t, exchanging("orders")), f.add(t, exchanging("shop"))
	token, err := f.exchange(t, shop, f.machine(t, orders, "shop"), "ledger")
	must(t, err)
	f.wantActive(t, "before", token, map[*oauth.Client]bool{&ledger: true, &shop: true})
	must(t, f.Clients.Remove(t.Context(), "orders"))
	f.wantActive(t, "its subject was removed", token, map[*oauth.Client]bool{&ledger: false, &shop: false})
}
