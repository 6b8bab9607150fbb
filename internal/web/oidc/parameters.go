package oidc

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"signet/internal/web/problem"
	"signet/issuer/oauth"
)

// maxValues bounds the values of a parameter that may repeat.
const maxValues = 64

// repeatable are the parameters that may be sent more than once (RFC 8707 §2, RFC
// 8693 §2.1).
var repeatable = []string{"resource", "audience"}

// parameters are those of the body, empty ones left out (RFC 6749 §3.2).
type parameters url.Values

func (p parameters) one(name string) string { return url.Values(p).Get(name) }

func (p parameters) all(name string) []string { return slices.Clone(p[name]) }

// readParameters reads the form of a request. Parameters in the URL are refused: they
// end up in logs.
func readParameters(w http.ResponseWriter, r *http.Request) (parameters, error) {
	if r.URL.RawQuery != "" {
		return nil, invalid("parameters belong in the body")
	}
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, problem.New(http.StatusUnsupportedMediaType, "the body must be application/x-www-form-urlencoded")
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, problem.New(http.StatusUnsupportedMediaType, "the body must be UTF-8")
	}
	body, err := problem.ReadBody(w, r)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalid("the body is not a form")
	}
	return checkParameters(form)
}

func checkParameters(form url.Values) (parameters, error) {
	p := make(parameters, len(form))
	for name, values := range form {
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		switch {
		case len(values) == 0:
			continue
		case len(values) > 1 && !slices.Contains(repeatable, name), len(values) > maxValues:
			return nil, invalid("a parameter is there more than once") // RFC 6749 §3.2
		case slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) }):
			return nil, invalid("a parameter is not UTF-8")
		}
		p[name] = values
	}
	return p, nil
}

func invalid(description string) error {
	return &oauth.Error{Code: oauth.InvalidRequest, Description: description}
}
