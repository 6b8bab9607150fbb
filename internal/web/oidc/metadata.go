package oidc

import (
	"net/http"

	"signet/internal/web/problem"
	"signet/issuer/oauth"
)

// metadata is the authorization server's description (RFC 8414 §2). It lists what
// works, and nothing else.
type metadata struct {
	Issuer                string   `json:"issuer"`
	JWKSURI               string   `json:"jwks_uri"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	GrantTypes            []string `json:"grant_types_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	TokenAuth             []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuth        []string `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionAuth     []string `json:"introspection_endpoint_auth_methods_supported"`
	AssertionAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	RevocationAlgs        []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAlgs     []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
}

// metadata comes from the configured issuer alone: no header of a request decides
// where clients send their secrets (RFC 8414 §6.2).
func (h *Handler) metadata(w http.ResponseWriter, _ *http.Request) {
	secrets := []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}
	algs := oauth.AssertionAlgorithms
	withPublic := append([]string{"none"}, secrets...)
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "public, max-age=300")
	problem.WriteJSON(w, http.StatusOK, metadata{
		Issuer: h.URL, JWKSURI: h.URL + "/.well-known/jwks.json",
		TokenEndpoint: h.URL + pathToken, RevocationEndpoint: h.URL + pathRevoke, IntrospectionEndpoint: h.URL + pathIntrospect,
		GrantTypes:    oauth.Grants,
		ResponseTypes: []string{}, // required by §2, and there is no authorization endpoint
		TokenAuth:     withPublic, RevocationAuth: withPublic, IntrospectionAuth: secrets,
		AssertionAlgs: algs, RevocationAlgs: algs, IntrospectionAlgs: algs,
	})
}
