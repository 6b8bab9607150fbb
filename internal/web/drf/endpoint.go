// Package drf is what Django REST framework does with a request before a view sees it,
// and in what words it says no. The dialects of Django's token packages build on it.
//
// Start at [Handle]: a request goes through endpoint.go (Accept, method) and body.go
// (JSON, form or multipart becomes fields) to an [Endpoint], which asks for its fields
// with [Call.Read].
//
// The package refuses bodies that two parsers could read differently: repeated names,
// text that is not UTF-8, unpaired surrogates. It never trims a password.
package drf

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"signet/internal/web/problem"
)

// Endpoint answers one POST. The answer is sent as JSON with status 200.
type Endpoint func(c *Call) (answer any, err error)

// Call is one request to an Endpoint.
type Call struct {
	Request *http.Request
	// Header is that of the response.
	Header http.Header
	body   values
}

// Context is that of the request.
func (c *Call) Context() context.Context { return c.Request.Context() }

// Handle puts serve behind what all endpoints share, in the order in which Django
// REST framework looks at a request: Accept, the method, the body.
func Handle(errors problem.Renderer, serve Endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Allow", "POST, OPTIONS")
		header.Add("Vary", "Accept")            // beside Origin
		header.Set("Cache-Control", "no-store") // RFC 6749 §5.1
		if err := negotiate(r); err != nil {
			errors.Error(w, r, err)
			return
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		body, err := parse(w, r)
		if err != nil {
			errors.Error(w, r, err)
			return
		}
		answer, err := serve(&Call{Request: r, Header: header, body: body})
		if err != nil {
			errors.Error(w, r, err)
			return
		}
		problem.WriteJSON(w, http.StatusOK, answer)
	})
}

func negotiate(r *http.Request) error {
	if !takesJSON(r.Header.Values("Accept")) {
		return problem.New(http.StatusNotAcceptable, "Could not satisfy the request Accept header.")
	}
	if r.Method != http.MethodPost && r.Method != http.MethodOptions {
		return problem.New(http.StatusMethodNotAllowed, fmt.Sprintf("Method \"%.20s\" not allowed.", r.Method))
	}
	return nil
}

// takesJSON reads Accept (RFC 9110 §12.5.1). Nothing but JSON is offered, so all
// that matters is whether any range takes it.
func takesJSON(accept []string) bool {
	list := strings.Join(accept, ",")
	if strings.TrimSpace(list) == "" {
		return true
	}
	for entry := range strings.SplitSeq(list, ",") {
		mediaRange, params, _ := strings.Cut(entry, ";")
		switch strings.ToLower(strings.TrimSpace(mediaRange)) {
		case "application/json", "application/*", "*/*":
			if !weightZero(params) {
				return true
			}
		}
	}
	return false
}

// weightZero reports q=0, which means "not acceptable" (RFC 9110 §12.4.2).
func weightZero(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return err == nil && q == 0
		}
	}
	return false
}
