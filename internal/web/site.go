package web

import (
	"errors"
	"net/http"

	"github.com/gorilla/mux"

	"signet/internal/web/problem"
)

// Paths outside of the dialects.
const (
	pathJWKS  = "/.well-known/jwks.json"
	pathAlive = "/healthz"
	pathReady = "/readyz"
)

// Probes are the paths that say whether the server lives and is ready.
func Probes() []string { return []string{pathAlive, pathReady} }

// site is the routes that belong to no dialect.
type site struct {
	opts   Options
	errors problem.Renderer

	readiness readiness
}

func (s *site) mount(r *mux.Router, set http.Handler) {
	read := func(path string, h http.Handler) {
		r.Handle(path, h).Methods(http.MethodGet, http.MethodHead)
	}
	read(pathJWKS, set)
	r.HandleFunc(pathJWKS, preflight).Methods(http.MethodOptions)
	read(pathAlive, http.HandlerFunc(s.alive))
	read(pathReady, http.HandlerFunc(s.ready))
	read("/", http.HandlerFunc(s.index))
}

// status is the answer to probes.
type status struct {
	Status string `json:"status"`
	// Warning is what does not work meanwhile.
	Warning string `json:"warning,omitempty"`
}

func (s *site) alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	problem.WriteJSON(w, http.StatusOK, status{Status: "ok"})
}

func (s *site) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.readiness.check(r.Context(), s.opts.Ready); err != nil {
		detail := "Not ready: tokens cannot be signed and stored now."
		if p, ok := errors.AsType[*problem.Problem](err); ok {
			detail, err = p.Detail, p.Cause
		}
		s.errors.Write(w, r, problem.Problem{Status: http.StatusServiceUnavailable, Cause: err, Detail: detail, RetryAfter: readyFor})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answer := status{Status: "ready"}
	if s.opts.Recording != nil && s.opts.Recording() != nil {
		answer.Warning = "logins are refused: they cannot be recorded"
	}
	problem.WriteJSON(w, http.StatusOK, answer)
}

// index is for the person who opens the issuer in a browser.
func (s *site) index(w http.ResponseWriter, _ *http.Request) {
	type index struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
		Token  string `json:"token,omitempty"`
		DRFJWT string `json:"token_auth,omitempty"`
		OAuth  string `json:"oauth_metadata,omitempty"`
		Alive  string `json:"alive"`
		Ready  string `json:"ready"`
	}
	url := s.opts.URL
	body := index{Issuer: url, JWKS: url + pathJWKS, Alive: url + pathAlive, Ready: url + pathReady}
	if s.opts.SimpleJWT {
		body.Token = url + "/api/token/"
	}
	if s.opts.DRFJWT != nil {
		body.DRFJWT = url + "/api-token-auth/"
	}
	if s.opts.OAuth != nil {
		body.OAuth = url + "/.well-known/oauth-authorization-server"
	}
	problem.WriteJSON(w, http.StatusOK, body)
}
