package verify

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrorHandler writes the answer to a refused request. WWW-Authenticate,
// Retry-After and Cache-Control are already set; [Status] is the status. err is for
// the log, not for the client.
type ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

// Middleware passes a request on if it carries a good access token, whose claims
// are then in its context.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return v.RequireScope()(next)
}

// RequireScope is a Middleware that also asks for every one of these scopes. It
// needs no other before it; after one of the same Verifier it verifies nothing
// again.
func (v *Verifier) RequireScope(scopes ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, err := v.Authorize(r.Context(), r.Header.Values("Authorization"), scopes...)
			if err != nil {
				v.refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// Authorize does the work of RequireScope for any transport: it takes the values of
// the Authorization header, and returns a context with the claims.
func (v *Verifier) Authorize(ctx context.Context, header []string, scopes ...string) (context.Context, error) {
	if _, err := v.setup(); err != nil {
		return nil, err
	}
	a, ok := ctx.Value(contextKey{}).(authorized)
	if !ok || a.by != v {
		token, err := bearer(header)
		if err != nil {
			return nil, err
		}
		claims, err := v.Verify(ctx, token)
		if err != nil {
			return nil, err
		}
		a = authorized{by: v, claims: claims}
		ctx = context.WithValue(ctx, contextKey{}, a)
	}
	for _, scope := range scopes {
		if !a.claims.HasScope(scope) {
			return nil, &ScopeError{Required: scopes}
		}
	}
	return ctx, nil
}

type contextKey struct{}

// authorized is what a context holds.
type authorized struct {
	by     *Verifier
	claims *Claims
}

// FromContext returns the claims of the request's token.
func FromContext(ctx context.Context) (*Claims, bool) {
	a, ok := ctx.Value(contextKey{}).(authorized)
	return a.claims, ok
}

// bearer reads the one place of a token that is believed (RFC 6750 §2.1): not the
// body and not the query, which ends up in logs.
func bearer(header []string) (string, error) {
	if len(header) == 0 {
		return "", ErrNoToken
	}
	if len(header) > 1 {
		return "", ErrRequest
	}
	scheme, token, _ := strings.Cut(header[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", ErrNoToken
	}
	token = strings.TrimLeft(token, " ")
	if token == "" || strings.ContainsFunc(token, notB64Token) {
		return "", ErrRequest
	}
	return token, nil
}

// notB64Token: RFC 6750 §2.1, b64token.
func notB64Token(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("-._~+/=", r))
}

func (v *Verifier) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := Status(err)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", retryAfter(err))
	case http.StatusInternalServerError:
	default:
		h.Set("WWW-Authenticate", v.challenge(err))
	}
	if v != nil && v.Error != nil {
		v.Error(w, r, err)
		return
	}
	http.Error(w, strings.ToLower(http.StatusText(status)), status)
}

// retryAfter is in whole seconds (RFC 9110 §10.2.3).
func retryAfter(err error) string {
	seconds := 1
	var unavailable *UnavailableError
	if errors.As(err, &unavailable) {
		seconds = max(1, int((unavailable.RetryAfter+time.Second-1)/time.Second))
	}
	return strconv.Itoa(seconds)
}

// challenge is by RFC 6750 §3: a request without credentials learns no error.
func (v *Verifier) challenge(err error) string {
	realm := v.Realm
	if realm == "" {
		realm = v.Audience
	}
	c := `Bearer realm="` + quotable(realm) + `"`
	if errors.Is(err, ErrNoToken) {
		return c
	}
	code, description := describe(err)
	c += `, error="` + code + `", error_description="` + description + `"`
	var scope *ScopeError
	if errors.As(err, &scope) {
		c += `, scope="` + quotable(strings.Join(scope.Required, " ")) + `"`
	}
	return c
}

// described are the sentences that leave; the causes behind them stay inside.
var described = []error{
	ErrExpired, ErrNotYetValid, ErrAudience, ErrIssuer, ErrWrongType, ErrClaim, ErrUnknownKey, ErrKeyAlgorithm,
	ErrSignature, ErrAlgorithm, ErrHeader, ErrTooLong, ErrMalformed,
}

// describe returns the code of RFC 6750 §3.1 and a sentence.
func describe(err error) (code, sentence string) {
	switch {
	case errors.Is(err, ErrRequest):
		return "invalid_request", ErrRequest.Error()
	case errors.Is(err, ErrScope):
		return "insufficient_scope", ErrScope.Error()
	}
	for _, e := range described {
		if errors.Is(err, e) {
			return "invalid_token", strings.ReplaceAll(e.Error(), "'", "")
		}
	}
	return "invalid_token", "token refused"
}

// quotable drops what a quoted string of a header cannot hold (RFC 6750 §3).
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
