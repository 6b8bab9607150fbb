package oauth

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signet/issuer"
)

// exchangeIssuer knows one subject token and keeps what it was asked to issue.
type exchangeIssuer struct {
	Issuer
	subject *issuer.Claims
	err     error
	issued  *issuer.Authorization
}

func (i *exchangeIssuer) Inspect(context.Context, string) (*issuer.Claims, error) {
	return i.subject, i.err
}

func (i *exchangeIssuer) Issue(_ context.Context, a issuer.Authorization) (string, time.Time, error) {
	i.issued = &a
	return "new token", a.NotAfter, nil
}

// exchangeClients has the clients that a subject token may name.
type exchangeClients struct {
	Store
	ids []string
	err error
}

func (s exchangeClients) Client(_ context.Context, id string) (Client, error) {
	if s.err == nil && !slices.Contains(s.ids, id) {
		return Client{}, ErrNoClient
	}
	return Client{ID: id}, s.err
}

var exchangeNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// usersToken is what a user has sent to the service orders.
func usersToken() *issuer.Claims {
	return &issuer.Claims{
		Subject: "USER", Client: issuer.FirstParty, Session: "s1", Kind: issuer.KindAccess,
		Audience: issuer.Audience{"orders", "other"}, Scope: "read write admin",
		Expires: exchangeNow.Add(2 * time.Minute).Unix(),
	}
}

// ordersRequest asks for a token for billing, as the service orders.
func ordersRequest() TokenRequest {
	return TokenRequest{
		Grant: TokenExchange,
		Client: Client{ID: "orders", Grants: []string{TokenExchange}, Scopes: []string{"read", "write", "ship"},
			Audiences: []string{"billing", "mail"}, Alg: "RS256"},
		Audience: []string{"billing"},
		Exchange: Exchange{SubjectToken: "a.b.c", SubjectTokenType: typeAccessToken},
	}
}

func exchangeWith(subject *issuer.Claims, inspect error, store exchangeClients, req TokenRequest) (*issuer.Authorization, TokenResponse, error) {
	i := &exchangeIssuer{subject: subject, err: inspect}
	s := &Server{Issuer: i, Clients: NewClients(store, issuer.FirstParty, nil), Now: func() time.Time { return exchangeNow }}
	answer, err := s.Token(context.Background(), req)
	return i.issued, answer, err
}

func TestExchangeNarrowsAUsersToken(t *testing.T) {
	issued, answer, err := exchangeWith(usersToken(), nil, exchangeClients{}, ordersRequest())
	if err != nil {
		t.Fatal(err)
	}
	want := &issuer.Authorization{
		Client: "orders", Subject: "USER", Session: "s1", Alg: "RS256", Grant: TokenExchange,
		Audience: []string{"billing"}, Scope: []string{"read", "write"}, // of both sides
		Actor: &issuer.Actor{Subject: "orders"}, NotAfter: exchangeNow.Add(2 * time.Minute).Local(),
	}
	if diff := cmp.Diff(want, issued); diff != "" {
		t.Errorf("authorization (-want +got):\n%s", diff)
	}
	wantAnswer := TokenResponse{AccessToken: "new token", TokenType: "Bearer", ExpiresIn: 120, Scope: "read write", IssuedType: typeAccessToken}
	if diff := cmp.Diff(wantAnswer, answer); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func TestExchangeKeepsTheChainOfActors(t *testing.T) {
	subject := usersToken()
	subject.Client, subject.Actor = "shop", &issuer.Actor{Subject: "shop"}
	issued, _, err := exchangeWith(subject, nil, exchangeClients{ids: []string{"shop"}}, ordersRequest())
	if err != nil {
		t.Fatal(err)
	}
	if want := (&issuer.Actor{Subject: "orders", Actor: &issuer.Actor{Subject: "shop"}}); !cmp.Equal(issued.Actor, want) {
		t.Errorf("act: %s", cmp.Diff(want, issued.Actor))
	}
}

func TestExchangeRefuses(t *testing.T) {
	storage := errors.New("the disk is gone")
	tests := []struct {
		what    string
		alter   func(*issuer.Claims, *TokenRequest)
		inspect error
		store   exchangeClients
		want    Code
	}{
		{"a client that is not registered for it", func(_ *issuer.Claims, r *TokenRequest) { r.Client.Grants = []string{ClientCredentials} }, nil, exchangeClients{}, UnauthorizedClient},
		{"no subject token", func(_ *issuer.Claims, r *TokenRequest) { r.Exchange.SubjectToken = "" }, nil, exchangeClients{}, InvalidRequest},
		{"no type", func(_ *issuer.Claims, r *TokenRequest) { r.Exchange.SubjectTokenType = "" }, nil, exchangeClients{}, InvalidRequest},
		{"another type", func(_ *issuer.Claims, r *TokenRequest) {
			r.Exchange.SubjectTokenType = "urn:ietf:params:oauth:token-type:refresh_token"
		}, nil, exchangeClients{}, InvalidRequest},
		{"an actor token", func(_ *issuer.Claims, r *TokenRequest) { r.Exchange.ActorToken = "a.b.c" }, nil, exchangeClients{}, InvalidRequest},
		{"a refresh token asked for", func(_ *issuer.Claims, r *TokenRequest) {
			r.Exchange.RequestedType = "urn:ietf:params:oauth:token-type:refresh_token"
		}, nil, exchangeClients{}, InvalidRequest},
		{"a token that is not honoured", nil, issuer.ErrInvalid, exchangeClients{}, InvalidRequest},
		{"an expired token", nil, issuer.ErrExpired, exchangeClients{}, InvalidRequest},
		{"a token in the leeway past its exp", func(c *issuer.Claims, _ *TokenRequest) { c.Expires = exchangeNow.Unix() }, nil, exchangeClients{}, InvalidRequest},
		{"a token whose session has ended", nil, issuer.ErrNoSession, exchangeClients{}, InvalidRequest},
		{"a token of a disabled user", nil, issuer.ErrInactive, exchangeClients{}, InvalidRequest},
		{"a refresh token", func(c *issuer.Claims, _ *TokenRequest) { c.Kind = issuer.KindRefresh }, nil, exchangeClients{}, InvalidRequest},
		{"its own refresh token", func(c *issuer.Claims, _ *TokenRequest) { c.Kind, c.Client = issuer.KindRefresh, "orders" }, nil, exchangeClients{}, InvalidRequest},
		{"a token for another service", func(c *issuer.Claims, _ *TokenRequest) { c.Audience = issuer.Audience{"other"} }, nil, exchangeClients{}, InvalidRequest},
		{"a token of a client that was removed", func(c *issuer.Claims, _ *TokenRequest) { c.Client = "gone" }, nil, exchangeClients{}, InvalidRequest},
		{"a chain that is too long", func(c *issuer.Claims, _ *TokenRequest) {
			for range maxActors {
				c.Actor = &issuer.Actor{Subject: "x", Actor: c.Actor}
			}
		}, nil, exchangeClients{}, InvalidRequest},
		{"a service the client may not call", func(_ *issuer.Claims, r *TokenRequest) { r.Audience = []string{"bank"} }, nil, exchangeClients{}, InvalidTarget},
		{"no service named of several", func(_ *issuer.Claims, r *TokenRequest) { r.Audience = nil }, nil, exchangeClients{}, InvalidTarget},
		{"a scope the user's token lacks", func(_ *issuer.Claims, r *TokenRequest) { r.Scope = "read ship" }, nil, exchangeClients{}, InvalidScope},
		{"a scope the client lacks", func(_ *issuer.Claims, r *TokenRequest) { r.Scope = "admin" }, nil, exchangeClients{}, InvalidScope},
		{"any scope of a token without", func(c *issuer.Claims, r *TokenRequest) { c.Scope, r.Scope = "", "read" }, nil, exchangeClients{}, InvalidScope},
	}
	for _, tt := range tests {
		subject, req := usersToken(), ordersRequest()
		if tt.alter != nil {
			tt.alter(subject, &req)
		}
		issued, _, err := exchangeWith(subject, tt.inspect, tt.store, req)
		var refused *Error
		if !errors.As(err, &refused) || refused.Code != tt.want {
			t.Errorf("%s: error = %v, want %s", tt.what, err, tt.want)
		}
		if issued != nil {
			t.Errorf("%s: a token was issued", tt.what)
		}
	}
	subject := usersToken()
	subject.Client = "shop"
	for what, err := range map[string]error{
		"inspect": func() error {
			_, _, err := exchangeWith(subject, storage, exchangeClients{}, ordersRequest())
			return err
		}(),
		"clients": func() error {
			_, _, err := exchangeWith(subject, nil, exchangeClients{err: storage}, ordersRequest())
			return err
		}(),
	} {
		if !errors.Is(err, storage) {
			t.Errorf("%s: error = %v, want %v", what, err, storage)
		}
	}
}
