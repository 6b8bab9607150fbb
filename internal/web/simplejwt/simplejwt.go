// Package simplejwt is the wire format of djangorestframework-simplejwt: the
// /api/token/ routes, with its bodies, status codes and texts.
//
// Start at [Handler.Mount]. A request goes through endpoint.go (Accept, method),
// body.go (JSON, form or multipart becomes fields) and fields.go (what Django REST
// framework says about a field), then to the [Issuer]; errors are rendered by
// package problem. testdata holds recordings of the real thing, and the test that
// replays them lists where this package differs, and why.
//
// The package refuses bodies that two parsers could read differently: repeated
// names, text that is not UTF-8, unpaired surrogates. It never trims a password.
package simplejwt

import (
	"context"
	"errors"
	"net/http"

	"github.com/gorilla/mux"

	"signet/internal/web/problem"
	"signet/issuer"
	"signet/users"
)

// Issuer is what the dialect calls. The errors are those of package issuer.
type Issuer interface {
	Login(ctx context.Context, client, name, password string) (issuer.Tokens, error)
	Refresh(ctx context.Context, token string) (issuer.Tokens, error)
	Verify(ctx context.Context, token string) (*issuer.Claims, error)
	Logout(ctx context.Context, token string) error
}

// Handler serves the dialect.
type Handler struct {
	Issuer Issuer
	// Errors renders what goes wrong; its Shape must be nil or problem.Detail.
	Errors problem.Renderer
}

// Mount adds the routes, each with and without the trailing slash: a redirect
// would lose the body of a POST (RFC 9110 §15.4.2).
func (h *Handler) Mount(r *mux.Router) {
	for path, serve := range map[string]endpoint{
		"/api/token":           h.obtain,
		"/api/token/refresh":   h.refresh,
		"/api/token/verify":    h.verify,
		"/api/token/blacklist": h.blacklist,
	} {
		handler := h.handle(serve)
		r.Handle(path, handler)
		r.Handle(path+"/", handler)
	}
}

// none is the answer {}.
type none struct{}

func (h *Handler) obtain(ctx context.Context, body values) (any, error) {
	fields, err := body.read(
		field{name: "username", trim: true, limit: users.MaxNameBytes},
		field{name: "password", limit: users.MaxPasswordBytes})
	if err != nil {
		return nil, err
	}
	tokens, err := h.Issuer.Login(ctx, issuer.FirstParty, fields[0], fields[1])
	if err != nil {
		return nil, err
	}
	return struct {
		Refresh string `json:"refresh"`
		Access  string `json:"access"`
	}{tokens.Refresh, tokens.Access}, nil
}

func (h *Handler) refresh(ctx context.Context, body values) (any, error) {
	fields, err := body.read(field{name: "refresh", trim: true})
	if err != nil {
		return nil, err
	}
	tokens, err := h.Issuer.Refresh(ctx, fields[0])
	if err != nil {
		return nil, err
	}
	return struct {
		Access  string `json:"access"`
		Refresh string `json:"refresh,omitempty"`
	}{tokens.Access, tokens.Refresh}, nil
}

func (h *Handler) verify(ctx context.Context, body values) (any, error) {
	fields, err := body.read(field{name: "token", trim: true})
	if err != nil {
		return nil, err
	}
	_, err = h.Issuer.Verify(ctx, fields[0])
	if errors.Is(err, issuer.ErrNoSession) {
		p := invalid(problem.NonField, "Token is blacklisted") // 400 here, unlike elsewhere
		p.Cause = err
		return nil, p
	}
	return none{}, err
}

func (h *Handler) blacklist(ctx context.Context, body values) (any, error) {
	fields, err := body.read(field{name: "refresh", trim: true})
	if err != nil {
		return nil, err
	}
	return none{}, h.Issuer.Logout(ctx, fields[0])
}

// invalid is the 400 for one field.
func invalid(name, message string) *problem.Problem {
	return problem.Invalid(problem.Fields{{Name: name, Messages: []string{message}}})
}

// malformed is the 400 for a body that cannot be read.
func malformed(detail string) *problem.Problem {
	return problem.New(http.StatusBadRequest, detail)
}
