// Package oauth is the protocol rules of OAuth 2.0 for clients, without HTTP: who a
// client is, which grants it may use, what it may get with them.
//
// Start at [Clients], the registry, and at [Server], which answers token, revocation
// and introspection requests. A grant proves a subject and yields one
// issuer.Authorization; one path turns that into a token.
//
// The package refuses the password grant, a token for an audience or a scope that the
// client was not registered for, and to tell a client anything of a token that is
// neither for it nor its own.
package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"signet/issuer"
)

// Issuer makes and knows tokens: issuer.Issuer.
type Issuer interface {
	Issue(ctx context.Context, a issuer.Authorization) (token string, expires time.Time, err error)
	RefreshFor(ctx context.Context, client, token string) (issuer.Tokens, error)
	Inspect(ctx context.Context, token string) (*issuer.Claims, error)
	Parse(token string) (*issuer.Claims, error)
	EndSession(ctx context.Context, id string) error
}

// Server answers the requests of clients that have been authenticated.
type Server struct {
	Issuer  Issuer
	Clients *Clients
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// TokenRequest is a request to the token endpoint (RFC 6749 §3.2).
type TokenRequest struct {
	Client Client
	Grant  string
	// Scope is as it was sent; empty asks for all the client may have.
	Scope string
	// Audience are the services asked for (RFC 8707 §2).
	Audience []string
	// NotAfter is when a token for the client itself expires at the latest; zero is no limit.
	NotAfter time.Time
	// RefreshToken is the token of that grant, Exchange the request of another.
	RefreshToken string
	Exchange     Exchange
}

// TokenResponse is a successful answer (RFC 6749 §5.1).
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
	// IssuedType is there for a token exchange (RFC 8693 §2.2.1).
	IssuedType string `json:"issued_token_type,omitempty"`
}

// bearer is the only token_type (RFC 6750).
const bearer = "Bearer"

// Token answers a token request. What the client may not have is an *Error.
func (s *Server) Token(ctx context.Context, req TokenRequest) (TokenResponse, error) {
	switch {
	case req.Grant == "":
		return TokenResponse{}, refuse(InvalidRequest, "grant_type is missing")
	case !slices.Contains(Grants, req.Grant):
		return TokenResponse{}, refuse(UnsupportedGrantType, "this grant is not offered")
	case !slices.Contains(req.Client.Grants, req.Grant):
		return TokenResponse{}, refuse(UnauthorizedClient, "the client is not registered for this grant")
	case req.Grant == RefreshToken:
		return s.refresh(ctx, req)
	}
	authorization, err := s.authorize(ctx, req)
	if err != nil {
		return TokenResponse{}, err
	}
	authorization.Grant = req.Grant
	answer, err := s.issue(ctx, authorization)
	if err != nil {
		return TokenResponse{}, err
	}
	if req.Grant == TokenExchange {
		answer.IssuedType = typeAccessToken
	}
	return answer, nil
}

// authorize lets the grant prove what the client may have.
func (s *Server) authorize(ctx context.Context, req TokenRequest) (issuer.Authorization, error) {
	if req.Grant == TokenExchange {
		return s.exchange(ctx, req)
	}
	return clientCredentials(req)
}

// clientCredentials proves nobody but the client itself (RFC 6749 §4.4).
func clientCredentials(req TokenRequest) (issuer.Authorization, error) {
	scope, err := grantScope(req.Client, req.Scope)
	if err != nil {
		return issuer.Authorization{}, err
	}
	audience, err := grantAudience(req.Client, req.Audience)
	if err != nil {
		return issuer.Authorization{}, err
	}
	return issuer.Authorization{
		Client: req.Client.ID, Subject: req.Client.ID, Audience: audience, Scope: scope, Alg: req.Client.Alg,
		NotAfter: req.NotAfter,
	}, nil
}

// grantScope takes what was asked for, if the client was registered for all of it;
// nothing asked for is everything (RFC 6749 §3.3).
func grantScope(c Client, asked string) ([]string, error) {
	if asked == "" {
		return c.Scopes, nil
	}
	var scope []string
	for value := range strings.SplitSeq(asked, " ") {
		switch {
		case !slices.Contains(c.Scopes, value):
			return nil, refuse(InvalidScope, "the client is not registered for one of these scopes")
		case !slices.Contains(scope, value):
			scope = append(scope, value)
		}
	}
	return scope, nil
}

// grantAudience takes the services asked for, if the client was registered for each
// (RFC 8707 §2). Without a choice to make, none has to be named.
func grantAudience(c Client, asked []string) ([]string, error) {
	if len(asked) == 0 {
		if len(c.Audiences) == 1 {
			return c.Audiences, nil
		}
		return nil, refuse(InvalidTarget, "name the service the token is for: resource or audience")
	}
	var audience []string
	for _, value := range asked {
		switch {
		case !slices.Contains(c.Audiences, value):
			return nil, refuse(InvalidTarget, "the client is not registered for one of these services")
		case !slices.Contains(audience, value):
			audience = append(audience, value)
		}
	}
	return audience, nil
}

func (s *Server) issue(ctx context.Context, a issuer.Authorization) (TokenResponse, error) {
	token, expires, err := s.Issuer.Issue(ctx, a)
	if errors.Is(err, issuer.ErrAudience) {
		return TokenResponse{}, &Error{Code: InvalidTarget, Description: "no access token is for the issuer itself", Cause: err}
	}
	if errors.Is(err, issuer.ErrTypes) {
		return TokenResponse{}, &Error{Code: InvalidTarget, Description: "these services take tokens of different types; ask for one each", Cause: err}
	}
	if errors.Is(err, issuer.ErrInactive) { // disabled since the subject token was looked at
		return TokenResponse{}, &Error{Code: InvalidRequest, Description: "the subject token is not honoured", Cause: err}
	}
	var long *issuer.TooLongError
	if errors.As(err, &long) {
		return TokenResponse{}, &Error{Code: InvalidScope, Description: "the token would be too long; ask for fewer scopes or services", Cause: err}
	}
	if err != nil {
		return TokenResponse{}, err
	}
	return TokenResponse{
		AccessToken: token, TokenType: bearer, ExpiresIn: s.until(expires), Scope: strings.Join(a.Scope, " "),
	}, nil
}

// refresh serves the issuer's own login, whose sessions have no scope (RFC 6749 §6).
func (s *Server) refresh(ctx context.Context, req TokenRequest) (TokenResponse, error) {
	switch {
	case req.RefreshToken == "":
		return TokenResponse{}, refuse(InvalidRequest, "refresh_token is missing")
	case req.Scope != "":
		return TokenResponse{}, refuse(InvalidScope, "the session has no scope")
	case len(req.Audience) > 0:
		return TokenResponse{}, refuse(InvalidTarget, "the session is for the services of the login alone")
	}
	tokens, err := s.Issuer.RefreshFor(ctx, req.Client.ID, req.RefreshToken)
	if err != nil {
		if notHonoured(err) {
			return TokenResponse{}, &Error{Code: InvalidGrant, Description: "the refresh token is not honoured", Cause: err}
		}
		return TokenResponse{}, err
	}
	return TokenResponse{
		AccessToken: tokens.Access, TokenType: bearer, ExpiresIn: s.until(tokens.Expires), RefreshToken: tokens.Refresh,
	}, nil
}

// notHonoured reports an error that is about the token, and not about the issuer.
func notHonoured(err error) bool {
	var missing *issuer.MissingClaimError
	if errors.As(err, &missing) {
		return true
	}
	for _, known := range []error{
		issuer.ErrInvalid, issuer.ErrExpired, issuer.ErrWrongType, issuer.ErrNoSession, issuer.ErrReused,
		issuer.ErrInactive, issuer.ErrOtherClient,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func (s *Server) until(t time.Time) int64 { return max(0, int64(t.Sub(s.now())/time.Second)) }

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
