// Package oidc is OAuth 2.0 over HTTP: the token, revocation and introspection
// endpoints, and the metadata that names them.
//
// Start at [Handler]. The rules are in package issuer/oauth; here are bodies, client
// authentication, headers and errors. The package refuses JSON bodies, parameters in
// the URL, parameters that are named twice, and GET.
package oidc

import (
	"context"
	"net/http"

	"github.com/gorilla/mux"

	"signet/internal/web/problem"
	"signet/issuer/oauth"
)

// Paths of the endpoints, and what they begin with.
const (
	prefix         = "/oauth2/"
	pathToken      = prefix + "token"
	pathRevoke     = prefix + "revoke"
	pathIntrospect = prefix + "introspect"
)

// Server answers what clients ask: oauth.Server.
type Server interface {
	Token(ctx context.Context, req oauth.TokenRequest) (oauth.TokenResponse, error)
	Revoke(ctx context.Context, client oauth.Client, token string) error
	Introspect(ctx context.Context, client oauth.Client, token string) (oauth.Introspection, error)
}

// Clients knows who a client is: oauth.Clients.
type Clients interface {
	Authenticate(ctx context.Context, given oauth.Credentials) (oauth.Client, error)
}

// Handler mounts the endpoints.
type Handler struct {
	// URL is the issuer.
	URL     string
	Server  Server
	Clients Clients
	Errors  problem.Renderer
}

// Mount adds the routes to r.
func (h *Handler) Mount(r *mux.Router) {
	h.Errors.Shape = shape
	for path, serve := range map[string]endpoint{
		pathToken: h.token, pathRevoke: h.revoke, pathIntrospect: h.introspect,
	} {
		r.Handle(path, h.handle(serve)) // all methods: the refusal of the others has the form of OAuth
	}
	r.PathPrefix(prefix).Handler(h.handle(nil))
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		r.HandleFunc(path, h.metadata).Methods(http.MethodGet, http.MethodHead)
	}
}

func (h *Handler) token(ctx context.Context, client oauth.Client, p parameters) (any, error) {
	return h.Server.Token(ctx, oauth.TokenRequest{
		Client: client, Grant: p.one("grant_type"), Scope: p.one("scope"),
		Audience: append(p.all("resource"), p.all("audience")...), RefreshToken: p.one("refresh_token"),
		Exchange: oauth.Exchange{
			SubjectToken: p.one("subject_token"), SubjectTokenType: p.one("subject_token_type"),
			ActorToken: p.one("actor_token"), ActorTokenType: p.one("actor_token_type"),
			RequestedType: p.one("requested_token_type"),
		},
	})
}

// revoke has an empty answer (RFC 7009 §2.2). token_type_hint is read by nobody: the
// kind of a token is in the token.
func (h *Handler) revoke(ctx context.Context, client oauth.Client, p parameters) (any, error) {
	return struct{}{}, h.Server.Revoke(ctx, client, p.one("token"))
}

func (h *Handler) introspect(ctx context.Context, client oauth.Client, p parameters) (any, error) {
	return h.Server.Introspect(ctx, client, p.one("token"))
}
