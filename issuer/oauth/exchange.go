package oauth

import (
	"context"
	"slices"
	"strings"
	"time"

	"signet/issuer"
)

// Token types (RFC 8693 §3).
const (
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// maxActors bounds the act chain: a token does not grow with each service that it
// passes, and services that call each other in a circle come to an end.
const maxActors = 4

// Exchange is what a token-exchange request brings beside the rest (RFC 8693 §2.1).
type Exchange struct {
	SubjectToken, SubjectTokenType string
	ActorToken, ActorTokenType     string
	RequestedType                  string
}

// exchange proves that a client holds the access token of a user or another client
// that was meant for it, or issued to it, and yields one for the services that it may
// call: for the same subject, with itself as the actor, never with more scope than
// either side has, and never for longer than the token that it holds.
func (s *Server) exchange(ctx context.Context, req TokenRequest) (issuer.Authorization, error) {
	if err := req.Exchange.check(); err != nil {
		return issuer.Authorization{}, err
	}
	subject, err := s.Issuer.Inspect(ctx, req.Exchange.SubjectToken)
	switch {
	case err != nil && notHonoured(err):
		return issuer.Authorization{}, &Error{Code: InvalidRequest, Description: "the subject token is not honoured", Cause: err}
	case err != nil:
		return issuer.Authorization{}, err
	}
	if err := s.mayExchange(ctx, req.Client, subject, s.now()); err != nil {
		return issuer.Authorization{}, err
	}
	scope, err := narrowScope(req.Client, subject, req.Scope)
	if err != nil {
		return issuer.Authorization{}, err
	}
	audience, err := grantAudience(req.Client, req.Audience)
	if err != nil {
		return issuer.Authorization{}, err
	}
	return issuer.Authorization{
		Client: req.Client.ID, Subject: subject.Subject, Audience: audience, Scope: scope, Alg: req.Client.Alg,
		Session:  subject.Session,
		Actor:    &issuer.Actor{Subject: req.Client.ID, Actor: subject.Actor},
		NotAfter: time.Unix(subject.Expires, 0),
	}, nil
}

// check refuses what is missing or not offered (RFC 8693 §2.1).
func (e *Exchange) check() error {
	switch {
	case e.SubjectToken == "" || e.SubjectTokenType == "":
		return refuse(InvalidRequest, "subject_token or subject_token_type is missing")
	case e.SubjectTokenType != typeAccessToken && e.SubjectTokenType != typeJWT:
		return refuse(InvalidRequest, "the subject token must be an access token")
	case e.ActorToken != "" || e.ActorTokenType != "":
		return refuse(InvalidRequest, "the actor is the client itself; actor_token is not taken")
	case e.RequestedType != "" && e.RequestedType != typeAccessToken && e.RequestedType != typeJWT:
		return refuse(InvalidRequest, "only access tokens are issued")
	}
	return nil
}

// mayExchange reports whether the token is one that the client may hold: a stolen one
// that was meant for another service gets nothing here.
func (s *Server) mayExchange(ctx context.Context, client Client, subject *issuer.Claims, now time.Time) error {
	alive, err := s.concerns(ctx, client, subject)
	switch {
	case err != nil:
		return err
	case subject.Kind != issuer.KindAccess:
		return refuse(InvalidRequest, "the subject token must be an access token")
	case !alive:
		return refuse(InvalidRequest, "the subject token is neither for this client nor its own")
	case subject.Expires <= now.Unix():
		return refuse(InvalidRequest, "the subject token has expired") // also within the leeway
	case subject.Actor.Depth() >= maxActors:
		return refuse(InvalidRequest, "the subject token has passed through too many services")
	}
	return nil
}

// narrowScope is what was asked for, of what both the subject token and the client
// may do.
func narrowScope(c Client, subject *issuer.Claims, asked string) ([]string, error) {
	has := strings.Fields(subject.Scope)
	if asked == "" {
		return slices.DeleteFunc(has, func(v string) bool { return !slices.Contains(c.Scopes, v) }), nil
	}
	scope, err := grantScope(c, asked)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(scope, func(v string) bool { return !slices.Contains(has, v) }) {
		return nil, refuse(InvalidScope, "the subject token does not have one of these scopes")
	}
	return scope, nil
}
