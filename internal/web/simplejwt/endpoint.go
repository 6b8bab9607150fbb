package simplejwt

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"signet/internal/web/problem"
)

// endpoint answers one POST. The answer is sent as JSON with status 200.
type endpoint func(ctx context.Context, body values) (answer any, err error)

// handle puts serve behind what all endpoints share, in the order in which Django
// REST framework looks at a request: Accept, the method, the body.
func (h *Handler) handle(serve endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Allow", "POST, OPTIONS")
		header.Set("Vary", "Accept")
		header.Set("Cache-Control", "no-store") // RFC 6749 §5.1
		if err := negotiate(r); err != nil {
			h.Errors.Error(w, r, err)
			return
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		body, err := parse(w, r)
		if err != nil {
			h.Errors.Error(w, r, err)
			return
		}
		answer, err := serve(r.Context(), body)
		if err != nil {
			h.Errors.Error(w, r, err)
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
