package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"signet/internal/web/problem"
	"signet/issuer/oauth"
)

// endpoint answers one POST of an authenticated client.
type endpoint func(ctx context.Context, client oauth.Client, p parameters) (answer any, err error)

// handle puts serve behind what all endpoints share: headers, errors, method, body,
// client. Without serve there is no such endpoint.
func (h *Handler) handle(serve endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store") // RFC 6749 §5.1
		w.Header().Set("Pragma", "no-cache")
		problem.RecordOf(r.Context()).Shape = shape // of the answer to a panic
		answer, err := h.answer(w, r, serve)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		problem.WriteJSON(w, http.StatusOK, answer)
	})
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, serve endpoint) (any, error) {
	switch {
	case serve == nil:
		return nil, problem.New(http.StatusNotFound, "there is no such endpoint; the metadata names those that there are")
	case r.Method != http.MethodPost: // RFC 6749 §3.2
		return nil, &problem.Problem{Status: http.StatusMethodNotAllowed, Detail: "the method must be POST",
			Header: http.Header{"Allow": {http.MethodPost}}}
	}
	p, err := readParameters(w, r)
	if err != nil {
		return nil, err
	}
	given, err := credentials(r, p)
	if err != nil {
		return nil, err
	}
	given.Issuer = h.URL
	client, err := h.Clients.Authenticate(r.Context(), given)
	if err != nil {
		return nil, err
	}
	return serve(r.Context(), client, p)
}

// credentials are those of the Authorization header or of the body; of both at once
// none is taken (RFC 6749 §2.3).
func credentials(r *http.Request, p parameters) (oauth.Credentials, error) {
	header := r.Header.Values("Authorization")
	if p.one("client_assertion") != "" || p.one("client_assertion_type") != "" {
		return signed(header, p)
	}
	if len(header) == 0 {
		given := oauth.Credentials{ID: p.one("client_id"), Secret: p.one("client_secret")}
		if given.ID == "" {
			return given, &oauth.Error{Code: oauth.InvalidClient, Description: "the client does not say who it is"}
		}
		return given, nil
	}
	if len(header) > 1 || p.one("client_secret") != "" {
		return oauth.Credentials{}, &oauth.Error{Code: oauth.InvalidRequest, Description: "the client authenticates in two ways"}
	}
	given, err := basic(r)
	if err != nil {
		return oauth.Credentials{}, err
	}
	if id := p.one("client_id"); id != "" && id != given.ID {
		return oauth.Credentials{}, &oauth.Error{Code: oauth.InvalidRequest, Description: "client_id is not the one of the Authorization header"}
	}
	return given, nil
}

// signed reads private_key_jwt (RFC 7523 §2.2).
func signed(header []string, p parameters) (oauth.Credentials, error) {
	switch {
	case len(header) > 0 || p.one("client_secret") != "":
		return oauth.Credentials{}, &oauth.Error{Code: oauth.InvalidRequest, Description: "the client authenticates in two ways"}
	case p.one("client_assertion_type") != oauth.AssertionType || p.one("client_assertion") == "":
		return oauth.Credentials{}, &oauth.Error{Code: oauth.InvalidRequest, Description: "client_assertion_type is not jwt-bearer, or client_assertion is missing"}
	}
	return oauth.Credentials{ID: p.one("client_id"), Assertion: p.one("client_assertion")}, nil
}

// basic reads client_secret_basic: both parts are form-encoded before they are put
// together (RFC 6749 §2.3.1).
func basic(r *http.Request) (oauth.Credentials, error) {
	user, password, ok := r.BasicAuth()
	id, err := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	if !ok || err != nil || err2 != nil || id == "" {
		return oauth.Credentials{}, &oauth.Error{Code: oauth.InvalidClient, Description: "the Authorization header is not Basic with a client id and secret"}
	}
	return oauth.Credentials{ID: id, Secret: secret}, nil
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var refused *oauth.Error
	if !errors.As(err, &refused) {
		h.Errors.Error(w, r, err)
		return
	}
	p := problem.Problem{Status: http.StatusBadRequest, Code: string(refused.Code), Detail: refused.Description, Cause: refused}
	if refused.Code == oauth.InvalidClient { // RFC 6749 §5.2
		p.Status = http.StatusUnauthorized
		p.Header = http.Header{"Www-Authenticate": {`Basic realm="clients"`}}
	}
	h.Errors.Write(w, r, p)
}

// shape writes errors as RFC 6749 §5.2 does. What is not a refusal of the request has
// the codes of RFC 6749 §4.1.2.1, which clients know.
func shape(_ http.Header, p problem.Problem) any {
	code := p.Code
	switch {
	case code != "":
	case p.Status == http.StatusServiceUnavailable:
		code = "temporarily_unavailable"
	case p.Status >= http.StatusInternalServerError:
		code = "server_error"
	default:
		code = string(oauth.InvalidRequest)
	}
	return struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
		RequestID   string `json:"request_id,omitempty"`
	}{code, p.Detail, p.RequestID}
}
