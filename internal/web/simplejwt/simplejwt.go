// Package simplejwt is the wire format of djangorestframework-simplejwt: the
// /api/token/ routes, with its bodies, status codes and texts.
//
// Start at [Handler.Mount]. A request goes through package drf, then to the [Issuer];
// errors are rendered by package problem. testdata holds recordings of the real thing,
// and the test that replays them lists where this package differs, and why.
package simplejwt

import (
	"context"
	"errors"

	"github.com/gorilla/mux"

	"signet/internal/web/clientaddr"
	"signet/internal/web/drf"
	"signet/internal/web/problem"
	"signet/issuer"
)

// Issuer is what the dialect calls. The errors are those of package issuer.
type Issuer interface {
	Login(ctx context.Context, a issuer.Attempt) (issuer.Tokens, error)
	Refresh(ctx context.Context, token string) (issuer.Tokens, error)
	Verify(ctx context.Context, token string) (*issuer.Claims, error)
	Logout(ctx context.Context, token string) error
}

// Handler serves the dialect.
type Handler struct {
	Issuer Issuer
	// Errors renders what goes wrong; its Shape must be nil or problem.Detail.
	Errors problem.Renderer
	// Proxies are those whose word about a client's address is taken.
	Proxies clientaddr.Proxies
	// Cookie takes the refresh tokens; nil leaves them in the bodies.
	Cookie *Cookie
}

// Mount adds the routes, each with and without the trailing slash: a redirect
// would lose the body of a POST (RFC 9110 §15.4.2).
func (h *Handler) Mount(r *mux.Router) {
	for path, serve := range map[string]drf.Endpoint{
		"/api/token":           h.obtain,
		"/api/token/refresh":   h.refresh,
		"/api/token/verify":    h.verify,
		"/api/token/blacklist": h.blacklist,
	} {
		handler := drf.Handle(h.Errors, serve)
		if h.Cookie != nil {
			handler = h.Cookie.guard(h.Errors, handler)
		}
		r.Handle(path, handler)
		r.Handle(path+"/", handler)
	}
}

// none is the answer {}.
type none struct{}

// accessOnly is the answer where the refresh token is in the cookie.
type accessOnly struct {
	Access string `json:"access"`
}

func (h *Handler) obtain(c *drf.Call) (any, error) {
	attempt, err := c.Attempt(&h.Proxies)
	if err != nil {
		return nil, err
	}
	tokens, err := h.Issuer.Login(c.Context(), attempt)
	if err != nil {
		return nil, err
	}
	if h.Cookie != nil {
		return accessOnly{tokens.Access}, h.Cookie.put(c, tokens)
	}
	return struct {
		Refresh string `json:"refresh"`
		Access  string `json:"access"`
	}{tokens.Refresh, tokens.Access}, nil
}

func (h *Handler) refresh(c *drf.Call) (any, error) {
	got, err := h.presented(c)
	if err != nil {
		return nil, err
	}
	tokens, err := h.Issuer.Refresh(c.Context(), got.token)
	h.settle(c, got, err, false)
	if err != nil {
		return nil, err
	}
	if got.inCookie {
		return accessOnly{tokens.Access}, h.Cookie.put(c, tokens)
	}
	return struct {
		Access  string `json:"access"`
		Refresh string `json:"refresh,omitempty"`
	}{tokens.Access, tokens.Refresh}, nil
}

func (h *Handler) verify(c *drf.Call) (any, error) {
	fields, err := c.Read(drf.Field{Name: "token", Trim: true})
	if err != nil {
		return nil, err
	}
	_, err = h.Issuer.Verify(c.Context(), fields[0])
	if errors.Is(err, issuer.ErrNoSession) {
		p := drf.Invalid(problem.NonField, "Token is blacklisted") // 400 here, unlike elsewhere
		p.Cause = err
		return nil, p
	}
	return none{}, err
}

func (h *Handler) blacklist(c *drf.Call) (any, error) {
	got, err := h.presented(c)
	if err != nil {
		return nil, err
	}
	err = h.Issuer.Logout(c.Context(), got.token)
	h.settle(c, got, err, true)
	return none{}, err
}
