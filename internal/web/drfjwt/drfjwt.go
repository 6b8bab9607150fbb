// Package drfjwt is the wire format of the older django-rest-framework-jwt: the
// /api-token-… routes, with its bodies, status codes and texts. There is one token,
// which is traded for the next one before it expires.
//
// Start at [Handler.Mount]. A request goes through package drf, then to the [Issuer];
// refusal.go has the words for what it refuses, package problem renders the rest.
// testdata holds recordings of the real thing, and the test that replays them lists
// where this package differs, and why.
//
// The package refuses to renew a token that a login elsewhere has made, and takes no
// refresh token anywhere.
package drfjwt

import (
	"context"

	"github.com/gorilla/mux"

	"signet/internal/web/clientaddr"
	"signet/internal/web/drf"
	"signet/internal/web/problem"
	"signet/issuer"
)

// Issuer is what the dialect calls. The errors are those of package issuer.
type Issuer interface {
	LoginRenewable(ctx context.Context, a issuer.Attempt) (issuer.Tokens, error)
	Renew(ctx context.Context, token string) (issuer.Tokens, error)
	Verify(ctx context.Context, token string) (*issuer.Claims, error)
}

// Handler serves the dialect.
type Handler struct {
	Issuer Issuer
	// Errors renders what goes wrong; its Shape must be nil or problem.Detail.
	Errors problem.Renderer
	// Proxies are those whose word about a client's address is taken.
	Proxies clientaddr.Proxies
}

// Mount adds the routes, each with and without the trailing slash: a redirect
// would lose the body of a POST (RFC 9110 §15.4.2).
func (h *Handler) Mount(r *mux.Router) {
	for path, serve := range map[string]drf.Endpoint{
		"/api-token-auth":    h.obtain,
		"/api-token-refresh": h.refresh,
		"/api-token-verify":  h.verify,
	} {
		handler := drf.Handle(h.Errors, refusing(serve))
		r.Handle(path, handler)
		r.Handle(path+"/", handler)
	}
}

// answer is that of every route.
type answer struct {
	Token string `json:"token"`
}

func (h *Handler) obtain(c *drf.Call) (any, error) {
	attempt, err := c.Attempt(&h.Proxies)
	if err != nil {
		return nil, err
	}
	tokens, err := h.Issuer.LoginRenewable(c.Context(), attempt)
	return answer{tokens.Access}, err
}

func (h *Handler) refresh(c *drf.Call) (any, error) {
	token, err := readToken(c)
	if err != nil {
		return nil, err
	}
	tokens, err := h.Issuer.Renew(c.Context(), token)
	return answer{tokens.Access}, err
}

// verify vouches for the access tokens of users alone: whoever asks takes the answer
// for a login.
func (h *Handler) verify(c *drf.Call) (any, error) {
	token, err := readToken(c)
	if err != nil {
		return nil, err
	}
	claims, err := h.Issuer.Verify(c.Context(), token)
	switch {
	case err != nil:
		return nil, err
	case claims.Kind != issuer.KindAccess:
		return nil, issuer.ErrWrongType
	case claims.Session == "":
		return nil, &issuer.MissingClaimError{Claim: "sid"}
	}
	return answer{token}, nil
}

func readToken(c *drf.Call) (string, error) {
	fields, err := c.Read(drf.Field{Name: "token", Trim: true})
	if err != nil {
		return "", err
	}
	return fields[0], nil
}
